//! Which provider a record is from: told by its shape alone, never by a guess.
//!
//! Each provider names the fields that only its records have together. Shapes exclude each other (a test holds this over
//! all samples), so neither their order nor what came before decides.

use super::json::Json;
use super::{Format, PROVIDERS};
use crate::event::{Action, Event, Rejection};

/// A provider's decoder.
pub struct Provider {
    /// As in the `source` column and behind `--format`.
    pub name: &'static str,
    /// What a record must have to be of this provider, for people.
    pub shape: &'static str,
    /// Whether a record has that shape.
    pub is_mine: fn(&Json<'_>) -> bool,
    /// Adds the record's events to a list. Whatever was added before an error is only shown, never stored.
    pub decode: for<'a> fn(&'a Json<'a>, &mut Vec<Event<'a>>) -> Result<(), Rejection>,
}

/// Whose record it is.
#[derive(Clone, Copy)]
pub enum Owner {
    /// Tokentrail's own format.
    Native,
    Provider(&'static Provider),
}

/// Whose record this is, if it is in a format that is looked for.
pub fn recognise(record: &Json<'_>, format: Format) -> Option<Owner> {
    // Text that begins like a record in JSON is no provider's line; it may hold a record.
    if record.verbatim().is_some_and(|text| text.starts_with('{')) {
        return None;
    }
    match (format, format.provider()) {
        (_, Some(provider)) => (provider.is_mine)(record).then_some(Owner::Provider(provider)),
        (Format::Native, _) => is_native(record).then_some(Owner::Native),
        _ if is_native(record) => Some(Owner::Native),
        _ => PROVIDERS.iter().find(|provider| (provider.is_mine)(record)).map(Owner::Provider),
    }
}

/// Whose record this is taken for when nothing is recognised: the format's, if one is stated; Tokentrail's own, if half of
/// what is required stands there. Its decoder then names what is missing.
pub fn presumed(record: &Json<'_>, format: Format) -> Option<Owner> {
    if let Some(provider) = format.provider() {
        return Some(Owner::Provider(provider));
    }
    let is_action = record.get("action").verbatim().is_some_and(|word| Action::parse(word).is_some());
    (is_action || record.has("event_time")).then_some(Owner::Native)
}

fn is_native(record: &Json<'_>) -> bool {
    // Tokentrail's own producers spell keys one way only.
    let has = |key: &str| record.members().iter().any(|(name, _)| name == key);
    has("event_time") && has("action")
}

/// How the reason begins when a record is nobody's.
pub const UNKNOWN: &str = "not a known format";

/// Why a record is nobody's: what it has, and what was looked for.
pub fn unknown(record: &Json<'_>) -> Rejection {
    const KEYS_MAX: usize = 12;
    let keys: Vec<String> =
        record.members().iter().take(KEYS_MAX).map(|(key, _)| key.chars().take(40).collect()).collect();
    let has = match (record, record.members().len()) {
        (Json::Object(..), 0) => "an empty object".to_owned(),
        (Json::Object(..), count) if count > KEYS_MAX => format!("an object with {}, ...", keys.join(", ")),
        (Json::Object(..), _) => format!("an object with {}", keys.join(", ")),
        (other, _) => other.kind().to_owned(),
    };
    let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
    Rejection(format!("{UNKNOWN}: {has}; looked for native, {}", names.join(", ")))
}
