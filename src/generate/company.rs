//! The plan of a company, and its telling in the order in which records arrive.
//!
//! Stories are planned first and get up to half of a small company's records, a two-hundredth of a large one's;
//! ordinary grants get the rest. Only grants alive at the moment are in the heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::cast::Speller;
use super::dice::{Dice, mix};
use super::life::{Company, Life};
use super::record::Record;
use super::{Options, Truth, age, lost_device, offboarding, quickstart, shared_host, story};

type Story = fn(&mut story::Teller);

/// Tells the records of a company.
pub struct Teller {
    company: Company,
    speller: Speller,
    /// Ordinary grants by start; those before `begun` have begun.
    lives: Vec<Life>,
    begun: usize,
    /// When the next record of a begun grant is due, and which grant it is.
    living: BinaryHeap<Reverse<(i64, usize)>>,
    /// Records of stories, by arrival.
    told: std::iter::Peekable<std::vec::IntoIter<Record>>,
    records: u64,
}

/// Decides everything. `quickstart`: the small named company and nothing else.
pub fn plan(options: &Options, quickstart: bool) -> (Teller, Vec<Truth>) {
    let speller = Speller { salt: mix(options.seed) };
    let dice = Dice::new(mix(options.seed ^ 0x7ea1));
    let mut stories = story::Teller::new(dice, options.end, speller, !quickstart);
    let mut left = 0;
    if quickstart {
        quickstart::tell(&mut stories);
    } else {
        left = options.events - tell_stories(&mut stories, options.events);
    }
    let company = Company { salt: speller.salt, people: (left / 200).max(1), first: stories.unused, end: options.end };
    let mut lives = Vec::with_capacity((left / 24).min(1 << 22) as usize);
    let mut records = stories.records.len() as u64;
    while left > 0 {
        let life = Life::plan(&company, company.first + lives.len() as u64, left);
        left -= life.events();
        records += life.events();
        lives.push(life);
    }
    lives.sort_by_key(Life::due);
    stories.records.sort_by_key(|record| record.at + record.late);
    let told = stories.records.into_iter().peekable();
    (Teller { company, speller, lives, begun: 0, living: BinaryHeap::new(), told, records }, stories.truth)
}

/// Every story in turn, again and again, while the budget lasts. Returns the number of records.
fn tell_stories(teller: &mut story::Teller, events: u64) -> u64 {
    let budget = (events / 2).min(2000 + events / 200) as usize;
    let shelves = [offboarding::STORIES, age::STORIES, shared_host::STORIES, lost_device::STORIES];
    let longest = shelves.iter().map(|shelf| shelf.len()).max().unwrap_or(0);
    let order: Vec<Story> = (0..longest).flat_map(|i| shelves.iter().filter_map(move |s| s.get(i)).copied()).collect();
    for story in order.iter().cycle() {
        let (records, truth) = (teller.records.len(), teller.truth.len());
        story(teller);
        if teller.records.len() > budget {
            teller.records.truncate(records);
            teller.truth.truncate(truth);
            break;
        }
    }
    teller.records.len() as u64
}

impl Teller {
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Appends the record that arrives next.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let told = self.told.peek().map_or(i64::MAX, |record| record.at + record.late);
        let living = self.living.peek().map_or(i64::MAX, |Reverse((due, _))| *due);
        let unborn = self.lives.get(self.begun).and_then(Life::due).unwrap_or(i64::MAX);
        if told <= living.min(unborn) {
            return self.told.next().map(|record| record.write(self.speller, out)).is_some();
        }
        let life = if unborn < living {
            self.begun += 1;
            self.begun - 1
        } else {
            match self.living.peek() {
                Some(Reverse((_, life))) => *life,
                None => return false,
            }
        };
        self.lives[life].tell(&self.company).write(self.speller, out);
        let due = self.lives[life].due();
        if unborn < living {
            self.living.extend(due.map(|due| Reverse((due, life))));
        } else if let Some(mut first) = self.living.peek_mut() {
            match due {
                Some(due) => first.0.0 = due, // sinks to its place when `first` is dropped: one pass, not two
                None => drop(PeekMut::pop(first)),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_thousand_records_have_room_for_every_story() {
        let speller = Speller { salt: 0 };
        for seed in 0..20 {
            let mut teller = story::Teller::new(Dice::new(seed), super::super::END, speller, true);
            for story in [offboarding::STORIES, age::STORIES, shared_host::STORIES, lost_device::STORIES].concat() {
                story(&mut teller);
            }
            assert!(teller.records.len() < 2000 + 6000 / 200, "{}", teller.records.len());
        }
    }

    #[test]
    fn the_first_stories_of_each_shelf_fire() {
        let mut teller = story::Teller::new(Dice::new(1), super::super::END, Speller { salt: 0 }, false);
        for shelf in [offboarding::STORIES, age::STORIES, shared_host::STORIES, lost_device::STORIES] {
            for story in &shelf[..2] {
                let before = teller.truth.len();
                story(&mut teller);
                assert!(teller.truth.len() > before);
            }
        }
    }
}
