//! What has happened, kept small: an event is a few numbers until it is written.

use super::super::dice::{Dice, mix};
use super::cast::{CLIENTS, Kind, Source};
use super::machines::Machine;
use super::people::Person;
use super::places::Place;

/// A person or machine identity.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub kind: Kind,
    /// What tells it from others of its kind.
    pub number: u64,
}

/// An authorization: one refresh-token family.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    pub subject: u32,
    pub client: u8,
    pub issued_at: i64,
    pub expires_at: i64,
}

impl Grant {
    pub fn source(&self) -> Source {
        CLIENTS[usize::from(self.client)].source
    }
}

/// What a token was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Issue,
    Refresh,
    /// A refresh the provider did not serve.
    Refused,
}

/// One exercise.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub at: i64,
    pub grant: u32,
    /// Index into [`CLIENTS`]; FOCI's share a grant.
    pub client: u8,
    pub action: Action,
    pub place: Place,
    pub machine: Machine,
    pub agent: &'static str,
}

/// Everything that has happened.
pub struct World {
    pub seed: u64,
    pub dice: Dice,
    pub subjects: Vec<Subject>,
    pub grants: Vec<Grant>,
    pub events: Vec<Event>,
    /// The people, who are the first subjects, in the same order.
    pub people: Vec<Person>,
    machines: u32,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let dice = Dice::new(mix(seed ^ 0x1ead5));
        let (subjects, grants, events) = (Vec::new(), Vec::new(), Vec::with_capacity(750_000));
        Self { seed, dice, subjects, grants, events, people: Vec::new(), machines: 0 }
    }

    pub fn subject(&mut self, kind: Kind) -> u32 {
        self.subjects.push(Subject { kind, number: self.subjects.len() as u64 + mix(self.seed) % 1000 * 1000 });
        self.subjects.len() as u32 - 1
    }

    pub fn grant(&mut self, grant: Grant) -> u32 {
        self.grants.push(grant);
        self.grants.len() as u32 - 1
    }

    /// Adds an event, with those ids of its machine that its source tells.
    pub fn tell(&mut self, mut event: Event) {
        let source = self.grants[event.grant as usize].source();
        if !self.dice.permille(source.device_share()) {
            event.machine.device = None;
        }
        if !source.tells_host() {
            event.machine.host = None;
        }
        self.events.push(event);
    }

    /// A number no machine has had.
    pub fn machine(&mut self) -> u32 {
        self.machines += 1;
        self.machines
    }

    /// The events of each grant, by index, in the order of time.
    pub fn events_by_grant(&self) -> Vec<Vec<u32>> {
        let mut all = vec![Vec::new(); self.grants.len()];
        for (i, event) in self.events.iter().enumerate() {
            all[event.grant as usize].push(i as u32);
        }
        for events in &mut all {
            events.sort_by_key(|i| self.events[*i as usize].at);
        }
        all
    }
}
