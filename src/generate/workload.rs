//! The benchmark's stream: flat, about 600 bytes a record, N/25 grants in 30 days, no story and no truth.
//!
//! The distributions are those of shared/bench/workload.py, so that figures can be compared: 50,000 subjects, 60,000
//! devices, 70,000 hosts, 4 % issue, 94 % refresh, 2 % revoke, 0.5 % failures. Addresses are of 10.0.0.0/8, because the
//! 768 documentation addresses would compress as no real log does.

use super::Options;
use super::cast::{decimal, hex};
use super::dice::mix;
use super::record::{DAY, SECOND, time};

const HISTORY: i64 = 30 * DAY;
const CONTEXT: u64 = 500;
const SCOPES: [&[u8]; 4] = [
    br#"["repo"]"#,
    br#"["repo","read:org"]"#,
    br#"["repo","read:org","write:packages"]"#,
    br#"["repo","read:org","write:packages","admin:org"]"#,
];

/// The stream and how far it is told.
pub struct Stream {
    seed: u64,
    start: i64,
    events: u64,
    grants: u64,
    next: u64,
    /// Time and rank of the context records, latest first.
    context: Vec<(i64, u64)>,
    records: u64,
}

impl Stream {
    pub fn new(options: &Options, context: bool) -> Self {
        let seed = mix(options.seed);
        let start = options.end - HISTORY;
        let count = if context { 2 * CONTEXT } else { 0 };
        let at = |rank: u64| start + (mix(seed ^ mix(rank)) % (HISTORY / 1000) as u64) as i64 * 1000;
        let mut context: Vec<(i64, u64)> = (0..count).map(|rank| (at(rank), rank)).collect();
        context.sort_unstable_by(|a, b| b.cmp(a));
        let records = options.events + count;
        Self { seed, start, events: options.events, grants: options.events / 25 + 1, next: 0, context, records }
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    /// Appends the next record.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let at = if self.next < self.events { self.time() } else { i64::MAX };
        if let Some((context_at, rank)) = self.context.pop_if(|(context_at, _)| *context_at <= at) {
            self.write_context(context_at, rank, out);
            return true;
        }
        if self.next == self.events {
            return false;
        }
        self.write(at, out);
        self.next += 1;
        true
    }

    /// In order of time: evenly spaced, with jitter of up to one space.
    fn time(&self) -> i64 {
        let place = |i: u64| (i128::from(i) * i128::from(HISTORY) / i128::from(self.events)) as i64;
        let (from, to) = (place(self.next), place(self.next + 1));
        self.start + from + (mix(self.next ^ self.seed ^ 1) % (to - from).max(1) as u64) as i64
    }

    fn write(&self, at: i64, out: &mut Vec<u8>) {
        let h = mix(self.next ^ self.seed);
        let h2 = mix(h ^ 2);
        let grant = mix(h ^ 3) % self.grants;
        let th = mix(grant ^ self.seed ^ 4);
        let subject = grant % 50_000;
        put_all(out, ["{\"event_id\":\"ev-"]);
        hex(h, 16, out);
        put_all(out, ["\",\"event_time\":\""]);
        time(at, out);
        let action = match h % 100 {
            0..4 => "issue",
            4..98 => "refresh",
            _ => "revoke",
        };
        put_all(out, ["\",\"action\":\"", action, "\",\"outcome\":\""]);
        put_all(out, [if h2.is_multiple_of(200) { "failure" } else { "success" }, "\",\"token\":{\"id\":\"tk-"]);
        hex(grant, 12, out);
        put_all(out, ["\",\"family\":\"fm-"]);
        hex(grant, 12, out);
        let pick = (th % 4) as usize;
        let kind = if grant.is_multiple_of(3) { "access" } else { "refresh" };
        let types = ["device_code", "authorization_code", "client_credentials", "token_exchange"];
        put_all(out, ["\",\"kind\":\"", kind, "\",\"grant\":\"", types[pick], "\",\"issued_at\":\""]);
        let drift = (th % 3_456_000) as i64 * SECOND;
        time((self.start - 30 * DAY) / SECOND * SECOND + drift, out);
        put_all(out, ["\",\"expires_at\":\""]);
        time((self.start + 61 * DAY) / SECOND * SECOND + drift, out);
        put_all(out, ["\",\"scopes\":"]);
        out.extend_from_slice(SCOPES[pick]);
        let storage = ["keychain", "encrypted_file", "vault", "plaintext_file"][pick];
        put_all(out, [",\"storage\":\"", storage, "\"},\"subject\":{\"id\":\"user"]);
        decimal(subject, out);
        let kind = ["human", "service", "agent"][(subject % 3) as usize];
        put_all(out, ["@example.com\",\"kind\":\"", kind, "\"},\"client\":{\"id\":\""]);
        let client = ["gh", "aws", "gcloud", "kubectl", "az"][(th % 5) as usize];
        put_all(
            out,
            [client, "\",\"kind\":\"", ["cli", "ci", "agent"][(th % 3) as usize], "\"},\"device\":{\"id\":\"dev-"],
        );
        decimal(th % 60_000, out);
        self.write_place(h, h2, th, subject, out);
    }

    fn write_place(&self, h: u64, h2: u64, th: u64, subject: u64, out: &mut Vec<u8>) {
        put_all(out, ["\"},\"host\":{\"id\":\"host-"]);
        decimal(if h2.is_multiple_of(1000) { h } else { th } % 70_000, out);
        let kind = ["workstation", "jump_host", "ci_runner"][(th % 3) as usize];
        put_all(out, ["\",\"kind\":\"", kind, "\",\"os_user\":\"u"]);
        decimal(subject, out);
        put_all(out, ["\"},\"network\":{\"ip\":\"10."]);
        decimal(th % 256, out);
        out.push(b'.');
        decimal(th / 256 % 256, out);
        out.push(b'.');
        decimal(h2 % 256, out);
        put_all(out, ["\",\"country\":\"", ["DE", "US", "JP", "BR"][(h2 % 4) as usize], "\"},\"project\":\"proj-"]);
        decimal(subject % 500, out);
        put_all(out, ["\"}\n"]);
    }

    fn write_context(&self, at: i64, rank: u64, out: &mut Vec<u8>) {
        put_all(out, ["{\"event_id\":\"cx-"]);
        hex(rank, 4, out);
        put_all(out, ["\",\"event_time\":\""]);
        time(at, out);
        let (action, object, limit) = match rank % 2 {
            0 => ("offboard", "subject\":{\"id\":\"user", 50_000),
            _ => ("device_lost", "device\":{\"id\":\"dev-", 60_000),
        };
        put_all(out, ["\",\"action\":\"", action, "\",\"", object]);
        decimal((self.seed % 97 + rank / 2 * 89) % limit, out);
        put_all(out, [if rank.is_multiple_of(2) { "@example.com" } else { "" }, "\"}}\n"]);
    }
}

pub fn put_all<const N: usize>(out: &mut Vec<u8>, parts: [&str; N]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}
