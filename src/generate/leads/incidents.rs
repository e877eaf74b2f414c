//! What goes wrong without anybody's bad intent: an outage and the herd after it, loops, nights through, wrong maps.

use super::super::dice::Dice;
use super::super::record::{DAY, HOUR, MINUTE, SECOND};
use super::cast::{Kind, Source};
use super::hours::{END, START, is_weekend};
use super::places::{CLOUDS, COUNTRIES};
use super::world::{Action, Event, World};

const LOOPS: u64 = 26;
const NIGHTS: u64 = 1;
/// How many requests of people in a hundred thousand are placed in a wrong country; those of clouds are well known.
const MISPLACED: u64 = 40;

/// Adds them to what has happened.
pub fn befall(world: &mut World) {
    outage(world);
    stampede(world);
    for _ in 0..LOOPS {
        if let Some(event) = some_event_of_a_person(world) {
            let lasts = if world.dice.permille(15) { 4 * HOUR } else { world.dice.between(5 * MINUTE, 60 * MINUTE) };
            repeat(world, event, lasts, 45 * SECOND, 4 * MINUTE);
        }
    }
    for _ in 0..world.dice.below(2 * NIGHTS + 1) {
        if let Some(event) = some_event_of_a_person(world) {
            let lasts = world.dice.between(14 * HOUR, 26 * HOUR);
            repeat(world, event, lasts, 50 * MINUTE, 60 * MINUTE);
        }
    }
    let World { dice, events, .. } = world;
    for event in events {
        if dice.below(100_000) < MISPLACED && !CLOUDS.contains(&event.place.asn) {
            event.place.country = dice.below(COUNTRIES.len() as u64) as u8;
        }
    }
}

fn workday(dice: &mut Dice) -> i64 {
    let day = 35 + dice.below(45) as i64;
    START + (if is_weekend(day) { day + 2 } else { day }) * DAY
}

/// Okta serves nobody for three hours; then everybody who waited tries again and again.
fn outage(world: &mut World) {
    let from = workday(&mut world.dice) + 8 * HOUR;
    let to = from + 3 * HOUR;
    let mut waiting = Vec::new();
    for event in &mut world.events {
        let source = world.grants[event.grant as usize].source();
        if source == Source::Okta && event.action == Action::Refresh && (from..to).contains(&event.at) {
            waiting.push(*event);
            event.action = Action::Refused;
        }
    }
    waiting.sort_by_key(|event| event.grant);
    waiting.dedup_by_key(|event| event.grant);
    for event in waiting {
        for _ in 0..6 + world.dice.below(10) {
            let at = world.dice.between(to, to + HOUR);
            again(world, event, at);
        }
        for _ in 0..world.dice.below(6) {
            let at = world.dice.between(to + HOUR, to + 2 * HOUR);
            again(world, event, at);
        }
    }
}

/// Entra rejects cached access tokens for four hours, so every request costs a refresh.
fn stampede(world: &mut World) {
    let from = workday(&mut world.dice) + 10 * HOUR;
    let hit = |event: &&Event| {
        let source = world.grants[event.grant as usize].source();
        source == Source::Entra && event.action == Action::Refresh && (from..from + 4 * HOUR).contains(&event.at)
    };
    let hit: Vec<Event> = world.events.iter().filter(hit).copied().collect();
    for event in hit {
        let hour = event.at - event.at.rem_euclid(HOUR);
        for _ in 0..5 + world.dice.below(8) {
            let at = world.dice.between(hour, hour + HOUR);
            again(world, event, at);
        }
    }
}

fn some_event_of_a_person(world: &mut World) -> Option<Event> {
    for _ in 0..100 {
        let event = world.events[world.dice.below(world.events.len() as u64) as usize];
        let grant = world.grants[event.grant as usize];
        let is_person = world.subjects[grant.subject as usize].kind == Kind::Human;
        if is_person && event.action == Action::Refresh && event.at > START + 12 * DAY {
            return Some(event);
        }
    }
    None
}

/// The same exercise over and over, at intervals of `least` to `most`.
fn repeat(world: &mut World, event: Event, lasts: i64, least: i64, most: i64) {
    let mut at = event.at;
    while at < event.at + lasts {
        at += world.dice.between(least, most);
        again(world, event, at);
    }
}

/// The same exercise at another moment, if the grant is still in force.
fn again(world: &mut World, event: Event, at: i64) {
    if at < END && at < world.grants[event.grant as usize].expires_at {
        world.events.push(Event { at, ..event });
    }
}
