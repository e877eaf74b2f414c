//! Stories of tokens that grow old or lie idle: token_older_than_policy, and what ends in time.

use super::cast::{self, Subject};
use super::grant::{Basis, Grant};
use super::record::{DAY, HOUR, Record};
use super::story::Teller;

const MAX_AGE: i64 = 30 * DAY;
const MAX_IDLE: i64 = 14 * DAY;

/// The first two fire, one for each reason.
pub const STORIES: &[fn(&mut Teller)] = &[
    grows_old,
    lies_idle,
    is_still_old,
    grows_very_old,
    ends_on_the_day,
    idle_to_the_day,
    began_before_it_was_told,
    began_before_the_log,
    loses_an_access_token,
    is_an_access_token,
    slides,
    expires_after_the_end,
    wakes_up,
    knocks_in_vain,
    is_old_and_idle,
    is_a_personal_access_token,
    is_known_by_its_token,
    survives_a_reset,
    survives_anothers_reset,
    ends_with_its_session,
    is_not_revoked_by_a_failure,
    logs_in_again_and_again,
];

fn grows_old(t: &mut Teller) {
    let start = t.sometime(DAY, 50 * DAY);
    let mut grant = t.grant();
    let last = t.live(&mut grant, start, start + 40 * DAY);
    t.revoke(&grant, last + DAY);
    t.expect_old(&grant, "age", start + MAX_AGE, Some(last + DAY), "medium");
}

fn lies_idle(t: &mut Teller) {
    let start = t.sometime(DAY, 30 * DAY);
    let mut grant = t.grant();
    let last = t.live(&mut grant, start, start + 6 * DAY);
    t.revoke(&grant, last + 20 * DAY);
    t.expect_old(&grant, "idle", last + MAX_IDLE, Some(last + 20 * DAY), "medium");
}

fn is_still_old(t: &mut Teller) {
    let start = t.end - t.dice.between(33 * DAY, 55 * DAY);
    let mut grant = t.grant();
    let end = t.end;
    t.live(&mut grant, start, end);
    t.expect_old(&grant, "age", start + MAX_AGE, None, "medium");
    t.revoke(&grant, end + HOUR); // not yet
}

fn grows_very_old(t: &mut Teller) {
    let start = t.sometime(DAY, 75 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, start, start + 65 * DAY);
    t.revoke(&grant, start + 66 * DAY);
    t.expect_old(&grant, "age", start + MAX_AGE, Some(start + 66 * DAY), "high");
}

/// Exactly the limit is allowed, a millisecond more is not; twice the limit is high.
fn ends_on_the_day(t: &mut Teller) {
    let start = t.sometime(DAY, 62 * DAY);
    let ages = [(MAX_AGE, ""), (MAX_AGE + 1000, "medium"), (2 * MAX_AGE - 1000, "medium"), (2 * MAX_AGE, "high")];
    for (age, severity) in ages {
        let mut grant = t.grant();
        t.live(&mut grant, start, start + age);
        t.revoke(&grant, start + age);
        if !severity.is_empty() {
            t.expect_old(&grant, "age", start + MAX_AGE, Some(start + age), severity);
        }
    }
}

fn idle_to_the_day(t: &mut Teller) {
    let start = t.sometime(DAY, 30 * DAY);
    for idle in [MAX_IDLE, MAX_IDLE + 1000] {
        let mut grant = t.grant();
        let last = t.live(&mut grant, start, start + 5 * DAY);
        t.revoke(&grant, last + idle);
        if idle > MAX_IDLE {
            t.expect_old(&grant, "idle", last + MAX_IDLE, Some(last + idle), "medium");
        }
    }
}

/// What the issuer states of the issue counts, not when the record was made.
fn began_before_it_was_told(t: &mut Teller) {
    let start = t.sometime(2 * DAY, 33 * DAY);
    let mut grant = t.grant();
    grant.minted_at = Some(start);
    t.tell(grant.exercise("issue", start + 2 * HOUR));
    t.keep_refreshing(&mut grant, start + 2 * HOUR, start + 29 * DAY);
    t.revoke(&grant, start + MAX_AGE + HOUR);
    t.expect_old(&grant, "age", start + MAX_AGE, Some(start + MAX_AGE + HOUR), "medium");
}

/// No issue was recorded: the earliest stated issue counts, or else what was seen first.
fn began_before_the_log(t: &mut Teller) {
    let first = t.sometime(16 * DAY, 46 * DAY);
    for stated in [Some(first - 10 * DAY), None] {
        let mut grant = t.grant();
        grant.minted_at = stated;
        t.refresh(&mut grant, first);
        t.keep_refreshing(&mut grant, first, first + 35 * DAY);
        t.revoke(&grant, first + 36 * DAY);
        t.expect_old(&grant, "age", stated.unwrap_or(first) + MAX_AGE, Some(first + 36 * DAY), "medium");
    }
}

/// Neither the revocation nor the expiry of an access token ends a grant that has a refresh token.
fn loses_an_access_token(t: &mut Teller) {
    let start = t.sometime(DAY, 45 * DAY);
    let mut grant = t.grant_with(0);
    t.live(&mut grant, start, start + 35 * DAY);
    for (turn, action, at) in [(900, "revoke", start + 10 * DAY + 1000), (901, "expire", start + 12 * DAY + 1000)] {
        t.tell(grant.access(at - HOUR, at - HOUR, turn));
        let mut end = grant.named(action, at);
        end.token.id = Some((grant.name, turn));
        end.token.kind = Some("access");
        t.tell(end);
    }
    t.revoke(&grant, start + 36 * DAY);
    t.expect_old(&grant, "age", start + MAX_AGE, Some(start + 36 * DAY), "medium");
}

/// A grant of access tokens alone does end with them.
fn is_an_access_token(t: &mut Teller) {
    let start = t.sometime(DAY, 45 * DAY);
    for ends_by in ["revoke", "expire"] {
        let mut grant = Grant { kind: "access", ..t.grant_with(2) };
        t.issue(&mut grant, start);
        t.used(&grant, start + 2 * DAY);
        t.tell(grant.named(ends_by, start + 5 * DAY));
    }
}

/// Each refresh pushes the expiry out; the latest counts.
fn slides(t: &mut Teller) {
    let start = t.sometime(DAY, 60 * DAY);
    for days in [12, 35] {
        let mut grant = t.grant_with(1);
        grant.sliding = Some(10 * DAY);
        t.issue(&mut grant, start);
        let mut expires_at = start + 10 * DAY;
        for day in (2..days).step_by(2) {
            expires_at = grant.states_expiry().unwrap_or(expires_at);
            t.refresh(&mut grant, start + day * DAY);
        }
        if days > 30 {
            t.expect_old(&grant, "age", start + MAX_AGE, Some(expires_at), "medium");
        }
    }
}

fn expires_after_the_end(t: &mut Teller) {
    let start = t.end - t.dice.between(33 * DAY, 50 * DAY);
    let end = t.end;
    let mut grant = Grant { expires_at: Some(end + 5 * DAY), ..t.grant() };
    t.live(&mut grant, start, end);
    t.expect_old(&grant, "age", start + MAX_AGE, None, "medium");
}

/// Idleness is about the present: exercised again, it is over.
fn wakes_up(t: &mut Teller) {
    let start = t.sometime(DAY, 35 * DAY);
    let mut grant = t.grant();
    let last = t.live(&mut grant, start, start + 5 * DAY);
    t.refresh(&mut grant, last + 17 * DAY);
    t.revoke(&grant, last + 20 * DAY);
}

/// A refused refresh is no exercise.
fn knocks_in_vain(t: &mut Teller) {
    let last = t.end - t.dice.between(16 * DAY, 25 * DAY);
    let mut grant = t.grant();
    t.issue(&mut grant, last - DAY);
    t.refresh(&mut grant, last);
    t.refused(&grant, last + 9 * DAY);
    t.expect_old(&grant, "idle", last + MAX_IDLE, None, "medium");
}

fn is_old_and_idle(t: &mut Teller) {
    let start = t.end - t.dice.between(40 * DAY, 55 * DAY);
    let mut grant = t.grant();
    let quiet_from = t.end - 16 * DAY;
    let last = t.live(&mut grant, start, quiet_from);
    t.expect_old(&grant, "age", start + MAX_AGE, None, "medium");
    t.expect_old(&grant, "idle", last + MAX_IDLE, None, "medium");
}

fn is_a_personal_access_token(t: &mut Teller) {
    let start = t.end - t.dice.between(33 * DAY, 55 * DAY);
    let mut grant = Grant { basis: Basis::Token, kind: "pat", ..t.grant_with(0) };
    t.issue(&mut grant, start);
    let mut at = start + DAY;
    while at < t.end {
        t.used(&grant, at);
        at += t.dice.between(2 * DAY, 8 * DAY);
    }
    t.expect_old(&grant, "age", start + MAX_AGE, None, "medium");
}

/// The family is stated once; its other records, and the revocation, know only the token.
fn is_known_by_its_token(t: &mut Teller) {
    let start = t.sometime(DAY, 40 * DAY);
    let mut grant = t.grant_with(3);
    let by_token = Grant { basis: Basis::Token, ..grant };
    for (last, revoked) in [(33, 34), (15, 16)] {
        let by_token = Grant { name: grant.name, minted_at: Some(start), ..by_token };
        t.issue(&mut grant, start);
        for day in (3..=last).step_by(6) {
            t.used(&by_token, start + day * DAY);
        }
        t.revoke(&by_token, start + revoked * DAY);
        if revoked > 30 {
            t.expect_old(&grant, "age", start + MAX_AGE, Some(start + revoked * DAY), "medium");
        }
        grant.name = t.number();
    }
}

/// A reset ends all a person has, but not what they log in to afterwards.
fn survives_a_reset(t: &mut Teller) {
    let reset_at = t.sometime(25 * DAY, 45 * DAY);
    let mut ended = t.grant();
    let mut ended_too = t.grant_of(ended.subject);
    let mut after = t.grant_of(ended.subject);
    for grant in [&mut ended, &mut ended_too] {
        t.live(grant, reset_at - 20 * DAY, reset_at);
    }
    t.revoke_all(ended.subject, reset_at);
    t.live(&mut after, reset_at + 1000, reset_at + 33 * DAY);
    t.revoke(&after, reset_at + 34 * DAY);
    t.expect_old(&after, "age", reset_at + 1000 + MAX_AGE, Some(reset_at + 34 * DAY), "medium");
}

/// Revoked for one client: another client's grant of the same person lives on.
fn survives_anothers_reset(t: &mut Teller) {
    let start = t.sometime(DAY, 45 * DAY);
    let mut ended = t.grant_with(0);
    let mut other = Grant { client: &cast::FOR_PEOPLE[4], ..t.grant_of(ended.subject) };
    t.live(&mut ended, start, start + 20 * DAY);
    t.live(&mut other, start, start + 33 * DAY);
    let (subject, client) = (Some(ended.subject), Some(ended.client));
    t.tell(Record { subject, client, ..Record::new("revoke", start + 20 * DAY) });
    t.revoke(&other, start + 34 * DAY);
    t.expect_old(&other, "age", start + MAX_AGE, Some(start + 34 * DAY), "medium");
}

/// A session revoked by its own name takes both its families with it; a logout would not.
fn ends_with_its_session(t: &mut Teller) {
    let start = t.sometime(DAY, 45 * DAY);
    let first = Grant { basis: Basis::FamilyInSession, ..t.grant_with(1) };
    let second = Grant { name: t.number(), ..first };
    for mut grant in [first, second] {
        t.live(&mut grant, start, start + 20 * DAY);
    }
    t.tell(Record { session: Some(first.session), ..Record::new("revoke", start + 20 * DAY) });
    let mut left_open = Grant { basis: Basis::FamilyInSession, ..t.grant_with(1) };
    t.live(&mut left_open, start, start + 20 * DAY);
    t.tell(Record { session: Some(left_open.session), ..Record::new("logout", start + 20 * DAY) });
    t.keep_refreshing(&mut left_open, start + 20 * DAY, start + 33 * DAY);
    t.revoke(&left_open, start + 34 * DAY);
    t.expect_old(&left_open, "age", start + MAX_AGE, Some(start + 34 * DAY), "medium");
}

fn is_not_revoked_by_a_failure(t: &mut Teller) {
    let start = t.sometime(DAY, 45 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, start, start + 33 * DAY);
    t.tell(Record { refused: true, ..grant.named("revoke", start + 20 * DAY) });
    t.revoke(&grant, start + 34 * DAY);
    t.expect_old(&grant, "age", start + MAX_AGE, Some(start + 34 * DAY), "medium");
}

/// Where no id is stated the last login counts, and an end before it does not. (Quiet ones only: the id of such a grant
/// is for the decoder to make.)
fn logs_in_again_and_again(t: &mut Teller) {
    for expires in [false, true] {
        let subject = Subject::Service(t.number());
        let mut grant = Grant { basis: Basis::Derived, ..t.grant_of(subject) };
        for days in [48, 40, 32, 24, 16, 8] {
            let at = t.end - days * DAY;
            t.issue(&mut grant, at);
            t.refresh(&mut grant, at + 3 * DAY);
            if expires && days == 24 {
                t.tell(grant.named("expire", at + 5 * DAY));
            }
        }
    }
}
