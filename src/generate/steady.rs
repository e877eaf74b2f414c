//! The benchmark of passes: years of one steady company, in which the number of live grants does not grow.
//!
//! 13,700 records a day, whatever their number: a longer stream is a longer history, not a bigger company. A grant lives
//! 30 days, is exercised about 25 times and ends by revocation or expiry; 548 begin each day, so that about 16,000 are
//! alive. 5,000 people have a device, a host and a network each. One exercise in 20,000 is on somebody else's host or from
//! another country, one grant in 100 is kept in plain text, and every 10,000th record tells of a person who leaves and is
//! back three days later, or of a device that is lost and found.

use super::Options;
use super::cast::{decimal, hex};
use super::dice::mix;
use super::record::{DAY, time};
use super::workload::put_all;

const DAILY: i64 = 13_700;
const LIFE: i64 = 30 * DAY;
/// Grants that begin in one day.
const BORN_DAILY: i64 = 548;
const SUBJECTS: u64 = 5_000;
const CONTEXT_EVERY: u64 = 10_000;
/// How long somebody is away, and a device lost.
const AWAY: i64 = 3 * DAY;

/// The stream and how far it is told.
pub struct Stream {
    seed: u64,
    start: i64,
    events: u64,
    next: u64,
    /// Who or what comes back when, in order.
    away: std::collections::VecDeque<(i64, u64)>,
}

impl Stream {
    pub fn new(options: &Options) -> Self {
        let start = options.end - options.events as i64 * DAY / DAILY;
        Self {
            seed: mix(options.seed),
            start,
            events: options.events,
            next: 0,
            away: std::collections::VecDeque::new(),
        }
    }

    /// Appends the next record.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        if self.next == self.events {
            return false;
        }
        let (number, space) = (self.next, DAY / DAILY);
        let at = self.start + number as i64 * space + (mix(number ^ self.seed ^ 1) % space as u64) as i64 / 1000 * 1000;
        self.next += 1;
        if let Some((_, rank)) = self.away.pop_front_if(|(until, _)| *until <= at) {
            self.write_context(at, rank, ["reinstate", "device_recovered"], out);
        } else if number % CONTEXT_EVERY == CONTEXT_EVERY - 1 {
            self.away.push_back((at + AWAY, number / CONTEXT_EVERY));
            self.write_context(at, number / CONTEXT_EVERY, ["offboard", "device_lost"], out);
        } else {
            self.write(number, at, out);
        }
        true
    }

    /// An exercise, or the end, of one of the grants that are alive. The first of them began before the history.
    fn write(&self, number: u64, at: i64, out: &mut Vec<u8>) {
        let (h, apart) = (mix(number ^ self.seed), DAY / BORN_DAILY);
        let newest = (at - self.start) / apart;
        let rank = newest - (h % (LIFE / apart) as u64) as i64;
        let born = self.start + rank * apart;
        let grant = mix(rank as u64 ^ self.seed ^ 3);
        let subject = grant % SUBJECTS;
        let action = match at - born {
            age if age < LIFE / 25 => "issue",
            age if age < LIFE - LIFE / 50 => "refresh",
            _ => "revoke",
        };
        put_all(out, ["{\"event_id\":\"ev-"]);
        hex(mix(h ^ 2), 16, out);
        put_all(out, ["\",\"event_time\":\""]);
        time(at, out);
        put_all(out, ["\",\"action\":\"", action, "\",\"token\":{\"id\":\"tk-"]);
        hex(grant, 12, out);
        put_all(out, ["\",\"family\":\"fm-"]);
        hex(grant, 12, out);
        put_all(out, ["\",\"kind\":\"refresh\",\"grant\":\"device_code\",\"expires_at\":\""]);
        time((born + LIFE) / 1000 * 1000, out);
        let storage = if grant.is_multiple_of(100) { "plaintext_file" } else { "keychain" };
        put_all(out, ["\",\"scopes\":[\"repo\",\"read:org\"],\"storage\":\"", storage]);
        put_all(out, ["\"},\"subject\":{\"id\":\"user"]);
        decimal(subject, out);
        let client = ["gh", "aws", "gcloud", "kubectl", "az"][(grant / SUBJECTS % 5) as usize];
        put_all(out, ["@example.com\",\"kind\":\"human\"},\"client\":{\"id\":\"", client]);
        put_all(out, ["\",\"kind\":\"cli\"},\"device\":{\"id\":\"dev-"]);
        decimal(subject, out);
        self.write_place(h, subject, out);
    }

    fn write_place(&self, h: u64, subject: u64, out: &mut Vec<u8>) {
        let stray = mix(h ^ 5) % 40_000;
        put_all(out, ["\"},\"host\":{\"id\":\"host-"]);
        decimal(if stray == 0 { mix(h ^ 6) % SUBJECTS } else { subject }, out);
        put_all(out, ["\",\"kind\":\"workstation\",\"os_user\":\"u"]);
        decimal(subject, out);
        put_all(out, ["\"},\"network\":{\"ip\":\"10."]);
        decimal(subject % 256, out);
        out.push(b'.');
        decimal(subject / 256, out);
        out.push(b'.');
        decimal(h % 8, out);
        put_all(out, ["\",\"asn\":"]);
        decimal(64_512 + subject % 20, out);
        let country = if stray == 1 { "JP" } else { ["DE", "US", "BR"][(subject % 3) as usize] };
        put_all(out, [",\"country\":\"", country, "\",\"user_agent\":\"gh/2.61\"},\"project\":\"proj-"]);
        decimal(subject % 500, out);
        put_all(out, ["\"}\n"]);
    }

    /// What happens to a person, or to a device: [`Stream::next`] tells both of the same rank.
    fn write_context(&self, at: i64, rank: u64, actions: [&str; 2], out: &mut Vec<u8>) {
        let of = (rank % 2) as usize;
        put_all(out, ["{\"event_id\":\"", actions[of], "-"]);
        hex(rank, 8, out);
        put_all(out, ["\",\"event_time\":\""]);
        time(at, out);
        put_all(
            out,
            ["\",\"action\":\"", actions[of], "\",", ["\"subject\":{\"id\":\"user", "\"device\":{\"id\":\"dev-"][of]],
        );
        decimal(mix(rank ^ self.seed ^ 7) % SUBJECTS, out);
        put_all(out, [["@example.com", ""][of], "\"}}\n"]);
    }
}
