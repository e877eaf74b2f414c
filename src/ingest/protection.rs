//! What a record must lose before anything of it is stored or shown: secrets always, names and addresses if wanted.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::csv::Header;
use crate::decode::secrets::Redactor;
use crate::decode::secrets::key::{KEY_BYTES, Key};
use crate::decode::secrets::pseudonyms::Pseudonyms;
use crate::ingest::key::{KeyFileError, KeySource};
use crate::lake::keys::KeyMark;
use crate::lake::{Lake, LakeError};
use crate::source::{Body, Chunk};

/// Takes secrets and names out of records.
pub struct Protection {
    redactor: Redactor,
    pseudonyms: Option<Pseudonyms>,
}

/// What is kept of a record that gave no event.
pub struct Kept<'a> {
    pub record: Cow<'a, [u8]>,
    pub reason: Cow<'a, str>,
}

/// Why records cannot be protected.
#[derive(Debug, thiserror::Error)]
pub enum ProtectionError {
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl Protection {
    /// What a lake's records are to lose. The key is made if there is none; the lake must know it, or none yet, unless it
    /// is to `rotate`.
    ///
    /// # Errors
    /// No key can be had, or the lake knows another.
    pub async fn of_lake(
        lake: &Lake,
        source: &KeySource,
        rotate: bool,
        pseudonymise: bool,
    ) -> Result<Arc<Self>, ProtectionError> {
        let folder = lake.uri().to_file_path().ok().filter(|_| lake.uri().scheme() == "file");
        let keys = source.keys(folder.as_deref())?;
        let key = &keys.current;
        let mark = KeyMark { id: key.id().to_owned(), check: key.check_value() };
        lake.admit_key(&mark, rotate).await?;
        Ok(Arc::new(Self::new(key, pseudonymise)))
    }

    /// Fingerprints, and pseudonyms if wanted, under this key.
    pub fn new(key: &Key, pseudonymise: bool) -> Self {
        Self { redactor: Redactor::new(key.clone()), pseudonyms: pseudonymise.then(|| Pseudonyms::new(key.clone())) }
    }

    /// One whose key nobody knows and that lasts as long as the process: for records that are not stored, and for lakes
    /// that go away.
    pub fn passing() -> Arc<Self> {
        static PASSING: LazyLock<Arc<Protection>> = LazyLock::new(|| {
            let mut bytes = [0; KEY_BYTES];
            for (at, part) in bytes.chunks_mut(8).enumerate() {
                // The hashes of one state are as unpredictable as the random keys that the system gave it.
                let word = RandomState::new().hash_one(at).to_le_bytes();
                part.iter_mut().zip(word).for_each(|(to, from)| *to = from);
            }
            Arc::new(Protection::new(&Key::new(bytes), false))
        });
        PASSING.clone()
    }

    /// Who stands for whom, if that is wanted.
    pub fn pseudonyms(&self) -> Option<&Pseudonyms> {
        self.pseudonyms.as_ref()
    }

    /// Takes the secrets out of a chunk. A record that had any moves to the end of the text, and leaves only blanks.
    pub fn clean(&self, chunk: &mut Chunk) {
        let (data, header) = (&mut chunk.data, &chunk.header);
        for record in &mut chunk.records {
            let (range, clean) = match &mut record.body {
                Body::Skip => continue,
                Body::Bytes(range) => {
                    let text = &data[range.clone()];
                    let clean = match header.as_deref() {
                        Some(header) => self.clean_row(header, text),
                        None => self.redactor.redact(text),
                    };
                    (range, clean)
                }
                // A head is no JSON whatever it was cut from.
                Body::Oversized { head, .. } => {
                    let clean = self.redactor.redact_rejected(&data[head.clone()]);
                    (head, clean)
                }
            };
            if let Cow::Owned(clean) = clean {
                data[range.clone()].fill(b' ');
                *range = data.len()..data.len() + clean.len();
                data.extend_from_slice(&clean);
            }
        }
    }

    /// A row without secrets. What a cell holds is told by its column's name too, as in JSON; and no secret reaches
    /// beyond its cell.
    fn clean_row<'a>(&self, header: &Header, row: &'a [u8]) -> Cow<'a, [u8]> {
        let Ok(cells) = header.row(row) else { return self.redactor.redact_rejected(row) };
        let named = header.names.iter().zip(cells);
        let named: Vec<_> = named.map(|(name, cell)| Map::from_iter([(name.clone(), cell.into())])).collect();
        let Ok(json) = serde_json::to_vec(&named) else { return self.redactor.redact_rejected(row) };
        let Cow::Owned(clean) = self.redactor.redact(&json) else { return Cow::Borrowed(row) };
        let Ok(clean) = serde_json::from_slice::<Vec<Map<String, Value>>>(&clean) else {
            return self.redactor.redact_rejected(row);
        };
        let cells = clean.iter().flat_map(|cell| cell.values()).map(|cell| cell.as_str().unwrap_or_default());
        Cow::Owned(header.write(cells).into_bytes())
    }

    /// What is kept of a piece of a clean record that gave no event, and of the reason, which may quote it.
    ///
    /// Under pseudonyms nothing of the record is kept: see [`crate::decode::secrets::pseudonyms`].
    pub fn rejected<'a>(&self, piece: &'a [u8], reason: &'a str) -> Kept<'a> {
        let record = self.redactor.redact_rejected(piece);
        // Only what is no JSON changes now, and only then may the reason quote more than is to be kept.
        let reason = match &record {
            Cow::Borrowed(_) => Cow::Borrowed(reason),
            Cow::Owned(_) => self.redactor.redact_message(reason),
        };
        match &self.pseudonyms {
            Some(pseudonyms) => Kept { record: Cow::Borrowed(&[]), reason: Cow::Owned(pseudonyms.in_message(&reason)) },
            None => Kept { record, reason },
        }
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.redactor.key();
        f.debug_struct("Protection").field("key", key).field("pseudonyms", &self.pseudonyms.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceId;

    #[test]
    fn a_row_loses_the_secrets_of_its_cells_only() {
        let protection = Protection::new(&Key::new([7; KEY_BYTES]), false);
        let header = Header { delimiter: b';', names: ["Name", "password", "Name"].map(str::to_owned).into() };
        let clean = |row: &str| String::from_utf8(protection.clean_row(&header, row.as_bytes()).into_owned()).unwrap();
        assert_eq!(clean("Doe, \"M\";;x"), "Doe, \"M\";;x", "as it came");
        let row = clean("\"Doe; M\";correct-horse-battery;\"x\"");
        assert!(row.starts_with("\"Doe; M\";fp:") && row.ends_with(";x") && !row.contains("horse"), "{row}");
        assert!(!clean("a;password=hunter22x").contains("hunter22x"), "a row that cannot be read");
    }

    #[test]
    fn nothing_of_a_secret_is_left_in_a_chunk() {
        let protection = Protection::new(&Key::new([7; KEY_BYTES]), false);
        let mut chunk = Chunk::default();
        let id = SourceId { kind: "memory", topic: "t".into(), partition: 0 };
        let source = chunk.source(&Arc::new(id));
        let records = [r#"{"a":1}"#, r#"{"password":"hunter2"}"#, "", r#"{"b":2}"#, r#"{"password":"hunter2","#];
        for (offset, record) in records.iter().enumerate() {
            chunk.push(source, offset as i64, 0, Some(record.as_bytes()));
        }
        protection.clean(&mut chunk);
        let text = String::from_utf8(chunk.data.clone()).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        let kept = |at: usize| match &chunk.records[at].body {
            Body::Bytes(range) => &text[range.clone()],
            other => panic!("{other:?}"),
        };
        assert_eq!((kept(0), kept(3)), (records[0], records[3]));
        assert!(kept(1).starts_with(r#"{"password":"fp:"#) && kept(1).ends_with(r#""}"#), "{}", kept(1));
        assert_eq!(kept(1)[..56], kept(4)[..56]);
    }

    #[test]
    fn under_pseudonyms_nothing_of_a_rejected_record_is_kept() {
        let piece = br#"{"event_time":"alice@example.com"}"#;
        let reason = r#"event_time: "alice@example.com" is no time"#;
        let key = Key::new([7; KEY_BYTES]);
        let clear = Protection::new(&key, false).rejected(piece, reason).record.into_owned();
        assert_eq!(clear, piece);
        let protection = Protection::new(&key, true);
        let kept = protection.rejected(piece, reason);
        assert!(kept.record.is_empty());
        assert_eq!(kept.reason, "event_time: \"…\" is no time");
    }
}
