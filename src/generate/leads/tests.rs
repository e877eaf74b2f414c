//! What the simulated company promises: the same for the same seed, of the size described, and thefts as planted.

use std::collections::{BTreeMap, BTreeSet};

use super::super::record::{DAY, HOUR};
use super::cast::Source;
use super::hours::{DAYS, START};
use super::world::{Action, Event};
use super::*;

/// Keeps a digest and the beginning of what is written: the whole would be a third of a gigabyte.
#[derive(Default, PartialEq)]
struct Digest {
    hash: u64,
    lines: u64,
    head: Vec<u8>,
}

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash = bytes.iter().fold(self.hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.head.extend(bytes.iter().take(4096_usize.saturating_sub(self.head.len())));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn value<'l>(line: &'l str, key: &str) -> &'l str {
    let start = line.find(&format!("\"{key}\":\"")).unwrap() + key.len() + 4;
    &line[start..start + line[start..].find('"').unwrap()]
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let digest = |company: &Company| {
        let mut digest = Digest::default();
        assert_eq!(company.write_to(&mut digest).unwrap(), company.world.events.len() as u64);
        digest
    };
    let (company, again) = (Company::new(7), Company::new(7));
    let written = digest(&company);
    assert!(written == digest(&again) && written.hash != digest(&Company::new(8)).hash);
    assert_eq!(written.lines, company.world.events.len() as u64);
    assert_eq!(company.truth(), again.truth());
    assert!(company.world.events.is_sorted_by_key(|event| event.at));
    let head = str::from_utf8(&written.head).unwrap();
    assert!(value(head, "event_time").starts_with("2026-09-01T00:0") && value(head, "family").starts_with("fm-"));
}

#[test]
fn it_is_as_large_as_described() {
    for seed in 5..7 {
        let Company { world, .. } = Company::new(seed);
        let exercises = world.events.iter().filter(|event| event.action != Action::Refused).count();
        let grants: BTreeSet<u32> = world.events.iter().map(|event| event.grant).collect();
        let weeks: BTreeSet<(i64, u32)> =
            world.events.iter().map(|event| ((event.at - START) / (7 * DAY), event.grant)).collect();
        let weekly = weeks.iter().filter(|(week, _)| *week < DAYS / 7).count() / 12;
        assert_eq!(world.subjects.len(), 260 + 128);
        assert!((600_000..760_000).contains(&exercises), "{exercises} exercises");
        assert!((3000..3900).contains(&grants.len()), "{} grants", grants.len());
        assert!((800..1050).contains(&weekly), "{weekly} grants active in a week");
    }
}

#[test]
fn sources_tell_what_they_tell_in_life() {
    let Company { world, .. } = Company::new(2);
    let source = |event: &&Event| world.grants[event.grant as usize].source();
    let of = |wanted| world.events.iter().filter(|event| source(event) == wanted).collect::<Vec<_>>();
    assert!(of(Source::Github).iter().all(|e| e.machine.device.is_none() && e.machine.host.is_none()));
    assert!(of(Source::Entra).iter().all(|e| e.machine.host.is_none()));
    let okta = of(Source::Okta);
    let told = okta.iter().filter(|e| e.machine.device.is_some()).count();
    assert!((270..330).contains(&(told * 1000 / okta.len())), "{told} of {}", okta.len());
    // A token is used while it is in force.
    assert!(world.events.iter().all(|e| e.at <= world.grants[e.grant as usize].expires_at));
}

#[test]
fn every_theft_is_planted_and_noted() {
    for seed in 1..3 {
        let company = Company::new(seed);
        let truth = company.truth();
        let mut counts = BTreeMap::new();
        for line in &truth {
            *counts.entry(value(line, "anomaly").to_owned()).or_insert(0) += 1;
            assert!(value(line, "from") <= value(line, "to"), "{line}");
        }
        let expected = [("colleague", 6), ("dormant", 8), ("hourly", 4), ("polled", 8), ("replayed", 16), ("slow", 9)];
        assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into(), "seed {seed}");
        let subjects: BTreeSet<&str> = truth.iter().map(|line| value(line, "subject_id")).collect();
        assert_eq!(subjects.len(), truth.len(), "nobody is robbed twice");
        // What is noted has happened: the first and the last exercise of the theft are events of its grant.
        let happened: BTreeSet<(u32, i64)> = company.world.events.iter().map(|e| (e.grant, e.at)).collect();
        let has = |theft: &Theft, at| happened.contains(&(theft.grant, at));
        assert!(company.thefts.iter().all(|theft| has(theft, theft.from) && has(theft, theft.to)));
    }
}

#[test]
fn silences_are_silent_and_counted() {
    let feeds = Feeds::new(3);
    let mut text = Vec::new();
    feeds.write_to(&mut text).unwrap();
    let text = str::from_utf8(&text).unwrap();
    // Whole seconds, since as text they sort behind their own fractions.
    let heard: Vec<(&str, &str)> = text.lines().map(|l| (value(l, "source"), &value(l, "event_time")[..19])).collect();
    assert_eq!(feeds.truth().len(), 28);
    for line in feeds.truth() {
        let (source, from, to) = (value(&line, "source"), &value(&line, "from")[..19], &value(&line, "to")[..19]);
        assert!(!heard.iter().any(|(name, at)| *name == source && from < *at && *at < to), "{line}");
    }
}

#[test]
fn clocks_go_back_in_autumn() {
    let [(_, berlin), (_, new_york), ..] = places::OFFICES;
    let hour = |at: i64| (at - START) % DAY / HOUR;
    assert_eq!((hour(berlin.utc(53, 9 * HOUR)), hour(berlin.utc(54, 9 * HOUR))), (7, 8));
    assert_eq!((hour(new_york.utc(60, 9 * HOUR)), hour(new_york.utc(61, 9 * HOUR))), (13, 14));
    // 2026-09-01 was a Tuesday.
    assert!(hours::is_weekend(4) && hours::is_weekend(5) && !hours::is_weekend(6));
}

#[test]
fn neighbours_are_no_distance_apart() {
    let of = |code| places::COUNTRIES.iter().position(|country| country.code == code).unwrap() as u8;
    assert!(places::border_distance(of("DE"), of("AT")) == 0.0);
    assert!(places::border_distance(of("DE"), of("BR")) > 5000.0);
    for (office, neighbours) in places::NEIGHBOURS.iter().enumerate() {
        for neighbour in *neighbours {
            assert!(places::border_distance(office as u8, *neighbour) < 300.0, "{office} {neighbour}");
        }
    }
}
