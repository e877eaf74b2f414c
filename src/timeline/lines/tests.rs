use super::*;
use crate::timeline::tests::{at, build_of, event};

const MINUTE: i64 = 60 * SECOND;

/// How many events each line stands for, of events after so many minutes that differ in action and host.
fn counts(events: &[(i64, &str, &str)]) -> Vec<usize> {
    let start = at("2026-10-01T08:00:00Z");
    let of =
        |(minutes, action, host): &(i64, &str, &str)| event(start + minutes * MINUTE, action, &[("host_id", host)]);
    let timeline = build_of(events.iter().map(of).collect(), Vec::new(), "", start + DAY);
    groups(&timeline.entries, 60 * MINUTE, false).iter().map(|group| group.entries.len()).collect()
}

#[test]
fn three_alike_are_one_line_and_two_are_not() {
    assert_eq!(counts(&[(0, "use", "a"), (1, "use", "a"), (2, "use", "a")]), [3]);
    assert_eq!(counts(&[(0, "use", "a"), (1, "use", "a")]), [1, 1]);
}

#[test]
fn a_silence_or_anything_else_of_the_grant_ends_a_line() {
    let alike = |from: i64| (0..3).map(move |i| (from + i, "use", "a"));
    let with = |more: &[(i64, &'static str, &'static str)]| {
        let mut events: Vec<_> = alike(0).chain(alike(70)).chain(more.iter().copied()).collect();
        events.sort_unstable();
        counts(&events)
    };
    assert_eq!(with(&[]), [3, 3]);
    assert_eq!(with(&[(30, "use", "a")]), [7]);
    assert_eq!(with(&[(30, "use", "b")]), [3, 1, 3]);
    assert_eq!(with(&[(30, "revoke", "a")]), [3, 1, 3]);
    assert_eq!(with(&[(30, "offboard", "")]), [3, 1, 3]);
}

#[test]
fn a_line_says_where_from() {
    let entry = |ip: &str, country: &str| {
        build_of(vec![event(0, "use", &[("ip", ip), ("country", country)])], Vec::new(), "", DAY).entries.remove(0)
    };
    let entries = [entry("192.0.2.1", "DE"), entry("192.0.2.2", "DE"), entry("192.0.2.1", "FR")];
    let from_of = |entries: &[Entry]| from(&Group { entries: entries.iter().collect() });
    assert_eq!(from_of(&entries[..1]), " from 192.0.2.1 (DE)");
    assert_eq!(from_of(&entries), " from 2 addresses (DE, FR)");
    assert_eq!(from_of(&[entry("", "")]), "");
}
