//! What may leave, and as what: each column has its way in a file, and one that nobody decided about stays here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::model::{Column, Treatment};
use crate::decode::secrets::key::Key;
use crate::decode::secrets::pseudonyms::Pseudonyms;
use crate::query::output;

const BUILT_IN: &str = include_str!("../../queries/export/columns.toml");

/// How a column leaves.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// As it is.
    Show,
    Person,
    Ip,
    /// An id that may lead to a person.
    Id,
    /// The id of an event; a pseudonym where it is the hash of a record.
    Event,
    /// Text that names people among other things.
    Identified,
    Never,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    columns: BTreeMap<String, How>,
}

/// The ways of all columns, and the pseudonyms.
#[derive(Clone, Debug)]
pub struct Privacy {
    columns: BTreeMap<String, How>,
    /// None: everybody stands there under their own name.
    pseudonyms: Option<(Pseudonyms, String)>,
}

impl Privacy {
    /// The ways compiled in, and those that a framework file adds or changes. Without a key nothing is hidden that may be
    /// identified.
    ///
    /// # Errors
    /// If the file compiled in cannot be read.
    pub fn new(own: &BTreeMap<String, How>, key: Option<&Key>) -> Result<Self, String> {
        let mut columns = toml::from_str::<File>(BUILT_IN).map_err(|e| e.to_string())?.columns;
        columns.extend(own.iter().map(|(name, how)| (name.clone(), *how)));
        let pseudonyms = key.map(|key| (Pseudonyms::new(key.clone()), key.id().to_owned()));
        Ok(Self { columns, pseudonyms })
    }

    /// Id of the key of the pseudonyms; None: identified.
    pub fn key_id(&self) -> Option<&str> {
        self.pseudonyms.as_ref().map(|(_, id)| id.as_str())
    }

    /// Which of these columns leave, in their order, and the names of those that stay.
    pub fn columns<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> (Vec<(Column, How)>, BTreeSet<String>) {
        let (mut shown, mut withheld) = (Vec::new(), BTreeSet::new());
        for name in names {
            let how = self.columns.get(name).copied().unwrap_or(How::Never);
            let treatment = match how {
                How::Show | How::Event => Treatment::Show,
                How::Person | How::Ip | How::Id => Treatment::Pseudonym,
                How::Identified if self.pseudonyms.is_none() => Treatment::Show,
                How::Identified | How::Never => Treatment::Withhold,
            };
            if treatment == Treatment::Withhold {
                withheld.insert(name.to_owned());
            } else {
                shown.push((Column { name: name.to_owned(), treatment }, how));
            }
        }
        (shown, withheld)
    }

    /// A value as the text of its cell. Each element of a list is treated by itself.
    pub fn cell(&self, how: How, value: &Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::Array(items) => {
                let items = items.iter().map(|item| match item {
                    Value::Null => Value::Null,
                    item if how == How::Show => item.clone(),
                    item => Value::from(self.cell(how, item)),
                });
                Value::from(items.collect::<Vec<_>>()).to_string()
            }
            value => self.text(how, &output::text(value)),
        }
    }

    /// A text as it may be shown.
    pub fn text(&self, how: How, text: &str) -> String {
        let Some((pseudonyms, _)) = self.pseudonyms.as_ref().filter(|_| !text.is_empty()) else {
            return text.to_owned();
        };
        match how {
            How::Person => pseudonyms.of_person(text),
            How::Ip => pseudonyms.of_ip(text),
            How::Id => pseudonyms.of_id(text),
            How::Event => pseudonyms.of_event_id(text),
            How::Show | How::Identified => text.to_owned(),
            How::Never => String::new(),
        }
    }

    /// How a finding is called. Its id is a hash of what it is about, which who guessed that could check.
    pub fn finding(&self, id: &str) -> String {
        match &self.pseudonyms {
            Some((pseudonyms, _)) => pseudonyms.of_id(&format!("finding {id}")),
            None => id.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_decided_about_stays() {
        let key = Key::new(std::array::from_fn(|i| i as u8));
        let privacy = Privacy::new(&BTreeMap::new(), Some(&key)).unwrap();
        let (shown, withheld) = privacy.columns(["subject_id", "brand_new", "presences", "rule", "raw"]);
        assert_eq!(shown.iter().map(|(c, _)| c.name.as_str()).collect::<Vec<_>>(), ["subject_id", "rule"]);
        assert_eq!(withheld.into_iter().collect::<Vec<_>>(), ["brand_new", "presences", "raw"]);
        let cell = privacy.cell(How::Person, &json!(["ana@example.com", null]));
        assert!(cell.starts_with("[\"pn:") && cell.ends_with(",null]") && !cell.contains("ana"), "{cell}");
        assert_eq!(privacy.cell(How::Show, &json!([1, 2])), "[1,2]");
        let open = Privacy::new(&BTreeMap::from([("brand_new".to_owned(), How::Show)]), None).unwrap();
        let (shown, withheld) = open.columns(["brand_new", "presences", "raw", "other"]);
        assert_eq!(
            (shown.len(), withheld.into_iter().collect::<Vec<_>>()),
            (2, vec!["other".to_owned(), "raw".to_owned()])
        );
        assert_eq!(open.cell(How::Person, &json!("ana@example.com")), "ana@example.com");
    }
}
