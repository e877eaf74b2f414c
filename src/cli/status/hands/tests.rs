use super::*;
use crate::policy::Policy;

const HOUR: i64 = 3_600 * SECOND;
/// 2026-11-01T12:00:00Z
const NOON: i64 = 1_793_534_400_000_000;

fn feed(hours: &[i64]) -> Feed {
    Feed::of("hr".to_owned(), "offboarding", &hours.iter().map(|h| NOON + h * HOUR).collect::<Vec<_>>())
}

#[test]
fn what_is_usual_follows_from_history() {
    let daily: Vec<i64> = (0..10).map(|day| day * 24).collect();
    let feed_of_days = feed(&daily);
    assert_eq!(feed_of_days.usual, Some(36 * HOUR));
    let last = NOON + 9 * 24 * HOUR;
    assert!(!feed_of_days.is_stale(last + 36 * HOUR));
    assert!(feed_of_days.is_stale(last + 36 * HOUR + 1));
    // One long pause among many is not what is usual; among few it is the best guess.
    let holiday = |regular: i64| (0..regular).map(|day| day * 24).chain([regular * 24 + 240]).collect::<Vec<_>>();
    assert_eq!(feed(&holiday(40)).usual, Some(36 * HOUR));
    assert_eq!(feed(&holiday(8)).usual, Some((240 + 24) * HOUR * 3 / 2));
}

#[test]
fn few_pauses_say_nothing() {
    for hours in [&[][..], &[0], &[0, 24, 48, 72, 96], &[0, 0, 0, 0, 0, 0, 0, 0]] {
        let feed = feed(hours);
        assert_eq!((feed.usual, feed.is_stale(i64::MAX / 2)), (None, false), "{hours:?}");
    }
    assert_eq!(of_feeds(&[feed(&[0, 24])], i64::MAX / 2), []);
}

#[test]
fn buckets_end_where_they_say() {
    assert_eq!([-1, 0, DAY - 1, DAY, 7 * DAY, 30 * DAY, i64::MAX].map(bucket), [0, 0, 0, 1, 2, 3, 3]);
}

#[test]
fn a_rise_is_beside_what_was_usual() {
    let days = |counts: &[(i64, u64)]| -> BTreeMap<String, u64> {
        counts.iter().map(|(ago, count)| (time::date(NOON - ago * DAY), *count)).collect()
    };
    assert_eq!(of_rejected(&days(&[]), NOON), None);
    assert_eq!(of_rejected(&days(&[(0, 9)]), NOON), None);
    assert!(of_rejected(&days(&[(0, 10)]), NOON).unwrap().what.starts_with("10 records"));
    let usual: Vec<(i64, u64)> = (2..16).map(|day| (day, 10)).collect();
    assert_eq!(of_rejected(&days(&[&usual[..], &[(1, 30)]].concat()), NOON), None);
    assert!(of_rejected(&days(&[&usual[..], &[(1, 31)]].concat()), NOON).is_some());
}

#[test]
fn exceptions_are_told_of_before_and_after_they_end() {
    let text = "[[exception]]\ndetector = \"shared_host_reuse\"\nmatch = { host_id = \"h\" }\nreason = \"lab\"\n\
                owner = \"kim\"\nuntil = \"2026-11-10\"\n";
    let policy = Policy::parse("policy.toml", text).unwrap();
    let told = |as_of: i64| of_exceptions(policy.exceptions(), as_of).into_iter().map(|h| h.what).collect::<Vec<_>>();
    assert_eq!(told(NOON - 30 * DAY), Vec::<String>::new());
    assert_eq!(told(NOON), ["exception for shared_host_reuse (kim) ends in 8 days: lab"]);
    assert_eq!(
        told(NOON + 10 * DAY),
        ["exception for shared_host_reuse (kim) ended 1 day ago and excepts nothing: lab"]
    );
}

#[test]
fn runs_that_failed_and_runs_that_never_were() {
    assert_eq!(of_runs(&[], 0), []);
    assert_eq!(of_runs(&[], 1)[0].look, "tokentrail detect");
    let run = Run { failed: vec![("mine".to_owned(), "no column x\nmore".to_owned())], ..Run::default() };
    let hands = of_runs(&[run, Run::default()], 1);
    assert_eq!(
        hands,
        [Hand { what: "detector mine failed: no column x".into(), look: "tokentrail detect mine".into() }]
    );
    assert_eq!(of_runs(&[Run::default()], 1), []);
}

#[test]
fn what_is_lacking_is_said_once_for_all_detectors() {
    let hands = of_lacking([("logout", "b"), ("logout", "a"), ("logout", "a"), ("issue", "c")].into_iter());
    let told: Vec<_> = hands.iter().map(|hand| hand.what.as_str()).collect();
    assert_eq!(
        told,
        [
            "no issue event was ever read: c can find nothing",
            "no logout event was ever read: a and 1 more can find nothing"
        ]
    );
}
