//! Stories of devices that go missing: unrevoked_lost_device, and who was quick enough.

use super::cast::{self, Host};
use super::grant::Grant;
use super::record::{DAY, HOUR, MINUTE, Record};
use super::story::Teller;

const GRACE: i64 = HOUR;

/// The first two fire.
pub const STORIES: &[fn(&mut Teller)] = &[
    is_stolen,
    is_lost_for_good,
    is_found_in_time,
    is_found_too_late,
    is_revoked_in_time,
    is_revoked_too_late,
    is_reset_in_time,
    is_revoked_by_device,
    is_revoked_for_one_client,
    was_just_lost,
    lapses_in_time,
    had_a_visitor,
    is_lost_twice,
    is_lost_in_time_and_again,
    belongs_to_two,
];

/// A grant that has lived on its subject's device for ten days when that is lost.
fn lived_in(t: &mut Teller, lost_at: i64) -> Grant {
    let mut grant = t.grant();
    t.live(&mut grant, lost_at - 10 * DAY, lost_at);
    grant
}

/// The same, for another grant on the same device.
fn lived_beside(t: &mut Teller, beside: &Grant, lost_at: i64) -> Grant {
    let mut grant = t.grant_of(beside.subject);
    t.live(&mut grant, lost_at - 8 * DAY, lost_at);
    grant
}

fn is_stolen(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    let mut grant = lived_in(t, lost_at);
    t.device("device_lost", &grant, lost_at);
    t.refresh(&mut grant, lost_at + 2 * HOUR);
    t.revoke(&grant, lost_at + 2 * DAY);
    t.expect_lost(&grant, lost_at, Some(lost_at + 2 * DAY), "critical");
}

fn is_lost_for_good(t: &mut Teller) {
    let lost_at = t.end - t.dice.between(2 * DAY, 9 * DAY);
    let grant = lived_in(t, lost_at);
    let beside = lived_beside(t, &grant, lost_at);
    t.device("device_lost", &grant, lost_at);
    t.expect_lost(&grant, lost_at, None, "high");
    t.expect_lost(&beside, lost_at, None, "high");
}

/// Even at the very end of the grace.
fn is_found_in_time(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    for found_after in [30 * MINUTE, GRACE] {
        let mut grant = lived_in(t, lost_at);
        t.device("device_lost", &grant, lost_at);
        t.device("device_recovered", &grant, lost_at + found_after);
        t.refresh(&mut grant, lost_at + DAY);
        t.revoke(&grant, lost_at + 2 * DAY);
    }
}

fn is_found_too_late(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    for found_after in [GRACE + 1000, DAY] {
        let grant = lived_in(t, lost_at);
        t.device("device_lost", &grant, lost_at);
        t.device("device_recovered", &grant, lost_at + found_after);
        t.revoke(&grant, lost_at + 2 * DAY);
        t.expect_lost(&grant, lost_at, Some(lost_at + found_after), "high");
    }
}

/// Even at the very end of the grace.
fn is_revoked_in_time(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    for revoked_after in [10 * MINUTE, GRACE] {
        let grant = lived_in(t, lost_at);
        t.device("device_lost", &grant, lost_at);
        t.revoke(&grant, lost_at + revoked_after);
    }
}

fn is_revoked_too_late(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    let grant = lived_in(t, lost_at);
    t.device("device_lost", &grant, lost_at);
    t.revoke(&grant, lost_at + GRACE + 1000);
    t.expect_lost(&grant, lost_at, Some(lost_at + GRACE + 1000), "high");
}

fn is_reset_in_time(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    let grant = lived_in(t, lost_at);
    lived_beside(t, &grant, lost_at);
    t.device("device_lost", &grant, lost_at);
    t.revoke_all(grant.subject, lost_at + 20 * MINUTE);
}

/// A revoke that names a device alone covers nothing; with its subject it covers what is on it.
fn is_revoked_by_device(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    let grant = lived_in(t, lost_at);
    t.device("device_lost", &grant, lost_at);
    t.tell(Record { device: grant.device, ..Record::new("revoke", lost_at + 20 * MINUTE) });
    let (subject, device) = (Some(grant.subject), grant.device);
    t.tell(Record { subject, device, ..Record::new("revoke", lost_at + DAY) });
    t.expect_lost(&grant, lost_at, Some(lost_at + DAY), "high");
}

fn is_revoked_for_one_client(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    let mut ended = t.grant_with(0);
    t.live(&mut ended, lost_at - 10 * DAY, lost_at);
    let mut other = Grant { client: &cast::FOR_PEOPLE[5], ..t.grant_of(ended.subject) };
    t.live(&mut other, lost_at - 9 * DAY, lost_at);
    t.device("device_lost", &ended, lost_at);
    let (subject, client) = (Some(ended.subject), Some(ended.client));
    t.tell(Record { subject, client, ..Record::new("revoke", lost_at + 20 * MINUTE) });
    t.revoke(&other, lost_at + 3 * HOUR);
    t.expect_lost(&other, lost_at, Some(lost_at + 3 * HOUR), "high");
}

/// Nothing is found before the grace is over, and at that moment it is.
fn was_just_lost(t: &mut Teller) {
    for ago in [GRACE - 1000, GRACE] {
        let lost_at = t.end - ago;
        let grant = lived_in(t, lost_at);
        t.device("device_lost", &grant, lost_at);
        if ago >= GRACE {
            t.expect_lost(&grant, lost_at, None, "high");
        }
    }
}

fn lapses_in_time(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    for (lapses_after, found) in [(20 * MINUTE, false), (5 * HOUR, true)] {
        let mut grant = Grant { expires_at: Some(lost_at + lapses_after), ..t.grant() };
        t.live(&mut grant, lost_at - 10 * DAY, lost_at);
        t.device("device_lost", &grant, lost_at);
        if found {
            t.expect_lost(&grant, lost_at, Some(lost_at + lapses_after), "high");
        }
    }
}

/// A grant from elsewhere shows up on the lost device; another one only begins there after the grace.
fn had_a_visitor(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    let mut visitor = t.grant_with(0);
    let home = t.number();
    let lost = visitor.device;
    visitor.device = Some(home);
    t.live(&mut visitor, lost_at - 5 * DAY, lost_at);
    visitor.device = lost;
    t.device("device_lost", &visitor, lost_at);
    t.refresh(&mut visitor, lost_at + 5 * HOUR);
    t.revoke(&visitor, lost_at + DAY);
    t.expect_lost(&visitor, lost_at, Some(lost_at + DAY), "critical");
    let mut newcomer = Grant { device: lost, ..t.grant_of(visitor.subject) };
    t.issue(&mut newcomer, lost_at + 2 * HOUR);
    t.revoke(&newcomer, lost_at + DAY);
}

fn is_lost_twice(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    let grant = lived_in(t, lost_at);
    t.device("device_lost", &grant, lost_at);
    t.device("device_recovered", &grant, lost_at + 3 * HOUR);
    t.device("device_lost", &grant, lost_at + DAY);
    t.revoke(&grant, lost_at + 3 * DAY);
    t.expect_lost(&grant, lost_at, Some(lost_at + 3 * DAY), "high");
}

fn is_lost_in_time_and_again(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    let grant = lived_in(t, lost_at);
    t.device("device_lost", &grant, lost_at - DAY);
    t.device("device_recovered", &grant, lost_at - DAY + 10 * MINUTE);
    t.device("device_lost", &grant, lost_at);
    t.revoke(&grant, lost_at + 3 * DAY);
    t.expect_lost(&grant, lost_at, Some(lost_at + 3 * DAY), "high");
}

/// Every grant on it counts, whoever's it is.
fn belongs_to_two(t: &mut Teller) {
    let lost_at = t.sometime(15 * DAY, 5 * DAY);
    let mut first = t.grant_with(0);
    let host = first.host.map(|host| Host { name: t.number(), ..host });
    let mut second = Grant { device: first.device, host, ..t.grant_with(3) };
    for grant in [&mut first, &mut second] {
        t.live(grant, lost_at - 10 * DAY, lost_at);
    }
    t.device("device_lost", &first, lost_at);
    for grant in [&first, &second] {
        t.revoke(grant, lost_at + 2 * DAY);
        t.expect_lost(grant, lost_at, Some(lost_at + 2 * DAY), "high");
    }
}
