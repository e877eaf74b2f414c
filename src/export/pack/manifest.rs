//! The manifest: every file with its hash, and one hash that stands for all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::File;
use crate::event::hex;
use crate::export::model::{Assessment, Period, Tool};

/// Version of the pack's layout.
pub const FORMAT: u32 = 1;

/// What `manifest.json` holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of the layout.
    pub format: u32,
    pub tool: Tool,
    /// The command that gives this pack again, the folder aside.
    pub command: String,
    pub framework: String,
    pub framework_sha256: String,
    pub period: Period,
    pub lake: String,
    pub version: i64,
    pub policy_sha256: String,
    pub queries_sha256: String,
    /// SHA-256 of each detector's file.
    pub detectors: BTreeMap<String, String>,
    pub evidence_sha256: String,
    /// Sorted by name; the manifest itself and the run block are not among them.
    pub files: Vec<Entry>,
    /// SHA-256 of this manifest, compact and with this field empty.
    pub root_sha256: String,
}

/// A file in the manifest.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: String,
    pub sha256: String,
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

impl Entry {
    /// The entry of a file.
    pub fn of(file: &File) -> Self {
        let sha256 = hex(&Sha256::digest(&file.bytes));
        Self { name: file.name.clone(), sha256, bytes: file.bytes.len() as u64, rows: file.rows }
    }
}

impl Manifest {
    /// The manifest of an assessment's files.
    pub fn new(it: &Assessment, command: String, mut files: Vec<Entry>) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut manifest = Self {
            format: FORMAT,
            tool: it.tool.clone(),
            command,
            framework: it.framework.id.clone(),
            framework_sha256: it.framework.sha256.clone(),
            period: it.period,
            lake: it.provenance.lake.clone(),
            version: it.provenance.version,
            policy_sha256: it.provenance.policy_sha256.clone(),
            queries_sha256: it.provenance.queries_sha256.clone(),
            detectors: it.detectors.iter().map(|d| (d.id.clone(), d.sql_sha256.clone())).collect(),
            evidence_sha256: it.evidence_sha256.clone(),
            files,
            root_sha256: String::new(),
        };
        manifest.root_sha256 = manifest.root();
        manifest
    }

    /// The root hash, as it should be.
    pub fn root(&self) -> String {
        let bare = Self { root_sha256: String::new(), ..self.clone() };
        let text = serde_json::to_vec(&bare).unwrap_or_default(); // texts and numbers under fixed names: nothing to refuse
        hex(&Sha256::digest(text))
    }

    /// The bytes of `manifest.json`.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default(); // as above
        bytes.push(b'\n');
        bytes
    }
}

/// What `run.json` holds: all that differs from run to run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RunBlock {
    /// As it was typed.
    pub command_line: Vec<String>,
    pub started_at: String,
    pub finished_at: String,
    /// The root hash of the pack that this run made.
    pub root_sha256: String,
    /// SHA-256 of this block, compact and with this field empty.
    pub sha256: String,
}

impl RunBlock {
    /// The block with its own hash.
    pub fn sealed(self) -> Self {
        let sha256 = self.hash();
        Self { sha256, ..self }
    }

    /// Its hash, as it should be.
    pub fn hash(&self) -> String {
        let bare = Self { sha256: String::new(), ..self.clone() };
        hex(&Sha256::digest(serde_json::to_vec(&bare).unwrap_or_default())) // as above
    }

    /// The bytes of `run.json`.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default(); // as above
        bytes.push(b'\n');
        bytes
    }
}
