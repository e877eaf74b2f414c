//! Every policy key, declared once: the reader, the defaults, the messages and the documentation all follow from here.

use std::borrow::Cow;

use super::duration::{DAY, HOUR, MINUTE, SECOND};
use super::value::{Text, Value};

/// What a key may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text such as "30d".
    Duration,
    /// A whole number from the first to the second, both included.
    Integer(i64, i64),
    /// A number, whole or not, from the first to the second, both included.
    Number(f64, f64),
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of text.
    Texts,
    /// A list of autonomous system numbers.
    Asns,
    /// A list of lists of text.
    Groups,
}

impl Kind {
    /// The kind in words, to end the sentence "it must be …".
    pub fn describe(self) -> String {
        match self {
            Self::Duration => "a duration such as \"30d\"".to_owned(),
            Self::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Self::Number(min, max) => format!("a number from {min} to {max}"),
            Self::Boolean => "true or false".to_owned(),
            Self::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "),
            Self::Texts => "a list of text".to_owned(),
            Self::Asns => format!("a list of whole numbers from 0 to {ASN_MAX}"),
            Self::Groups => "a list of lists of text".to_owned(),
        }
    }

    /// DataFusion's name of the type that [`Value::sql`] gives.
    pub(super) const fn sql_type(self) -> &'static str {
        match self {
            Self::Duration => "INTERVAL",
            Self::Integer(..) => "BIGINT",
            Self::Number(..) => "DOUBLE",
            Self::Boolean => "BOOLEAN",
            Self::Choice(_) => "VARCHAR",
            Self::Texts => "VARCHAR[]",
            Self::Asns => "BIGINT[]",
            Self::Groups => "VARCHAR[][]",
        }
    }
}

/// One policy key.
#[derive(Debug)]
pub struct Key {
    /// As it is spelled in TOML and SQL.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// What holds where neither `[defaults]` nor a rule says otherwise.
    pub default: Value,
    /// Ids of the detectors that read it.
    pub detectors: &'static [&'static str],
    /// What it decides, in one line.
    pub help: &'static str,
}

/// The largest autonomous system number (RFC 6793: 32 bits).
pub const ASN_MAX: i64 = u32::MAX as i64;

const SAFE_STORAGES: &[Text] = &[text("keychain"), text("encrypted_file"), text("vault"), text("memory")];
const EPHEMERAL_HOST_KINDS: &[Text] = &[text("container"), text("ci_runner")];

const fn text(text: &'static str) -> Text {
    Cow::Borrowed(text)
}

const fn key(
    name: &'static str,
    kind: Kind,
    default: Value,
    detectors: &'static [&'static str],
    help: &'static str,
) -> Key {
    Key { name, kind, default, detectors, help }
}

const fn duration(name: &'static str, micros: i64, detectors: &'static [&'static str], help: &'static str) -> Key {
    key(name, Kind::Duration, Value::Duration(micros), detectors, help)
}

/// The keys of `[defaults]` and `[[rule]]`: those that decide verdicts first, then those of the leads and the gap.
#[rustfmt::skip] // A table: one key, two lines.
pub const KEYS: &[Key] = &[
    duration("offboarding_grace", 0,
        &["refresh_after_offboarding", "issuance_after_offboarding", "delegation_outlives_parent"],
        "how long after an offboarding tokens may still be exercised"),
    duration("max_age", 30 * DAY, &["token_older_than_policy"], "how old a grant may become"),
    duration("max_idle", 14 * DAY, &["token_older_than_policy"], "how long a live grant may stay unexercised"),
    key("shared_host", Kind::Choice(&["deny", "allow"]), Value::Text(text("deny")), &["shared_host_reuse"],
        "whether several people may keep tokens on the host; matched by host columns only"),
    duration("shared_host_window", 12 * HOUR, &["shared_host_reuse"],
        "how close two people's presences on a host count as together; matched by host columns only"),
    duration("lost_device_grace", HOUR, &["unrevoked_lost_device", "exercise_on_lost_device"],
        "how soon after a device is lost its grants must have ended"),
    duration("clock_skew", MINUTE,
        &["use_after_revocation", "use_after_expiry", "orphan_token", "delegation_outlives_parent"],
        "how far two sources' clocks may differ"),
    key("rotation", Kind::Boolean, Value::Boolean(false), &["refresh_token_replay"],
        "whether each refresh token may be presented only once"),
    duration("rotation_overlap", 30 * SECOND, &["refresh_token_replay"],
        "how long a spent refresh token may be presented again"),
    key("max_hosts", Kind::Integer(1, 10_000), Value::Integer(1), &["token_on_many_hosts"],
        "how many hosts may exercise one grant"),
    key("refresh", Kind::Choice(&["allow", "never"]), Value::Text(text("allow")), &["refresh_not_allowed"],
        "whether the grant may be refreshed"),
    key("allowed_scopes", Kind::Texts, Value::Unset, &["scope_over_policy"],
        "scopes that may be stated, exact or glob; unset: all"),
    key("max_scopes", Kind::Integer(0, 10_000), Value::Unset, &["scope_over_policy"],
        "how many scopes one event may state; unset: any number"),
    duration("access_ttl", HOUR, &["ttl_over_policy"], "how long an access token may be valid"),
    duration("refresh_ttl", 90 * DAY, &["ttl_over_policy"], "how long a refresh token may be valid"),
    duration("logout_grace", 5 * MINUTE, &["not_revoked_at_logout"],
        "how soon after a logout the grant must have ended"),
    key("storage", Kind::Texts, Value::Texts(Cow::Borrowed(SAFE_STORAGES)), &["insecure_storage"],
        "where a client may keep tokens"),
    duration("revocation_sla", HOUR, &["revocation_latency", "signal_without_revocation"],
        "how soon after an offboarding, a loss or a compromise the grants must have ended"),
    // Leads and the gap.
    key("ephemeral_host_kinds", Kind::Texts, Value::Texts(Cow::Borrowed(EPHEMERAL_HOST_KINDS)),
        &["context_drift"], "kinds of host that come and go and so prove nothing"),
    key("client_families", Kind::Groups, Value::Groups(Vec::new()), &["context_drift"],
        "groups of clients that share refresh tokens"),
    duration("dormant_after", 30 * DAY, &["dormant_reactivated"], "how long a pause makes a return worth a look"),
    duration("dormant_quiet_after", 45 * DAY, &["dormant_reactivated"], "the same for a return from a known place"),
    duration("return_window", DAY, &["dormant_reactivated"],
        "how long after the return a new context counts as its own"),
    key("egress_asns", Kind::Asns, Value::Integers(Vec::new()),
        &["dormant_reactivated", "new_context_for_subject", "impossible_travel"],
        "corporate VPN, SASE, in-flight wifi: networks whose place says nothing"),
    key("rate", Kind::Boolean, Value::Boolean(false), &["refresh_rate_anomaly"],
        "whether agents and CI are judged by rate too"),
    key("rate_factor", Kind::Number(1.0, 1_000.0), Value::Number(2.0), &["refresh_rate_anomaly"],
        "how many times its own maximum is a burst"),
    key("steady_factor", Kind::Number(1.0, 1_000.0), Value::Unset, &["refresh_rate_anomaly"],
        "how many times its own daily maximum is too much; unset: not judged; 1.5 suits services"),
    duration("min_history", 14 * DAY, &["new_context_for_subject"],
        "how long a subject must be known before anything is new for it"),
    duration("two_places_within", 30 * MINUTE, &["impossible_travel"],
        "how close in time two countries are one too many"),
    key("max_speed", Kind::Number(1.0, 1_000_000.0), Value::Number(1_000.0), &["impossible_travel"],
        "km/h over the border distance that nobody travels"),
    key("shared_asn_subjects", Kind::Integer(1, 1_000_000), Value::Unset, &["impossible_travel"],
        "how many other subjects make a network ordinary; unset: not asked"),
    duration("lateness", 15 * MINUTE, &["audit_gap"], "how late a source may deliver before it counts as silent"),
    key("gap_min_minutes", Kind::Integer(1, 1_440), Value::Integer(15), &["audit_gap"],
        "how many expected active minutes make a silence a gap"),
    key("max_silence", Kind::Duration, Value::Unset, &["audit_gap"],
        "a silence that is always a gap; unset: none; for sparse sources"),
];

/// The key spelled `name`.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_defaults_fit_their_kind() {
        for (i, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..i].iter().all(|other| other.name != key.name), "{} twice", key.name);
            assert!(!key.help.is_empty() && !key.detectors.is_empty(), "{}", key.name);
            let fits = match (&key.default, key.kind) {
                (Value::Unset, _) => true,
                (Value::Duration(micros), Kind::Duration) => *micros >= 0,
                (Value::Integer(number), Kind::Integer(min, max)) => (min..=max).contains(number),
                (Value::Number(number), Kind::Number(min, max)) => (min..=max).contains(number),
                (Value::Boolean(_), Kind::Boolean) => true,
                (Value::Text(text), Kind::Choice(words)) => words.contains(&text.as_ref()),
                (Value::Texts(_), Kind::Texts) => true,
                (Value::Integers(_), Kind::Asns) | (Value::Groups(_), Kind::Groups) => true,
                _ => false,
            };
            assert!(fits, "{}: {} is not {}", key.name, key.default, key.kind.describe());
        }
    }
}
