//! The `[alert]` table of tokentrail.toml: where alerts go, which ones, and how patiently.

mod sinks;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use sinks::{Format, SinkConfig, SinkKind, SmtpTls};

use crate::event::time;
use crate::finding::Severity;
use crate::policy::glob;
use crate::policy::spelling::nearest;

/// All of `[alert]`. Without a sink nothing is sent, and nothing is lost: the place in the findings log stays.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where alerts go, by name.
    pub sinks: BTreeMap<String, sinks::SinkConfig>,
    /// Which alerts go where: the first that matches counts. Without any, every alert goes to every sink.
    pub routes: Vec<Route>,
    /// What nobody wants to hear of for some time.
    pub silences: Vec<SilenceConfig>,
    /// After an alert about a detector and subject, further ones wait this long and come as one digest; 0: never.
    pub group_window_seconds: u32,
    /// More new alerts of one detector than this in one round become one digest with counts.
    pub storm_findings: usize,
    /// After this many attempts a message is a dead letter.
    pub attempts_max: u32,
    /// After this long in the outbox a message that fails once more is a dead letter.
    pub age_max_hours: u32,
    /// Pause after the first failure; it doubles with each further one.
    pub backoff_first_ms: u64,
    /// Longest pause.
    pub backoff_max_seconds: u32,
    /// How long one delivery may take.
    pub timeout_seconds: u32,
    /// Deliveries under way to one sink at once.
    pub in_flight_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sinks: BTreeMap::new(),
            routes: Vec::new(),
            silences: Vec::new(),
            group_window_seconds: 300,
            storm_findings: 100,
            attempts_max: 2_000,
            age_max_hours: 72,
            backoff_first_ms: 1_000,
            backoff_max_seconds: 300,
            timeout_seconds: 10,
            in_flight_max: 4,
        }
    }
}

/// Which alerts go to which sinks. What is not given matches everything.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// The mildest severity.
    pub severity: Option<String>,
    /// Detectors, with `*` and `?`.
    pub detectors: Vec<String>,
    /// Projects, with `*` and `?`; an alert without project matches none.
    pub projects: Vec<String>,
    /// `violation`, `lead`.
    pub kinds: Vec<String>,
    /// What has to have happened to the finding.
    pub changes: Option<Vec<String>>,
    /// None: these alerts go nowhere, and are recorded so.
    pub sinks: Vec<String>,
}

/// A silence that stands in the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceConfig {
    pub owner: String,
    pub reason: String,
    /// RFC 3339.
    pub until: String,
    /// With `*` and `?`.
    #[serde(default = "anything")]
    pub detector: String,
    /// Columns of the finding and their values, with `*` and `?`; all have to match.
    #[serde(default, rename = "match")]
    pub matching: BTreeMap<String, String>,
}

fn anything() -> String {
    "*".to_owned()
}

/// What a route asks for if it does not say: what begins, ends, or turns out never to have been.
pub const CHANGES: &[&str] = &["opened", "reopened", "resolved", "excepted", "retracted"];
const ALL_CHANGES: &[&str] =
    &["opened", "reopened", "updated", "resolved", "excepted", "retracted", "acked", "noted", "suppressed"];

impl Route {
    /// Whether something that happened is for this route.
    pub fn matches(&self, severity: Severity, detector: &str, project: Option<&str>, kind: &str, change: &str) -> bool {
        let any = |globs: &[String], text: &str| globs.is_empty() || globs.iter().any(|g| glob::matches(g, text));
        let wanted = match &self.changes {
            Some(changes) => changes.iter().any(|c| c == change),
            None => CHANGES.contains(&change),
        };
        wanted
            && self.severity.as_deref().and_then(Severity::parse).is_none_or(|least| severity >= least)
            && any(&self.detectors, detector)
            && (self.projects.is_empty() || project.is_some_and(|project| any(&self.projects, project)))
            && (self.kinds.is_empty() || self.kinds.iter().any(|k| k == kind))
    }
}

impl Config {
    /// Everything that is wrong, in words, each with the place it stands at.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        let limits: [(&str, u64, u64); 6] = [
            ("storm_findings", self.storm_findings as u64, 1_000_000),
            ("attempts_max", self.attempts_max.into(), 100_000),
            ("age_max_hours", self.age_max_hours.into(), 24 * 365),
            ("backoff_first_ms", self.backoff_first_ms, 3_600_000),
            ("timeout_seconds", self.timeout_seconds.into(), 300),
            ("in_flight_max", self.in_flight_max as u64, 64),
        ];
        for (name, value, most) in limits {
            if value == 0 || value > most {
                found.push(format!("alert.{name} is {value}: it may be 1 to {most}"));
            }
        }
        if self.group_window_seconds > 86_400 {
            found.push(format!("alert.group_window_seconds is {}: at most a day, 86400", self.group_window_seconds));
        }
        found.extend(
            self.sinks
                .iter()
                .flat_map(|(name, sink)| sink.problems().into_iter().map(move |p| format!("alert.sinks.{name}: {p}"))),
        );
        for (number, route) in self.routes.iter().enumerate() {
            found.extend(self.route_problems(route).map(|p| format!("alert.routes, the {}.: {p}", number + 1)));
        }
        for (number, silence) in self.silences.iter().enumerate() {
            found.extend(silence.problems().map(|p| format!("alert.silences, the {}.: {p}", number + 1)));
        }
        found
    }

    fn route_problems<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = String> + 'a {
        let severities: Vec<&'static str> = Severity::ALL.iter().map(|(name, _)| *name).collect();
        let severity = route.severity.iter().filter_map(move |s| unknown("severity", s, &severities));
        let sinks: Vec<&str> = self.sinks.keys().map(String::as_str).collect();
        let sinks = route.sinks.iter().filter_map(move |s| unknown("sink", s, &sinks));
        let kinds = route.kinds.iter().filter_map(|k| unknown("kind", k, &["violation", "lead"]));
        let changes = route.changes.iter().flatten().filter_map(|c| unknown("change", c, ALL_CHANGES));
        severity.chain(sinks).chain(kinds).chain(changes)
    }
}

impl SilenceConfig {
    fn problems(&self) -> impl Iterator<Item = String> {
        let blank = [("owner", &self.owner), ("reason", &self.reason)];
        let blank = blank.into_iter().filter(|(_, text)| text.trim().is_empty());
        let blank: Vec<String> = blank.map(|(name, _)| format!("{name} must say something")).collect();
        let until = time::parse(&self.until).is_none().then(|| {
            format!("until is {:?}: expected RFC 3339 with an offset, such as 2026-12-01T00:00:00Z", self.until)
        });
        blank.into_iter().chain(until)
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Option<String> {
    if known.contains(&name) {
        return None;
    }
    let meant = match nearest(name, known.iter().copied()) {
        Some((word, true)) => format!("; did you mean {word:?}?"),
        _ if known.is_empty() => "; there is none".to_owned(),
        _ => format!("; there are {}", known.join(", ")),
    };
    Some(format!("unknown {what} {name:?}{meant}"))
}
