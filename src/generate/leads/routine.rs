//! How a person uses a program: on which days, how often, under which grant.

use super::super::dice::Dice;
use super::super::record::{DAY, HOUR};
use super::cast::{AZ_FAMILY, CLIENTS};
use super::hours::{END, START};
use super::people::Person;
use super::whereabouts::Mood;
use super::world::{Action, Event, Grant, World};

/// On which days.
#[derive(Clone, Copy, Debug)]
pub enum Rhythm {
    Daily,
    /// On some days, how many in a thousand.
    SomeDays(u64),
    /// Next on this day; some days between uses, now and then many weeks.
    Rare {
        next: i64,
        mean: i64,
    },
}

/// A program of a person.
pub struct Tool {
    pub client: u8,
    pub rhythm: Rhythm,
    /// A second tool, with a user agent of its own, uses the same token.
    pub is_shared: bool,
    /// The grant serves other clients of its family too.
    pub is_family: bool,
    /// It refreshes every hour of the day, on a laptop that is never closed.
    pub never_sleeps: bool,
    /// The grant, and since which day its laptop is the person's.
    pub held: Option<(u32, i64)>,
}

impl Tool {
    pub fn is_due(&self, day: i64, dice: &mut Dice) -> bool {
        match self.rhythm {
            Rhythm::Daily => dice.permille(900),
            Rhythm::SomeDays(share) => dice.permille(share),
            Rhythm::Rare { next, .. } => next <= day,
        }
    }

    /// Whoever is away does later what was due.
    pub fn postpone(&mut self, is_off: bool, day: i64, dice: &mut Dice) {
        if let Rhythm::Rare { next, mean } = self.rhythm
            && is_off
            && next == day
        {
            self.rhythm = Rhythm::Rare { next: next + 1 + dice.below(3) as i64, mean };
        }
    }

    /// Says when it will be needed again.
    pub fn used(&mut self, day: i64, dice: &mut Dice) {
        if let Rhythm::Rare { mean, .. } = self.rhythm {
            let gap =
                if dice.permille(52) { 28 + dice.below(26) as i64 } else { 1 + dice.below(2 * mean as u64) as i64 };
            self.rhythm = Rhythm::Rare { next: day + gap, mean };
        }
    }

    /// Uses it in an hour, or not: access tokens live for an hour, and not every hour needs one.
    pub fn use_in(&mut self, world: &mut World, person: &Person, mood: &Mood, day: i64, hour: i64) {
        let share = if self.never_sleeps { 950 } else { 720 };
        let mut at = Vec::new();
        if world.dice.permille(share) {
            at.push(world.dice.between(0, HOUR));
            while world.dice.permille(160) && at.len() < 4 {
                at.push(world.dice.between(0, HOUR));
            }
        }
        at.sort_unstable();
        for rest in at {
            self.exercise(world, person, mood, day, hour, rest);
        }
    }

    fn exercise(&mut self, world: &mut World, person: &Person, mood: &Mood, day: i64, hour: i64, rest: i64) {
        let at = person.utc(day, hour, rest);
        if !(START..END).contains(&at) {
            return;
        }
        let (grant, action) = self.authorize(world, person, day, at);
        let laptop = person.laptop(day);
        let place = person.whereabouts.place(mood, day, hour, &mut world.dice);
        let client = if self.is_family && action == Action::Refresh {
            AZ_FAMILY[world.dice.below(3) as usize]
        } else {
            self.client
        };
        let agents = CLIENTS[usize::from(client)].agents;
        let second = self.is_shared && world.dice.permille(350);
        let agent = agents[usize::from(second)];
        world.tell(Event { at, grant, client, action, place, machine: laptop.machine, agent });
    }

    /// The grant in force, or a new one: the old has expired, or was left behind on another laptop.
    fn authorize(&mut self, world: &mut World, person: &Person, day: i64, at: i64) -> (u32, Action) {
        let laptop = person.laptop(day);
        if let Some((grant, laptop_from)) = self.held
            && at < world.grants[grant as usize].expires_at
            && (laptop_from == laptop.from || laptop.migrated)
        {
            self.held = Some((grant, laptop.from));
            return (grant, Action::Refresh);
        }
        let lifetime = CLIENTS[usize::from(self.client)].lifetime * DAY;
        // Most grants of the first days are older than the records.
        let is_old = self.held.is_none() && world.dice.permille(900);
        let age = if is_old { world.dice.between(HOUR, lifetime) } else { 0 };
        let (issued_at, action) = if age > at - START { (at - age, Action::Refresh) } else { (at, Action::Issue) };
        let grant = Grant { subject: person.subject, client: self.client, issued_at, expires_at: issued_at + lifetime };
        let grant = world.grant(grant);
        self.held = Some((grant, laptop.from));
        (grant, action)
    }
}
