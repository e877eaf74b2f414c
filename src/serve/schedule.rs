//! When which detector is to run: a function of what changed, of the time, and of how the last run came out.
//!
//! A detector waits for a change of what it reads, and no longer than the `every` of its header, because time alone opens
//! findings too. Runs go by version of the lake, so one that failed or never took place is made up for by the next.
//!
//! Where a run of all takes long, those that may wait longest step back, so that the urgent ones come round soon.

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
    /// How long the last run of all detectors took.
    took: Duration,
}

impl Schedule {
    /// Nothing ran yet: all is due.
    pub fn new(catalog: &Catalog, apart: Duration) -> Self {
        let slot = |detector: &crate::detect::catalog::Detector| {
            let every = parse_duration(&detector.header.every).map_or(60_000_000, |micros| micros.max(1_000_000));
            let (reads, every) = (reads::classes(detector), Duration::from_micros(every.unsigned_abs()));
            (detector.id.clone(), Slot { reads, every, is_stale: true, last: None, failures: 0 })
        };
        Self { slots: catalog.all().iter().map(slot).collect(), apart, last_start: None, took: Duration::ZERO }
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
        let is_due = |slot: &Slot| {
            let Some(last) = slot.last else { return true };
            let retry = self.apart * 2_u32.saturating_pow(slot.failures.min(10));
            match slot.failures {
                0 => (slot.is_stale && now >= last + self.step_back(slot)) || now >= last + slot.every,
                _ => now >= last + retry.min(RETRY_MAX),
            }
        };
        let due: Vec<&String> = self.slots.iter().filter(|(_, slot)| is_due(slot)).map(|(id, _)| id).collect();
        // What a run goes on from is kept by the set of its detectors: few sets, and each goes on from nearby.
        let are_most = due.len() * 2 > self.slots.len();
        if are_most { self.slots.keys().cloned().collect() } else { due.into_iter().cloned().collect() }
    }

    /// How long a detector leaves the way to others after a run: nothing if it is to run every minute.
    fn step_back(&self, slot: &Slot) -> Duration {
        let minutes = u32::try_from(slot.every.as_secs() / 60).unwrap_or(u32::MAX);
        self.took.saturating_mul(minutes.saturating_sub(1)).min(slot.every)
    }

    /// A run of these detectors took so long.
    pub fn took(&mut self, ids: &[String], time: Duration) {
        if self.are_all(ids) {
            self.took = time;
        }
    }

    /// Whether these are all.
    pub fn are_all(&self, ids: &[String]) -> bool {
        ids.len() == self.slots.len()
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

    #[test]
    fn everything_is_due_at_first_then_what_reads_what_changed() {
        let mut schedule = schedule();
        let all = schedule.due(seconds(0));
        assert!(schedule.are_all(&all) && !all.is_empty());
        run(&mut schedule, &all, seconds(0));
        assert!(schedule.due(seconds(10)).is_empty(), "nothing changed");
        schedule.changed(&BTreeSet::from([Class::Token]));
        assert!(schedule.due(seconds(1)).is_empty(), "sooner than two seconds after the last");
        assert!(schedule.are_all(&schedule.due(seconds(2))));
    }

    #[test]
    fn every_is_the_longest_wait() {
        let mut schedule = schedule();
        let all = schedule.due(seconds(0));
        run(&mut schedule, &all, seconds(0));
        assert!(schedule.due(seconds(59)).is_empty());
        let minutely = schedule.due(seconds(60));
        assert!(minutely.contains(&"refresh_after_offboarding".to_owned()) && !schedule.are_all(&minutely));
        run(&mut schedule, &minutely, seconds(60));
        assert!(schedule.are_all(&schedule.due(seconds(900))));
    }

    #[test]
    fn where_runs_take_long_those_step_back_that_may_wait() {
        let mut schedule = schedule();
        let all = schedule.due(seconds(0));
        run(&mut schedule, &all, seconds(0));
        schedule.took(&all, seconds(5));
        schedule.changed(&BTreeSet::from([Class::Token]));
        let urgent = schedule.due(seconds(5));
        assert!(urgent.contains(&"refresh_after_offboarding".to_owned()) && !schedule.are_all(&urgent));
        run(&mut schedule, &urgent, seconds(5));
        schedule.changed(&BTreeSet::from([Class::Token]));
        // Five minutes may be waited, of which four times five seconds are.
        assert!(!schedule.are_all(&schedule.due(seconds(19))));
        assert!(schedule.are_all(&schedule.due(seconds(20))));
    }

    #[test]
    fn what_failed_is_made_up_for_later_and_later() {
        let mut schedule = schedule();
        let all = schedule.due(seconds(0));
        run(&mut schedule, &all, seconds(0));
        let one = vec![all[0].clone()];
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
