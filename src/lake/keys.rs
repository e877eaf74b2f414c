//! Whose fingerprints stand in the lake: the ids and check values of the keys that its writers used, in `LAKE/keys.json`.
//!
//! One secret must have one fingerprint, so a writer with another key is refused, unless it says that the key was changed.
//! The file holds nothing that helps to guess a key.

use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};
use crate::clock;
use crate::event::time;

/// What tells one key from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMark {
    /// As it stands in fingerprints.
    pub id: String,
    /// Another hash of the key: ids are short.
    pub check: String,
}

/// A key in use from some time on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    mark: KeyMark,
    /// RFC 3339, UTC.
    since: String,
}

/// The keys of a lake, oldest first; the last is the present one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entries {
    keys: Vec<Entry>,
}

/// What became of a writer's key.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    /// It is the present one.
    Present,
    /// It becomes the present one.
    Next,
    /// Another one is; this is its id.
    Refused(String),
}

impl Entries {
    fn admit(&self, mark: &KeyMark, rotate: bool) -> Admission {
        match self.keys.last() {
            Some(entry) if entry.mark == *mark => Admission::Present,
            Some(entry) if !rotate => Admission::Refused(entry.mark.id.clone()),
            _ => Admission::Next,
        }
    }
}

impl Lake {
    /// Whether a writer with this key may write. The first key of a lake is its own from then on; a later one must say
    /// that it takes over (`rotate`).
    ///
    /// # Errors
    /// [`LakeError::Key`] if the lake's key is another one.
    pub async fn admit_key(&self, mark: &KeyMark, rotate: bool) -> Result<(), LakeError> {
        let place = format!("{}keys.json", self.uri());
        let wrong = |why: &dyn std::fmt::Display| LakeError::Log(place.clone(), why.to_string());
        let failed = |cause| LakeError::Storage { doing: format!("writing {place}"), cause };
        let path = Path::from_url_path(self.uri().path()).map_err(|e| wrong(&e))?.join("keys.json");
        let (store, _) = self.events().root_store();
        let read = async || match store.get(&path).await {
            Ok(found) => {
                let bytes = found.bytes().await.map_err(failed)?;
                serde_json::from_slice::<Entries>(&bytes).map(Some).map_err(|e| wrong(&e))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(LakeError::Storage { doing: format!("reading {place}"), cause }),
        };
        let refused = |id| LakeError::Key { uri: self.uri().to_string(), theirs: id, ours: mark.id.clone() };
        // Once more when another writer was the first.
        for _ in 0..2 {
            let found = read().await?;
            let is_first = found.is_none();
            let mut entries = found.unwrap_or_default();
            match entries.admit(mark, rotate) {
                Admission::Present => return Ok(()),
                Admission::Refused(id) => return Err(refused(id)),
                Admission::Next => {}
            }
            entries.keys.push(Entry { mark: mark.clone(), since: time::format(clock::now_micros()) });
            let bytes = serde_json::to_vec_pretty(&entries).map_err(|e| wrong(&e))?;
            let mode = if is_first { PutMode::Create } else { PutMode::Overwrite };
            match store.put_opts(&path, bytes.into(), PutOptions::from(mode)).await {
                Err(object_store::Error::AlreadyExists { .. }) => {}
                written => return written.map(|_| ()).map_err(failed),
            }
        }
        Err(wrong(&"another writer is changing it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(id: &str) -> KeyMark {
        KeyMark { id: id.into(), check: format!("check of {id}") }
    }

    #[tokio::test]
    async fn another_key_is_refused_until_it_takes_over() {
        let temp = tempfile::tempdir().unwrap();
        let uri = temp.path().join("a lake").display().to_string();
        let lake = Lake::open_or_create(&uri).await.unwrap();
        let (one, other) = (mark("00000001"), mark("00000002"));
        lake.admit_key(&one, false).await.unwrap();
        lake.admit_key(&one, false).await.unwrap();
        let refused = lake.admit_key(&other, false).await.unwrap_err().to_string();
        assert!(refused.contains("00000001") && refused.contains("00000002"), "{refused}");
        lake.admit_key(&other, true).await.unwrap();
        assert!(lake.admit_key(&one, false).await.is_err(), "the lake has moved on");
        let forged = KeyMark { check: "x".into(), ..other.clone() };
        assert!(lake.admit_key(&forged, false).await.is_err(), "the id alone is not enough");
        let text = std::fs::read_to_string(temp.path().join("a lake/keys.json")).unwrap();
        let entries: Entries = serde_json::from_str(&text).unwrap();
        assert_eq!(entries.keys.iter().map(|entry| &entry.mark).collect::<Vec<_>>(), [&one, &other]);
        std::fs::write(temp.path().join("a lake/keys.json"), "{").unwrap();
        assert!(lake.admit_key(&other, false).await.unwrap_err().to_string().contains("keys.json"));
    }
}
