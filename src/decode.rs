//! Bytes to events or a rejection: pure, total, one decoder per format.
//!
//! A decoder never panics and never drops a record: what it cannot read it rejects, with a reason that names the field.

pub mod native;

use sha2::{Digest, Sha256};

use crate::event::{Action, Event, Rejection};

/// Longest text a field may have, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Most scopes one event may have.
pub const SCOPES_MAX: usize = 1024;
/// Deepest nesting of a JSON record.
pub const DEPTH_MAX: usize = 128;

/// The format of a source's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Tokentrail's own format.
    #[default]
    Native,
}

/// The SHA-256 that identifies a record.
pub fn hash(record: &[u8]) -> [u8; 32] {
    Sha256::digest(record).into()
}

/// Decodes one record into `event`, whose content before does not matter. `record_hash` is its [`hash`].
///
/// # Errors
/// A [`Rejection`] says which field is wrong and what was expected there.
pub fn decode_into<'a>(
    format: Format,
    record: &'a [u8],
    record_hash: &[u8; 32],
    event: &mut Event<'a>,
) -> Result<(), Rejection> {
    match format {
        Format::Native => native::decode(record, event)?,
    }
    event.complete(record_hash);
    Ok(())
}

/// Decodes one record.
///
/// # Errors
/// Those of [`decode_into`].
pub fn decode<'a>(format: Format, record: &'a [u8], record_hash: &[u8; 32]) -> Result<Event<'a>, Rejection> {
    let mut event = Event::new(0, Action::Other);
    decode_into(format, record, record_hash, &mut event).map(|()| event)
}
