//! Going on from a base = looking at everything: long histories in the order of time, with a run after each stretch.
//!
//! Grants follow each other, and most are settled when the next ones live. Now and then something of the past comes up
//! again: a settled grant is used, its owner leaves, its device is lost, all of a subject's tokens are revoked, a row is
//! late by days or by months. After each stretch the run that went on must say what one says that looks at everything.

use std::fmt::Write as _;

use tokentrail::detect::catalog::Catalog;
use tokentrail::detect::{self, Request, runs};
use tokentrail::event::time;
use tokentrail::ingest::Options;
use tokentrail::lake::maintenance;
use tokentrail::policy::Policy;

use crate::harness::{TempLake, ingest_memory};
use crate::random::{Dice, begun, said};

/// Durations are short, so that grants settle 40 days after they ended.
const POLICY: &str = "
[defaults]
rotation = true
max_age = \"3d\"
max_idle = \"2d\"
refresh_ttl = \"3d\"
dormant_after = \"2d\"
dormant_quiet_after = \"3d\"
min_history = \"1d\"
lost_device_grace = \"2h\"
allowed_scopes = [\"repo\", \"read:*\"]
egress_asns = [64512]
[[rule]]
match = { client_id = \"cli-1\" }
max_age = \"2d\"
refresh = \"never\"
[[rule]]
match = { host_id = \"host-0\" }
shared_host = \"allow\"
[break_glass]
match = { client_id = \"cli-2\" }
[[exception]]
detector = \"token_older_than_policy\"
match = { grant_id = \"fm-1\" }
reason = \"r\"
owner = \"o\"
until = 2026-08-01
";
const STRETCHES: i64 = 6;
const STRETCH_DAYS: i64 = 30;
const RECORDS: u64 = 60;

/// One record of a stretch; ids are few, so that stories meet.
fn record(dice: &mut Dice, stretch: i64, number: u64, has_lone_tokens: bool) -> String {
    const ACTIONS: [&str; 12] = [
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
    ];
    const CONTEXT: [&str; 5] = ["offboard", "reinstate", "device_lost", "device_recovered", "compromise"];
    let start = time::parse("2026-03-01T00:00:00Z").unwrap();
    // Few days, because each is a folder of files; one row in 15 belongs to an earlier one, one in 400 to long ago.
    let late = if dice.roll(400) == 0 {
        60
    } else if dice.roll(15) == 0 {
        5
    } else {
        0
    };
    let day = (stretch * STRETCH_DAYS + dice.roll(5) as i64 * 5 - late).max(0);
    let at =
        start + day * time::DAY + dice.roll(24 * 12) as i64 * 300_000_000 + if dice.roll(8) == 0 { 1_000 } else { 0 };
    let old = dice.roll(25) == 0;
    let grant = if old { dice.roll(stretch as u64 * 4 + 1) } else { stretch as u64 * 4 + dice.roll(5) };
    let stray = |dice: &mut Dice, of: u64| if dice.roll(8) == 0 { dice.roll(of) } else { grant % of };
    let (subject, device, host, client) = (stray(dice, 5), stray(dice, 4), stray(dice, 4), stray(dice, 4));
    let is_context = dice.roll(12) == 0;
    let action = dice.pick(if is_context { &CONTEXT } else { &ACTIONS });
    let mut text = begun(&format!("e{stretch}-{number}"), at, action, &format!("s{}", grant % 2));
    if dice.roll(12) == 0 {
        text.push_str(",\"outcome\":\"failure\"");
    }
    let is_broad = matches!(action, "revoke" | "logout") && dice.roll(3) == 0;
    if !is_context && !is_broad {
        let has_family = !has_lone_tokens || dice.roll(4) > 0;
        token(dice, grant, at, has_family, &mut text);
    }
    if !action.starts_with("device") {
        let kind = dice.pick(&["human", "human", "human", "service", "unknown"]);
        let _ = write!(text, ",\"subject\":{{\"id\":\"ana{subject}@example.com\",\"kind\":\"{kind}\"}}");
    }
    if !is_context {
        let _ = write!(
            text,
            ",\"client\":{{\"id\":\"cli-{client}\"}},\"host\":{{\"id\":\"host-{host}\",\"kind\":\"workstation\""
        );
        let (os_user, agent) = (stray(dice, 5), dice.pick(&["gh/2.1", "gh/2.2", "curl/8"]));
        let (country, asn) = (dice.pick(&["DE", "DE", "DE", "JP"]), 64_510 + dice.roll(4));
        let _ = write!(text, ",\"os_user\":\"u{os_user}\"}},\"network\":{{\"country\":\"{country}\",\"asn\":{asn}");
        let _ = write!(text, ",\"user_agent\":\"{agent}\"}},\"session\":\"s-{grant}\"");
    }
    if action.starts_with("device") || (!is_context && dice.roll(4) > 0) {
        let _ = write!(text, ",\"device\":{{\"id\":\"dev-{device}\"}}");
    }
    text.push('}');
    text
}

/// What a record says of its token.
fn token(dice: &mut Dice, grant: u64, at: i64, has_family: bool, text: &mut String) {
    let expires_at = at + dice.roll(200) as i64 * 3_600_000_000;
    let _ = write!(
        text,
        ",\"token\":{{{}\"id\":\"tk-{grant}-{}\",\"kind\":\"{}\",\"storage\":\"{}\"",
        if has_family { format!("\"family\":\"fm-{grant}\",") } else { String::new() },
        dice.roll(3),
        dice.pick(&["refresh", "refresh", "access"]),
        dice.pick(&["keychain", "keychain", "plaintext_file"]),
    );
    if dice.roll(2) == 0 {
        let _ = write!(text, ",\"expires_at\":\"{}\"", time::format(expires_at));
    }
    if dice.roll(4) == 0 {
        let _ = write!(text, ",\"scopes\":[\"{}\"]", dice.pick(&["repo", "read:org", "admin:org"]));
    }
    text.push('}');
}

/// One history; how many of its runs went on from another. In every third some tokens are met without their family.
async fn history(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let policy = Policy::parse("policy.toml", POLICY).unwrap();
    let catalog = Catalog::load(None).unwrap();
    let folder = TempLake::new();
    let lake = folder.open().await;
    let mut went_on = 0;
    let mut partition: Vec<Option<Vec<u8>>> = Vec::new();
    let mut made = Vec::new();
    for stretch in 0..STRETCHES {
        partition.extend(
            (0..RECORDS).map(|number| Some(record(&mut dice, stretch, number, seed.is_multiple_of(3)).into_bytes())),
        );
        ingest_memory(&lake, vec![partition.clone()], &Options::default(), 1_000).await;
        if dice.roll(3) == 0 {
            maintenance::compact(lake.events(), Some(2)).await.unwrap();
        }
        let end = time::parse("2026-03-01T00:00:00Z").unwrap() + (stretch + 1) * STRETCH_DAYS * time::DAY;
        let as_of = end - dice.roll(12) as i64 * time::DAY;
        let request = Request { as_of: Some(as_of), ..Request::default() };
        let report = detect::run(&lake, &policy, &catalog, &request).await.unwrap();
        went_on += usize::from(report.looked_at.is_some());
        let (ours, all) =
            (said(&report.outcomes), said(&detect::look(&lake, &policy, &catalog, &request).await.unwrap()));
        let only =
            |these: &std::collections::BTreeSet<String>, those| these.difference(those).cloned().collect::<Vec<_>>();
        assert_eq!(
            (only(&ours, &all), only(&all, &ours)),
            (Vec::new(), Vec::new()),
            "seed {seed}, stretch {stretch}: only from the base, only from everything"
        );
        made.extend(report.recorded.then_some(report.run_id));
    }
    let past = runs::recorded(&lake, made.last().unwrap()).await.unwrap();
    let (as_of, cut) = (past.run.as_of, past.run.cut());
    let again = detect::repeat(&lake, &past.policy, &past.catalog, &[], as_of, cut).await.unwrap();
    assert_eq!(past.came, detect::came(&again), "seed {seed}: the last run repeated");
    went_on
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_goes_on_says_what_one_says_that_looks_at_everything() {
    let seeds = std::env::var("TOKENTRAIL_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut running = tokio::task::JoinSet::new();
    for seed in 1..=seeds {
        running.spawn(history(seed));
    }
    let went_on: usize = running.join_all().await.into_iter().sum();
    assert!(went_on as u64 > seeds * 2, "only {went_on} runs of {seeds} histories went on from another");
}
