//! The official catalogue, in OSCAL's JSON: what its statements are, for packs that are to quote them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::FrameworkError;
use crate::event::hex;
use crate::export::model;

/// Largest catalogue, in bytes. The whole of SP 800-53 has about 10 MB.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Deepest controls within controls that are looked into.
const DEPTH_MAX: u32 = 16;

/// A catalogue that was given.
#[derive(Clone, Debug, Default)]
pub struct Official {
    pub catalog: model::Catalog,
    /// Statements by id, in capitals and with `-2(3)` as `-2.3`; empty where a control has none.
    statements: BTreeMap<String, String>,
}

impl Official {
    /// Reads a catalogue.
    ///
    /// # Errors
    /// If it is no OSCAL catalogue in JSON.
    pub fn load(path: &Path) -> Result<Self, FrameworkError> {
        let name = path.display().to_string();
        let unreadable = |cause| FrameworkError::Unreadable { path: name.clone(), cause };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > FILE_BYTES_MAX {
            let cause = std::io::Error::other(format!("{length} bytes; at most {FILE_BYTES_MAX} are read"));
            return Err(unreadable(cause));
        }
        Self::parse(&name, &std::fs::read(path).map_err(unreadable)?)
    }

    fn parse(name: &str, bytes: &[u8]) -> Result<Self, FrameworkError> {
        let invalid = |why: &str| FrameworkError::Invalid {
            path: name.to_owned(),
            message: format!("{why}: --catalog takes an OSCAL catalogue in JSON, such as NIST_CSF_v2.0_catalog.json"),
        };
        if bytes.trim_ascii_start().starts_with(b"<") {
            return Err(invalid("it is XML"));
        }
        let document: Value = serde_json::from_slice(bytes).map_err(|e| invalid(&e.to_string()))?;
        let catalog = document.get("catalog").ok_or_else(|| invalid("it has no \"catalog\""))?;
        let told = |key: &str| catalog.pointer(&format!("/metadata/{key}")).and_then(Value::as_str).unwrap_or_default();
        let mut official = Self {
            catalog: model::Catalog {
                title: told("title").to_owned(),
                version: told("version").to_owned(),
                oscal_version: told("oscal-version").to_owned(),
                sha256: hex(&Sha256::digest(bytes)),
            },
            statements: BTreeMap::new(),
        };
        official.gather(catalog, 0);
        if official.statements.is_empty() {
            return Err(invalid("it has no controls"));
        }
        Ok(official)
    }

    fn gather(&mut self, value: &Value, depth: u32) {
        if depth > DEPTH_MAX {
            return;
        }
        let listed = |key: &str| value.get(key).and_then(Value::as_array).into_iter().flatten();
        for control in listed("controls") {
            if let Some(id) = control.get("id").and_then(Value::as_str) {
                let mut lines = Vec::new();
                let parts = control.get("parts").and_then(Value::as_array).into_iter().flatten();
                for part in parts.filter(|part| part.get("name").and_then(Value::as_str) == Some("statement")) {
                    prose(part, &mut lines, 0);
                }
                self.statements.insert(plain(id), lines.join(" "));
            }
            self.gather(control, depth + 1);
        }
        for group in listed("groups") {
            self.gather(group, depth + 1);
        }
    }

    /// The official statement of an identifier.
    ///
    /// # Errors
    /// A sentence, if the catalogue has no such control or no statement of it.
    pub fn statement(&self, id: &str) -> Result<&str, String> {
        match self.statements.get(&plain(id)).map(String::as_str) {
            Some("") => Err(format!("the catalogue has no statement of {id}")),
            Some(statement) => Ok(statement),
            None => Err(format!(
                "the catalogue {:?} {} has no {id}: give the one of this framework",
                self.catalog.title, self.catalog.version
            )),
        }
    }
}

/// A statement's text, with that of the parts it consists of.
fn prose(part: &Value, lines: &mut Vec<String>, depth: u32) {
    lines.extend(part.get("prose").and_then(Value::as_str).map(str::to_owned));
    if depth < DEPTH_MAX {
        for inner in part.get("parts").and_then(Value::as_array).into_iter().flatten() {
            prose(inner, lines, depth + 1);
        }
    }
}

/// `AC-2(3)` and `ac-2.3` are one.
fn plain(id: &str) -> String {
    id.to_uppercase().replace('(', ".").replace(')', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_found_at_any_depth() {
        let json = br#"{"catalog":{"metadata":{"title":"T","version":"1","oscal-version":"1.2.1"},"groups":[{"id":"ac",
            "controls":[{"id":"ac-2","parts":[{"name":"statement","prose":"Do:","parts":[{"prose":"this."}]}],
            "controls":[{"id":"ac-2.3","parts":[{"name":"statement","prose":"And that."}]},{"id":"ac-2.4"}]}]}]}}"#;
        let official = Official::parse("c.json", json).unwrap();
        assert_eq!(official.statement("AC-2"), Ok("Do: this."));
        assert_eq!(official.statement("AC-2(3)"), Ok("And that."));
        assert!(official.statement("AC-2(4)").unwrap_err().contains("no statement"));
        assert!(official.statement("AC-9").unwrap_err().contains("give the one of this framework"));
        for wrong in ["<catalog/>", "{}", "{\"catalog\":{}}", "no"] {
            assert!(Official::parse("c", wrong.as_bytes()).unwrap_err().to_string().contains("in JSON"), "{wrong}");
        }
    }
}
