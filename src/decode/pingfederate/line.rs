//! Lines of the audit log, in the three layouts that come with PingFederate.
//!
//! Names and values, as for Splunk: `2026-11-01 12:00:00,682 trackingid="tid:x" event="OAuth" subject="ada" …`. Values
//! between bars, in the documented order: `2026-11-01 12:00:00,682| tid:x| OAuth| ada| 192.0.2.1| …`. CEF, whose fields
//! have names of its own: `CEF:0|Ping Identity|PingFederate|12.0|OAuth|OAuth|0|rt=Nov 01 2026 12:00:00.682 duid=ada
//! src=…`.
//!
//! Lines of the server log, which collectors send along, are told by their logger: `2026-11-01 12:00:00,353 tid:x DEBUG
//! [org.sourceid.websso.servlet.IntegrationControllerServlet] GET: …`. Nothing in them is about tokens.

use std::borrow::Cow;

use crate::decode::json::is_value;

/// One line, taken apart.
pub struct Line<'a> {
    pub time: Option<Cow<'a, str>>,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Line<'a> {
    /// The value of a field, if it states one.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let pair = self.pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        pair.map(|(_, value)| value.trim()).filter(|value| is_value(value))
    }
}

/// Fields between bars, from the event on. The first ones are the default; the rest may follow.
const COLUMNS: [&str; 15] = [
    "event",
    "subject",
    "ip",
    "app",
    "connectionid",
    "protocol",
    "host",
    "role",
    "status",
    "adapterid",
    "description",
    "responsetime",
    "attrackingid",
    "attributes",
    "granttype",
];
/// What the fields of CEF are called elsewhere.
const CEF: [(&str, &str); 7] = [
    ("duid", "subject"),
    ("src", "ip"),
    ("msg", "status"),
    ("cs2", "connectionid"),
    ("cs3", "protocol"),
    ("cs4", "role"),
    ("externalId", "trackingid"),
];

/// Whether a text is one line of the audit log, or of the server log.
pub fn is_audit(text: &str) -> bool {
    let text = text.trim();
    !text.contains('\n') && (is_cef(text) || is_named(text) || is_barred(text) || logger(text).is_some())
}

/// Takes a line apart.
pub fn read(text: &str) -> Line<'_> {
    if is_cef(text) {
        cef(text)
    } else if is_named(text) {
        named(text)
    } else if is_barred(text) {
        barred(text)
    } else {
        let (head, logger) = logger(text).unwrap_or_default();
        Line { time: stamp(head), pairs: vec![("event", logger)] }
    }
}

/// What stands before the logger of a line of the server log, and the logger.
fn logger(text: &str) -> Option<(&str, &str)> {
    let (head, rest) = text.split_once('[')?;
    let (logger, _) = rest.split_once(']')?;
    let is_product = logger.starts_with("org.sourceid.") || logger.starts_with("com.pingidentity.");
    (is_product && head.split_ascii_whitespace().next().is_some_and(is_date)).then_some((head, logger))
}

fn is_cef(text: &str) -> bool {
    text.contains("CEF:") && text.contains("|Ping Identity|PingFederate|")
}

fn is_named(text: &str) -> bool {
    let has = |name: &str| text.contains(name);
    has("event=") && has("role=") && (has("trackingid=") || has("tid=") || has("connectionid="))
}

fn is_barred(text: &str) -> bool {
    let mut columns = text.split('|').map(str::trim);
    columns.nth(1).is_some_and(|id| id.starts_with("tid:")) && columns.count() > 8
}

fn named(text: &str) -> Line<'_> {
    let mut pairs = Vec::new();
    let mut head = None;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        let key = before.rsplit(|letter: char| !is_name(letter)).next().unwrap_or_default();
        head.get_or_insert(before.strip_suffix(key).unwrap_or(before));
        let (value, remaining) = match after.strip_prefix('"') {
            Some(quoted) => until_quote(quoted),
            None => after.split_once([' ', ',', '\t']).unwrap_or((after, "")),
        };
        pairs.push((key, value));
        rest = remaining;
    }
    Line { time: head.and_then(stamp), pairs }
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_.-".contains(letter)
}

/// Up to the quote that ends a value: there is nothing, a blank or a separator behind it.
fn until_quote(text: &str) -> (&str, &str) {
    let is_end =
        |at: &usize| text.get(at + 1..).is_none_or(|rest| rest.is_empty() || rest.starts_with([' ', ',', '\t', '|']));
    let end = text.match_indices('"').map(|(at, _)| at).find(is_end).unwrap_or(text.len());
    (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default())
}

fn barred(text: &str) -> Line<'_> {
    let mut columns = text.split('|').map(str::trim);
    let time = columns.next().and_then(stamp);
    let columns: Vec<&str> = columns.skip(1).collect();
    // Newer releases may have the id of the transaction before the event.
    let is_event = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let from = usize::from(!columns.first().is_some_and(is_event));
    Line { time, pairs: COLUMNS.into_iter().zip(columns.into_iter().skip(from)).collect() }
}

fn cef(text: &str) -> Line<'_> {
    let mut header = text.splitn(8, '|');
    let event = header.nth(4).unwrap_or_default();
    let extension = header.nth(2).unwrap_or_default();
    let mut pairs = vec![("event", event)];
    let mut time = None;
    // A value ends where the next name begins; a sign of equality inside it is escaped.
    let mut rest = extension;
    while let Some((key, after)) = rest.split_once('=') {
        let next = after.match_indices('=').map(|(at, _)| at).find_map(|at| {
            let start = after.get(..at)?.rfind(' ')? + 1;
            after.get(start..at).filter(|name| !name.is_empty() && name.chars().all(is_name)).map(|_| start)
        });
        let (value, remaining) = after.split_at_checked(next.unwrap_or(after.len())).unwrap_or((after, ""));
        match key.trim() {
            "rt" => time = Some(receipt(value.trim())),
            key => pairs.push((CEF.iter().find(|(name, _)| *name == key).map_or(key, |(_, name)| name), value)),
        }
        rest = remaining;
    }
    Line { time, pairs }
}

/// `Nov 01 2026 12:00:00.682` as other times are written; what is no such time as it stands.
fn receipt(text: &str) -> Cow<'_, str> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [month, day, year, clock] = words[..] else { return text.into() };
    match MONTHS.iter().position(|name| *name == month) {
        Some(index) => format!("{year}-{:02}-{day} {clock}", index + 1).into(),
        None => text.into(),
    }
}

/// The time before the first name: the last one there, since collectors put theirs first. If there is no date, all of it,
/// so that the rejection shows it.
fn stamp(head: &str) -> Option<Cow<'_, str>> {
    let words: Vec<&str> = head.split_ascii_whitespace().collect();
    let Some(at) = words.iter().rposition(|word| is_date(word)) else {
        return Some(head.trim()).filter(|head| !head.is_empty()).map(Cow::Borrowed);
    };
    let mut rest = words.into_iter().skip(at);
    let date = rest.next()?;
    if date.contains('T') {
        return Some(date.into());
    }
    let clock = rest.next().unwrap_or_default();
    let zone = rest.next().filter(|word| word.starts_with(['+', '-', 'Z', 'U']) && word.len() > 2).unwrap_or_default();
    Some(format!("{date} {clock} {zone}").trim_end().to_owned().into())
}

/// `2026-11-01`, or what begins like that.
fn is_date(word: &str) -> bool {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = word.as_bytes();
    bytes.len() >= 10 && is_digit(bytes.first()) && bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str, keys: [&str; 4]) -> (Option<String>, [Option<String>; 4]) {
        assert!(is_audit(text), "{text}");
        let line = read(text);
        (line.time.clone().map(Cow::into_owned), keys.map(|key| line.get(key).map(str::to_owned)))
    }

    #[test]
    fn the_same_transaction_in_every_layout() {
        let some = |text: &str| Some(text.to_owned());
        let expected = [some("OAuth"), some("ada"), some("cli-1"), some("AS")];
        let keys = ["event", "subject", "connectionid", "role"];
        for (text, time) in [
            (
                r#"2026-11-01 12:00:00,682 trackingid="tid:x" event="OAuth" subject="ada" ip="192.0.2.1" connectionid="cli-1" role="AS" description="she said "no" to it""#,
                "2026-11-01 12:00:00,682",
            ),
            (
                r#"<13>Nov  1 12:00:01 sso.example.com 2026-11-01 12:00:00,682 +0100 tid="x", event=OAuth, subject=ada, connectionid="cli-1", role="AS""#,
                "2026-11-01 12:00:00,682 +0100",
            ),
            (
                "2026-11-01 12:00:00,682| tid:x| OAuth| ada| 192.0.2.1 | | cli-1| OAuth20| sso| AS| success| | | 7",
                "2026-11-01 12:00:00,682",
            ),
            (
                "2026-11-01T12:00:00,682Z| tid:x| 0a1b-2| OAuth| ada| 192.0.2.1 | | cli-1| OAuth20| sso| AS| success| | | 7",
                "2026-11-01T12:00:00,682Z",
            ),
            (
                r"CEF:0|Ping Identity|PingFederate|12.0|OAuth|OAuth|0|rt=Nov 01 2026 12:00:00.682 duid=ada src=192.0.2.1 msg=success cs1Label=Target Application URL cs1=http://app.example.com?a\=b cs2Label=Connection ID cs2=cli-1 cs4Label=Role cs4=AS externalId=tid:x",
                "2026-11-01 12:00:00.682",
            ),
        ] {
            assert_eq!(fields(text, keys), (some(time), expected.clone()), "{text}");
        }
    }

    #[test]
    fn a_line_of_the_server_log_is_told_by_its_logger() {
        let keys = ["event", "subject", "connectionid", "role"];
        let (time, found) = fields("2026-11-01 12:00:00,353  DEBUG [org.sourceid.util.X] role=none", keys);
        assert_eq!(time.as_deref(), Some("2026-11-01 12:00:00,353"));
        assert_eq!(found, [Some("org.sourceid.util.X".to_owned()), None, None, None]);
        for text in ["2026-11-01 12:00:00,353 INFO [org.example.X] y", "INFO [org.sourceid.X] y", "2026-11-01 [", "[]"]
        {
            assert!(!is_audit(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_line_of_the_audit_log() {
        for text in [
            "",
            "|",
            "a|tid:b|c",
            "event=x role=y",
            "event=a role=b tid=c\nevent=a role=b tid=c",
            "CEF:0|Other|Product|1|a|b|0|",
        ] {
            assert!(!is_audit(text), "{text:?}");
        }
    }

    #[test]
    fn broken_lines_are_read_as_far_as_they_go() {
        for text in [
            "event=\"x role= tid=",
            "=== event= role= tid= \"",
            "CEF:|Ping Identity|PingFederate|",
            "CEF:0|Ping Identity|PingFederate|1|a|b|0|rt= = é=é =",
        ] {
            let line = read(text);
            assert!(line.get("no such field").is_none());
        }
    }
}
