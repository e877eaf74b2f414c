//! When each grant began and ended, which limits hold for it, and when they were reached.
//!
//! The rules are those of the views `lifetimes` and `grants` and of the detectors; here they are applied to the few
//! grants of one timeline, whose events are at hand, so that nothing of the folds has to be read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::zone::{Zone, long};
use super::{Entry, Event, Kind, Tone};
use crate::event::time;
use crate::policy::{self, Policy, format_duration};

/// The life of one grant, as far as its events tell.
#[derive(Clone, Debug, Default)]
pub struct Life {
    pub grant: String,
    pub started_at: Option<i64>,
    /// Its issuing was not seen: it may be older.
    pub age_is_lower_bound: bool,
    pub ended_at: Option<i64>,
    /// What ended it.
    pub ended_by: Option<&'static str>,
    pub exercised_at: Vec<i64>,
    /// A limit, and which rule set it.
    pub max_age: Option<(i64, String)>,
    pub max_idle: Option<(i64, String)>,
    offboarding_grace: Option<(i64, String)>,
    lost_device_grace: Option<(i64, String)>,
    subjects: Vec<String>,
    devices: Vec<String>,
    projects: Vec<String>,
}

/// The lives of all grants that the events name.
pub fn of(events: &[Event], policy: &Policy, as_of: i64) -> BTreeMap<String, Life> {
    let mut by_grant: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.at <= as_of) {
        if let Some(grant) = &event.grant {
            by_grant.entry(grant).or_default().push(event);
        }
    }
    let broad: Vec<&Event> = events.iter().filter(|e| e.at <= as_of && is_broad_revocation(e)).collect();
    // What is only revoked, or only reported, is no grant whose life could be told.
    let lived = by_grant.into_iter().filter(|(_, events)| events.iter().any(|event| event.is_exercise()));
    lived.map(|(grant, events)| (grant.to_owned(), life(grant, &events, &broad, policy, as_of))).collect()
}

fn life(grant: &str, events: &[&Event], broad: &[&Event], policy: &Policy, as_of: i64) -> Life {
    let told = |event: &&&Event| event.succeeded() || event.is("reuse_detected");
    let issues = || {
        let issues = events.iter().filter(|event| event.is("issue") && event.succeeded());
        issues.map(|event| event.time("issued_at").unwrap_or(event.at))
    };
    let is_derived = events.iter().any(|event| event.text("grant_basis") == Some("derived"));
    let first_issued = events.iter().filter(told).filter_map(|event| event.time("issued_at")).min();
    let first_event = events.iter().filter(told).map(|event| event.at).min();
    let issued = if is_derived { issues().max() } else { issues().min() };
    let started_at = issued.or(first_issued).or(first_event);
    let mut exercised_at: Vec<i64> = events.iter().filter(|e| e.is_exercise()).map(|e| e.at).collect();
    exercised_at.sort_unstable();
    let ended = end(events, broad, started_at.unwrap_or(i64::MIN), is_derived, as_of);
    let limit = |key: &str| limit(policy, key, events);
    Life {
        grant: grant.to_owned(),
        started_at,
        age_is_lower_bound: issues().next().is_none() && first_issued.is_none(),
        ended_at: ended.map(|(at, _)| at),
        ended_by: ended.map(|(_, by)| by),
        exercised_at,
        max_age: limit("max_age"),
        max_idle: limit("max_idle"),
        offboarding_grace: limit("offboarding_grace"),
        lost_device_grace: limit("lost_device_grace"),
        subjects: texts(events, "subject_id"),
        devices: texts(events, "device_id"),
        projects: texts(events, "project_id"),
    }
}

/// A revocation that names neither token nor family ends every grant that carries all it names.
pub(super) fn is_broad_revocation(event: &Event) -> bool {
    event.is("revoke") && event.succeeded() && event.text("token_id").is_none() && event.text("family_id").is_none()
}

fn is_short(event: &Event) -> bool {
    matches!(event.text("token_kind"), Some("access" | "id"))
}

/// The first end of a grant up to `as_of`: revoked, covered by a broad revocation, expired, or past its stated expiry.
fn end(
    events: &[&Event],
    broad: &[&Event],
    started_at: i64,
    is_derived: bool,
    as_of: i64,
) -> Option<(i64, &'static str)> {
    let told = |event: &&&Event| event.succeeded() || event.is("reuse_detected");
    let has_other_kind = events.iter().filter(told).any(|event| event.text("token_kind").is_some() && !is_short(event));
    let is_short_beside_others = |event: &Event| is_short(event) && has_other_kind;
    let is_before_derived = |event: &Event| is_derived && event.at <= started_at;
    let counts = |event: &Event| !is_short_beside_others(event) && !is_before_derived(event);
    let mut ends: Vec<(i64, &'static str)> = Vec::new();
    for event in events.iter().filter(|event| event.succeeded() && counts(event)) {
        match event.text("action") {
            Some("revoke") if !is_broad_revocation(event) => ends.push((event.at, "revoked")),
            Some("expire") => ends.push((event.at, "expired")),
            _ => {}
        }
    }
    for revocation in broad.iter().filter(|event| counts(event) && event.at >= started_at) {
        if events.iter().any(|event| event.is_exercise() && is_covered(event, revocation)) {
            ends.push((revocation.at, "revoked"));
        }
    }
    let is_long = |event: &&&Event| matches!(event.text("token_kind"), Some("refresh" | "session" | "pat" | "api_key"));
    let expiry = |long: bool| {
        let of = events.iter().filter(told).filter(|event| !long || is_long(event));
        of.filter_map(|event| event.time("expires_at")).max()
    };
    let stated = if events.iter().filter(told).any(|event| is_long(&event)) { expiry(true) } else { expiry(false) };
    ends.extend(stated.filter(|at| !(is_derived && *at <= started_at)).map(|at| (at, "past its stated expiry")));
    ends.into_iter().filter(|(at, _)| *at <= as_of).min_by_key(|(at, _)| *at)
}

/// Whether an exercise carries all that a broad revocation names.
pub(super) fn is_covered(event: &Event, revocation: &Event) -> bool {
    let columns = ["subject_id", "client_id", "device_id", "session_id", "project_id"];
    let same = |column: &str| revocation.text(column).is_none_or(|named| event.text(column) == Some(named));
    (revocation.text("subject_id").is_some() || revocation.text("session_id").is_some())
        && columns.into_iter().all(same)
}

/// A duration of the policy for a grant: that of the last rule which matches one of its exercises and sets it.
fn limit(policy: &Policy, key: &str, events: &[&Event]) -> Option<(i64, String)> {
    let declared = Policy::KEYS.iter().find(|declared| declared.name == key)?;
    let matching = policy.rules().iter().rev().find(|rule| {
        rule.value(key).is_some() && events.iter().any(|event| event.is_exercise() && rule.matches(&event.row))
    });
    let (value, rule) = match matching {
        Some(rule) => (rule.value(key)?, rule.label()),
        None => (policy.default_value(declared), "default".to_owned()),
    };
    match value {
        policy::Value::Duration(micros) => Some((*micros, rule)),
        _ => None,
    }
}

fn texts(events: &[&Event], column: &str) -> Vec<String> {
    let mut texts: Vec<String> = events.iter().filter_map(|event| event.text(column)).map(str::to_owned).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// The moments at which limits of the policy were reached while the grant was alive.
pub fn limits(life: &Life, events: &[Event], policy: &Policy, as_of: i64) -> Vec<Entry> {
    let alive_until = life.ended_at.unwrap_or(as_of).min(as_of);
    let mut entries = Vec::new();
    let mut reached = |at: i64, text: String| {
        entries.push(Entry {
            at,
            kind: Kind::Limit,
            tone: Tone::Notice,
            text,
            grant: Some(life.grant.clone()),
            age: life.started_at.map(|start| at - start).filter(|age| *age >= 0),
            details: serde_json::Map::new(),
        });
    };
    if let (Some(start), Some((max, rule))) = (life.started_at, &life.max_age)
        && start.saturating_add(*max) < alive_until
    {
        let least = if life.age_is_lower_bound { " or more" } else { "" };
        reached(start + max, format!("age limit of {}{least} reached ({rule})", format_duration(*max)));
    }
    if let Some((max, rule)) = &life.max_idle {
        let next = life.exercised_at.iter().skip(1).copied().chain([alive_until]);
        for (last, next) in life.exercised_at.iter().zip(next) {
            if last.saturating_add(*max) < next.min(alive_until) {
                reached(last + max, format!("idle limit of {} reached ({rule})", format_duration(*max)));
            }
        }
    }
    if life.ended_by == Some("past its stated expiry") && life.ended_at == Some(alive_until) {
        reached(alive_until, "the expiry that its issuer stated".to_owned());
    }
    for event in events.iter().filter(|event| event.is_context() && event.succeeded()) {
        entries.extend(grace(life, event, policy, alive_until));
    }
    entries
}

/// When the grace after an offboarding or a loss ran out, if it did with the grant alive.
fn grace(life: &Life, event: &Event, policy: &Policy, alive_until: i64) -> Option<Entry> {
    let of = |column: &str, known: &[String]| event.text(column).is_some_and(|id| known.iter().any(|k| k == id));
    let subject_of = |name: &str| policy.identities().subject_of(name).to_owned();
    let is_owner =
        || event.text("subject_id").is_some_and(|id| life.subjects.iter().any(|s| subject_of(s) == subject_of(id)));
    let in_project = || event.text("project_id").is_none() || of("project_id", &life.projects);
    let ((grace, rule), what) = if event.is("offboard") && is_owner() && in_project() {
        (life.offboarding_grace.as_ref()?, "offboarding")
    } else if event.is("device_lost") && of("device_id", &life.devices) {
        (life.lost_device_grace.as_ref()?, "loss of its device")
    } else {
        return None;
    };
    let at = event.at.saturating_add(*grace);
    let began = life.started_at.is_some_and(|start| start <= event.at);
    (began && *grace > 0 && at < alive_until).then(|| Entry {
        at,
        kind: Kind::Limit,
        tone: Tone::Notice,
        text: format!("{} after the {what} the grant should have ended, and is alive ({rule})", long(*grace)),
        grant: Some(life.grant.clone()),
        age: life.started_at.map(|start| at - start),
        details: serde_json::Map::new(),
    })
}

impl Life {
    /// The life as its users see it.
    pub fn json(&self, zone: &Zone) -> Value {
        let limit = |limit: &Option<(i64, String)>| limit.as_ref().map(|(micros, _)| format_duration(*micros));
        let rule = |limit: &Option<(i64, String)>| limit.as_ref().map(|(_, rule)| rule.clone());
        json!({
            "grant_id": self.grant,
            "started_at": self.started_at.map(|at| zone.format(at)),
            "age_is_lower_bound": self.age_is_lower_bound,
            "ended_at": self.ended_at.map(|at| zone.format(at)),
            "ended_by": self.ended_by,
            "exercises": self.exercised_at.len(),
            "last_exercised_at": self.exercised_at.last().map(|at| zone.format(*at)),
            "max_age": limit(&self.max_age),
            "max_age_rule": rule(&self.max_age),
            "max_idle": limit(&self.max_idle),
            "max_idle_rule": rule(&self.max_idle),
        })
    }

    /// How old the grant was at a moment, in microseconds; none before it began.
    pub fn age(&self, at: i64) -> Option<i64> {
        self.started_at.map(|start| at - start).filter(|age| *age >= -time::SECOND).map(|age| age.max(0))
    }
}
