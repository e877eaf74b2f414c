//! The detectors there are: those compiled in, and those of a folder, which add to them or take their place.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::header::{self, Header, Mistake};
use crate::event::hex;
use crate::policy::spelling::nearest;
use crate::query::views;

/// Largest detector file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A detector: a question in SQL, and what its answers mean.
#[derive(Clone, Debug)]
pub struct Detector {
    /// The file's name without `.sql`. Never changed: findings are known by it.
    pub id: String,
    /// Where it was read, as messages name it.
    pub file: String,
    pub header: Header,
    /// The SQL, on the lines it has in the file.
    pub sql: String,
    /// The whole file.
    pub text: String,
}

/// Why there is no catalog, or no such detector.
#[derive(Debug, Error)]
pub enum CatalogError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Mistake>),
    #[error("there is no detector {id:?}{advice}; `tokentrail detectors list` shows all")]
    Unknown { id: String, advice: String },
}

macro_rules! built_in {
    ($($id:literal),+ $(,)?) => {
        &[$(($id, include_str!(concat!("../../queries/", $id, ".sql")))),+]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in![
    "audit_gap",
    "break_glass_unrevoked",
    "context_drift",
    "delegation_outlives_parent",
    "dormant_reactivated",
    "exercise_on_lost_device",
    "impossible_travel",
    "insecure_storage",
    "issuance_after_offboarding",
    "new_context_for_subject",
    "not_revoked_at_logout",
    "orphan_token",
    "refresh_after_offboarding",
    "refresh_not_allowed",
    "refresh_rate_anomaly",
    "refresh_token_replay",
    "revocation_latency",
    "scope_escalation",
    "scope_over_policy",
    "shared_host_reuse",
    "signal_without_revocation",
    "token_older_than_policy",
    "token_on_many_hosts",
    "ttl_over_policy",
    "unrevoked_lost_device",
    "use_after_expiry",
    "use_after_revocation",
    "user_token_in_ci",
];

/// All detectors, by id.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    detectors: Vec<Detector>,
}

impl Catalog {
    /// The detectors compiled in, and those in `folder`, of which one with the id of another replaces it.
    ///
    /// # Errors
    /// [`CatalogError::Unreadable`], or [`CatalogError::Invalid`] with the mistakes of all files.
    pub fn load(folder: Option<&Path>) -> Result<Self, CatalogError> {
        let built_in =
            BUILT_IN.iter().map(|(id, text)| (format!("queries/{id}.sql"), (*id).to_owned(), (*text).to_owned()));
        Self::of(built_in.chain(read(folder)?))
    }

    /// The detectors in these files, each with its id and text; the later of two with one id counts.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] with the mistakes of all files.
    pub fn of(files: impl IntoIterator<Item = (String, String, String)>) -> Result<Self, CatalogError> {
        let mut mistakes = Vec::new();
        let mut detectors: Vec<Detector> = Vec::new();
        for (file, id, text) in files {
            match Detector::parse(id, file, text) {
                Ok(detector) => {
                    detectors.retain(|d| d.id != detector.id);
                    detectors.push(detector);
                }
                Err(wrong) => mistakes.extend(wrong),
            }
        }
        detectors.sort_by(|a, b| a.id.cmp(&b.id));
        if mistakes.is_empty() { Ok(Self { detectors }) } else { Err(CatalogError::Invalid(mistakes)) }
    }

    /// All, by id.
    pub fn all(&self) -> &[Detector] {
        &self.detectors
    }

    /// The detector called `id`.
    pub fn find(&self, id: &str) -> Result<&Detector, CatalogError> {
        self.detectors.iter().find(|d| d.id == id).ok_or_else(|| {
            let advice = match nearest(id, self.detectors.iter().map(|d| d.id.as_str())) {
                Some((word, true)) => format!("; did you mean {word:?}?"),
                _ => String::new(),
            };
            CatalogError::Unknown { id: id.to_owned(), advice }
        })
    }

    /// Those called by these ids, in the catalog's order; all if there are none.
    pub fn select(&self, ids: &[String]) -> Result<Vec<&Detector>, CatalogError> {
        for id in ids {
            self.find(id)?;
        }
        Ok(self.detectors.iter().filter(|d| ids.is_empty() || ids.contains(&d.id)).collect())
    }

    /// Identity of everything that decides which rows these detectors give: their text, the views and the folds.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let files = self.detectors.iter().map(|d| (d.id.as_str(), d.text.as_str()));
        let ours: Vec<(&str, &str)> =
            views::ALL.iter().map(|v| (v.name, v.sql)).chain(super::folds::declared()).collect();
        for (name, text) in files.chain(ours) {
            for part in [name, text] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        hex(&hash.finalize())
    }
}

impl Detector {
    /// Whether it is one of those compiled in, word for word: what can be wrong with them, tests have asked.
    pub fn is_built_in(&self) -> bool {
        BUILT_IN.iter().any(|(id, text)| *id == self.id && *text == self.text)
    }

    /// Reads a detector from the text of its file.
    pub fn parse(id: String, file: String, text: String) -> Result<Self, Vec<Mistake>> {
        let (header, sql) = header::parse(&file, &text)?;
        Ok(Self { id, file, header, sql, text })
    }

    /// Reads one detector file.
    pub fn load(path: &Path) -> Result<Self, CatalogError> {
        let (file, id, text) = read_file(path)?;
        Self::parse(id, file, text).map_err(CatalogError::Invalid)
    }
}

/// File, id and text of every `.sql` file right in the folder, by name.
fn read(folder: Option<&Path>) -> Result<Vec<(String, String, String)>, CatalogError> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let unreadable = |source| CatalogError::Unreadable { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "sql") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Result<(String, String, String), CatalogError> {
    let unreadable = |source| CatalogError::Unreadable { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!("{length} bytes; at most {FILE_BYTES_MAX} are read"))));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?.replace("\r\n", "\n");
    let id = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((path.display().to_string(), id, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_adds_and_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let text = include_str!("../../queries/refresh_after_offboarding.sql")
            .replace("Refresh token used after offboarding", "Ours");
        std::fs::write(folder.path().join("refresh_after_offboarding.sql"), &text).unwrap();
        std::fs::write(folder.path().join("another.sql"), &text).unwrap();
        let catalog = Catalog::load(Some(folder.path())).unwrap();
        assert_eq!(catalog.all().len(), BUILT_IN.len() + 1);
        assert_eq!(catalog.find("refresh_after_offboarding").unwrap().header.title, "Ours");
        assert_ne!(catalog.hash(), Catalog::load(None).unwrap().hash());
        let error = catalog.find("anothr").unwrap_err().to_string();
        assert!(error.contains("did you mean \"another\"?"), "{error}");
        std::fs::write(folder.path().join("bad.sql"), text.replace("summary", "sumary")).unwrap();
        let error = Catalog::load(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("bad.sql:6: unknown key \"sumary\""), "{error}");
    }
}
