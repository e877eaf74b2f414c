//! When which detector is to run: a function of what changed, of the time, and of how the last run came out.
//!
//! A detector waits for a change of what it reads, and no longer than the `every` of its header, because time alone opens
//! findings too. Runs go by version of the lake, so one that failed or never took place is made up for by the next.
//!
//! A run is of a few detectors with the same `every`, so that the urgent ones never wait for many others at once. Of the
//! runs that are due, that one goes first whose wait is the largest part of its `every`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::detect::catalog::Catalog;
use crate::detect::reads::{self, Class};
use crate::policy::parse_duration;

/// Longest wait after runs that failed.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Detectors of one run. More of them share what a run costs by itself, and fewer are over sooner.
const TOGETHER_MAX: usize = 8;

/// Detectors that run together: their `every`, and which of the parts that those with this `every` are divided into.
type Group = (Duration, usize);

/// One detector's place in the schedule.
#[derive(Clone, Debug)]
struct Slot {
    reads: BTreeSet<Class>,
    group: Group,
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
        let mut of_every: BTreeMap<Duration, BTreeMap<&str, BTreeSet<Class>>> = BTreeMap::new();
        for detector in catalog.all() {
            let every = parse_duration(&detector.header.every).map_or(60_000_000, |micros| micros.max(1_000_000));
            let every = of_every.entry(Duration::from_micros(every.unsigned_abs())).or_default();
            every.insert(&detector.id, reads::classes(detector));
        }
        let mut slots = BTreeMap::new();
        for (every, detectors) in of_every {
            let together = detectors.len().div_ceil(detectors.len().div_ceil(TOGETHER_MAX));
            for (place, (id, reads)) in detectors.into_iter().enumerate() {
                let group = (every, place / together);
                slots.insert(id.to_owned(), Slot { reads, group, is_stale: true, last: None, failures: 0 });
            }
        }
        Self { slots, apart, last_start: None }
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
        let due = |group: Group| -> Vec<&String> {
            self.of(group).filter(|(_, slot)| self.is_due(slot, now)).map(|(id, _)| id).collect()
        };
        let groups: BTreeSet<Group> = self.slots.values().map(|slot| slot.group).collect();
        let first = groups.into_iter().rev().filter(|group| !due(*group).is_empty());
        // Of equals the last one counts: the most urgent.
        let Some(group) = first.max_by(|a, b| self.wait(*a, now).total_cmp(&self.wait(*b, now))) else {
            return Vec::new();
        };
        // What a run goes on from is kept by the set of its detectors: few sets, and each goes on from nearby.
        let due = due(group);
        let are_most = due.len() * 2 > self.of(group).count();
        let joins = |id: &String, slot: &Slot| due.contains(&id) || (are_most && slot.failures == 0);
        self.of(group).filter(|(id, slot)| joins(id, slot)).map(|(id, _)| id.clone()).collect()
    }

    fn is_due(&self, slot: &Slot, now: Duration) -> bool {
        let Some(last) = slot.last else { return true };
        let retry = self.apart * 2_u32.saturating_pow(slot.failures.min(10));
        match slot.failures {
            0 => slot.is_stale || now >= last + slot.group.0,
            _ => now >= last + retry.min(RETRY_MAX),
        }
    }

    /// Detectors that run together.
    fn of(&self, group: Group) -> impl Iterator<Item = (&String, &Slot)> {
        self.slots.iter().filter(move |(_, slot)| slot.group == group)
    }

    /// How long the first of a group has waited, as a part of its `every`.
    fn wait(&self, group: Group, now: Duration) -> f64 {
        let since = |slot: &Slot| slot.last.map_or(f64::INFINITY, |last| now.saturating_sub(last).as_secs_f64());
        self.of(group).map(|(_, slot)| since(slot) / group.0.as_secs_f64()).fold(0.0, f64::max)
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
    const IN_FIVE_MINUTES: &str = "audit_gap";
    const ALSO_IN_FIVE: &str = "token_older_than_policy";
    const IN_FIFTEEN: &str = "impossible_travel";
    /// One of each run.
    const EACH: [&str; 4] = [URGENT, IN_FIVE_MINUTES, ALSO_IN_FIVE, IN_FIFTEEN];

    /// Runs what is due, until nothing is; each run takes so long. When it ended, and which of the four ran, in order.
    fn caught_up(schedule: &mut Schedule, from: u64, takes: u64) -> (u64, Vec<&'static str>) {
        let (mut now, mut ran) = (from, Vec::new());
        loop {
            let due = schedule.due(seconds(now));
            if due.is_empty() {
                return (now, ran);
            }
            ran.extend(EACH.into_iter().filter(|id| due.iter().any(|one| one == id)));
            run(schedule, &due, seconds(now));
            now += takes;
        }
    }

    #[test]
    fn everything_is_due_at_first_then_what_reads_what_changed() {
        let mut schedule = schedule();
        assert_eq!(caught_up(&mut schedule, 0, 3), (12, EACH.to_vec()));
        assert!(schedule.slots.values().all(|slot| slot.last.is_some()), "none was left out");
        assert!(schedule.due(seconds(13)).is_empty(), "nothing changed");
        schedule.changed(&BTreeSet::from([Class::Token]));
        assert!(schedule.due(seconds(10)).is_empty(), "sooner than two seconds after the last");
        assert_eq!(caught_up(&mut schedule, 13, 3), (25, EACH.to_vec()));
    }

    #[test]
    fn every_is_the_longest_wait() {
        let mut schedule = schedule();
        caught_up(&mut schedule, 0, 2);
        assert!(schedule.due(seconds(59)).is_empty());
        assert_eq!(caught_up(&mut schedule, 60, 2), (62, vec![URGENT]));
        assert_eq!(caught_up(&mut schedule, 305, 2), (311, vec![URGENT, IN_FIVE_MINUTES, ALSO_IN_FIVE]));
        assert_eq!(caught_up(&mut schedule, 907, 2).1, EACH);
    }

    #[test]
    fn a_run_is_of_few_detectors() {
        let schedule = schedule();
        let groups: BTreeSet<Group> = schedule.slots.values().map(|slot| slot.group).collect();
        let sizes: Vec<usize> = groups.iter().map(|group| schedule.of(*group).count()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), schedule.slots.len());
        assert!(sizes.iter().all(|size| (1..=TOGETHER_MAX).contains(size)), "{sizes:?}");
        assert!(schedule.slots.values().all(|slot| !slot.reads.is_empty()));
    }

    #[test]
    fn under_load_the_urgent_wait_for_one_other_run_at_most_and_all_come_round() {
        let mut schedule = schedule();
        let (mut now, mut ran) = (0, Vec::new());
        while now < 600 {
            schedule.changed(&BTreeSet::from(Class::ALL));
            let due = schedule.due(seconds(now));
            ran.push(EACH.into_iter().find(|id| due.iter().any(|one| one == id)).unwrap());
            run(&mut schedule, &due, seconds(now));
            now += 5;
        }
        // A run takes five seconds: in five minutes there are sixty.
        let every = |id: &str| ran.iter().filter(|one| **one == id).count();
        assert!(ran[4..].windows(2).all(|two| two.contains(&URGENT)), "{ran:?}");
        assert!(
            every(URGENT) > 2 * every(IN_FIVE_MINUTES) && every(IN_FIVE_MINUTES) > 2 * every(IN_FIFTEEN),
            "{ran:?}"
        );
        assert!(every(IN_FIVE_MINUTES).abs_diff(every(ALSO_IN_FIVE)) <= 1, "{ran:?}");
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
