//! The key of fingerprints, as commands are given it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use crate::ingest::key::{KeySource, Keys};
use crate::ingest::protection::Protection;
use crate::lake::Lake;

/// Which key. Itself it is only read from a file or the environment: others see what stands on a command line.
#[derive(clap::Args, Clone, Debug)]
pub struct KeyArgs {
    /// File with the key of fingerprints, made on first use [default: tokentrail/secret.key in the user's configuration];
    /// the key itself may be given in TOKENTRAIL_SECRET_KEY instead
    #[arg(long, env = "TOKENTRAIL_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
}

/// What is taken out of records.
#[derive(clap::Args, Clone, Debug)]
pub struct ProtectionArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Write on with another key than before: fingerprints from now on are others than those of the same secrets until now
    #[arg(long)]
    rotate_secret_key: bool,
    /// Store people and addresses under pseudonyms, and no original records
    #[arg(long, env = "TOKENTRAIL_PSEUDONYMISE")]
    pseudonymise: bool,
}

impl KeyArgs {
    /// The keys there are. None is made.
    pub fn known(&self) -> anyhow::Result<Option<Keys>> {
        Ok(KeySource::here(self.secret_key_file.clone()).known()?)
    }
}

impl ProtectionArgs {
    /// What this lake's records are to lose. The key is made if there is none; the lake must know it, or none yet.
    pub async fn protection(&self, lake: &Lake) -> anyhow::Result<Arc<Protection>> {
        let source = KeySource::here(self.key.secret_key_file.clone());
        let protection = Protection::of_lake(lake, &source, self.rotate_secret_key, self.pseudonymise).await;
        protection.context("secrets must not be stored as they are")
    }
}
