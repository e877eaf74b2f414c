//! What became of many records, in a few lines.

use std::collections::BTreeMap;
use std::fmt;

use crate::decode::recognise::UNKNOWN;
use crate::decode::{self, Verdict};

/// Reasons that are told.
const REASONS_MAX: usize = 5;

/// All of it in a few lines.
#[derive(Default)]
pub struct Summary {
    pub records: u64,
    skipped: u64,
    /// Events by source and action.
    events: BTreeMap<(String, &'static str), u64>,
    /// Rejections by reason, with the first record.
    rejected: BTreeMap<String, (u64, u64)>,
}

impl Summary {
    /// Takes up one verdict on the record that `records` has come to.
    pub fn count(&mut self, verdict: &Verdict<'_>) {
        match verdict {
            Verdict::Event(event) => {
                let source = event.source.as_deref().unwrap_or_default().to_owned();
                *self.events.entry((source, event.action.as_str())).or_default() += 1;
            }
            // Reasons that quote what they met are all different; there are not to be more of them than can be read.
            Verdict::Rejected(rejection, _)
                if self.rejected.len() < 1000 || self.rejected.contains_key(&rejection.0) =>
            {
                self.rejected.entry(rejection.0.clone()).or_insert((0, self.records)).0 += 1;
            }
            Verdict::Rejected(..) => {
                self.rejected.entry("other reasons".to_owned()).or_insert((0, self.records)).0 += 1
            }
            Verdict::Skipped(_) => self.skipped += 1,
        }
    }

    /// Takes up the summary of the records behind these.
    pub fn append(&mut self, next: Self) {
        for (key, count) in next.events {
            *self.events.entry(key).or_default() += count;
        }
        for (reason, (count, first)) in next.rejected {
            self.rejected.entry(reason).or_insert((0, self.records + first)).0 += count;
        }
        self.skipped += next.skipped;
        self.records += next.records;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: u64 = self.events.values().sum();
        let rejected: u64 = self.rejected.values().map(|(count, _)| count).sum();
        writeln!(f, "{} records: {events} events, {rejected} rejected, {} skipped", self.records, self.skipped)?;
        let mut source = "";
        for ((name, action), count) in &self.events {
            if name != source {
                write!(f, "{}  {name}: {action} {count}", if source.is_empty() { "" } else { "\n" })?;
            } else {
                write!(f, ", {action} {count}")?;
            }
            source = name;
        }
        if !source.is_empty() {
            writeln!(f)?;
        }
        let mut reasons: Vec<_> = self.rejected.iter().collect();
        reasons.sort_by_key(|(_, (count, first))| (std::cmp::Reverse(*count), *first));
        for (reason, (count, first)) in reasons.iter().take(REASONS_MAX) {
            writeln!(f, "  rejected {count}, first record {first}: {reason}")?;
        }
        if reasons.len() > REASONS_MAX {
            writeln!(f, "  and {} other reasons", reasons.len() - REASONS_MAX)?;
        }
        if reasons.iter().any(|(reason, _)| reason.starts_with(UNKNOWN)) {
            writeln!(f, "What a record is known by:\n  native: event_time and action")?;
            for provider in decode::PROVIDERS {
                writeln!(f, "  {}: {}", provider.name, provider.shape)?;
            }
        }
        Ok(())
    }
}
