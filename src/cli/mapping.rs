//! The mapping of a source of one's own, as commands are given it.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use crate::decode::mapping::{MAPPING_BYTES_MAX, Mapping};

/// Which mapping.
#[derive(clap::Args, Clone, Debug)]
pub struct MappingArgs {
    /// File (TOML) that says where events stand in the records of a source of one's own, JSON or CSV; see docs/MAPPINGS.md
    #[arg(long, env = "TOKENTRAIL_MAPPING", value_name = "FILE", conflicts_with = "format")]
    pub mapping: Option<PathBuf>,
}

impl MappingArgs {
    /// The mapping, if there is to be one.
    pub fn load(&self) -> anyhow::Result<Option<Arc<Mapping>>> {
        let Some(path) = &self.mapping else { return Ok(None) };
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).with_context(|| format!("cannot read the mapping {name}"))?;
        // One more than is accepted, so that what is larger is seen to be.
        file.take(MAPPING_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).with_context(|| name.clone())?;
        let text = String::from_utf8(bytes).with_context(|| name.clone())?;
        Ok(Some(Arc::new(Mapping::parse(&name, &text)?)))
    }
}
