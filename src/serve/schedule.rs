//! When which detector is to run: a function of what changed, of the time, and of how the last run came out.
//!
//! A detector waits for a change of what it reads, and no longer than the `every` of its header, because time alone opens
//! findings too. Runs go by version of the lake, so one that failed or never took place is made up for by the next.
//!
//! A run is of detectors with the same `every`, so that the urgent ones never wait for all others at once. Where several
//! are due, those go first whose wait is the largest part of their `every`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::detect::catalog::Catalog;
use crate::detect::reads::{self, Class};
use crate::policy::parse_duration;

/// Longest wait after runs that failed.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// One detector's place in the schedule.
#[derive(Clone, Debug)]
struct Slot {
    reads: BTreeSet<Class>,
    every: Duration,
    /// Something it reads has changed since its last good run began.
    is_stale: bool,
    last: Option<Duration>,
    failures: u32,
}

/// All detectors. Times count from any one moment on.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    slots: BTreeMap<String, Slot>,
    apart: Duration,
    last_start: Option<Duration>,
}

impl Schedule {
    /// Nothing ran yet: all is due.
    pub fn new(catalog: &Catalog, apart: Duration) -> Self {
        let slot = |detector: &crate::detect::catalog::Detector| {
            let every = parse_duration(&detector.header.every).map_or(60_000_000, |micros| micros.max(1_000_000));
            let (reads, every) = (reads::classes(detector), Duration::from_micros(every.unsigned_abs()));
            (detector.id.clone(), Slot { reads, every, is_stale: true, last: None, failures: 0 })
        };
        Self { slots: catalog.all().iter().map(slot).collect(), apart, last_start: None }
    }

    /// Rows of these classes came, or went.
    pub fn changed(&mut self, classes: &BTreeSet<Class>) {
        for slot in self.slots.values_mut() {
            slot.is_stale |= !slot.reads.is_disjoint(classes);
        }
    }

    /// Detectors to run now; none if it is too early, or if there is no need.
    pub fn due(&self, now: Duration) -> Vec<String> {
        if self.last_start.is_some_and(|last| now < last + self.apart) {
            return Vec::new();
        }
        let due = |every: Duration| -> Vec<&String> {
            self.of(every).filter(|(_, slot)| self.is_due(slot, now)).map(|(id, _)| id).collect()
        };
        let tiers: BTreeSet<Duration> = self.slots.values().map(|slot| slot.every).collect();
        let first = tiers.into_iter().rev().filter(|every| !due(*every).is_empty());
        // Of equals the last one counts: the most urgent.
        let Some(every) = first.max_by(|a, b| self.wait(*a, now).total_cmp(&self.wait(*b, now))) else {
            return Vec::new();
        };
        // What a run goes on from is kept by the set of its detectors: few sets, and each goes on from nearby.
        let due = due(every);
        let are_most = due.len() * 2 > self.of(every).count();
        let joins = |id: &String, slot: &Slot| due.contains(&id) || (are_most && slot.failures == 0);
        self.of(every).filter(|(id, slot)| joins(id, slot)).map(|(id, _)| id.clone()).collect()
    }

    fn is_due(&self, slot: &Slot, now: Duration) -> bool {
        let Some(last) = slot.last else { return true };
        let retry = self.apart * 2_u32.saturating_pow(slot.failures.min(10));
        match slot.failures {
            0 => slot.is_stale || now >= last + slot.every,
            _ => now >= last + retry.min(RETRY_MAX),
        }
    }

    /// Detectors with this `every`.
    fn of(&self, every: Duration) -> impl Iterator<Item = (&String, &Slot)> {
        self.slots.iter().filter(move |(_, slot)| slot.every == every)
    }

    /// How long the first of the detectors with this `every` has waited, as a part of it.
    fn wait(&self, every: Duration, now: Duration) -> f64 {
        let since = |slot: &Slot| slot.last.map_or(f64::INFINITY, |last| now.saturating_sub(last).as_secs_f64());
        self.of(every).map(|(_, slot)| since(slot) / every.as_secs_f64()).fold(0.0, f64::max)
    }

    /// A run of these detectors begins.
    pub fn begins(&mut self, ids: &[String], now: Duration) {
        self.last_start = Some(now);
        for id in ids {
            if let Some(slot) = self.slots.get_mut(id) {
                (slot.is_stale, slot.last) = (false, Some(now));
            }
        }
    }

    /// A run came out so for a detector.
    pub fn ended(&mut self, id: &str, is_good: bool) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.failures = if is_good { 0 } else { slot.failures + 1 };
            slot.is_stale |= !is_good;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn schedule() -> Schedule {
        Schedule::new(&Catalog::load(None).unwrap(), seconds(2))
    }

    fn run(schedule: &mut Schedule, ids: &[String], now: Duration) {
        schedule.begins(ids, now);
        ids.iter().for_each(|id| schedule.ended(id, true));
    }

    const URGENT: &str = "refresh_after_offboarding";
    const IN_FIVE_MINUTES: &str = "token_older_than_policy";
    const IN_FIFTEEN: &str = "impossible_travel";

    /// Runs what is due, until nothing is; each run takes so long. When it ended, and which of the three ran, in order.
    fn caught_up(schedule: &mut Schedule, from: u64, takes: u64) -> (u64, Vec<&'static str>) {
        let (mut now, mut ran) = (from, Vec::new());
        loop {
            let due = schedule.due(seconds(now));
            if due.is_empty() {
                return (now, ran);
            }
            let of = [URGENT, IN_FIVE_MINUTES, IN_FIFTEEN].into_iter().filter(|id| due.iter().any(|one| one == id));
            ran.extend(of);
            run(schedule, &due, seconds(now));
            now += takes;
        }
    }

    #[test]
    fn everything_is_due_at_first_then_what_reads_what_changed() {
        let mut schedule = schedule();
        assert_eq!(caught_up(&mut schedule, 0, 3), (9, vec![URGENT, IN_FIVE_MINUTES, IN_FIFTEEN]));
        assert!(schedule.slots.values().all(|slot| slot.last.is_some()), "none was left out");
        assert!(schedule.due(seconds(10)).is_empty(), "nothing changed");
        schedule.changed(&BTreeSet::from([Class::Token]));
        assert!(schedule.due(seconds(7)).is_empty(), "sooner than two seconds after the last");
        assert_eq!(caught_up(&mut schedule, 10, 3), (19, vec![URGENT, IN_FIVE_MINUTES, IN_FIFTEEN]));
    }

    #[test]
    fn every_is_the_longest_wait() {
        let mut schedule = schedule();
        caught_up(&mut schedule, 0, 2);
        assert!(schedule.due(seconds(59)).is_empty());
        assert_eq!(caught_up(&mut schedule, 60, 2), (62, vec![URGENT]));
        assert_eq!(caught_up(&mut schedule, 303, 2), (307, vec![URGENT, IN_FIVE_MINUTES]));
        assert_eq!(caught_up(&mut schedule, 905, 2).1, [URGENT, IN_FIVE_MINUTES, IN_FIFTEEN]);
    }

    #[test]
    fn under_load_the_urgent_wait_for_one_other_run_at_most_and_all_come_round() {
        let mut schedule = schedule();
        let (mut now, mut ran) = (0, Vec::new());
        while now < 600 {
            schedule.changed(&BTreeSet::from(Class::ALL));
            let due = schedule.due(seconds(now));
            ran.push(
                [URGENT, IN_FIVE_MINUTES, IN_FIFTEEN].into_iter().find(|id| due.iter().any(|one| one == id)).unwrap(),
            );
            run(&mut schedule, &due, seconds(now));
            now += 5;
        }
        // A run takes five seconds: in five minutes there are sixty.
        let every = |id: &str| ran.iter().filter(|one| **one == id).count();
        assert!(ran[3..].windows(2).all(|two| two.contains(&URGENT)), "{ran:?}");
        assert!(
            every(URGENT) > 2 * every(IN_FIVE_MINUTES) && every(IN_FIVE_MINUTES) > 2 * every(IN_FIFTEEN),
            "{ran:?}"
        );
        assert!(every(IN_FIFTEEN) >= 4, "{ran:?}");
    }

    #[test]
    fn what_failed_is_made_up_for_later_and_later() {
        let mut schedule = schedule();
        caught_up(&mut schedule, 0, 2);
        let one = vec![URGENT.to_owned()];
        schedule.begins(&one, seconds(10));
        schedule.ended(&one[0], false);
        assert!(schedule.due(seconds(13)).is_empty());
        assert_eq!(schedule.due(seconds(14)), one);
        for _ in 0..20 {
            schedule.ended(&one[0], false);
        }
        assert!(schedule.due(seconds(69)).is_empty() || !schedule.due(seconds(69)).contains(&one[0]));
        assert!(schedule.due(seconds(70)).contains(&one[0]));
    }
}
