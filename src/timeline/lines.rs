//! A timeline as lines of text: by day, similar events in one line, gaps named, no line wider than the terminal.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::zone::{Zone, long, short};
use super::{Entry, Kind, Timeline, Tone};
use crate::event::time::{DAY, SECOND};
use crate::policy::format_duration;

/// A piece of a line, and how it looks.
pub type Piece = (Tone, String);

/// How lines are to be made.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Columns of the terminal; none: lines are as long as they are.
    pub width: Option<usize>,
    /// Each event has its own line.
    pub all: bool,
    pub zone: Zone,
}

/// This many similar events are one line.
const FOLDED_MIN: usize = 3;
/// Grants whose life is told at the top.
const LIVES_MAX: usize = 8;
/// No silence that is longer goes unnamed, however long the timeline; no shorter one than this is named.
const SILENCE: std::ops::RangeInclusive<i64> = 3_600 * SECOND..=3 * DAY;

/// Entries that are one line.
struct Group<'t> {
    entries: Vec<&'t Entry>,
}

impl Group<'_> {
    fn first(&self) -> &Entry {
        self.entries[0] // invariant: a group is made with its first entry
    }

    fn last_at(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.at)
    }
}

/// The timeline in lines, heading first.
pub fn lines(timeline: &Timeline, shape: &Shape) -> Vec<Vec<Piece>> {
    let mut lines = heading(timeline, &shape.zone);
    let silence = silence(timeline);
    let many_grants =
        timeline.entries.iter().filter_map(|entry| entry.grant.as_ref()).collect::<BTreeSet<_>>().len() > 1;
    let mut day = String::new();
    let mut before: Option<i64> = None;
    for group in groups(&timeline.entries, silence, shape.all) {
        let at = group.first().at;
        if let Some(gap) = before.map(|last| at - last).filter(|gap| *gap >= silence) {
            lines.push(vec![(Tone::Faint, format!("  ── {} of silence ──", long(gap)))]);
        }
        let today = shape.zone.day(at);
        if today != day {
            lines.push(vec![(Tone::Plain, String::new())]);
            lines.push(vec![(Tone::Faint, today.clone())]);
            day = today;
        }
        lines.push(line(&group, many_grants, &shape.zone));
        before = Some(before.unwrap_or(at).max(group.last_at()));
    }
    if let Some(gap) = before.map(|last| timeline.as_of - last).filter(|gap| *gap >= silence) {
        let until = shape.zone.moment(timeline.as_of);
        lines.push(vec![(Tone::Faint, format!("  ── {} of silence, up to {until} ──", long(gap)))]);
    }
    lines.into_iter().map(|line| fit(line, shape.width)).collect()
}

/// From when on a silence is named: a twentieth of the whole, within reason.
fn silence(timeline: &Timeline) -> i64 {
    let ends = timeline.entries.first().zip(timeline.entries.last());
    let span = ends.map_or(0, |(first, last)| last.at - first.at);
    (span / 20).clamp(*SILENCE.start(), *SILENCE.end())
}

fn heading(timeline: &Timeline, zone: &Zone) -> Vec<Vec<Piece>> {
    let count = |kind: Kind| timeline.entries.iter().filter(|entry| entry.kind == kind).count();
    let findings: BTreeSet<_> = timeline.entries.iter().filter_map(|e| e.details.get("finding_id")?.as_str()).collect();
    let mut lines = vec![vec![
        (Tone::Plain, format!("{} {}", timeline.about.as_str(), timeline.id)),
        (
            Tone::Faint,
            format!(
                "   {} events, {} of context, {} limits reached, {} findings",
                count(Kind::Event),
                count(Kind::Context),
                count(Kind::Limit),
                findings.len()
            ),
        ),
    ]];
    for life in timeline.lives.values().take(LIVES_MAX) {
        let began = life.started_at.map_or_else(|| "never seen to begin".to_owned(), |at| zone.moment(at));
        let least = if life.age_is_lower_bound { " or before" } else { "" };
        let end = match (life.ended_at, life.ended_by) {
            (Some(at), Some(by)) => format!("{by} {}", zone.moment(at)),
            _ => "alive".to_owned(),
        };
        let limit =
            |limit: &Option<(i64, String)>| limit.as_ref().map_or("none".to_owned(), |(l, _)| format_duration(*l));
        let limits = format!("; may become {} old, idle {}", limit(&life.max_age), limit(&life.max_idle));
        lines.push(vec![
            (Tone::Plain, format!("  grant {}: ", life.grant)),
            (Tone::Faint, format!("from {began}{least}, {end}{limits}")),
        ]);
    }
    if timeline.lives.len() > LIVES_MAX {
        lines.push(vec![(Tone::Faint, format!("  and {} grants more", timeline.lives.len() - LIVES_MAX))]);
    }
    lines
}

/// Similar events, of one grant or of none, that follow each other without a silence and without anything else between
/// them that concerns the grant.
fn groups(entries: &[Entry], silence: i64, all: bool) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut open: HashMap<(&Option<String>, &str), usize> = HashMap::new();
    for entry in entries {
        if all || entry.kind != Kind::Event {
            open.clear();
            groups.push(Group { entries: vec![entry] });
            continue;
        }
        let like = (&entry.grant, entry.text.as_str());
        match open.get(&like).copied().filter(|index| entry.at - groups[*index].last_at() < silence) {
            Some(index) => groups[index].entries.push(entry),
            None => {
                open.insert(like, groups.len());
                groups.push(Group { entries: vec![entry] });
            }
        }
        open.retain(|other, _| *other == like || other.0 != like.0);
    }
    let (folded, few): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.entries.len() >= FOLDED_MIN);
    let single = few.into_iter().flat_map(|group| group.entries).map(|entry| Group { entries: vec![entry] });
    let mut groups: Vec<Group<'_>> = folded.into_iter().chain(single).collect();
    groups.sort_by_key(|group| (group.first().at, group.first().kind));
    groups
}

fn line(group: &Group<'_>, many_grants: bool, zone: &Zone) -> Vec<Piece> {
    let entry = group.first();
    let mark = match entry.kind {
        Kind::Event => "·",
        Kind::Context => "■",
        Kind::Limit => "!",
        Kind::Finding => "▲",
    };
    let age = entry.age.map(short).unwrap_or_default();
    let mut text = String::new();
    if group.entries.len() > 1 {
        text.push_str(&format!("{} × ", group.entries.len()));
    }
    text.push_str(&entry.text);
    text.push_str(&from(group));
    if let Some(grant) = entry.grant.as_ref().filter(|_| many_grants && entry.kind != Kind::Finding) {
        text.push_str(&format!(" [grant {grant}]"));
    }
    let mut pieces =
        vec![(Tone::Faint, format!("  {}  {age:>8}  ", zone.clock(entry.at))), (entry.tone, format!("{mark} {text}"))];
    if group.entries.len() > 1 {
        let last = group.entries.last().copied().unwrap_or(entry);
        let age = last.age.map(|age| format!(", {} old", short(age))).unwrap_or_default();
        pieces.push((Tone::Faint, format!(" until {}{age}", zone.moment(last.at))));
    }
    pieces
}

/// From where: the address, or how many there were.
fn from(group: &Group<'_>) -> String {
    let values = |name: &str| -> BTreeSet<&str> {
        group.entries.iter().filter_map(|entry| entry.details.get(name)?.as_str()).collect()
    };
    if group.first().kind != Kind::Event {
        return String::new();
    }
    let (addresses, countries) = (values("ip"), values("country"));
    let addresses = match addresses.len() {
        0 => None,
        1 => addresses.first().map(|ip| (*ip).to_owned()),
        several => Some(format!("{several} addresses")),
    };
    let countries = match countries.len() {
        0 => None,
        1..=3 => Some(countries.into_iter().collect::<Vec<_>>().join(", ")),
        several => Some(format!("{several} countries")),
    };
    match (addresses, countries) {
        (None, None) => String::new(),
        (Some(one), None) | (None, Some(one)) => format!(" from {one}"),
        (Some(address), Some(country)) => format!(" from {address} ({country})"),
    }
}

/// Cuts a line to the width, and shows what would move a terminal's cursor instead of obeying it.
pub fn fit(line: Vec<Piece>, width: Option<usize>) -> Vec<Piece> {
    let safe = |text: String| text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
    let line = line.into_iter().map(|(tone, text)| (tone, safe(text)));
    let Some(width) = width else { return line.collect() };
    // What is in the middle gives way: the end of a folded line says until when.
    let line: Vec<Piece> = line.collect();
    let wide: usize = line.iter().map(|(_, text)| console::measure_text_width(text)).sum();
    let mut over = wide.saturating_sub(width);
    let longest = (0..line.len()).max_by_key(|index| console::measure_text_width(&line[*index].1)).unwrap_or(0);
    let order = std::iter::once(longest).chain((0..line.len()).rev().filter(|index| *index != longest));
    let mut cut: Vec<Piece> = line.clone();
    for index in order {
        if over == 0 {
            break;
        }
        let own = console::measure_text_width(&line[index].1);
        let left = own.saturating_sub(over).max(usize::from(own > 0));
        let text: Cow<'_, str> = console::truncate_str(&line[index].1, left, "…");
        cut[index].1 = text.into_owned();
        over = over.saturating_sub(own - left);
    }
    cut
}

#[cfg(test)]
mod tests;
