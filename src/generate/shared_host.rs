//! Stories of several people on one machine: shared_host_reuse, and who may share.

use super::cast::{Host, Name, Subject};
use super::record::{DAY, HOUR, MINUTE};
use super::story::Teller;

const WINDOW: i64 = 12 * HOUR;

/// The first two fire.
pub const STORIES: &[fn(&mut Teller)] = &[
    on_a_jump_host,
    under_two_accounts,
    one_after_the_other,
    one_well_after_the_other,
    beside_a_service,
    beside_an_agent,
    in_a_chain,
    with_accounts_first,
    is_not_let_in,
    of_one_person,
    comes_back_around,
];

fn host(t: &mut Teller) -> Host {
    Host { name: t.number(), kind: "jump_host", os_user: None }
}

/// `subject` is on `host` from `first` to `last` with a grant of its own, revoked at once after.
fn visit(t: &mut Teller, subject: Subject, host: Host, first: i64, last: i64) {
    let mut grant = t.grant_of(subject);
    grant.host = Some(Host { os_user: Some(subject.name()), ..host });
    t.issue(&mut grant, first);
    if last > first {
        t.refresh(&mut grant, last);
    }
    t.revoke(&grant, last + MINUTE);
}

fn on_a_jump_host(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    let (first, second) = (t.person(), t.person());
    let later = start + t.dice.between(MINUTE, 10 * HOUR);
    visit(t, first, host, start, start + DAY);
    visit(t, second, host, later, later + 2 * HOUR);
    t.expect_shared(host, later);
}

/// One grant in two accounts: somebody copied the token store. Services too.
fn under_two_accounts(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    let mut grant = t.grant();
    for (hours, os_user) in
        [(0, Some("deploy")), (1, None), (2, Some("deploy")), (3, Some("root")), (4, Some("deploy"))]
    {
        grant.host = Some(Host { os_user: os_user.map(Name::Word), ..host });
        if hours == 0 { t.issue(&mut grant, start) } else { t.refresh(&mut grant, start + hours * HOUR) }
    }
    t.revoke(&grant, start + DAY);
    t.expect_shared(host, start + 3 * HOUR);
}

/// Exactly the window apart still counts.
fn one_after_the_other(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    let (first, second) = (t.person(), t.person());
    visit(t, second, host, start + HOUR + WINDOW, start + DAY);
    visit(t, first, host, start, start + HOUR);
    t.expect_shared(host, start + HOUR + WINDOW);
}

/// A millisecond more does not.
fn one_well_after_the_other(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    let (first, second) = (t.person(), t.person());
    visit(t, first, host, start, start + HOUR);
    visit(t, second, host, start + HOUR + WINDOW + 1000, start + DAY);
}

fn beside_a_service(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    let subjects = [t.person(), Subject::Service(t.number()), Subject::Service(t.number())];
    for subject in subjects {
        visit(t, subject, host, start, start + DAY);
    }
}

fn beside_an_agent(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    let (person, agent) = (t.person(), Subject::Agent(t.number()));
    visit(t, person, host, start, start + DAY);
    visit(t, agent, host, start + HOUR, start + HOUR);
    t.expect_shared(host, start + HOUR);
}

/// The first is too early for the second, the second meets the third.
fn in_a_chain(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    for hours in [0, 20, 30] {
        let subject = t.person();
        visit(t, subject, host, start + hours * HOUR, start + hours * HOUR);
    }
    t.expect_shared(host, start + 30 * HOUR);
}

/// Both reasons; the earlier one dates the finding.
fn with_accounts_first(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    let (first, second) = (t.person(), t.person());
    let mut grant = t.grant_of(first);
    grant.host = Some(Host { os_user: Some(Name::Word("admin")), ..host });
    t.issue(&mut grant, start);
    grant.host = Some(Host { os_user: Some(Name::Word("root")), ..host });
    t.used(&grant, start + MINUTE);
    t.revoke(&grant, start + DAY);
    visit(t, second, host, start + HOUR, start + 2 * HOUR);
    t.expect_shared(host, start + MINUTE);
}

fn is_not_let_in(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    let (first, second) = (t.person(), t.person());
    visit(t, first, host, start, start + DAY);
    let mut grant = t.grant_of(second);
    t.issue(&mut grant, start);
    let on_host = super::grant::Grant { host: Some(Host { os_user: Some(second.name()), ..host }), ..grant };
    t.refused(&on_host, start + HOUR);
    t.revoke(&grant, start + DAY);
}

/// Two accounts, but each grant keeps to its own.
fn of_one_person(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 5 * DAY), host(t));
    let person = t.person();
    for os_user in ["admin", "root"] {
        let mut grant = t.grant_of(person);
        grant.host = Some(Host { os_user: Some(Name::Word(os_user)), ..host });
        t.issue(&mut grant, start);
        t.revoke(&grant, start + HOUR);
    }
}

/// A presence is from the first to the last time, whatever lies between.
fn comes_back_around(t: &mut Teller) {
    let (start, host) = (t.sometime(DAY, 15 * DAY), host(t));
    let (first, second) = (t.person(), t.person());
    visit(t, first, host, start, start + HOUR);
    visit(t, second, host, start + 5 * DAY, start + 5 * DAY + HOUR);
    visit(t, first, host, start + 10 * DAY, start + 10 * DAY + HOUR);
    t.expect_shared(host, start + 5 * DAY);
}
