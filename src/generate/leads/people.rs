//! 260 people: where they work, what they use, and their 90 days.

use super::super::record::HOUR;
use super::absences::{self, Pause};
use super::cast::{AZ, EVERYDAY, Kind, RARE};
use super::hours::{Clock, DAYS, is_weekend};
use super::machines::Machine;
use super::places::OFFICES;
use super::routine::{Rhythm, Tool};
use super::whereabouts::Whereabouts;
use super::world::World;

const PEOPLE: usize = 260;

/// A laptop from some day on, and whether the token stores of the one before were copied to it.
#[derive(Clone, Copy, Debug)]
pub struct Laptop {
    pub from: i64,
    pub machine: Machine,
    pub migrated: bool,
}

/// A person.
pub struct Person {
    pub subject: u32,
    pub clock: Clock,
    /// Local hour at which work begins, and for how many hours it goes on.
    begins: i64,
    lasts: i64,
    pauses: Vec<Pause>,
    pub whereabouts: Whereabouts,
    pub laptops: Vec<Laptop>,
}

/// Everybody's 90 days.
pub fn live(world: &mut World) {
    for _ in 0..PEOPLE {
        let (person, mut tools) = arrive(world);
        for day in 0..DAYS {
            live_day(world, &person, &mut tools, day);
        }
        world.people.push(person);
    }
}

fn arrive(world: &mut World) -> (Person, Vec<Tool>) {
    let subject = world.subject(Kind::Human);
    let mut draw = world.dice.below(1000);
    let office = OFFICES.iter().position(|(share, _)| {
        let here = draw < *share;
        draw = draw.saturating_sub(*share);
        here
    });
    let office = office.unwrap_or(0);
    let mut laptops = vec![Laptop { from: i64::MIN, machine: Machine::laptop(world), migrated: false }];
    if world.dice.permille(90) {
        let from = 3 + world.dice.below(85) as i64;
        let machine = Machine::laptop(world);
        laptops.push(Laptop { from, machine, migrated: world.dice.permille(333) });
    }
    let dice = &mut world.dice;
    let pauses = absences::pauses(dice);
    let mut whereabouts = Whereabouts::new(office as u8, dice);
    whereabouts.trips = absences::trips(office as u8, &pauses, dice);
    let (begins, lasts) = (7 + dice.below(4) as i64, 8 + dice.below(3) as i64);
    let person = Person { subject, clock: OFFICES[office].1, begins, lasts, pauses, whereabouts, laptops };
    let tools = equip(world);
    (person, tools)
}

/// One to three programs for every day, up to two for some days, and for some people one they hardly ever need.
fn equip(world: &mut World) -> Vec<Tool> {
    let dice = &mut world.dice;
    let first = dice.below(u64::from(EVERYDAY.end));
    let daily = 1 + dice.below(3);
    let some = dice.below(3);
    let mut tools: Vec<Tool> = (0..daily + some)
        .map(|i| {
            let client = ((first + i * 3) % u64::from(EVERYDAY.end)) as u8;
            Tool {
                client,
                rhythm: if i < daily { Rhythm::Daily } else { Rhythm::SomeDays(150 + dice.below(250)) },
                is_shared: dice.permille(50),
                is_family: client == AZ && dice.permille(600),
                never_sleeps: i == 0 && dice.permille(30),
                held: None,
            }
        })
        .collect();
    if dice.permille(300) {
        let client = RARE.start + dice.below(u64::from(RARE.end - RARE.start)) as u8;
        let rhythm = Rhythm::Rare { next: dice.below(30) as i64, mean: 4 + dice.below(9) as i64 };
        tools.push(Tool { client, rhythm, is_shared: false, is_family: false, never_sleeps: false, held: None });
    }
    tools
}

fn live_day(world: &mut World, person: &Person, tools: &mut [Tool], day: i64) {
    let is_off = absences::is_off(&person.pauses, day);
    for tool in tools.iter_mut() {
        tool.postpone(is_off || is_weekend(day), day, &mut world.dice);
    }
    if is_off {
        return;
    }
    let works = if is_weekend(day) { world.dice.permille(60) } else { world.dice.permille(960) };
    let mood = person.whereabouts.mood(day, &mut world.dice);
    let (begins, ends) = if is_weekend(day) {
        let begins = 10 + world.dice.below(8) as i64;
        (begins, begins + 1 + world.dice.below(3) as i64)
    } else {
        let evening = if world.dice.permille(200) { 1 + world.dice.below(3) as i64 } else { 0 };
        (person.begins, person.begins + person.lasts + evening)
    };
    for tool in tools {
        let is_used = works && tool.is_due(day, &mut world.dice);
        for hour in 0..24 {
            let at_work = is_used && (begins..ends).contains(&hour);
            if at_work || (tool.never_sleeps && !is_off) {
                tool.use_in(world, person, &mood, day, hour);
            }
        }
        if is_used {
            tool.used(day, &mut world.dice);
        }
    }
}

impl Person {
    pub fn laptop(&self, day: i64) -> &Laptop {
        let current = self.laptops.iter().rev().find(|laptop| laptop.from <= day);
        current.unwrap_or(&self.laptops[0])
    }

    /// UTC of a local moment.
    pub fn utc(&self, day: i64, hour: i64, rest: i64) -> i64 {
        self.clock.utc(day, hour * HOUR + rest)
    }
}
