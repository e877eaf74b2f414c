//! Stories of people who leave: refresh_after_offboarding, and what merely looks like it.

use super::cast::PROJECTS;
use super::record::{DAY, HOUR, MINUTE, Record};
use super::story::Teller;

/// The first two fire.
pub const STORIES: &[fn(&mut Teller)] = &[
    keeps_refreshing,
    never_stops,
    is_refused,
    refreshes_at_the_moment,
    comes_back_first,
    comes_back_too_late,
    leaves_a_project,
    leaves_twice,
    is_reported_twice,
    is_reported_in_capitals,
    outlives_a_revoke,
    is_reinstated_at_once,
    only_uses,
    refreshes_in_the_future,
];

fn keeps_refreshing(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 6 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 20 * DAY, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    let first = left_at + t.dice.between(HOUR, DAY);
    t.refresh(&mut grant, first);
    t.refresh(&mut grant, first + DAY);
    t.revoke(&grant, first + 2 * DAY);
    t.expect_refresh(&grant, first, Some(first + 2 * DAY));
}

fn never_stops(t: &mut Teller) {
    let left_at = t.end - t.dice.between(5 * DAY, 9 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 15 * DAY, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    let first = left_at + t.dice.between(MINUTE, DAY);
    t.refresh(&mut grant, first);
    let end = t.end;
    t.keep_refreshing(&mut grant, first, end);
    t.expect_refresh(&grant, first, None);
}

/// A refusal is the control working.
fn is_refused(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 8 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 15 * DAY, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    t.refused(&grant, left_at + HOUR);
    t.refused(&grant, left_at + 2 * HOUR);
    t.revoke(&grant, left_at + 5 * DAY);
}

/// With a grace of 0 s the very moment counts; a millisecond before does not.
fn refreshes_at_the_moment(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 8 * DAY);
    let mut at_once = t.grant();
    let mut just_before = t.grant_of(at_once.subject);
    for (grant, last) in [(&mut at_once, left_at), (&mut just_before, left_at - 1000)] {
        t.live(grant, left_at - 10 * DAY, left_at - HOUR);
        t.refresh(grant, last);
    }
    t.staff("offboard", at_once.subject, None, left_at);
    t.revoke_all(at_once.subject, left_at + HOUR);
    t.expect_refresh(&at_once, left_at, Some(left_at + HOUR));
}

/// The moment of the reinstatement is no longer inside.
fn comes_back_first(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 12 * DAY);
    let back_at = left_at + 2 * DAY;
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 10 * DAY, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    t.staff("reinstate", grant.subject, None, back_at);
    t.refresh(&mut grant, back_at);
    t.keep_refreshing(&mut grant, back_at, back_at + 8 * DAY);
    t.revoke(&grant, back_at + 9 * DAY);
}

/// The first reinstatement ends it, whatever is reinstated again later.
fn comes_back_too_late(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 12 * DAY);
    let back_at = left_at + 2 * DAY;
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 10 * DAY, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    t.refresh(&mut grant, left_at + DAY);
    t.staff("reinstate", grant.subject, None, back_at);
    t.staff("reinstate", grant.subject, None, back_at + 5 * DAY);
    t.keep_refreshing(&mut grant, back_at, back_at + 8 * DAY);
    t.revoke(&grant, back_at + 9 * DAY);
    t.expect_refresh(&grant, left_at + DAY, Some(back_at));
}

/// Only that project's grant counts, and a reinstatement of the whole person does not end it.
fn leaves_a_project(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 12 * DAY);
    let first = t.dice.below(7) as usize;
    let mut inside = t.grant();
    let mut outside = t.grant_of(inside.subject);
    inside.project = Some(PROJECTS[first]);
    outside.project = Some(PROJECTS[first + 1]);
    for grant in [&mut inside, &mut outside] {
        t.live(grant, left_at - 10 * DAY, left_at);
    }
    t.staff("offboard", inside.subject, inside.project, left_at);
    t.staff("reinstate", inside.subject, None, left_at + HOUR);
    for grant in [&mut inside, &mut outside] {
        t.refresh(grant, left_at + 2 * HOUR);
        t.revoke(grant, left_at + DAY);
    }
    t.expect_refresh(&inside, left_at + 2 * HOUR, Some(left_at + DAY));
}

fn leaves_twice(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 12 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 10 * DAY, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    t.refresh(&mut grant, left_at + HOUR);
    t.staff("reinstate", grant.subject, None, left_at + DAY);
    t.refresh(&mut grant, left_at + DAY + HOUR);
    t.staff("offboard", grant.subject, None, left_at + 2 * DAY);
    t.refresh(&mut grant, left_at + 2 * DAY + HOUR);
    t.revoke(&grant, left_at + 3 * DAY);
    t.expect_refresh(&grant, left_at + HOUR, Some(left_at + 3 * DAY));
}

/// Two systems report the same leave; one of them hours later, and very late.
fn is_reported_twice(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 12 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 10 * DAY, left_at);
    let mut told = Record { subject: Some(grant.subject), ..Record::new("offboard", left_at) };
    told.late = 5 * DAY;
    t.tell(told);
    t.staff("offboard", grant.subject, None, left_at + 2 * HOUR);
    t.refresh(&mut grant, left_at + HOUR);
    t.refresh(&mut grant, left_at + 3 * HOUR);
    t.revoke(&grant, left_at + 4 * HOUR);
    t.expect_refresh(&grant, left_at + HOUR, Some(left_at + 4 * HOUR));
}

/// Mail addresses are compared without case.
fn is_reported_in_capitals(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 12 * DAY);
    let mut grant = t.grant_with(0);
    t.live(&mut grant, left_at - 10 * DAY, left_at);
    let told = Record { subject: Some(grant.subject), capitals: true, ..Record::new("offboard", left_at) };
    t.tell(told);
    t.refresh(&mut grant, left_at + DAY);
    t.revoke(&grant, left_at + 2 * DAY);
    t.expect_refresh(&grant, left_at + DAY, Some(left_at + 2 * DAY));
}

/// Revokes that did not take: what counts is the next end after the last refresh.
fn outlives_a_revoke(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 12 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 10 * DAY, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    t.revoke(&grant, left_at + MINUTE);
    t.refresh(&mut grant, left_at + DAY);
    t.revoke(&grant, left_at + DAY + HOUR);
    t.refresh(&mut grant, left_at + 2 * DAY);
    t.revoke(&grant, left_at + 3 * DAY);
    t.expect_refresh(&grant, left_at + DAY, Some(left_at + 3 * DAY));
}

/// Only a strictly later reinstatement ends it.
fn is_reinstated_at_once(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 12 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 10 * DAY, left_at);
    t.staff("reinstate", grant.subject, None, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    t.refresh(&mut grant, left_at + DAY);
    t.revoke(&grant, left_at + 2 * DAY);
    t.expect_refresh(&grant, left_at + DAY, Some(left_at + 2 * DAY));
}

/// A use is no refresh.
fn only_uses(t: &mut Teller) {
    let left_at = t.sometime(25 * DAY, 12 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 10 * DAY, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    t.used(&grant, left_at + HOUR);
    t.revoke(&grant, left_at + DAY);
}

/// What is dated after the end does not exist yet.
fn refreshes_in_the_future(t: &mut Teller) {
    let left_at = t.end - t.dice.between(DAY, 3 * DAY);
    let mut grant = t.grant();
    t.live(&mut grant, left_at - 10 * DAY, left_at);
    t.staff("offboard", grant.subject, None, left_at);
    let soon = t.end + 10 * MINUTE;
    t.refresh(&mut grant, soon);
}
