//! The small company of sample-data/quickstart.ndjson: a few people with names, and each detector fires at least twice.

use super::cast::{self, Host, Name, Subject};
use super::grant::{Basis, Grant};
use super::record::{DAY, HOUR, MINUTE, Record};
use super::story::Teller;

/// Tells it.
pub fn tell(t: &mut Teller) {
    ordinary_days(t);
    mallory_leaves(t);
    others_leave(t);
    tokens_grow_old(t);
    machines_are_shared(t);
    laptops_are_lost(t);
}

/// A grant `name` of `subject` through a client, on the laptop of that subject.
fn grant(name: &'static str, subject: Subject, client: &str) -> Grant {
    let (clients, kind): (&'static [cast::Client], _) = match subject {
        Subject::Person(_) => (&cast::FOR_PEOPLE, "workstation"),
        Subject::Service(_) => (&cast::FOR_SERVICES, "ci_runner"),
        Subject::Agent(_) => (&cast::FOR_AGENTS, "container"),
    };
    let owner = subject.name();
    Grant {
        name: Name::Word(name),
        basis: Basis::Family,
        kind: "refresh",
        subject,
        client: clients.iter().find(|c| c.id == client).unwrap_or(&clients[0]),
        session: Name::Word(name),
        device: matches!(subject, Subject::Person(_)).then_some(owner),
        host: Some(Host { name: owner, kind, os_user: Some(owner) }),
        project: Some("atlas"),
        turn: 0,
        minted_at: None,
        expires_at: None,
        sliding: None,
    }
}

const fn person(name: &'static str) -> Subject {
    Subject::Person(Name::Word(name))
}

/// Some time on the `days`th day before the end, in working hours.
fn ago(t: &mut Teller, days: i64) -> i64 {
    t.end - days * DAY + t.dice.between(8 * HOUR, 17 * HOUR)
}

fn ordinary_days(t: &mut Teller) {
    let deploy = Subject::Service(Name::Word("deploy"));
    let agent = Subject::Agent(Name::Word("reviewer"));
    for (name, subject, client, from, to) in [
        ("alice-gh", person("alice"), "gh", 28, 3),
        ("alice-claude", person("alice"), "claude", 24, 0),
        ("bob-aws", person("bob"), "aws", 27, 8),
        ("carol-kubectl", person("carol"), "kubectl", 26, 1),
        ("dave-az", person("dave"), "az", 20, 0),
        ("erin-codex", person("erin"), "codex", 25, 5),
        ("deploy-actions", deploy, "github-actions", 27, 0),
        ("reviewer-claude", agent, "claude", 21, 0),
    ] {
        let mut grant = grant(name, subject, client);
        let (start, stop) = (ago(t, from), t.end - to * DAY);
        t.live(&mut grant, start, stop);
        if to > 0 {
            t.revoke(&grant, stop + HOUR);
        }
    }
}

/// Her access to the building ends, her GitHub CLI goes on.
fn mallory_leaves(t: &mut Teller) {
    let (mut gh, mut aws) =
        (grant("mallory-gh", person("mallory"), "gh"), grant("mallory-aws", person("mallory"), "aws"));
    let left_at = t.end - 9 * DAY + 17 * HOUR;
    let (from, end) = (ago(t, 24), t.end);
    t.live(&mut gh, from, left_at);
    t.live(&mut aws, from + HOUR, left_at);
    t.staff("offboard", gh.subject, None, left_at);
    t.revoke(&aws, left_at + 5 * MINUTE);
    let first = left_at + 7 * HOUR;
    t.refresh(&mut gh, first);
    t.keep_refreshing(&mut gh, first, end);
    t.expect_refresh(&gh, first, None);
}

/// Trent is stopped after a day; Judy is refused; Oscar comes back before he refreshes.
fn others_leave(t: &mut Teller) {
    let mut trent = grant("trent-gcloud", person("trent"), "gcloud");
    let (from, left_at) = (ago(t, 25), t.end - 12 * DAY + 16 * HOUR);
    t.live(&mut trent, from, left_at);
    t.staff("offboard", trent.subject, None, left_at);
    t.refresh(&mut trent, left_at + 3 * HOUR);
    t.revoke(&trent, left_at + 26 * HOUR);
    t.expect_refresh(&trent, left_at + 3 * HOUR, Some(left_at + 26 * HOUR));

    let mut judy = grant("judy-gh", person("judy"), "gh");
    t.live(&mut judy, from, left_at);
    t.staff("offboard", judy.subject, None, left_at);
    t.refused(&judy, left_at + 2 * HOUR);
    t.revoke_all(judy.subject, left_at + 3 * HOUR);

    let mut oscar = grant("oscar-gh", person("oscar"), "gh");
    let end = t.end;
    t.live(&mut oscar, from, left_at);
    t.staff("offboard", oscar.subject, None, left_at);
    t.staff("reinstate", oscar.subject, None, left_at + DAY);
    t.keep_refreshing(&mut oscar, left_at + DAY, end);
}

fn tokens_grow_old(t: &mut Teller) {
    let end = t.end;
    let backup = Subject::Service(Name::Word("backup"));
    for (name, subject, client, days, severity) in
        [("frank-kubectl", person("frank"), "kubectl", 41, "medium"), ("backup-restic", backup, "backup", 70, "high")]
    {
        let mut old = grant(name, subject, client);
        let start = ago(t, days);
        t.live(&mut old, start, end);
        t.expect_old(&old, "age", start + 30 * DAY, None, severity);
    }
    let mut pat = Grant { basis: Basis::Token, kind: "pat", ..grant("grace-pat", person("grace"), "gh") };
    let start = ago(t, 27);
    t.issue(&mut pat, start);
    t.used(&pat, start + 2 * DAY);
    t.expect_old(&pat, "idle", start + 16 * DAY, None, "medium");
    let mut idle = grant("heidi-az", person("heidi"), "az");
    t.issue(&mut idle, start);
    t.refresh(&mut idle, start + 3 * DAY);
    t.revoke(&idle, start + 19 * DAY);
    t.expect_old(&idle, "idle", start + 17 * DAY, Some(start + 19 * DAY), "medium");
}

/// Two people log in on each jump host (the policy beside the file allows one of them); on a build server one grant is
/// used by two accounts.
fn machines_are_shared(t: &mut Teller) {
    let end = t.end;
    let start = ago(t, 10);
    for (jump, visitors) in [
        ("berlin-1", [("ivan-kubectl", "ivan", 0), ("peggy-kubectl", "peggy", 3 * HOUR)]),
        ("oslo-1", [("lena-gcloud", "lena", HOUR), ("kofi-gcloud", "kofi", 2 * HOUR)]),
    ] {
        let jump = Host { name: Name::Word(jump), kind: "jump_host", os_user: None };
        for (name, who, later) in visitors {
            let mut grant = grant(name, person(who), name.split_once('-').map_or("", |(_, client)| client));
            grant.host = Some(Host { os_user: Some(Name::Word(who)), ..jump });
            t.live(&mut grant, start + later, end);
        }
        t.expect_shared(jump, start + visitors[1].2);
    }

    let server = Host { name: Name::Word("build-7"), kind: "server", os_user: None };
    let mut copied = grant("sybil-gh", person("sybil"), "gh");
    copied.host = Some(Host { os_user: Some(Name::Word("sybil")), ..server });
    t.live(&mut copied, start, start + 3 * DAY);
    copied.host = Some(Host { os_user: Some(Name::Word("root")), ..server });
    t.refresh(&mut copied, start + 4 * DAY);
    t.revoke(&copied, start + 5 * DAY);
    t.expect_shared(server, start + 4 * DAY);
}

/// Victor's laptop is stolen and goes on; Wendy's lies in a taxi; Yuki finds hers at once.
fn laptops_are_lost(t: &mut Teller) {
    let lost_at = t.end - 6 * DAY + 19 * HOUR;
    let (from, end) = (ago(t, 18), t.end);
    let mut victor = grant("victor-claude", person("victor"), "claude");
    let mut wendy = grant("wendy-gh", person("wendy"), "gh");
    let mut yuki = grant("yuki-aws", person("yuki"), "aws");
    for grant in [&mut victor, &mut wendy, &mut yuki] {
        t.live(grant, from, lost_at);
        t.device("device_lost", grant, lost_at);
    }
    t.refresh(&mut victor, lost_at + 5 * HOUR);
    t.keep_refreshing(&mut victor, lost_at + 5 * HOUR, end);
    t.expect_lost(&victor, lost_at, None, "critical");
    let (subject, device) = (Some(wendy.subject), wendy.device);
    t.tell(Record { subject, device, ..Record::new("revoke", lost_at + 14 * HOUR) });
    t.expect_lost(&wendy, lost_at, Some(lost_at + 14 * HOUR), "high");
    t.device("device_recovered", &yuki, lost_at + 25 * MINUTE);
    t.keep_refreshing(&mut yuki, lost_at + DAY, end);
}
