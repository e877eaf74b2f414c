use super::lines::{Shape, lines};
use super::*;
use crate::event::time::{DAY, SECOND, parse};

const HOUR: i64 = 3_600 * SECOND;

/// Microseconds of a moment.
pub fn at(text: &str) -> i64 {
    parse(text).unwrap()
}

/// An event of grant `g`, subject `ann`, refresh tokens; `more` are columns that differ.
pub fn event(when: i64, action: &str, more: &[(&str, &str)]) -> Event {
    let class = if ["offboard", "reinstate", "device_lost"].contains(&action) { "context" } else { "token" };
    let mut row = Map::new();
    let columns = [("class", class), ("action", action), ("outcome", "success"), ("subject_id", "ann")];
    let of_token = [("token_id", "t"), ("family_id", "g"), ("token_kind", "refresh"), ("client_id", "gh")];
    let of_token = of_token.iter().filter(|_| class == "token");
    for (name, value) in columns.iter().chain(of_token).chain(more) {
        if value.is_empty() {
            row.remove(*name);
        } else {
            row.insert((*name).to_owned(), (*value).into());
        }
    }
    let grant = (class == "token" && row.contains_key("token_id")).then(|| "g".to_owned());
    Event { at: when, grant, row }
}

fn opened(grant: &str, violated_at: i64) -> Change {
    let key = json!({ "grant_id": grant }).as_object().cloned().unwrap();
    Change {
        finding_id: "0123456789ab".to_owned(),
        detector: "refresh_after_offboarding".to_owned(),
        change: "opened".to_owned(),
        severity: "high".to_owned(),
        key,
        violated_at,
        at: violated_at,
        ..Change::default()
    }
}

/// The text of a timeline, wide enough for everything.
pub fn told(timeline: &Timeline, width: Option<usize>, all: bool) -> String {
    let shape = Shape { width, all, zone: Zone::utc() };
    let text = |line: &Vec<lines::Piece>| line.iter().map(|(_, text)| text.as_str()).collect::<String>() + "\n";
    lines(timeline, &shape).iter().map(text).collect()
}

pub fn build_of(events: Vec<Event>, changes: Vec<Change>, policy: &str, as_of: i64) -> Timeline {
    let policy = Policy::parse("policy.toml", policy).unwrap();
    let material = Material { shown: events.clone(), of_grants: events, changes };
    build(About::Grant, "g", &material, &policy, as_of, (i64::MIN, i64::MAX))
}

#[test]
fn a_life_in_order() {
    let start = at("2026-10-01T08:00:00Z");
    let mut events = vec![event(start, "issue", &[("ip", "192.0.2.1"), ("country", "DE")])];
    events.extend((1..=20).map(|i| event(start + i * HOUR, "refresh", &[("ip", "192.0.2.1")])));
    events.push(event(start + 3 * DAY, "offboard", &[("source", "hr")]));
    events.push(event(start + 16 * DAY, "refresh", &[("ip", "198.51.100.7"), ("country", "BR")]));
    let gone = vec![opened("g", start + 16 * DAY)];
    let timeline = build_of(events, gone, "[defaults]\nmax_age = \"10d\"\nmax_idle = \"7d\"\n", start + 20 * DAY);
    let expected = "\
grant g   22 events, 1 of context, 2 limits reached, 1 findings
  grant g: from 2026-10-01 08:00:00+00:00, alive; may become 10d old, idle 7d

Thu 2026-10-01
  08:00:00+00:00        0s  · issue, refresh token for ann with gh from 192.0.2.1 (DE)
  09:00:00+00:00        1h  · 20 × refresh, refresh token for ann with gh from 192.0.2.1 until 2026-10-02 04:00:00+00:00, 20h old
  ── 2 days of silence ──

Sun 2026-10-04
  08:00:00+00:00            ■ ann offboarded here (says hr)
  ── 4 days of silence ──

Fri 2026-10-09
  04:00:00+00:00    7d 20h  ! idle limit of 7d reached (default) [grant g]
  ── 2 days of silence ──

Sun 2026-10-11
  08:00:00+00:00       10d  ! age limit of 10d reached (default) [grant g]
  ── 6 days of silence ──

Sat 2026-10-17
  08:00:00+00:00       16d  · refresh, refresh token for ann with gh from 198.51.100.7 (BR)
  08:00:00+00:00            ▲ finding 01234567 refresh_after_offboarding (high) begins
  ── 4 days of silence, up to 2026-10-21 08:00:00+00:00 ──
";
    assert_eq!(told(&timeline, None, false), expected.replace(" [grant g]", ""));
    assert_eq!(told(&timeline, None, true).matches("· refresh,").count(), 21);
}

#[test]
fn no_line_is_wider_than_asked_and_none_commands_the_terminal() {
    let start = at("2026-10-01T08:00:00Z");
    let host = "h\u{1b}[2J".to_owned() + &"x".repeat(200);
    let events = (0..5).map(|i| event(start + i * HOUR / 6, "refresh", &[("host_id", &host)])).collect();
    let timeline = build_of(events, Vec::new(), "", start + DAY);
    for width in [40, 80, 100] {
        let text = told(&timeline, Some(width), false);
        assert!(text.lines().all(|line| console::measure_text_width(line) <= width), "{width}:\n{text}");
        assert!(!text.contains('\u{1b}'));
    }
    assert!(told(&timeline, Some(100), false).contains("until 2026-10-01 08:40:00+00:00"));
}

#[test]
fn what_lies_outside_the_range_counts_for_ages_only() {
    let start = at("2026-10-01T08:00:00Z");
    let events = vec![event(start, "issue", &[]), event(start + 5 * DAY, "use", &[])];
    let material = Material { shown: events.clone(), of_grants: events, changes: Vec::new() };
    let range = (start + DAY, i64::MAX);
    let timeline = build(About::Grant, "g", &material, &Policy::default(), start + 6 * DAY, range);
    assert_eq!(timeline.entries.len(), 1);
    assert_eq!(timeline.entries[0].age, Some(5 * DAY));
}

#[test]
fn decisions_stand_where_they_were_made_and_ends_where_the_condition_ended() {
    let start = at("2026-10-01T08:00:00Z");
    let mut resolved = opened("g", start);
    resolved.change = "resolved".to_owned();
    resolved.resolved_at = Some(start + DAY);
    let mut acked = opened("g", start);
    (acked.change, acked.at) = ("acked".to_owned(), start + 2 * HOUR);
    (acked.owner, acked.reason) = (Some("kim".to_owned()), Some("on it".to_owned()));
    let mut updated = opened("g", start);
    updated.change = "updated".to_owned();
    let timeline = build_of(vec![event(start, "issue", &[])], vec![resolved, acked, updated], "", start + 2 * DAY);
    let said: Vec<(i64, &str)> = timeline.entries.iter().skip(1).map(|e| (e.at - start, e.text.as_str())).collect();
    let name = "finding 01234567 refresh_after_offboarding (high)";
    let (begins, acked) = (format!("{name} begins"), format!("{name} acked by kim: on it"));
    // It was resolved and never opened: it began all the same.
    assert_eq!(said, [(0, &*begins), (2 * HOUR, &*acked), (DAY, &*format!("{name} resolved"))]);
}

mod of_lives {
    use super::*;

    fn life(events: &[Event], policy: &str, as_of: i64) -> Life {
        lives::of(events, &Policy::parse("policy.toml", policy).unwrap(), as_of).remove("g").unwrap()
    }

    #[test]
    fn the_first_of_its_ends_counts() {
        let start = at("2026-10-01T08:00:00Z");
        let issue = event(start, "issue", &[("expires_at", "2026-10-20T08:00:00Z")]);
        let ends = |more: &[Event], days: i64| {
            let events: Vec<Event> = [std::slice::from_ref(&issue), more].concat();
            let life = life(&events, "", start + days * DAY);
            life.ended_at.map(|at| (at - start) / DAY).zip(life.ended_by)
        };
        assert_eq!(ends(&[], 18), None);
        assert_eq!(ends(&[], 19), Some((19, "past its stated expiry")));
        assert_eq!(ends(&[event(start + 5 * DAY, "revoke", &[])], 30), Some((5, "revoked")));
        assert_eq!(
            ends(&[event(start + 5 * DAY, "revoke", &[("outcome", "failure")])], 30),
            Some((19, "past its stated expiry"))
        );
        assert_eq!(ends(&[event(start + 5 * DAY, "revoke", &[("token_kind", "access")])], 10), None);
        let broad = |more: &[(&str, &str)]| {
            event(
                start + 2 * DAY,
                "revoke",
                &[&[("token_id", ""), ("family_id", ""), ("token_kind", "")], more].concat(),
            )
        };
        assert_eq!(ends(&[broad(&[])], 10), Some((2, "revoked")));
        assert_eq!(ends(&[broad(&[("client_id", "other")])], 10), None);
        assert_eq!(ends(&[broad(&[("subject_id", "bob")])], 10), None);
    }

    #[test]
    fn the_last_rule_that_matches_an_exercise_decides() {
        let start = at("2026-10-01T08:00:00Z");
        let events = [event(start, "issue", &[("project_id", "atlas")])];
        let policy = "[defaults]\nmax_age = \"20d\"\n[[rule]]\nname = \"all\"\nmatch = { client_id = \"g*\" }\nmax_age = \"5d\"\n\
                      [[rule]]\nmatch = { project_id = \"atlas\" }\nmax_age = \"6d\"\n\
                      [[rule]]\nmatch = { project_id = \"other\" }\nmax_age = \"7d\"\n";
        let life = life(&events, policy, start + DAY);
        assert_eq!(life.max_age, Some((6 * DAY, "rule 2 (policy.toml:7)".to_owned())));
        assert_eq!(life.max_idle, Some((14 * DAY, "default".to_owned())));
    }

    #[test]
    fn limits_are_reached_by_the_living_only() {
        let start = at("2026-10-01T08:00:00Z");
        let policy = Policy::parse(
            "policy.toml",
            "[defaults]\nmax_age = \"10d\"\nmax_idle = \"4d\"\nlost_device_grace = \"1h\"\n",
        );
        let policy = policy.unwrap();
        let reached = |events: &[Event], as_of: i64| -> Vec<i64> {
            let lives = lives::of(events, &policy, as_of);
            let limits = lives.values().flat_map(|life| lives::limits(life, events, &policy, as_of));
            let mut at: Vec<i64> = limits.map(|entry| (entry.at - start) / HOUR).collect();
            at.sort_unstable();
            at
        };
        let issue = event(start, "issue", &[("device_id", "d")]);
        assert_eq!(reached(std::slice::from_ref(&issue), start + 4 * DAY), Vec::<i64>::new());
        assert_eq!(reached(std::slice::from_ref(&issue), start + 11 * DAY), [96, 240]);
        let revoked = [issue.clone(), event(start + 10 * DAY, "revoke", &[])];
        assert_eq!(reached(&revoked, start + 30 * DAY), [96]);
        let lost = [issue, event(start + DAY, "device_lost", &[("subject_id", ""), ("device_id", "d")])];
        assert_eq!(reached(&lost, start + 2 * DAY), [25]);
    }

    #[test]
    fn an_age_is_a_lower_bound_where_the_issuing_was_not_seen() {
        let start = at("2026-10-01T08:00:00Z");
        let seen = life(&[event(start, "refresh", &[("issued_at", "2026-09-01T08:00:00Z")])], "", start);
        assert_eq!((seen.started_at, seen.age_is_lower_bound), (Some(start - 30 * DAY), false));
        let unseen = life(&[event(start, "refresh", &[])], "", start);
        assert_eq!((unseen.started_at, unseen.age_is_lower_bound), (Some(start), true));
        assert!(lives::of(&[event(start, "revoke", &[])], &Policy::default(), start).is_empty());
    }
}

mod of_rows {
    use super::*;

    fn row(id: &str, token: &str, family: Option<&str>, hash: &str) -> Map<String, Value> {
        let row = json!({ "source": "okta", "event_id": id, "event_time": "2026-10-01T08:00:00Z", "token_id": token,
                          "grant_id": family.unwrap_or(token), "record_hash": hash, "subject_id": "a@example.com" });
        let mut row = row.as_object().cloned().unwrap();
        row.extend(family.map(|family| ("family_id".to_owned(), family.into())));
        row
    }

    #[test]
    fn each_event_once_under_the_grant_of_its_family() {
        let rows = [row("1", "t", Some("f"), "b"), row("2", "t", None, "a"), row("1", "u", Some("z"), "c")];
        let policy = Policy::default();
        let events = read::events(rows.into_iter(), &policy);
        let told: Vec<_> = events.iter().map(|e| (e.text("event_id").unwrap(), e.grant.as_deref().unwrap())).collect();
        assert_eq!(told, [("1", "f"), ("2", "f")]);
    }

    #[test]
    fn people_have_the_name_that_counts() {
        let identities = "alias,subject_id\na@example.com,ann\n";
        let identities = crate::identities::Identities::parse("people.csv", identities).unwrap();
        let policy = Policy::default().with_identities(identities);
        let events = read::events([row("1", "t", None, "a")].into_iter(), &policy);
        assert_eq!(events[0].text("subject_id"), Some("ann"));
    }
}
