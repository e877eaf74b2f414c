//! The key that turns a secret into a fingerprint: 32 bytes, known by an id that says nothing about them.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::event::hex;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a fingerprint: half of an HMAC, which is enough against collisions and against guessing alike.
pub(super) const FINGERPRINT_BYTES: usize = 16;

/// A key and its id. Never shown, not even by `Debug`.
#[derive(Clone)]
pub struct Key {
    /// The HMAC with its key already mixed in, so that each use only copies it.
    started: Hmac<Sha256>,
    bytes: [u8; KEY_BYTES],
    id: String,
}

/// What a text must be to be a key. The text itself is never repeated.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    #[error("it is empty; a key is {KEY_BYTES} random bytes, written as 64 hexadecimal digits or in base64")]
    Empty,
    #[error("it holds {0} bytes; a key is {KEY_BYTES} random bytes, written as 64 hexadecimal digits or in base64")]
    Length(usize),
    #[error("it is neither hexadecimal nor base64; a key is {KEY_BYTES} random bytes in one of the two")]
    Spelling,
    #[error("its bytes are all the same; a key is {KEY_BYTES} random bytes")]
    NotRandom,
}

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        // RFC 2104 pads a key shorter than a block with zeros, which is what HMAC does with any key of this length.
        let started = Hmac::new(&padded(&bytes).into());
        let hash = Sha256::new_with_prefix("tokentrail key id").chain_update(bytes).finalize();
        Self { started, bytes, id: hex(&hash[..4]) }
    }

    /// Reads a key as people keep it: hexadecimal or base64 (either alphabet), blanks around it.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong without repeating the text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let bytes = if text.len() == 2 * KEY_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            (0..KEY_BYTES).map_while(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect()
        } else {
            base64(text.as_bytes()).ok_or(KeyError::Spelling)?
        };
        let bytes = <[u8; KEY_BYTES]>::try_from(bytes).map_err(|bytes| KeyError::Length(bytes.len()))?;
        if bytes.iter().all(|b| *b == bytes[0]) {
            return Err(KeyError::NotRandom);
        }
        Ok(Self::new(bytes))
    }

    /// How a new key file spells it.
    pub fn to_hex(&self) -> String {
        hex(&self.bytes)
    }

    /// The first 8 hexadecimal digits of SHA-256("tokentrail key id" || key): tells keys apart, gives nothing away.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Proves that two writers hold the same key, not only keys with the same id.
    pub fn check_value(&self) -> String {
        hex(&self.hmac(b"check", b""))
    }

    /// HMAC-SHA-256 of `text`, cut to 16 bytes. Each purpose has its own hashes, so that what is published for one
    /// says nothing about another.
    pub(super) fn hmac(&self, purpose: &[u8], text: &[u8]) -> [u8; FINGERPRINT_BYTES] {
        let full = self.started.clone().chain_update(purpose).chain_update([0]).chain_update(text).finalize();
        let mut short = [0; FINGERPRINT_BYTES];
        short.iter_mut().zip(full.into_bytes()).for_each(|(to, from)| *to = from);
        short
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

fn padded(bytes: &[u8; KEY_BYTES]) -> [u8; 64] {
    let mut block = [0; 64];
    block.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    block
}

/// Decodes base64 in either alphabet, padded or not. A last group that is cut short is left out.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let end = if end % 4 == 1 { end - 1 } else { end };
    let standard = |b: &u8| match b {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    ENGINE.decode(text.get(..end)?.iter().map(standard).collect::<Vec<u8>>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hmac_is_that_of_rfc_4231() {
        // Test case 2 has a key of 4 bytes; padded with zeros it is the same HMAC.
        let mut bytes = [0; KEY_BYTES];
        bytes[..4].copy_from_slice(b"Jefe");
        let key = Key::new(bytes);
        let full = key.started.clone().chain_update(b"what do ya want for nothing?").finalize().into_bytes();
        assert_eq!(hex(&full), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn keys_are_read_in_hexadecimal_and_base64() {
        let bytes: [u8; KEY_BYTES] = std::array::from_fn(|i| i as u8 * 7);
        let key = Key::new(bytes);
        assert_eq!(Key::parse(&format!(" {}\n", key.to_hex())).unwrap(), key);
        assert_eq!(Key::parse(&key.to_hex().to_uppercase()).unwrap(), key);
        for text in ["AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0tk=", "AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK-2vcTL0tk"] {
            assert_eq!(Key::parse(text).unwrap(), key, "{text}");
        }
        assert_eq!(key.id().len(), 8);
        assert_ne!(key.id(), Key::new([1; KEY_BYTES]).id());
        assert_ne!(key.check_value(), Key::new([1; KEY_BYTES]).check_value());
        assert_eq!(format!("{key:?}"), format!("Key({})", key.id()));
    }

    #[test]
    fn what_is_no_key_is_not_repeated() {
        for (text, error) in [
            ("", KeyError::Empty),
            ("  \n", KeyError::Empty),
            ("c2hvcnQ=", KeyError::Length(5)),
            (&"ab".repeat(16), KeyError::Length(24)),
            ("correct horse battery staple", KeyError::Spelling),
            (&"0".repeat(64), KeyError::NotRandom),
        ] {
            let found = Key::parse(text).unwrap_err();
            assert_eq!(found, error, "{text:?}");
            assert!(text.trim().is_empty() || !found.to_string().contains(text.trim()));
        }
    }
}
