//! Names of fields, parameters and headers that hold a secret, however they are spelled: `access_token`, `accessToken`,
//! `ACCESS-TOKEN`, `http.request.header.X-Access-Token`.
//!
//! The end of a name decides: `refresh_token` holds a token, `refresh_token_id`, `token_type` and `tokenHash` do not.

/// What a field named so holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token, key or other secret that machines made.
    Token,
    /// A secret that people may have made: any word can be one.
    Password,
    /// A header with a scheme in front.
    Authorization,
    /// One or more cookies.
    Cookie,
    /// An authorization code; or a status, which many things call by the same name.
    Code,
}

/// Longer names are known by their last letters.
const LENGTH_MAX: usize = 64;

/// What a field of this name holds, if that is a secret.
pub fn kind(name: &[u8]) -> Option<Kind> {
    let mut letters = [0; LENGTH_MAX];
    let mut length = 0;
    for byte in name.iter().skip(name.len().saturating_sub(LENGTH_MAX)).filter(|b| b.is_ascii_alphanumeric()) {
        letters[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    let name_end = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
    let last = name_end.iter().filter(|b| b.is_ascii_alphanumeric()).count().min(length);
    let plain = &letters[..length];
    // password2, token1
    let digits = plain.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let plain = plain.get(..length - digits)?;
    let last = plain.get(length - last.max(digits)..)?;
    by_end(plain, last).or_else(|| {
        let one = |text| <[u8]>::strip_suffix(text, b"s");
        by_end(one(plain)?, one(last).unwrap_or_default())
    })
}

/// Ends of names by their last letter. `last` is what stands behind the last full stop.
fn by_end(name: &[u8], last: &[u8]) -> Option<Kind> {
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end.as_bytes()));
    let is = |words: &[&str]| words.iter().any(|word| last == word.as_bytes());
    let kind = match name.last()? {
        b'n' if ends(&["token", "assertion"]) => Kind::Token,
        b'n' if ends(&["authorization", "authorisation"]) => Kind::Authorization,
        b't' if ends(&["secret", "secrettext", "tokentext"]) || is(&["jwt"]) => Kind::Token,
        b'd' if ends(&["password", "passwd", "pwd"]) => Kind::Password,
        b's' if is(&["pass", "newpass", "oldpass", "userpass", "dbpass"]) => Kind::Password,
        b'e' if ends(&["passphrase", "passcode"]) => Kind::Password,
        b'e' if ends(&["cookie"]) => Kind::Cookie,
        b'e' if is(&["code"]) => Kind::Code,
        b'e' if ends(&CODES) || ends(&VALUES) => Kind::Token,
        b'y' if ends(&KEYS) => Kind::Token,
        b'r' if ends(&["codeverifier"]) || is(&["bearer"]) => Kind::Token,
        b'g' if ends(&["tokenstring", "secretstring"]) || is(&["sig"]) => Kind::Token,
        b'w' if ends(&["tokenraw", "secretraw"]) => Kind::Token,
        b'y' | b'h' if ends(&["secretbinary", "passwordhash"]) => Kind::Token,
        _ => return None,
    };
    (!is_other(name)).then_some(kind)
}

const CODES: [&str; 12] = [
    "devicecode",
    "usercode",
    "authcode",
    "authorizationcode",
    "accesscode",
    "recoverycode",
    "backupcode",
    "verificationcode",
    "securitycode",
    "activationcode",
    "pairingcode",
    "logincode",
];
const VALUES: [&str; 7] = [
    "tokenvalue",
    "secretvalue",
    "cookievalue",
    "apikeyvalue",
    "samlresponse",
    "xamzsignature",
    "sharedaccesssignature",
];
const KEYS: [&str; 13] = [
    "apikey",
    "privatekey",
    "secretkey",
    "accesskey",
    "accountkey",
    "sharedkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "sessionkey",
    "licensekey",
    "authkey",
    "servicekey",
];

/// Named like a token, but only a place in a list, a mark against repeats, or hashed already.
fn is_other(name: &[u8]) -> bool {
    const PLACES: [&str; 9] = [
        "pagetoken",
        "nexttoken",
        "continuationtoken",
        "paginationtoken",
        "skiptoken",
        "deltatoken",
        "synctoken",
        "clientrequesttoken",
        "idempotencytoken",
    ];
    const MARKS: [&str; 6] = ["hashed", "hmac", "fingerprint", "public", "masked", "ageof"];
    PLACES.iter().any(|place| name.ends_with(place.as_bytes()))
        || MARKS.iter().any(|mark| memchr::memmem::find(name, mark.as_bytes()).is_some())
}

/// Whether this may be a name of [`Kind::Cookie`]: a quick look.
pub fn may_be_cookie(name: &[u8]) -> bool {
    name.iter().rev().take(3).any(|letter| b"iI".contains(letter))
}

/// Whether a field of this name says what another field of the same object holds: `{"name": …, "value": …}`.
pub fn names_another(name: &[u8]) -> bool {
    const NAMES: [&str; 14] = [
        "name",
        "key",
        "type",
        "field",
        "header",
        "param",
        "parameter",
        "property",
        "attribute",
        "label",
        "displayname",
        "fieldname",
        "k",
        "n",
    ];
    NAMES.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a field of this name holds what another one names: `value`, `newValue`, `multi_value`, `values`.
pub fn is_value(name: &[u8]) -> bool {
    let name = name.strip_suffix(b"s").or(name.strip_suffix(b"S")).unwrap_or(name);
    let at = name.len().saturating_sub(5);
    name[at..].eq_ignore_ascii_case(b"value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for (name, expected) in [
            ("access_token", Kind::Token),
            ("accessToken", Kind::Token),
            ("AccessToken", Kind::Token),
            ("ACCESS-TOKEN", Kind::Token),
            ("token", Kind::Token),
            ("tokens", Kind::Token),
            ("id_token", Kind::Token),
            ("client_secret", Kind::Token),
            ("clientSecret2", Kind::Token),
            ("client_assertion", Kind::Token),
            ("subject_token", Kind::Token),
            ("x-api-key", Kind::Token),
            ("privateKey", Kind::Token),
            ("secretAccessKey", Kind::Token),
            ("device_code", Kind::Token),
            ("tokenValue", Kind::Token),
            ("code", Kind::Code),
            ("request.params.code", Kind::Code),
            ("Password", Kind::Password),
            ("newPasswd", Kind::Password),
            ("Authorization", Kind::Authorization),
            ("http.request.header.proxy-authorization", Kind::Authorization),
            ("Set-Cookie", Kind::Cookie),
            ("cookies", Kind::Cookie),
            ("a_very_long_name_of_a_field_that_nobody_would_ever_write_down_but_access_token", Kind::Token),
        ] {
            assert_eq!(kind(name.as_bytes()), Some(expected), "{name}");
        }
    }

    #[test]
    fn names_of_other_things() {
        for name in [
            "token_id",
            "token.id",
            "uniqueTokenIdentifier",
            "jti",
            "token_type",
            "tokenType",
            "hashed_token",
            "tokenHash",
            "expires_in",
            "refresh_token_expires_in",
            "access_token_fingerprint",
            "country_code",
            "error.status_code",
            "nextPageToken",
            "client_token_accessor",
            "secret_id",
            "accessKeyId",
            "public_key",
            "key",
            "",
            "....",
            "12345",
            "passport",
            "laptop",
            "_s",
            "s",
        ] {
            assert_eq!(kind(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn pairs() {
        assert!(may_be_cookie(b"Cookies") && may_be_cookie(b"cookie") && !may_be_cookie(b"token"));
        assert!(names_another(b"Name") && names_another(b"displayName") && !names_another(b"grant"));
        assert!(
            is_value(b"value")
                && is_value(b"newValue")
                && is_value(b"Values")
                && !is_value(b"valued")
                && !is_value(b"")
        );
    }
}
