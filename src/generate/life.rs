//! Ordinary life: a grant that breaks no rule of the default policy, told lazily.
//!
//! A [`Life`] is 40 bytes, whatever the number of its events: each is computed from its index when its time comes.
//! It is quiet by construction: shorter than 30 days, and never more than 14 days without exercise. Spacing is at most
//! `STEP_MAX` with 0.8 of it jitter, so one refused or repeated event in between (never two in a row, never the
//! last) leaves a pause of less than 2.8 * 4.5 = 12.6 days.

use super::cast::{self, Host, Name, Subject};
use super::dice::{Dice, mix};
use super::grant::{Basis, Grant};
use super::record::{DAY, HOUR, MINUTE, Record, SECOND};

/// Days of history before the end.
pub const HISTORY: i64 = 100 * DAY;
const SPAN_MAX: i64 = 29 * DAY;
const STEP_MAX: i64 = 9 * DAY / 2;
const EVENTS_MEAN: u64 = 25;

/// How a grant ends, and with how many records of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Alive,
    Lapses,
    Expires,
    Revoked,
    LoggedOut,
}

/// The ordinary company: how many people share its grants, and from which number on (stories have those below).
#[derive(Clone, Copy, Debug)]
pub struct Company {
    pub salt: u64,
    pub people: u64,
    pub first: u64,
    pub end: i64,
}

/// One grant's story in short.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    number: u64,
    pub start: i64,
    step: i64,
    events: u16,
    next: u16,
    fate: Fate,
}

impl Life {
    /// Grant `number`, with at most `left` events.
    pub fn plan(company: &Company, number: u64, left: u64) -> Self {
        let mut dice = Dice::new(mix(company.salt) ^ mix(number));
        let events = (3 + dice.below(2 * EVENTS_MEAN - 5)).min(left) as u16;
        let mut fate = match dice.below(10) {
            0 => Fate::Lapses,
            1 => Fate::Expires,
            2..7 => Fate::Revoked,
            7 => Fate::LoggedOut,
            _ => Fate::Alive,
        };
        if events < 3 && fate != Fate::Alive {
            fate = Fate::Lapses;
        }
        let exercises = i64::from(events - Self::farewell(fate));
        let start = dice.between(company.end - HISTORY, company.end - HOUR);
        let span = dice.between(HOUR / 2, SPAN_MAX).min(exercises * STEP_MAX);
        let (start, span) = if fate == Fate::Alive {
            let span = (company.end - start).min(exercises * STEP_MAX).min(SPAN_MAX);
            (company.end - span, span)
        } else if start + span > company.end - MINUTE {
            (start, company.end - MINUTE - start)
        } else {
            (start, span)
        };
        Self { number, start, step: (span / exercises) / 1000 * 1000, events, next: 0, fate }
    }

    pub const fn events(&self) -> u64 {
        self.events as u64
    }

    /// When the next record reaches us: now and then some minutes or hours after it happened. `None`: all are told.
    pub fn due(&self) -> Option<i64> {
        (self.next < self.events).then(|| {
            let chance = self.chance(self.next) >> 20;
            let late = if chance.is_multiple_of(128) { (chance >> 8) as i64 % (6 * HOUR) } else { 0 };
            self.at(self.next) + late
        })
    }

    /// The next record.
    pub fn tell(&mut self, company: &Company) -> Record {
        let told = self.next;
        self.next += 1;
        // A repeat is the record before it, told again to the byte.
        let record = if self.is_odd(told, 16..20) { told - 1 } else { told };
        self.record(company, record)
    }

    const fn farewell(fate: Fate) -> u16 {
        match fate {
            Fate::Alive | Fate::Lapses => 0,
            Fate::Expires | Fate::Revoked => 1,
            Fate::LoggedOut => 2,
        }
    }

    const fn chance(&self, index: u16) -> u64 {
        mix(self.number << 16 | index as u64)
    }

    const fn exercises(&self) -> u16 {
        self.events - Self::farewell(self.fate)
    }

    const fn finish(&self) -> i64 {
        self.start + self.exercises() as i64 * self.step
    }

    /// Whether a mishap of this share (of 1024) befalls an event: only at odd places, so never two in a row.
    fn is_odd(&self, index: u16, share: std::ops::Range<u64>) -> bool {
        index % 2 == 1 && index + 1 < self.exercises() && share.contains(&(self.chance(index) % 1024))
    }

    const fn at(&self, index: u16) -> i64 {
        let exercises = self.exercises();
        if index >= exercises {
            return self.finish() + (index - exercises) as i64 * 2 * SECOND;
        }
        let jitter = if index == 0 { 0 } else { (self.chance(index) >> 32) as i64 % 800 };
        self.start + index as i64 * self.step + self.step / 1_000_000 * jitter * 1000
    }

    fn record(&self, company: &Company, index: u16) -> Record {
        let mut grant = self.grant(company);
        let at = self.at(index);
        let mut record = if index >= self.exercises() {
            self.end(&grant, at, index)
        } else if index == 0 {
            grant.exercise("issue", at)
        } else {
            if grant.rotates() {
                grant.turn = index - 1;
                grant.minted_at = Some(self.at(index - 1));
            }
            let draw = self.chance(index) >> 10;
            match grant.basis {
                Basis::Token => grant.exercise("use", at),
                Basis::Family | Basis::FamilyInSession if draw.is_multiple_of(8) => {
                    let minted_at = (at - (5 + (draw >> 8) as i64 % 50) * MINUTE).max(self.start);
                    grant.access(at, minted_at, 0x8000 | index)
                }
                _ => grant.exercise("refresh", at),
            }
        };
        record.refused = self.is_odd(index, 0..10) && record.action == "refresh";
        record.id = (!self.number.is_multiple_of(64)).then_some(self.number << 16 | u64::from(index));
        record
    }

    /// The record that ends the grant, naming it in one of the ways servers do.
    fn end(&self, grant: &Grant, at: i64, index: u16) -> Record {
        match self.fate {
            Fate::LoggedOut if index == self.exercises() => grant.named("logout", at),
            Fate::Expires => grant.named("expire", at),
            _ => {
                let mut record = grant.named("revoke", at);
                if grant.rotates() && self.number % 8 == 1 {
                    record.token.family = None; // known by its token id alone
                    record.session = None;
                }
                if self.number.is_multiple_of(5) {
                    record.actor = Some(Subject::Person(Name::Word("it-desk")));
                }
                record
            }
        }
    }

    fn grant(&self, company: &Company) -> Grant {
        let mut dice = Dice::new(mix(self.number ^ company.salt));
        let own = Name::Number(self.number);
        let basis = match dice.below(100) {
            0..35 => Basis::Family,
            35..70 => Basis::FamilyInSession,
            70..82 => Basis::Session,
            82..97 => Basis::Token,
            _ => Basis::Derived,
        };
        let sort = if basis == Basis::Derived { 95 } else { dice.below(100) };
        let choice = dice.roll() as usize;
        let shared = company.first + dice.below(company.people);
        let (subject, client, device, host, kind) = match sort {
            0..80 => {
                let device = Name::Number(2 * shared + dice.below(2));
                let client = &cast::FOR_PEOPLE[choice % cast::FOR_PEOPLE.len()];
                (Subject::Person(Name::Number(shared)), client, Some(device), device, "workstation")
            }
            80..88 => {
                let client = &cast::FOR_AGENTS[choice % cast::FOR_AGENTS.len()];
                (Subject::Agent(own), client, None, own, "container")
            }
            _ => {
                let client = &cast::FOR_SERVICES[choice % cast::FOR_SERVICES.len()];
                let kind = if client.kind == "ci" { "ci_runner" } else { "server" };
                (Subject::Service(own), client, None, own, kind)
            }
        };
        let ends_at = match self.fate {
            Fate::Lapses | Fate::Expires => Some(self.finish()),
            _ if self.number.is_multiple_of(3) => None,
            _ => Some(self.start + 60 * DAY),
        };
        let kind_of_token = match basis {
            Basis::Session => "session",
            Basis::Token if client.kind == "cli" => "pat",
            Basis::Token => "api_key",
            _ => "refresh",
        };
        let os_user = if matches!(subject, Subject::Person(_)) { subject.name() } else { Name::Word("runner") };
        Grant {
            name: own,
            basis,
            kind: kind_of_token,
            subject,
            client,
            session: own,
            device,
            host: Some(Host { name: host, kind, os_user: Some(os_user) }),
            project: Some(cast::PROJECTS[(mix(shared) % 8) as usize]),
            turn: 0,
            minted_at: Some(self.start),
            expires_at: ends_at,
            sliding: None,
        }
    }
}
