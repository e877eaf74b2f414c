//! What the detectors mean, once more, slow and plain: all events in memory, one loop for each sentence. Tests hold the truth
//! against it. It reads the written lines and shares nothing with the generator but the shape of a finding.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::Truth;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

#[derive(Clone, Debug, Default)]
struct Event {
    at: i64,
    action: String,
    token: Option<String>,
    family: Option<String>,
    kind: Option<String>,
    issued_at: Option<i64>,
    expires_at: Option<i64>,
    subject: Option<String>,
    subject_kind: Option<String>,
    client: Option<String>,
    session: Option<String>,
    project: Option<String>,
    device: Option<String>,
    host: Option<String>,
    os_user: Option<String>,
}

impl Event {
    fn exercised(&self) -> bool {
        ["issue", "refresh", "use"].contains(&self.action.as_str())
    }

    /// What a revoke names beside token and family, in a fixed order.
    fn names(&self) -> [&Option<String>; 5] {
        [&self.subject, &self.client, &self.device, &self.session, &self.project]
    }
}

fn micros(value: &Value) -> Option<i64> {
    value.as_str().map(|text| text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

/// Reads the successful events up to `as_of`, each once.
fn read(lines: &[u8], as_of: i64) -> Vec<Event> {
    let mut seen = BTreeSet::new();
    let mut events = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(json) = serde_json::from_slice::<Value>(line) else { continue };
        let id = json["event_id"].as_str().map_or_else(|| line.to_vec(), |id| id.as_bytes().to_vec());
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let at = micros(&json["event_time"]);
        if at.is_none_or(|at| at > as_of) || json["outcome"] != "success" || !seen.insert(id) {
            continue;
        }
        let token = &json["token"];
        events.push(Event {
            at: at.unwrap(),
            action: text(&json["action"]).unwrap(),
            token: text(&token["id"]),
            family: text(&token["family"]),
            kind: text(&token["kind"]),
            issued_at: micros(&token["issued_at"]),
            expires_at: micros(&token["expires_at"]),
            subject: text(&json["subject"]["id"]).map(|id| if id.contains('@') { id.to_lowercase() } else { id }),
            subject_kind: text(&json["subject"]["kind"]),
            client: text(&json["client"]["id"]),
            session: text(&json["session"]),
            project: text(&json["project"]),
            device: text(&json["device"]["id"]),
            host: text(&json["host"]["id"]),
            os_user: text(&json["host"]["os_user"]),
        });
    }
    events
}

/// A grant: its own events, and everything that covers it.
struct Grant<'a> {
    id: String,
    exercises: Vec<&'a Event>,
    started_at: i64,
    /// Every end: covering revokes, `expire` events, the expiry.
    ends: Vec<i64>,
}

impl Grant<'_> {
    fn ended_at(&self) -> Option<i64> {
        self.ends.iter().min().copied()
    }

    fn next_end(&self, t: i64, as_of: i64) -> Option<i64> {
        self.ends.iter().filter(|end| **end > t && **end <= as_of).min().copied()
    }

    fn last_exercised_at(&self) -> i64 {
        self.exercises.iter().map(|e| e.at).max().unwrap()
    }
}

fn grants(events: &[Event]) -> Vec<Grant<'_>> {
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    for event in events {
        if let (Some(token), Some(family)) = (&event.token, &event.family) {
            let known = families.entry(token).or_insert(family);
            *known = (*known).min(family);
        }
    }
    let grant_of = |e: &Event| -> Option<String> {
        let known = e.token.as_ref().and_then(|token| families.get(token.as_str())).map(|f| (*f).to_owned());
        let stated = e.family.clone().or(known).or_else(|| e.session.clone()).or_else(|| e.token.clone());
        let may_derive = ["issue", "refresh", "use", "expire", "reuse_detected"].contains(&e.action.as_str());
        let someone = e.subject.is_some() || e.client.is_some() || e.device.is_some();
        stated.or_else(|| {
            (may_derive && someone).then(|| format!("derived {:?} {:?} {:?}", e.subject, e.client, e.device))
        })
    };
    let mut own: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if let Some(id) = grant_of(event) {
            own.entry(id).or_default().push(event);
        }
    }
    let revokes: Vec<(&Event, Option<String>)> =
        events.iter().filter(|e| e.action == "revoke").map(|e| (e, grant_of(e))).collect();
    own.into_iter().filter_map(|(id, own)| grant(id, &own, &revokes)).collect()
}

fn grant<'a>(id: String, own: &[&'a Event], revokes: &[(&Event, Option<String>)]) -> Option<Grant<'a>> {
    let exercises: Vec<&Event> = own.iter().copied().filter(|e| e.exercised()).collect();
    if exercises.is_empty() {
        return None;
    }
    let derived = id.starts_with("derived ");
    let issues = exercises.iter().filter(|e| e.action == "issue").map(|e| e.issued_at.unwrap_or(e.at));
    let started_at = if derived { issues.max() } else { issues.min() }
        .or_else(|| own.iter().filter_map(|e| e.issued_at).min())
        .unwrap_or_else(|| own.iter().map(|e| e.at).min().unwrap());
    let short = |e: &Event| matches!(e.kind.as_deref(), Some("access" | "id"));
    let has_other = own.iter().any(|e| e.kind.is_some() && !short(e));
    let mut ends = Vec::new();
    for (revoke, named) in revokes {
        let covers = if revoke.token.is_some() || revoke.family.is_some() {
            named.as_deref() == Some(&id) && !(short(revoke) && has_other)
        } else {
            (revoke.subject.is_some() || revoke.session.is_some())
                && started_at <= revoke.at
                && exercises.iter().any(|e| revoke.names().iter().zip(e.names()).all(|(n, v)| n.is_none() || *n == v))
        };
        if covers {
            ends.push(revoke.at);
        }
    }
    ends.extend(own.iter().filter(|e| e.action == "expire" && !(short(e) && has_other)).map(|e| e.at));
    let lasting = |e: &&&Event| matches!(e.kind.as_deref(), Some("refresh" | "session" | "pat" | "api_key"));
    let expiry = if own.iter().any(|e| lasting(&e)) {
        own.iter().filter(lasting).filter_map(|e| e.expires_at).max()
    } else {
        own.iter().filter_map(|e| e.expires_at).max()
    };
    ends.extend(expiry);
    ends.retain(|end| !derived || *end > started_at);
    Some(Grant { id, exercises, started_at, ends })
}

/// One interval's verdict: violated and resolved. Several join to the earliest and the latest; open beats any end.
type Verdicts = BTreeMap<Vec<(&'static str, String)>, Vec<(i64, Option<i64>, bool)>>;

fn join(detector: &'static str, verdicts: Verdicts, severities: [&'static str; 2], found: &mut Vec<Truth>) {
    for (key, all) in verdicts {
        found.push(Truth {
            detector,
            key,
            violated_at: all.iter().map(|v| v.0).min().unwrap(),
            resolved_at: all.iter().map(|v| v.1).max_by_key(|end| end.unwrap_or(i64::MAX)).unwrap(),
            severity: severities[usize::from(all.iter().any(|v| v.2))],
        });
    }
}

/// Start and end of each interval opened by `opens`, with what it is about.
fn intervals<'a>(
    events: &'a [Event],
    opens: &str,
    closes: &str,
    same: impl Fn(&Event, &Event) -> bool,
) -> Vec<(&'a Event, Option<i64>)> {
    let open = events.iter().filter(|e| e.action == opens);
    open.map(|o| {
        let ends = events.iter().filter(|e| e.action == closes && e.at > o.at && same(o, e));
        (o, ends.map(|e| e.at).min())
    })
    .collect()
}

/// All findings of the four detectors at `as_of` under the default policy.
pub fn findings(lines: &[u8], as_of: i64) -> Vec<Truth> {
    let events = read(lines, as_of);
    let grants = grants(&events);
    let mut found = Vec::new();
    refresh_after_offboarding(&events, &grants, as_of, &mut found);
    token_older_than_policy(&grants, as_of, &mut found);
    shared_host_reuse(&grants, &mut found);
    unrevoked_lost_device(&events, &grants, as_of, &mut found);
    found.sort();
    found
}

fn refresh_after_offboarding(events: &[Event], grants: &[Grant<'_>], as_of: i64, found: &mut Vec<Truth>) {
    let same = |a: &Event, b: &Event| a.subject == b.subject && a.project == b.project;
    let mut verdicts = Verdicts::new();
    for (offboard, end) in intervals(events, "offboard", "reinstate", same) {
        for grant in grants {
            let inside = grant.exercises.iter().filter(|e| {
                e.action == "refresh"
                    && e.subject == offboard.subject
                    && (offboard.project.is_none() || offboard.project == e.project)
                    && e.at >= offboard.at
                    && end.is_none_or(|end| e.at < end)
            });
            let times: Vec<i64> = inside.map(|e| e.at).collect();
            if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
                let resolved_at = [grant.next_end(*last, as_of), end].into_iter().flatten().min();
                let key = vec![("subject_id", offboard.subject.clone().unwrap()), ("grant_id", grant.id.clone())];
                verdicts.entry(key).or_default().push((*first, resolved_at, false));
            }
        }
    }
    join("refresh_after_offboarding", verdicts, ["high"; 2], found);
}

fn token_older_than_policy(grants: &[Grant<'_>], as_of: i64, found: &mut Vec<Truth>) {
    let mut verdicts = Verdicts::new();
    for grant in grants {
        let until = grant.ended_at().unwrap_or(i64::MAX).min(as_of);
        for (reason, since, limit) in
            [("age", grant.started_at, 30 * DAY), ("idle", grant.last_exercised_at(), 14 * DAY)]
        {
            if until - since > limit {
                let key = vec![("grant_id", grant.id.clone()), ("reason", reason.to_owned())];
                let resolved_at = grant.ended_at().filter(|end| *end <= as_of);
                verdicts.entry(key).or_default().push((since + limit, resolved_at, until - since >= 2 * limit));
            }
        }
    }
    join("token_older_than_policy", verdicts, ["medium", "high"], found);
}

fn shared_host_reuse(grants: &[Grant<'_>], found: &mut Vec<Truth>) {
    let mut verdicts = Verdicts::new();
    let mut presences: BTreeMap<&str, BTreeMap<&str, (i64, i64)>> = BTreeMap::new();
    let mut accounts: BTreeMap<(&str, &str), BTreeMap<&str, i64>> = BTreeMap::new();
    for grant in grants {
        for e in &grant.exercises {
            let Some(host) = &e.host else { continue };
            if let (Some(subject), Some("human" | "agent")) = (&e.subject, e.subject_kind.as_deref()) {
                let presence = presences.entry(host).or_default().entry(subject).or_insert((e.at, e.at));
                *presence = (presence.0.min(e.at), presence.1.max(e.at));
            }
            if let Some(os_user) = &e.os_user {
                let first = accounts.entry((host, &grant.id)).or_default().entry(os_user).or_insert(e.at);
                *first = e.at.min(*first);
            }
        }
    }
    let mut fires = |host: &str, at: i64| {
        verdicts.entry(vec![("host_id", host.to_owned())]).or_default().push((at, None, false));
    };
    for (host, people) in &presences {
        for (a, first) in people {
            for (b, second) in people {
                let (earlier, later) = if first.0 <= second.0 { (first, second) } else { (second, first) };
                if a < b && later.0 <= earlier.1 + 12 * HOUR {
                    fires(host, later.0);
                }
            }
        }
    }
    for ((host, _), firsts) in &accounts {
        let mut firsts: Vec<i64> = firsts.values().copied().collect();
        firsts.sort_unstable();
        if let Some(second) = firsts.get(1) {
            fires(host, *second);
        }
    }
    join("shared_host_reuse", verdicts, ["high"; 2], found);
}

fn unrevoked_lost_device(events: &[Event], grants: &[Grant<'_>], as_of: i64, found: &mut Vec<Truth>) {
    let mut verdicts = Verdicts::new();
    for (lost, recovered) in intervals(events, "device_lost", "device_recovered", |a, b| a.device == b.device) {
        let x = lost.at + HOUR;
        if x > as_of || recovered.is_some_and(|recovered| x >= recovered) {
            continue;
        }
        for grant in grants {
            let until = |e: &&&Event| recovered.is_none_or(|recovered| e.at < recovered);
            let on_it = grant.exercises.iter().filter(|e| e.device == lost.device).filter(until);
            let live = grant.started_at <= x && grant.ended_at().is_none_or(|end| end > x);
            if live && on_it.clone().count() > 0 {
                let after = on_it.clone().any(|e| e.at > lost.at);
                let end = [grant.ended_at(), recovered].into_iter().flatten().min().filter(|end| *end <= as_of);
                let key = vec![("device_id", lost.device.clone().unwrap()), ("grant_id", grant.id.clone())];
                verdicts.entry(key).or_default().push((x, end, after));
            }
        }
    }
    join("unrevoked_lost_device", verdicts, ["high", "critical"], found);
}
