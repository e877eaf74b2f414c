//! The mapping of a source of one's own, as commands are given it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::mapping::Mapping;

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
        Ok(self.mapping.as_deref().map(Mapping::load).transpose()?.map(Arc::new))
    }
}
