//! Detectors from events in a lake to findings: the boundary cases of each detector, and the invariants of folds.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::buffer::Buffer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokentrail::decode;
use tokentrail::detect::catalog::Catalog;
use tokentrail::detect::{self, Report, Request, log};
use tokentrail::event::encoder::{Encoder, Origin, Original, Rows};
use tokentrail::event::time;
use tokentrail::finding::{State, Verdict};
use tokentrail::lake::{Appended, Lake, Reached};
use tokentrail::policy::Policy;

/// A lake on a temporary folder.
pub struct TestLake {
    pub lake: Lake,
    _folder: TempDir,
}

static OFFSET: AtomicI64 = AtomicI64::new(0);

impl TestLake {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open_or_create(folder.path().to_str().unwrap()).await.unwrap();
        Self { lake, _folder: folder }
    }

    /// Appends records in one commit.
    pub async fn feed(&self, records: &[String]) {
        if records.is_empty() {
            return;
        }
        let rows = rows(records);
        let keep: Vec<u32> = (0..rows.batch.num_rows() as u32).collect();
        let reached = Reached { advances: &[], marks: &Default::default() };
        let appended = self.lake.append(&[rows], &[keep], &reached).await.unwrap();
        assert!(matches!(appended, Appended::Committed(_)));
    }

    pub async fn detect(&self, policy: &Policy, as_of: &str, full: bool) -> Report {
        let request = Request { ids: Vec::new(), as_of: Some(at(as_of)), full };
        let catalog = Catalog::load(None).unwrap();
        let report = detect::run(&self.lake, policy, &catalog, &request).await.unwrap();
        assert_eq!(report.failures().collect::<Vec<_>>(), []);
        report
    }

    /// Every verdict as one short text, from folds; a full run must say the same.
    pub async fn verdicts(&self, policy: &Policy, as_of: &str) -> Vec<String> {
        let from_folds = shown(&self.detect(policy, as_of, false).await);
        assert_eq!(from_folds, shown(&self.detect(policy, as_of, true).await), "folds and a full run differ");
        from_folds
    }
}

fn rows(records: &[String]) -> Rows {
    let chunk = Buffer::from_vec(records.concat().into_bytes());
    let mut encoder = Encoder::new(chunk.clone(), records.len(), false);
    let mut from = 0;
    for record in records {
        let range = from..from + record.len();
        let bytes = &chunk.as_slice()[range.clone()];
        from = range.end;
        let hash = decode::hash(bytes);
        let offset = OFFSET.fetch_add(1, Ordering::Relaxed);
        let origin = Origin { topic: "test", partition: 0, offset, received_at: 1_790_000_000_000_000 };
        let original = Original { range, hash: &hash, index: 0 };
        let event = decode::decode(bytes, &hash).unwrap_or_else(|r| panic!("{}: {record}", r.0));
        encoder.event(&event, original, origin, 0);
    }
    encoder.finish().unwrap()
}

fn at(text: &str) -> i64 {
    time::parse(text).unwrap_or_else(|| panic!("{text} is no time"))
}

/// `detector key violated_at resolved_at severity` of every verdict.
fn shown(report: &Report) -> Vec<String> {
    let line = |v: &Verdict| {
        let key: Vec<String> = v.key.values().map(|v| v.as_str().unwrap_or("?").to_owned()).collect();
        let resolved = v.resolved_at.map_or("open".to_owned(), time::format);
        format!("{} {} {} {resolved} {}", v.detector, key.join("/"), time::format(v.violated_at), v.severity)
    };
    let rows = report.outcomes.iter().flat_map(|o| o.verdicts.as_ref().unwrap());
    let mut lines: Vec<String> = rows.map(line).collect();
    lines.sort();
    lines
}

/// A record: time and action, then `path=value` pairs such as `token.family=f`.
fn record(time: &str, action: &str, fields: &str) -> String {
    let mut record = json!({ "event_time": time, "action": action });
    for field in fields.split_whitespace() {
        let (path, value) = field.split_once('=').unwrap();
        let mut place = &mut record;
        for part in path.split('.') {
            place = &mut place[part];
        }
        *place = Value::from(value);
    }
    record.to_string()
}

/// The lines `DAYTHH:MM[:SS[.mmm]] action fields…` of November 2026.
fn records(story: &str) -> Vec<String> {
    let line = |line: &str| {
        let mut words = line.trim().splitn(3, ' ');
        let (time, action) = (words.next().unwrap(), words.next().unwrap());
        let time = if time.len() == 5 + 3 { format!("{time}:00") } else { time.to_owned() };
        record(&format!("2026-11-{time}Z"), action, words.next().unwrap_or_default())
    };
    story.lines().filter(|l| !l.trim().is_empty()).map(line).collect()
}

/// Asserts the verdicts of a story at a moment of November 2026, those of the named detectors only.
async fn expect(story: &str, as_of: &str, detector: &str, want: &[&str]) {
    expect_with(&Policy::default(), story, as_of, detector, want).await;
}

async fn expect_with(policy: &Policy, story: &str, as_of: &str, detector: &str, want: &[&str]) {
    let lake = TestLake::new().await;
    for record in records(story) {
        lake.feed(&[record]).await; // one commit each, so that folds have parts to merge
    }
    let found = lake.verdicts(policy, &format!("2026-11-{as_of}:00Z")).await;
    let strip = |line: &String| {
        let line = line.strip_prefix(detector)?.trim().to_owned();
        Some(line.replace("2026-11-", "").replace(":00Z", ""))
    };
    let found: Vec<String> = found.iter().filter_map(strip).collect();
    assert_eq!(found, want, "{story}");
}

#[tokio::test]
async fn refresh_after_offboarding_begins_with_the_moment_itself() {
    expect(
        "01T08:00 issue token.family=f token.kind=refresh subject.id=a@x.y
         10T07:59:59.999 refresh token.family=f subject.id=a@x.y
         10T08:00 offboard subject.id=A@x.y
         10T08:00 refresh token.family=f subject.id=a@x.y
         11T08:00 refresh token.family=f subject.id=a@x.y outcome=failure",
        "12T00:00",
        "refresh_after_offboarding",
        &["a@x.y/f 10T08:00 open high"],
    )
    .await;
}

#[tokio::test]
async fn the_grace_of_offboarding_is_the_policys() {
    let text = "[defaults]\noffboarding_grace = \"1h\"\n[[rule]]\nmatch = { client_id = \"slow-*\" }\noffboarding_grace = \"2h\"";
    let policy = Policy::parse("p.toml", text).unwrap();
    let story = "01T08:00 issue token.family=f subject.id=a client.id=gh
         01T08:00 issue token.family=s subject.id=a client.id=slow-1
         10T08:00 offboard subject.id=a
         10T08:59:59.999 refresh token.family=f subject.id=a client.id=gh
         10T09:30 refresh token.family=s subject.id=a
         10T10:00 refresh token.family=s subject.id=a";
    expect_with(&policy, story, "12T00:00", "refresh_after_offboarding", &["a/s 10T10:00 open high"]).await;
}

#[tokio::test]
async fn a_reinstatement_of_the_same_scope_ends_the_interval() {
    expect(
        "01T08:00 issue token.family=f subject.id=a project=p
         02T08:00 offboard subject.id=a project=p
         03T08:00 reinstate subject.id=a
         04T08:00 refresh token.family=f subject.id=a project=p
         04T09:00 refresh token.family=f subject.id=a project=q
         05T08:00 reinstate subject.id=a project=p
         06T08:00 refresh token.family=f subject.id=a project=p",
        "12T00:00",
        "refresh_after_offboarding",
        &["a/f 04T08:00 05T08:00 high"],
    )
    .await;
}

#[tokio::test]
async fn several_intervals_give_the_earliest_start_and_the_latest_end() {
    let story = "01T08:00 issue token.family=f subject.id=a
         02T08:00 offboard subject.id=a
         03T08:00 refresh token.family=f subject.id=a
         04T08:00 reinstate subject.id=a
         05T08:00 refresh token.family=f subject.id=a
         06T08:00 offboard subject.id=a
         07T08:00 refresh token.family=f subject.id=a";
    expect(story, "12T00:00", "refresh_after_offboarding", &["a/f 03T08:00 open high"]).await;
    expect(story, "06T09:00", "refresh_after_offboarding", &["a/f 03T08:00 04T08:00 high"]).await;
    let ended = format!("{story}\n09T08:00 revoke token.family=f");
    expect(&ended, "12T00:00", "refresh_after_offboarding", &["a/f 03T08:00 09T08:00 high"]).await;
    expect(&ended, "09T07:59", "refresh_after_offboarding", &["a/f 03T08:00 open high"]).await;
}

#[tokio::test]
async fn age_is_strict_and_doubles_in_severity() {
    let policy = Policy::parse("p.toml", "[defaults]\nmax_age = \"2d\"\nmax_idle = \"400d\"").unwrap();
    let story = "01T08:00 issue token.family=f";
    let detector = "token_older_than_policy";
    expect_with(&policy, story, "03T08:00", detector, &[]).await;
    expect_with(&policy, story, "03T08:01", detector, &["f/age 03T08:00 open medium"]).await;
    expect_with(&policy, story, "05T08:00", detector, &["f/age 03T08:00 open high"]).await;
    let ended = format!("{story}\n04T08:00 revoke token.family=f");
    expect_with(&policy, &ended, "09T08:00", detector, &["f/age 03T08:00 04T08:00 medium"]).await;
    let in_time = format!("{story}\n03T08:00 expire token.family=f");
    expect_with(&policy, &in_time, "09T08:00", detector, &[]).await;
}

#[tokio::test]
async fn idleness_counts_from_the_last_exercise() {
    let policy = Policy::parse("p.toml", "[defaults]\nmax_idle = \"2d\"").unwrap();
    let story = "01T08:00 issue token.family=f
         05T08:00 use token.family=f
         06T08:00 use token.family=f outcome=failure";
    expect_with(&policy, story, "07T08:01", "token_older_than_policy", &["f/idle 07T08:00 open medium"]).await;
    expect_with(&policy, story, "04T08:00", "token_older_than_policy", &["f/idle 03T08:00 open medium"]).await;
}

#[tokio::test]
async fn what_ends_a_grant() {
    let policy = Policy::parse("p.toml", "[defaults]\nmax_age = \"2d\"\nmax_idle = \"400d\"").unwrap();
    let detector = "token_older_than_policy";
    // An access token's revocation ends only a grant that has no other kind.
    let revoked = "04T08:00 revoke token.family=f token.kind=access";
    let other = format!("01T08:00 issue token.family=f token.kind=refresh\n{revoked}");
    expect_with(&policy, &other, "09T08:00", detector, &["f/age 03T08:00 open high"]).await;
    let alone = format!("01T08:00 issue token.family=f token.kind=access\n{revoked}");
    expect_with(&policy, &alone, "09T08:00", detector, &["f/age 03T08:00 04T08:00 medium"]).await;
    // One that names subject and client covers what one exercise carried of both, if it had started.
    let broad = "01T08:00 issue token.family=f subject.id=a client.id=gh
         02T08:00 use token.family=f subject.id=a client.id=az
         01T08:00 issue token.family=g subject.id=a client.id=az device.id=d
         04T08:00 revoke subject.id=a client.id=gh
         01T07:00 revoke subject.id=a
         04T09:00 revoke subject.id=a client.id=az device.id=d
         04T10:00 revoke device.id=d";
    let want = ["f/age 03T08:00 04T08:00 medium", "g/age 03T08:00 04T09:00 medium"];
    expect_with(&policy, broad, "09T08:00", detector, &want).await;
    // A session alone is enough.
    let session = "01T08:00 issue token.family=f session=s\n04T08:00 revoke session=s subject.id=other";
    expect_with(&policy, session, "09T08:00", detector, &["f/age 03T08:00 open high"]).await;
    let session = "01T08:00 issue token.family=f session=s\n04T08:00 revoke session=s";
    expect_with(&policy, session, "09T08:00", detector, &["f/age 03T08:00 04T08:00 medium"]).await;
    // Expiry of the longest-lived kind, not of the access tokens.
    let expiring = "01T08:00 issue token.family=f token.kind=refresh token.expires_at=2026-11-05T08:00:00Z
         01T08:00 use token.family=f token.kind=access token.expires_at=2026-11-20T08:00:00Z";
    expect_with(&policy, expiring, "09T08:00", detector, &["f/age 03T08:00 05T08:00 high"]).await;
}

#[tokio::test]
async fn a_derived_grant_begins_with_its_last_login() {
    let policy = Policy::parse("p.toml", "[defaults]\nmax_age = \"2d\"\nmax_idle = \"400d\"").unwrap();
    let story = "01T08:00 issue subject.id=a client.id=gh
         02T08:00 expire subject.id=a client.id=gh
         03T08:00 issue subject.id=a client.id=gh
         06T08:00 expire subject.id=a client.id=gh";
    let lake = TestLake::new().await;
    lake.feed(&records(story)).await;
    let found = lake.verdicts(&policy, "2026-11-09T08:00:00Z").await;
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("2026-11-05T08:00:00Z 2026-11-06T08:00:00Z medium"), "{found:?}");
}

#[tokio::test]
async fn a_token_met_with_a_family_belongs_to_it() {
    let policy = Policy::parse("p.toml", "[defaults]\nmax_age = \"2d\"\nmax_idle = \"400d\"").unwrap();
    let story = "01T08:00 issue token.id=t
         02T08:00 use token.id=t token.family=g
         02T09:00 use token.id=t token.family=f
         04T08:00 revoke token.id=t";
    let want = ["f/age 03T08:00 04T08:00 medium", "g/age 04T08:00 open medium"];
    expect_with(&policy, story, "05T08:00", "token_older_than_policy", &want).await;
    // Before the family was known, the token stood alone.
    expect_with(&policy, story, "01T09:00", "token_older_than_policy", &[]).await;
}

#[tokio::test]
async fn people_on_one_host_within_the_window() {
    let detector = "shared_host_reuse";
    let story = "01T08:00 use token.family=f subject.id=a host.id=h
         02T08:00 use token.family=f subject.id=a host.id=h
         02T20:00 use token.family=g subject.id=b host.id=h";
    expect(story, "09T08:00", detector, &["h 02T20:00 open high"]).await;
    expect(&story.replace("02T20:00", "02T20:00:00.001"), "09T08:00", detector, &[]).await;
    expect(&story.replace("subject.id=b", "subject.id=b subject.kind=service"), "09T08:00", detector, &[]).await;
    let accounts = "01T08:00 use token.family=f subject.id=a subject.kind=service host.id=h host.os_user=u
         03T08:00 use token.family=f subject.id=a subject.kind=service host.id=h host.os_user=v
         04T08:00 use token.family=f subject.id=a subject.kind=service host.id=h";
    expect(accounts, "09T08:00", detector, &["h 03T08:00 open high"]).await;
    let allow =
        Policy::parse("p.toml", "[[rule]]\nmatch = { host_kind = \"jump_host\" }\nshared_host = \"allow\"").unwrap();
    let jump = story.replace("host.id=h", "host.id=h host.kind=jump_host");
    expect_with(&allow, &jump, "09T08:00", detector, &[]).await;
    expect_with(&allow, story, "09T08:00", detector, &["h 02T20:00 open high"]).await;
}

#[tokio::test]
async fn a_grant_alive_after_the_grace_of_a_loss() {
    let detector = "unrevoked_lost_device";
    let story = "01T08:00 issue token.family=f device.id=d\n05T08:00 device_lost device.id=d";
    expect(story, "05T08:59", detector, &[]).await;
    expect(story, "05T09:00", detector, &["d/f 05T09:00 open high"]).await;
    let revoked = |time: &str| format!("{story}\n{time} revoke token.family=f");
    expect(&revoked("05T09:00"), "09T08:00", detector, &[]).await;
    expect(&revoked("05T09:00:00.001"), "09T08:00", detector, &["d/f 05T09:00 05T09:00:00.001Z high"]).await;
    let recovered = |time: &str| format!("{story}\n{time} device_recovered device.id=d");
    expect(&recovered("05T09:00"), "09T08:00", detector, &[]).await;
    expect(&recovered("06T08:00"), "09T08:00", detector, &["d/f 05T09:00 06T08:00 high"]).await;
    let used = format!("{story}\n05T08:30 use token.family=f device.id=d");
    expect(&used, "09T08:00", detector, &["d/f 05T09:00 open critical"]).await;
    let after = "05T08:00 device_lost device.id=d\n06T08:00 device_recovered device.id=d\n07T08:00 issue token.family=f device.id=d";
    expect(after, "09T08:00", detector, &[]).await;
}

#[tokio::test]
async fn of_one_event_told_twice_the_views_show_the_smaller_hash_and_order_does_not_matter() {
    let twice = |extra: &str| record("2026-11-05T08:00:00Z", "revoke", &format!("event_id=e token.family=f {extra}"));
    let (revoke, failed) = (twice(""), twice("outcome=failure"));
    let wins = decode::hash(revoke.as_bytes())[..16] < decode::hash(failed.as_bytes())[..16];
    let issue = record("2026-11-01T08:00:00Z", "issue", "token.family=f");
    let policy = Policy::parse("p.toml", "[defaults]\nmax_age = \"2d\"\nmax_idle = \"400d\"").unwrap();
    let mut findings = Vec::new();
    for order in [[&issue, &revoke, &failed], [&failed, &revoke, &issue]] {
        let lake = TestLake::new().await;
        for record in order {
            lake.feed(std::slice::from_ref(record)).await;
        }
        findings.push(lake.verdicts(&policy, "2026-11-09T08:00:00Z").await);
        let uri = lake.lake.uri().to_string();
        let sql = "SELECT outcome FROM token_events WHERE action = 'revoke'";
        let output = crate::harness::tokentrail(&["--lake", &uri, "-o", "csv", "query", sql]);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(shown.lines().collect::<Vec<_>>(), ["outcome", if wins { "success" } else { "failure" }]);
    }
    assert_eq!(findings[0], findings[1]);
}

/// One detector asks for one grant of a subject; another, that compares all of the subject's, must not take it for all.
#[tokio::test]
async fn what_one_detector_nominates_does_not_mislead_another() {
    let exercise = |time: &str, action: &str, family: &str, place: &str| {
        record(time, action, &format!("token.family={family} subject.id=ana@example.com subject.kind=human {place}"))
    };
    let (home, away) = ("host.id=h2 network.country=BR", "host.id=h3 network.country=DE");
    let lake = TestLake::new().await;
    lake.feed(&[
        exercise("2026-09-01T08:00:00Z", "issue", "fm-1", home),
        exercise("2026-09-02T08:00:00Z", "refresh", "fm-0", away),
        exercise("2026-10-01T08:00:00Z", "issue", "fm-2", home),
        exercise("2026-11-01T08:00:00Z", "refresh", "fm-2", away),
    ])
    .await;
    let found = lake.verdicts(&Policy::default(), "2026-11-20T00:00:00Z").await;
    let by = |detector: &str| found.iter().filter(|f| f.starts_with(detector)).count();
    assert_eq!((by("token_on_many_hosts"), by("new_context_for_subject")), (1, 0), "{found:#?}");
}

/// The generator's company, in some batches, in some order.
async fn company(batches: usize, shuffle: bool) {
    use tokentrail::generate::{Generator, Options};
    let options = Options { events: 20_000, shuffle, ..Options::default() };
    let mut generator = Generator::new(&options);
    let mut want: Vec<String> = generator
        .truth()
        .iter()
        .map(|t| {
            let key: Vec<String> = t.key.iter().map(|(_, v)| v.clone()).collect();
            let resolved = t.resolved_at.map_or("open".to_owned(), time::format);
            format!("{} {} {} {resolved} {}", t.detector, key.join("/"), time::format(t.violated_at), t.severity)
        })
        .collect();
    want.sort();
    let mut bytes = Vec::new();
    generator.write_to(&mut bytes).unwrap();
    let lines: Vec<String> = String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect();
    let lake = TestLake::new().await;
    let as_of = time::format(options.end);
    for batch in lines.chunks(lines.len().div_ceil(batches)) {
        lake.feed(batch).await;
        lake.detect(&Policy::default(), &as_of, false).await;
    }
    // Folds and all events agree on every detector; the truth is about those that the company plants findings for.
    let found = lake.verdicts(&Policy::default(), &as_of).await;
    let planted: BTreeSet<&str> = generator.truth().iter().map(|truth| truth.detector).collect();
    let found: Vec<_> = found.into_iter().filter(|f| planted.contains(f.split(' ').next().unwrap())).collect();
    let missing: Vec<_> = want.iter().filter(|w| !found.contains(w)).collect();
    let extra: Vec<_> = found.iter().filter(|f| !want.contains(f)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?}\nextra {extra:#?}");
    let present = log::present(&lake.lake).await.unwrap();
    // A grant that looked idle before its later events came is no longer so: that is resolved, not retracted.
    let idle = json!("idle");
    let standing = present.iter().filter(|f| {
        planted.contains(&*f.verdict.detector)
            && f.state != State::Retracted
            && f.verdict.key.get("reason") != Some(&idle)
    });
    let true_ones = want.iter().filter(|line| !line.contains("/idle "));
    assert_eq!(standing.count(), true_ones.count(), "what is not retracted is what is true");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_truth_of_a_company_at_once() {
    company(1, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_truth_of_a_company_in_any_order() {
    company(13, true).await;
}
