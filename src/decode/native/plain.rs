//! The JSON that producers write nearly always, in one pass: known fields in any order, text without escapes, whole
//! numbers. Anything else, right or wrong, is left to the full reader: giving up is never an error.

use std::borrow::Cow;

use super::{DEPTH_MAX, Field, Record, When};
use crate::decode::SCOPES_MAX;

/// Reads one record into an empty one, or gives up halfway.
pub fn read<'a>(bytes: &'a [u8], record: &mut Record<'a>) -> Option<()> {
    // One look at every byte, many at a time: after it, text ends at the next quote.
    let unusual = bytes.iter().fold(false, |unusual, b| unusual | (*b < 0x20) | (*b == b'\\'));
    (!unusual).then_some(())?;
    let text = std::str::from_utf8(bytes).ok()?;
    let mut scan = Scan { text, bytes, at: 0 };
    let mut objects = 0u8;
    scan.object(|scan, key| match key {
        "event_id" => scan.text(record, Field::EventId),
        "event_time" => scan.time(&mut record.event_time),
        "action" => scan.text(record, Field::Action),
        "outcome" => scan.text(record, Field::Outcome),
        "session" => scan.text(record, Field::Session),
        "project" => scan.text(record, Field::Project),
        "source" => scan.text(record, Field::Source),
        "token" => once(&mut objects, 1).and_then(|()| scan.token(record)),
        "subject" => {
            once(&mut objects, 2).and_then(|()| scan.named(record, Field::SubjectId, Some(Field::SubjectKind)))
        }
        "actor" => once(&mut objects, 4).and_then(|()| scan.named(record, Field::ActorId, None)),
        "client" => once(&mut objects, 8).and_then(|()| scan.named(record, Field::ClientId, Some(Field::ClientKind))),
        "device" => once(&mut objects, 16).and_then(|()| scan.named(record, Field::DeviceId, None)),
        "host" => once(&mut objects, 32).and_then(|()| scan.host(record)),
        "network" => once(&mut objects, 64).and_then(|()| scan.network(record)),
        _ => scan.skip(),
    })?;
    scan.blanks();
    (scan.at == bytes.len()).then_some(())
}

/// Where the next quote is: eight bytes at a time, because most text is short.
fn quote(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while let Some(word) = bytes.get(at..at + 8).and_then(|w| <[u8; 8]>::try_from(w).ok()) {
        let differs = u64::from_le_bytes(word) ^ (ONES * b'"' as u64);
        let zero = differs.wrapping_sub(ONES) & !differs & (ONES << 7); // the lowest set bit marks the first equal byte
        if zero != 0 {
            return Some(at + (zero.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    bytes[at..].iter().position(|b| *b == b'"').map(|rest| at + rest)
}

/// Each object stands once; the full reader explains the second one.
fn once(seen: &mut u8, bit: u8) -> Option<()> {
    (*seen & bit == 0).then(|| *seen |= bit)
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn blanks(&mut self) {
        while self.bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
    }

    /// The next byte that is not blank, passed over.
    fn next(&mut self) -> Option<u8> {
        self.blanks();
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.bytes.get(self.at).copied()
    }

    fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        (self.next()? == b'{').then_some(())?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let key = self.string()?;
            (self.next()? == b':').then_some(())?;
            field(self, key)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Text: there are no escapes and no control characters in this record.
    fn string(&mut self) -> Option<&'a str> {
        (self.next()? == b'"').then_some(())?;
        let start = self.at;
        let stop = start + quote(&self.bytes[start..])?;
        self.at = stop + 1;
        self.text.get(start..stop)
    }

    fn text(&mut self, record: &mut Record<'a>, field: Field) -> Option<()> {
        let place = &mut record.texts[field as usize];
        if place.is_some() {
            return None; // given twice
        }
        *place = Some(Cow::Borrowed(self.string()?));
        Some(())
    }

    fn integer(&mut self) -> Option<i64> {
        self.blanks();
        let digits = self.bytes[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let text = self.text.get(self.at..self.at + digits)?;
        let is_plain = (1..=18).contains(&digits) && (digits == 1 || !text.starts_with('0'));
        self.at += digits;
        let ends = matches!(self.peek()?, b',' | b'}' | b']');
        if is_plain && ends { text.parse().ok() } else { None }
    }

    fn time(&mut self, place: &mut Option<When<'a>>) -> Option<()> {
        if place.is_some() {
            return None;
        }
        *place = Some(match self.peek()? {
            b'"' => When::Text(Cow::Borrowed(self.string()?)),
            _ => When::Integer(self.integer()?),
        });
        Some(())
    }

    fn token(&mut self, record: &mut Record<'a>) -> Option<()> {
        self.object(|scan, key| match key {
            "id" => scan.text(record, Field::TokenId),
            "family" => scan.text(record, Field::Family),
            "parent" => scan.text(record, Field::Parent),
            "kind" => scan.text(record, Field::TokenKind),
            "grant" => scan.text(record, Field::Grant),
            "storage" => scan.text(record, Field::Storage),
            "binding" => scan.text(record, Field::Binding),
            "issued_at" => scan.time(&mut record.issued_at),
            "expires_at" => scan.time(&mut record.expires_at),
            "scopes" => scan.scopes(&mut record.scopes),
            _ => scan.skip(),
        })
    }

    fn scopes(&mut self, scopes: &mut Vec<Cow<'a, str>>) -> Option<()> {
        if !scopes.is_empty() || self.next()? != b'[' {
            return None; // given twice, or one text: the full reader knows both
        }
        if self.peek()? == b']' {
            self.at += 1;
            return None; // an empty list leaves no trace that would show a second one
        }
        loop {
            (scopes.len() < SCOPES_MAX).then_some(())?;
            scopes.push(Cow::Borrowed(self.string()?));
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn named(&mut self, record: &mut Record<'a>, id: Field, kind: Option<Field>) -> Option<()> {
        self.object(|scan, key| match (key, kind) {
            ("id", _) => scan.text(record, id),
            ("kind", Some(kind)) => scan.text(record, kind),
            _ => scan.skip(),
        })
    }

    fn host(&mut self, record: &mut Record<'a>) -> Option<()> {
        self.object(|scan, key| match key {
            "id" => scan.text(record, Field::HostId),
            "kind" => scan.text(record, Field::HostKind),
            "os_user" => scan.text(record, Field::OsUser),
            _ => scan.skip(),
        })
    }

    fn network(&mut self, record: &mut Record<'a>) -> Option<()> {
        self.object(|scan, key| match key {
            "ip" => scan.text(record, Field::Ip),
            "country" => scan.text(record, Field::Country),
            "user_agent" => scan.text(record, Field::UserAgent),
            "asn" if record.asn.is_none() => {
                record.asn = Some(scan.integer()?);
                Some(())
            }
            "asn" => None,
            _ => scan.skip(),
        })
    }

    /// Passes over the value of a field we do not know.
    fn skip(&mut self) -> Option<()> {
        self.skip_value(DEPTH_MAX.min(16))
    }

    fn skip_value(&mut self, depth_left: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'0'..=b'9' => self.integer().map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'{' if depth_left > 0 => self.object(|scan, _| scan.skip_value(depth_left - 1)),
            b'[' if depth_left > 0 => self.list(depth_left - 1),
            _ => None,
        }
    }

    fn list(&mut self, depth_left: usize) -> Option<()> {
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_value(depth_left)?;
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::full;
    use super::*;

    /// What a record says, whichever reader read it.
    fn said(mut record: Record<'_>) -> String {
        let mut event = crate::event::Event::new(0, crate::event::Action::Other);
        format!("{:?} {event:?}", record.event(&mut event).map(|()| event.clone()))
    }

    #[test]
    fn both_readers_say_the_same_of_every_mutant() {
        let seed = br#" {"event_id":"e1","event_time":"2026-11-01T12:00:00.5Z","action":"refresh","x":[1,{"y":null}],"token":{"id":"t","scopes":["a","b"],"expires_at":1796083200},"subject":{"id":"a@b"},"host":{"id":"h","os_user":"u"},"network":{"asn":64500}} "#;
        assert!(read(seed, &mut Record::default()).is_some());
        let mut dice = fastrand::Rng::with_seed(7);
        let mut plainly = 0;
        for _ in 0..100_000 {
            let mut record = seed.to_vec();
            for _ in 0..dice.usize(1..3) {
                let at = dice.usize(..record.len());
                match dice.u8(..4) {
                    0 => record[at] = *dice.choice(b"\"{}[]:,\\ 019aen\xff\0.-").unwrap(),
                    1 => drop(record.remove(at)),
                    2 => record.insert(at, *dice.choice(b"\"{}[]:,0 tn").unwrap()),
                    _ => {
                        let from = dice.usize(..at + 1);
                        let part = record[from..at].to_vec();
                        record.splice(at..at, part);
                    }
                }
            }
            let mut plain = Record::default();
            if read(&record, &mut plain).is_some() {
                plainly += 1;
                let full =
                    full::read(&record).unwrap_or_else(|e| panic!("{e:?}: {}", String::from_utf8_lossy(&record)));
                assert_eq!(said(plain), said(full), "{}", String::from_utf8_lossy(&record));
            }
        }
        assert!(plainly > 10_000, "{plainly}");
    }
}
