//! JSON Web Tokens (RFC 7519) and JSON in base64, which start alike.
//!
//! A security event token (RFC 8417) is written like an access token but is none: nobody gets in with it, and it is the
//! record itself when it comes from a Shared Signals transmitter. So it stays, unless there is a secret inside.

use std::ops::Range;

use super::key::base64;

/// What a base64 text holds that starts like JSON.
pub enum Encoded {
    /// A token of this range.
    Token(Range<usize>),
    /// A security event token; these are its header and payload.
    SecurityEvent(Range<usize>, Vec<u8>),
    /// JSON that is not a token by itself; decoded.
    Json(Range<usize>, Vec<u8>),
}

/// How JSON objects and lists start in base64, one for each way to write the blanks.
const STARTS: [&[u8]; 6] = [b"eyJ", b"eyA", b"ewo", b"ew0", b"W3s", b"W3t"];
/// Shorter JSON holds no secret worth hiding twice.
const JSON_LEAST: usize = 32;

/// Whether JSON in base64 may start here: a quick look.
pub fn may_start(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..at + 2), Some([b'e', b'y' | b'w'] | [b'W', b'3']))
}

/// What starts at `at`: a JWT or other JSON in base64.
pub fn find(bytes: &[u8], at: usize) -> Option<Encoded> {
    let rest = bytes.get(at..)?;
    if !may_start(bytes, at) || !STARTS.iter().any(|start| rest.starts_with(start)) {
        return None;
    }
    let part = |from: usize| {
        let letters = rest.get(from..).unwrap_or_default();
        from + letters.iter().take_while(|b| b.is_ascii_alphanumeric() || b"_-".contains(b)).count()
    };
    let header = part(0);
    if header >= 8 && rest.get(header) == Some(&b'.') {
        let payload = part(header + 1);
        let mut end = payload;
        // Signed tokens have three parts, encrypted ones five (RFC 7516); the last may be empty.
        for _ in 0..3 {
            if rest.get(end) == Some(&b'.') {
                end = part(end + 1);
            }
        }
        if payload >= header + 4 {
            let range = at..at + end;
            let (header, payload) = (rest.get(..header)?, rest.get(header + 1..payload)?);
            return Some(match security_event(header, payload) {
                Some(inside) => Encoded::SecurityEvent(range, inside),
                None => Encoded::Token(range),
            });
        }
    }
    let letters = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"_-+/".contains(b)).count();
    let padding = rest.iter().skip(letters).take(2).take_while(|b| **b == b'=').count();
    let length = letters + padding;
    let text = rest.get(..length)?;
    let json = if length >= JSON_LEAST { base64(text)? } else { return None };
    Some(Encoded::Json(at..at + length, json))
}

/// Header and payload, if the type of the one or the claims of the other say that this is a security event token.
fn security_event(header: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let (header, payload) = (base64(header)?, base64(payload)?);
    let parsed: serde_json::Value = serde_json::from_slice(&header).ok()?;
    let kind = parsed.get("typ").and_then(|typ| typ.as_str()).unwrap_or_default().to_ascii_lowercase();
    let is_event = kind.contains("secevent+jwt") || kind.contains("logout+jwt") || {
        let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
        // RFC 8417, section 2.2: the claim that makes a token a security event token.
        claims.get("events").is_some_and(serde_json::Value::is_object)
    };
    is_event.then(|| [header, b" ".to_vec(), payload].concat())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn jwt(header: &str, payload: &str) -> String {
        format!("{}.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn tokens_and_events_are_told_apart() {
        let token = jwt(r#"{"alg":"RS256","typ":"JWT"}"#, r#"{"sub":"a"}"#);
        assert!(matches!(find(token.as_bytes(), 0), Some(Encoded::Token(range)) if range == (0..token.len())));
        for (header, payload) in [
            (r#"{"typ":"secevent+jwt","alg":"RS256"}"#, r#"{"jti":"1"}"#),
            (r#"{"alg":"RS256"}"#, r#"{"events":{"https://schemas.openid.net/secevent/caep/event-type/x":{}}}"#),
        ] {
            let event = jwt(header, payload);
            assert!(matches!(find(event.as_bytes(), 0), Some(Encoded::SecurityEvent(..))), "{header}");
        }
    }

    #[test]
    fn shapes() {
        let unsigned = format!("{}.", jwt(r#"{"alg":"none"}"#, "{}x").rsplit_once('.').unwrap().0);
        assert!(matches!(find(unsigned.as_bytes(), 0), Some(Encoded::Token(range)) if range.end == unsigned.len()));
        let encrypted = format!("{}.d.e", jwt(r#"{"alg":"dir"}"#, "abc"));
        assert!(matches!(find(encrypted.as_bytes(), 0), Some(Encoded::Token(range)) if range.end == encrypted.len()));
        let spaced = jwt(r#"{ "alg":"RS256"}"#, r#"{"sub":"a"}"#);
        assert!(matches!(find(spaced.as_bytes(), 0), Some(Encoded::Token(_))));
        let json = URL_SAFE_NO_PAD.encode(r#"{"message":"a page of a list","at":12}"#);
        assert!(matches!(find(json.as_bytes(), 0), Some(Encoded::Json(_, json)) if json.ends_with(b"12}")));
        for text in ["eyJhbGciOiJub25lIn0", "eyJ", "eyJhbGci.x", "plain.text.here"] {
            assert!(find(text.as_bytes(), 0).is_none(), "{text}");
        }
    }
}
