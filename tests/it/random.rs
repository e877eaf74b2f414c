//! Incremental = full: small random histories, told late, twice and out of order, with runs and compaction in between.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tokentrail::detect::catalog::Catalog;
use tokentrail::detect::frame::Reach;
use tokentrail::detect::{self, Look, Outcome, Request, Span, runs};
use tokentrail::event::time;
use tokentrail::ingest::Options;
use tokentrail::lake::maintenance;
use tokentrail::policy::Policy;

use crate::harness::{TempLake, ingest_memory};

const SEEDS: u64 = 200;
/// Histories that share a lake, each with names of its own: most of what a run on a small lake costs is planning.
const SHARING: u64 = 10;
/// Lakes that are looked at side by side.
const LANES: usize = 2;
const POLICY: &str = "
[defaults]
rotation = true
max_hosts = 1
allowed_scopes = [\"repo\", \"read:*\"]
lost_device_grace = \"2h\"
egress_asns = [64512]
[[rule]]
match = { client_id = \"*-cli-1\" }
max_age = \"10d\"
refresh = \"never\"
[[rule]]
match = { host_id = \"*-host-0\" }
shared_host = \"allow\"
[break_glass]
match = { client_id = \"*-cli-2\" }
[[exception]]
detector = \"token_older_than_policy\"
match = { grant_id = \"*-fm-1\" }
reason = \"r\"
owner = \"o\"
until = 2027-01-01
";

/// The splitmix64 generator.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (b ^ (b >> 31)) % below
    }

    pub fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.roll(of.len() as u64) as usize]
    }
}

/// A moment on one of 20 days in a hundred, most on the full minute, so that equal times and exact limits are met. A day is
/// a folder of files in the lake: more days would only take longer.
fn moment(dice: &mut Dice) -> i64 {
    let start = time::parse("2026-08-12T00:00:00Z").unwrap();
    let (day, minute) = (dice.roll(20) as i64 * 5, dice.roll(24 * 12) as i64 * 5);
    start + day * time::DAY + minute * 60_000_000 + if dice.roll(8) == 0 { 1_000 } else { 0 }
}

/// A record as far as every one of them goes.
pub fn begun(id: &str, at: i64, action: &str, source: &str) -> String {
    let at = time::format(at);
    format!("{{\"event_id\":\"{id}\",\"event_time\":\"{at}\",\"action\":\"{action}\",\"source\":\"{source}\"")
}

/// One record; ids are few, so that stories meet.
fn record(dice: &mut Dice, seed: u64, number: u64) -> String {
    const ACTIONS: [&str; 16] = [
        "issue",
        "issue",
        "refresh",
        "refresh",
        "refresh",
        "refresh",
        "use",
        "use",
        "revoke",
        "logout",
        "expire",
        "reuse_detected",
        "offboard",
        "reinstate",
        "device_lost",
        "device_recovered",
    ];
    let action = if dice.roll(25) == 0 { "compromise" } else { dice.pick(&ACTIONS) };
    let at = moment(dice);
    let grant = dice.roll(12);
    // A grant has an owner, a device and a host of its own, from which it strays now and then.
    let stray = |dice: &mut Dice, of: u64| if dice.roll(6) == 0 { dice.roll(of) } else { grant % of };
    let (subject, device, host, client) = (stray(dice, 5), stray(dice, 4), stray(dice, 4), stray(dice, 4));
    let mut text = begun(&format!("{seed}-e{number}"), at, action, &format!("{seed}-s{}", grant % 2));
    if dice.roll(10) == 0 {
        text.push_str(",\"outcome\":\"failure\"");
    }
    let is_context = matches!(action, "offboard" | "reinstate" | "device_lost" | "device_recovered");
    if !is_context && dice.roll(12) > 0 {
        token(dice, seed, grant, at, &mut text);
    }
    if action != "device_lost" && action != "device_recovered" {
        let kind = if subject == 4 { "service" } else { "human" };
        let _ = write!(text, ",\"subject\":{{\"id\":\"{seed}-ana{subject}@example.com\",\"kind\":\"{kind}\"}}");
    }
    if !is_context || dice.roll(3) == 0 {
        let _ = write!(text, ",\"project\":\"{seed}-p{}\"", dice.roll(2));
    }
    if !is_context {
        let _ = write!(text, ",\"client\":{{\"id\":\"{seed}-cli-{client}\"}},\"session\":\"{seed}-s-{grant}\"");
        let os_user = stray(dice, 5);
        let kind = dice.pick(&["workstation", "workstation", "ci_runner", "container"]);
        let _ =
            write!(text, ",\"host\":{{\"id\":\"{seed}-host-{host}\",\"kind\":\"{kind}\",\"os_user\":\"u{os_user}\"}}");
        let (country, asn) = (dice.pick(&["DE", "DE", "DE", "JP", "US"]), 64_510 + dice.roll(4));
        let agent = dice.pick(&["gh/2.1", "gh/2.2", "curl/8"]);
        let _ = write!(text, ",\"network\":{{\"country\":\"{country}\",\"asn\":{asn},\"user_agent\":\"{agent}\"}}");
    }
    if !matches!(action, "offboard" | "reinstate") && (is_context || dice.roll(4) > 0) {
        let _ = write!(text, ",\"device\":{{\"id\":\"{seed}-dev-{device}\"}}");
    }
    text.push('}');
    text
}

/// What a record says of its token.
fn token(dice: &mut Dice, seed: u64, grant: u64, at: i64, text: &mut String) {
    text.push_str(",\"token\":{");
    let has_family = dice.roll(5) > 0;
    if has_family {
        let _ = write!(text, "\"family\":\"{seed}-fm-{grant}\",");
    }
    if !has_family || dice.roll(2) == 0 {
        let _ = write!(text, "\"id\":\"{seed}-tk-{grant}-{}\",", dice.roll(3));
    }
    if dice.roll(15) == 0 {
        let _ = write!(text, "\"parent\":\"{seed}-fm-{}\",", dice.roll(12));
    }
    if dice.roll(3) == 0 {
        let _ = write!(text, "\"issued_at\":\"{}\",", time::format(at - dice.roll(40) as i64 * 3_600_000_000));
    }
    if dice.roll(3) == 0 {
        let _ = write!(text, "\"expires_at\":\"{}\",", time::format(at + dice.roll(900) as i64 * 3_600_000_000));
    }
    if dice.roll(4) == 0 {
        let _ = write!(text, "\"scopes\":[\"{}\"],", dice.pick(&["repo", "read:org", "admin:org"]));
    }
    if dice.roll(4) == 0 {
        let _ = write!(text, "\"storage\":\"{}\",", dice.pick(&["keychain", "plaintext_file", "unknown"]));
    }
    let _ = write!(text, "\"kind\":\"{}\"}}", dice.pick(&["refresh", "refresh", "access", "session"]));
}

/// Every row, in words that name all of it. Keys begin with the seed of their history.
pub fn said(outcomes: &[Outcome]) -> BTreeSet<String> {
    said_of(outcomes, i64::MIN)
}

/// The same of those that were not yet resolved at a moment.
fn said_of(outcomes: &[Outcome], since: i64) -> BTreeSet<String> {
    let rows = outcomes.iter().flat_map(|outcome| outcome.verdicts.as_ref().unwrap());
    let rows = rows.filter(|v| v.resolved_at.is_none_or(|at| at > since));
    let said = rows.map(|v| {
        let resolved = v.resolved_at.map(time::format);
        let key = serde_json::Value::Object((*v.key).clone());
        let (at, evidence) = (time::format(v.violated_at), v.evidence.digest());
        format!("{key} {} {} {at} {resolved:?} {evidence}", v.detector, v.severity)
    });
    said.collect()
}

/// Some histories: in two commits with repeats, with runs that keep things in between, then all of it again.
async fn histories(seeds: std::ops::Range<u64>) {
    let mut dice = Dice(seeds.start);
    let policy = Policy::parse("policy.toml", POLICY).unwrap();
    let catalog = Catalog::load(None).unwrap();
    let mut records: Vec<String> = Vec::new();
    for seed in seeds.clone() {
        let mut dice = Dice(seed);
        for number in 0..120 {
            let place = dice.roll(records.len() as u64 + 1) as usize;
            records.insert(place, record(&mut dice, seed, number));
        }
    }
    for _ in 0..15 * SHARING {
        let again = records[dice.roll(records.len() as u64) as usize].clone();
        records.insert(dice.roll(records.len() as u64) as usize, again);
    }
    let folder = TempLake::new();
    let lake = folder.open().await;
    let end = time::parse("2026-11-20T00:00:00Z").unwrap();
    let bytes: Vec<Option<Vec<u8>>> = records.iter().map(|record| Some(record.clone().into_bytes())).collect();
    let mut runs_made = Vec::new();
    let mut last = (end, BTreeSet::new());
    for told in [dice.roll(bytes.len() as u64) as usize, bytes.len()] {
        ingest_memory(&lake, vec![bytes[..told].to_vec()], &Options::default(), 50).await;
        if dice.roll(2) == 0 {
            maintenance::compact(lake.events(), Some(2)).await.unwrap();
        }
        let as_of = if dice.roll(3) == 0 { moment(&mut dice) } else { end };
        let request = Request { as_of: Some(as_of), ..Request::default() };
        let report = detect::run(&lake, &policy, &catalog, &request).await.unwrap();
        last = (as_of, said(&report.outcomes));
        runs_made.extend(report.recorded.then_some(report.run_id));
    }
    let request = Request { as_of: Some(last.0), full: true, ..Request::default() };
    let everything = detect::look(&lake, &policy, &catalog, &request).await.unwrap();
    let all = said(&everything);
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| -> Vec<String> {
        these.difference(those).cloned().collect()
    };
    let (folds, events) = (only(&last.1, &all), only(&all, &last.1));
    let as_of = time::format(last.0);
    assert!(
        folds.is_empty() && events.is_empty(),
        "seeds {seeds:?} as of {as_of}: only from folds {folds:#?}, only from all events {events:#?}"
    );
    let since = moment(&mut dice);
    let state = lake.events().refresh().await.unwrap();
    let look = Look { ids: &[], span: Span { since: Some(since), as_of: last.0 } };
    let lasting = said(&detect::seen(&lake, &state, &policy, &catalog, look, Reach::Kept).await.unwrap());
    let all = said_of(&everything, since);
    let (period, events) = (only(&lasting, &all), only(&all, &lasting));
    let since = time::format(since);
    assert!(
        period.is_empty() && events.is_empty(),
        "seeds {seeds:?} since {since} as of {as_of}: only in the period {period:#?}, only in all there was {events:#?}"
    );
    for (name, rebuilt) in detect::rebuild(&lake, &policy, 20).await.unwrap() {
        assert_ne!(rebuilt.is_same, Some(false), "seeds {seeds:?}: fold {name}");
    }
    let past = runs::recorded(&lake, &runs_made[0]).await.unwrap();
    let (as_of, cut) = (past.run.as_of, past.run.cut());
    let again = detect::repeat(&lake, &past.policy, &past.catalog, &[], as_of, cut).await.unwrap();
    assert_eq!(past.came, detect::came(&again), "seeds {seeds:?}: the first run repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_histories_give_the_same_from_folds_as_from_all_events() {
    let mut waiting: Vec<u64> = (1..=SEEDS).step_by(SHARING as usize).collect();
    let mut running = tokio::task::JoinSet::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < LANES
            && let Some(seed) = waiting.pop()
        {
            running.spawn(async move { histories(seed..seed + SHARING).await });
        }
        if let Some(done) = running.join_next().await {
            done.unwrap();
        }
    }
}
