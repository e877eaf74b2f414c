//! One record of the native format, and how it is written: straight to bytes, since a generator that builds JSON
//! values in memory is slower than the ingester it is meant to load.

use super::cast::{self, Client, Host, Name, Speller, Subject, decimal};

/// Microseconds in a second, a minute, an hour and a day.
pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// What a record says of its token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Token {
    /// The grant's name and which of its tokens.
    pub id: Option<(Name, u16)>,
    pub family: Option<Name>,
    pub kind: Option<&'static str>,
    pub grant: Option<&'static str>,
    pub issued_at: Option<i64>,
    pub expires_at: Option<i64>,
    pub scopes: &'static [&'static str],
    pub storage: Option<&'static str>,
}

/// One record; the fields are those of the native format. Times are microseconds since 1970 UTC.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// A number of its own, or none: then the record has no `event_id`.
    pub id: Option<u64>,
    pub at: i64,
    /// How long after `at` it reaches us.
    pub late: i64,
    pub action: &'static str,
    pub refused: bool,
    pub token: Token,
    pub subject: Option<Subject>,
    /// The subject's id in capitals, as some HR systems send it.
    pub capitals: bool,
    pub actor: Option<Subject>,
    pub client: Option<&'static Client>,
    pub session: Option<Name>,
    pub project: Option<&'static str>,
    pub device: Option<Name>,
    pub host: Option<Host>,
    /// Whether it says where the request came from.
    pub placed: bool,
}

impl Record {
    /// A record of which only time and action are known.
    pub const fn new(action: &'static str, at: i64) -> Self {
        Self {
            id: None,
            at,
            late: 0,
            action,
            refused: false,
            token: Token {
                id: None,
                family: None,
                kind: None,
                grant: None,
                issued_at: None,
                expires_at: None,
                scopes: &[],
                storage: None,
            },
            subject: None,
            capitals: false,
            actor: None,
            client: None,
            session: None,
            project: None,
            device: None,
            host: None,
            placed: false,
        }
    }

    /// Appends the record as one line of NDJSON.
    pub fn write(&self, speller: Speller, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(id) = self.id {
            quoted(out, "event_id", |out| speller.opaque("ev-", Name::Number(id), None, out));
        }
        quoted(out, "event_time", |out| time(self.at, out));
        text(out, "action", self.action);
        text(out, "outcome", if self.refused { "failure" } else { "success" });
        object(out, "token", |out| self.token.write(speller, out));
        if let Some(subject) = self.subject {
            object(out, "subject", |out| {
                let start = out.len();
                quoted(out, "id", |out| Speller::subject(subject, out));
                if self.capitals {
                    out[start + 6..].make_ascii_uppercase(); // the value, after `"id":"`
                }
                text(out, "kind", subject.kind());
            });
        }
        if let Some(actor) = self.actor {
            object(out, "actor", |out| quoted(out, "id", |out| Speller::subject(actor, out)));
        }
        if let Some(client) = self.client {
            object(out, "client", |out| {
                text(out, "id", client.id);
                text(out, "kind", client.kind);
            });
        }
        if let Some(session) = self.session {
            quoted(out, "session", |out| speller.opaque("ss-", session, None, out));
        }
        if let Some(project) = self.project {
            text(out, "project", project);
        }
        if let Some(device) = self.device {
            object(out, "device", |out| quoted(out, "id", |out| Speller::plain("dev-", device, out)));
        }
        self.write_place(out);
        text(out, "source", "native");
        close(out, "}\n");
    }

    fn write_place(&self, out: &mut Vec<u8>) {
        if let Some(host) = self.host {
            object(out, "host", |out| {
                quoted(out, "id", |out| Speller::host(host, out));
                text(out, "kind", host.kind);
                if let Some(os_user) = host.os_user {
                    let prefix = if matches!(os_user, Name::Number(_)) { "u" } else { "" };
                    quoted(out, "os_user", |out| Speller::plain(prefix, os_user, out));
                }
            });
        }
        if let Some(subject) = self.subject
            && self.placed
        {
            object(out, "network", |out| {
                cast::network(subject, out);
                if let Some(client) = self.client {
                    text(out, "user_agent", client.user_agent);
                }
            });
        }
    }
}

impl Token {
    fn write(&self, speller: Speller, out: &mut Vec<u8>) {
        if let Some((name, turn)) = self.id {
            quoted(out, "id", |out| speller.opaque("tk-", name, Some(turn), out));
        }
        if let Some(family) = self.family {
            quoted(out, "family", |out| speller.opaque("fm-", family, None, out));
        }
        for (key, value) in [("kind", self.kind), ("grant", self.grant)] {
            if let Some(value) = value {
                text(out, key, value);
            }
        }
        for (key, value) in [("issued_at", self.issued_at), ("expires_at", self.expires_at)] {
            if let Some(value) = value {
                quoted(out, key, |out| time(value, out));
            }
        }
        if !self.scopes.is_empty() {
            out.extend_from_slice(b"\"scopes\":[");
            for scope in self.scopes {
                out.push(b'"');
                out.extend_from_slice(scope.as_bytes());
                out.extend_from_slice(b"\",");
            }
            close(out, "],");
        }
        if let Some(storage) = self.storage {
            text(out, "storage", storage);
        }
    }
}

/// `"key":"value",` of a value that needs no escapes. Every field ends with a comma; `close` takes the last one back.
fn quoted(out: &mut Vec<u8>, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":\"");
    value(out);
    out.extend_from_slice(b"\",");
}

fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    quoted(out, key, |out| out.extend_from_slice(value.as_bytes()));
}

/// `"key":{fields},`, or nothing where there are no fields.
fn object(out: &mut Vec<u8>, key: &str, fields: impl FnOnce(&mut Vec<u8>)) {
    let before = out.len();
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":{");
    let opened = out.len();
    fields(out);
    if out.len() == opened {
        out.truncate(before);
    } else {
        close(out, "},");
    }
}

fn close(out: &mut Vec<u8>, with: &str) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.extend_from_slice(with.as_bytes());
}

/// RFC 3339 UTC with as many fraction digits (none, 3, 6) as are needed; for years 0000 to 9999.
pub fn time(micros: i64, out: &mut Vec<u8>) {
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00";
    for (at, width, value) in [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, rest / HOUR),
        (14, 2, rest / MINUTE % 60),
        (17, 2, rest / SECOND % 60),
    ] {
        let mut value = value;
        for digit in text[at..at + width].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
    out.extend_from_slice(&text);
    let fraction = (rest % SECOND) as u64;
    if fraction > 0 {
        let (digits, scale) = if fraction.is_multiple_of(1000) { (3, 1000) } else { (6, 1) };
        let from = out.len();
        decimal(10u64.pow(digits) + fraction / scale, out); // a leading 1 keeps the zeros, and gives way to the point
        out[from] = b'.';
    }
    out.push(b'Z');
}

/// Year, month and day of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::super::cast::FOR_PEOPLE;
    use super::*;

    #[test]
    fn times_are_those_of_jiff() {
        for micros in
            [0, 951_782_400_000_000, 1_793_491_200_000_000, 1_793_491_199_001_000, 1_709_164_800_000_001, -1000]
        {
            let mut text = Vec::new();
            time(micros, &mut text);
            let expected = jiff::Timestamp::from_microsecond(micros).unwrap();
            assert_eq!(std::str::from_utf8(&text).unwrap().parse::<jiff::Timestamp>().unwrap(), expected);
        }
    }

    #[test]
    fn a_record_is_one_line_of_json() {
        let mut record = Record::new("refresh", 1_793_491_200_123_000);
        record.id = Some(3);
        record.token = Token {
            id: Some((Name::Word("a"), 2)),
            kind: Some("refresh"),
            scopes: FOR_PEOPLE[0].scopes,
            ..Token::default()
        };
        record.subject = Some(Subject::Person(Name::Word("alice")));
        record.capitals = true;
        record.client = Some(&FOR_PEOPLE[0]);
        record.placed = true;
        let mut line = Vec::new();
        record.write(Speller { salt: 0 }, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(json["token"]["id"], "tk-a-2");
        assert_eq!(json["token"]["scopes"][2], "workflow");
        assert_eq!(json["subject"]["id"], "ALICE@EXAMPLE.COM");
        assert_eq!(json["event_time"], "2026-11-01T00:00:00.123Z");
        assert!(json["device"].is_null() && json["network"]["user_agent"] == "gh/2.61.0");
    }
}
