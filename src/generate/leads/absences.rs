//! When a person is not at the usual desk: vacations, long leaves, and trips.

use super::super::dice::Dice;
use super::hours::DAYS;
use super::places::{COUNTRIES, Net, OFFICES, Place, network};

/// A stay elsewhere, from its first to its last day.
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    pub first: i64,
    pub last: i64,
    pub hotel: Place,
    pub mobile: Place,
    /// The company's own network, if it has an office there.
    pub office: Option<Place>,
    pub by_air: bool,
}

/// Days without work, first and last.
pub type Pause = (i64, i64);

/// A vacation of one to three weeks for most, a leave of 33 to 50 days for a few.
pub fn pauses(dice: &mut Dice) -> Vec<Pause> {
    let mut all = Vec::new();
    if dice.permille(55) {
        let (length, first) = (33 + dice.below(18) as i64, 12 + dice.below(26) as i64);
        all.push((first, first + length - 1));
    } else if dice.permille(600) {
        let (length, first) = (7 * (1 + dice.below(3) as i64) - 2, dice.below(84) as i64);
        all.push((first, first + length));
    }
    // Single days off.
    for _ in 0..dice.below(4) {
        let day = dice.below(DAYS as u64) as i64;
        all.push((day, day));
    }
    all
}

pub fn is_off(pauses: &[Pause], day: i64) -> bool {
    pauses.iter().any(|(first, last)| (*first..=*last).contains(&day))
}

/// Trips of two days to a week, to another office or to customers; a few people travel all the time.
pub fn trips(home: u8, pauses: &[Pause], dice: &mut Dice) -> Vec<Trip> {
    let count = match dice.below(100) {
        0..56 => 0,
        56..80 => 1,
        80..94 => 2,
        _ => 3 + dice.below(4),
    };
    let mut all: Vec<Trip> = Vec::new();
    for _ in 0..count {
        let first = 1 + dice.below(DAYS as u64 - 8) as i64;
        let last = first + 1 + dice.below(6) as i64;
        let is_taken = |day: i64| is_off(pauses, day) || all.iter().any(|t| (t.first - 2..=t.last + 2).contains(&day));
        if (first..=last).any(is_taken) {
            continue;
        }
        all.push(trip(first, last, home, dice));
    }
    all
}

fn trip(first: i64, last: i64, home: u8, dice: &mut Dice) -> Trip {
    let to_office = dice.permille(400);
    let among = if to_office { OFFICES.len() } else { COUNTRIES.len() - 5 };
    // Some trips stay in the country.
    let country = if dice.permille(350) { home } else { dice.below(among as u64) as u8 };
    let office = (usize::from(country) < OFFICES.len() && to_office).then(|| network(country, Net::Office, dice));
    let hotel = network(country, Net::Hotel, dice);
    let mobile = network(country, Net::Mobile, dice);
    Trip { first, last, hotel, mobile, office, by_air: country != home }
}
