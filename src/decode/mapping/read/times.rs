//! What a mapping says of times: for all of them in `[time]`, or for one column.

use std::ops::Range;

use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::super::clock::{self, Clock};
use super::{advised, one_of, quoted};
use crate::policy::fields::describe;
use crate::policy::parse::{Node, Reader};
use crate::policy::spelling::nearest;

/// The keys that say how times are written.
pub const TIME_KEYS: [&str; 3] = ["format", "zone", "end_of_day"];

/// How times are written, as far as it was said.
#[derive(Clone, Default)]
pub struct Times {
    format: Option<String>,
    zone: Option<TimeZone>,
    ends: Option<bool>,
}

impl Reader<'_> {
    /// `[time]`.
    pub(super) fn time_section(&mut self, node: &Node) -> Times {
        const PLACE: &str = "[time]";
        let DeValue::Table(table) = node.get_ref() else {
            self.must_be::<()>("time", node, "the mapping", "a table; write [time]", describe(node.get_ref()));
            return Times::default();
        };
        let mut times = Times::default();
        for (name, node) in table {
            if !self.times(&mut times, name.get_ref(), node, PLACE) {
                self.unknown(name.span(), "key", name.get_ref(), PLACE, TIME_KEYS.into_iter());
            }
        }
        self.clock(&times, &Times::default(), node.span(), PLACE);
        times
    }

    /// Reads one of [`TIME_KEYS`]; false if it is none.
    pub(super) fn times(&mut self, times: &mut Times, name: &str, node: &Node, place: &str) -> bool {
        match (name, node.get_ref()) {
            ("format", _) => times.format = self.text("format", node, place),
            ("zone", _) => {
                let name = self.text("zone", node, place);
                times.zone = name.and_then(|name| clock::zone(&name).or_else(|| self.unknown_zone(&name, node, place)));
            }
            ("end_of_day", DeValue::Boolean(value)) => times.ends = Some(*value),
            ("end_of_day", other) => {
                self.must_be::<()>("end_of_day", node, place, "true or false", describe(other));
            }
            _ => return false,
        }
        true
    }

    fn unknown_zone(&mut self, name: &str, node: &Node, place: &str) -> Option<TimeZone> {
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let advice = match nearest(name, known.iter().map(String::as_str)) {
            Some((word, true)) => format!("; did you mean \"{word}\"?"),
            _ => String::new(),
        };
        let wanted = "a zone such as \"Europe/Berlin\" or an offset such as \"+02:00\"";
        self.must_be("zone", node, place, wanted, &format!("{}{advice}", quoted(name)))
    }

    /// How times are written where `own` was said, and else `general`.
    pub(super) fn clock(&mut self, own: &Times, general: &Times, span: Range<usize>, place: &str) -> Clock {
        let format = own.format.as_deref().or(general.format.as_deref()).unwrap_or("any");
        if let Some(clock) = Clock::named(format) {
            if own.zone.is_some() || own.ends == Some(true) {
                let problem =
                    format!("\"zone\" and \"end_of_day\" in {place} need a pattern as \"format\", not \"{format}\"");
                self.mistake(span, problem);
            }
            return clock;
        }
        if !format.contains('%') {
            let names = one_of(&clock::NAMES);
            let wanted = format!("{names} or a pattern such as \"%d.%m.%Y\"");
            let not = advised(format, &clock::NAMES);
            self.mistake(span, format!("the format in {place} must be {wanted}, not {not}"));
            return Clock::Any;
        }
        let zone = own.zone.clone().or_else(|| general.zone.clone()).unwrap_or(TimeZone::UTC);
        // What was said for all may suit only some of them.
        let ends = own.ends.or(general.ends.filter(|_| own.format.is_none())).unwrap_or(false);
        match clock::Pattern::new(format, zone, ends) {
            Ok(pattern) => Clock::Pattern(pattern),
            Err(why) => {
                self.mistake(span, format!("the format {} in {place} {why}", quoted(format)));
                Clock::Any
            }
        }
    }
}
