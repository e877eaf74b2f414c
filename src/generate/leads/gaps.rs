//! Fourteen sources for `audit_gap`: what each usually delivers, and two silences in each that lose something.
//!
//! Most deliver by the working day of some country; some around the clock; one in batches, one at night, one hardly
//! anything. On public holidays people stay away, which is quiet and not silence. A silence swallows whatever would
//! have come, so the truth says how much that was: of a silence that lost nothing there is nothing to see.

use std::io::{self, Write};

use super::super::dice::{Dice, mix};
use super::super::record::{DAY, HOUR, MINUTE};
use super::hours::{Clock, DAYS, END, START, Summer, is_weekend};
use super::writing::spelled_time;

const SOURCES: [(&str, Habit); 14] = [
    ("okta", Habit::Office { hourly: 150, idle: 20 }),
    ("entra", Habit::Office { hourly: 90, idle: 6 }),
    ("github", Habit::Office { hourly: 70, idle: 8 }),
    ("google_workspace", Habit::Office { hourly: 45, idle: 2 }),
    ("auth0", Habit::Office { hourly: 32, idle: 6 }),
    ("keycloak", Habit::Office { hourly: 16, idle: 1 }),
    ("ping", Habit::Office { hourly: 11, idle: 1 }),
    ("onelogin", Habit::Office { hourly: 8, idle: 1 }),
    ("gitlab", Habit::Office { hourly: 6, idle: 0 }),
    ("vault", Habit::Steady { hourly: 40 }),
    ("aws", Habit::Steady { hourly: 12 }),
    ("jumpcloud", Habit::Steady { hourly: 3 }),
    ("sap", Habit::Batch { hours: 2, size: 30 }),
    ("mainframe", Habit::Nightly { size: 50 }),
];
const CLOCKS: [Clock; 4] = [
    Clock { half_hours: 2, summer: Summer::Europe },
    Clock { half_hours: 0, summer: Summer::Europe },
    Clock { half_hours: -10, summer: Summer::America },
    Clock { half_hours: 11, summer: Summer::None },
];
/// How many come to work on a public holiday, in percent.
const HOLIDAY_SHARE: u64 = 10;
/// Silences begin after four weeks to compare with.
const FIRST_SILENCE: i64 = 32 * DAY;

/// When a source delivers.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// So many events an hour at work, and in other hours.
    Office {
        hourly: u64,
        idle: u64,
    },
    Steady {
        hourly: u64,
    },
    /// A batch every so many hours.
    Batch {
        hours: i64,
        size: u64,
    },
    /// For less than an hour a night.
    Nightly {
        size: u64,
    },
}

/// A stretch without delivery.
#[derive(Clone, Copy, Debug)]
struct Silence {
    source: usize,
    from: i64,
    to: i64,
    lost: u64,
}

/// The sources' events and silences.
pub struct Feeds {
    seed: u64,
    /// Time and source, in order.
    events: Vec<(i64, u8)>,
    silences: Vec<Silence>,
}

impl Feeds {
    /// Lives through the 90 days.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(mix(seed ^ 0x9a9));
        let (mut events, mut silences) = (Vec::new(), Vec::new());
        for (source, (_, habit)) in SOURCES.iter().enumerate() {
            let clock = CLOCKS[dice.below(CLOCKS.len() as u64) as usize];
            let mut times = deliveries(*habit, clock, &mut dice);
            times.retain(|at| (START..END).contains(at));
            times.sort_unstable();
            let second_half = START + 61 * DAY;
            for (from, to) in [(START + FIRST_SILENCE, second_half - DAY), (second_half, END - 2 * DAY)] {
                silences.push(silence(source, (from, to), &mut times, &mut dice));
            }
            events.extend(times.iter().map(|at| (*at, source as u8)));
        }
        events.sort_unstable();
        Self { seed, events, silences }
    }

    /// The planted silences, one line of JSON each.
    pub fn truth(&self) -> Vec<String> {
        let line = |silence: &Silence| {
            let (name, lost) = (SOURCES[silence.source].0, silence.lost);
            let (from, to) = (spelled_time(silence.from), spelled_time(silence.to));
            let place = format!("\"source\":\"{name}\",\"from\":\"{from}\",\"to\":\"{to}\"");
            format!("{{\"anomaly\":\"silence\",{place},\"lost\":{lost},\"leads\":[\"audit_gap\"]}}")
        };
        self.silences.iter().map(line).collect()
    }

    /// Writes all records in the order of time; returns how many.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_to(&self, to: impl Write) -> io::Result<u64> {
        let mut to = io::BufWriter::with_capacity(1 << 20, to);
        for (number, (at, source)) in self.events.iter().enumerate() {
            let id = mix(mix(self.seed) ^ number as u64);
            let (time, name) = (spelled_time(*at), SOURCES[usize::from(*source)].0);
            let token = id % 300;
            writeln!(
                to,
                "{{\"event_id\":\"ev-{id:016x}\",\"event_time\":\"{time}\",\"action\":\"use\",\
                 \"token\":{{\"id\":\"tk-{name}-{token}\"}},\"source\":\"{name}\"}}"
            )?;
        }
        to.flush()?;
        Ok(self.events.len() as u64)
    }

    /// Writes the truth, a line for each silence.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_truth_to(&self, mut to: impl Write) -> io::Result<()> {
        for line in self.truth() {
            writeln!(to, "{line}")?;
        }
        to.flush()
    }
}

/// What a source would deliver if nothing failed.
fn deliveries(habit: Habit, clock: Clock, dice: &mut Dice) -> Vec<i64> {
    let mut times = Vec::new();
    let holidays = [10 + dice.below(75) as i64, 10 + dice.below(75) as i64];
    // Some days are busier than others, in percent.
    let moods: Vec<u64> = (0..DAYS + 2).map(|_| 80 + dice.below(41)).collect();
    for i in 0..DAYS * 24 {
        let at = START + i * HOUR;
        let (day, hour) = clock.local(at);
        let mood = moods[(day + 1).clamp(0, DAYS + 1) as usize];
        match habit {
            Habit::Office { hourly, idle } => {
                let share = match office_share(hour) {
                    _ if is_weekend(day) => 0,
                    share if holidays.contains(&day) => share * HOLIDAY_SHARE / 100,
                    share => share,
                };
                scatter(&mut times, at, HOUR, (hourly * share + idle * (100 - share)) * mood / 10, dice);
            }
            Habit::Steady { hourly } => scatter(&mut times, at, HOUR, hourly * 10 * mood, dice),
            Habit::Batch { hours, size } if i % hours == 0 => {
                let begins = at + dice.between(0, 4 * MINUTE);
                scatter(&mut times, begins, 6 * MINUTE, size * 10 * mood, dice);
            }
            Habit::Nightly { size } if hour == 1 && clock.local(at - HOUR).1 != 1 => {
                let begins = at + dice.between(0, 10 * MINUTE);
                scatter(&mut times, begins, 40 * MINUTE, size * 10 * mood, dice);
            }
            Habit::Batch { .. } | Habit::Nightly { .. } => {}
        }
    }
    times
}

/// How much of a working hour an hour of a working day is, in percent.
const fn office_share(hour: i64) -> u64 {
    match hour {
        7 | 18 => 30,
        8 | 17 => 70,
        12 => 75,
        9..=16 => 100,
        19..=21 => 8,
        _ => 0,
    }
}

/// That many events, in thousandths and about as chance would have it, within `width` after `from`.
fn scatter(times: &mut Vec<i64>, from: i64, width: i64, thousandths: u64, dice: &mut Dice) {
    // Twice as many chances as events, each taken half the time.
    for _ in 0..thousandths / 500 {
        if dice.permille(500) {
            times.push(dice.between(from, from + width));
        }
    }
    if dice.permille(thousandths % 500) {
        times.push(dice.between(from, from + width));
    }
}

/// Takes a silence of 1 to 24 hours, all lengths as likely by their logarithm, out of what a source delivers.
fn silence(source: usize, (earliest, latest): (i64, i64), times: &mut Vec<i64>, dice: &mut Dice) -> Silence {
    let mut lasts = dice.between(HOUR, 2 * HOUR);
    for _ in 0..dice.below(5) {
        lasts = (lasts / 10_000 * 17_000).min(24 * HOUR);
    }
    let from = dice.between(earliest, latest);
    let to = from + lasts;
    let before = times.len();
    times.retain(|at| !(from..to).contains(at));
    Silence { source, from, to, lost: (before - times.len()) as u64 }
}
