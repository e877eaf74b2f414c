//! Identifiers that the same content always has: UUIDs of version 5 (RFC 9562), made from names.

use sha1::{Digest as _, Sha1};
use uuid::{Builder, Uuid};

/// The namespace of our names; a random number, drawn once.
const NAMESPACE: Uuid = Uuid::from_u128(0x5c1f_0d6e_41a7_4c39_9b52_7d60_e2a8_93f4);

/// Makes the identifiers of one assessment: two of them never share one.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    /// What tells this assessment from others, such as its evidence hash.
    pub of: &'a str,
}

impl Ids<'_> {
    /// The identifier of a thing of this kind and name.
    pub fn id(self, kind: &str, name: &str) -> String {
        let mut hash = Sha1::new();
        hash.update(NAMESPACE.as_bytes());
        for part in [self.of, kind, name] {
            // A length before each, so that no two lists of names are the same bytes.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Builder::from_sha1_bytes(bytes).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_the_same_identifier_and_no_other_has() {
        let (one, other) = (Ids { of: "a" }, Ids { of: "b" });
        assert_eq!(one.id("risk", "x"), one.id("risk", "x"));
        let all = [one.id("risk", "x"), one.id("ris", "kx"), one.id("risk", "y"), other.id("risk", "x")];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        let id = Uuid::parse_str(&all[0]).unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (5, uuid::Variant::RFC4122));
    }
}
