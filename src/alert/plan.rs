//! What a round puts into the outbox: pure, of the news, the configuration, the silences and what is there already.
//!
//! Every change that could alert leaves a row: queued, held for a digest, silenced, or without a route. For one finding
//! and one sink the order of changes is kept: what comes while an earlier change is held waits with it.

use std::collections::{BTreeMap, HashMap};

use super::config::{CHANGES, Config};
use super::notice::{self, Alert, Message};
use super::outbox::{Entry, Group, Held, Standing, Step};
use super::silence::Silence;
use super::storm;
use crate::detect::catalog::Catalog;
use crate::detect::news::Logged;

/// Most alerts in one message; a digest of more goes in several.
const ALERTS_MAX: usize = 50;

/// What decides about news, beside the news.
#[derive(Clone, Copy)]
pub struct Terms<'t> {
    pub config: &'t Config,
    pub catalog: &'t Catalog,
    pub silences: &'t [Silence],
    pub now: i64,
}

/// An alert on its way to a sink.
#[derive(Clone)]
pub(super) struct Item<'t> {
    pub key: String,
    pub subject: String,
    pub what: What<'t>,
}

/// Where the words of an alert come from.
#[derive(Clone, Copy)]
pub(super) enum What<'t> {
    New(&'t Logged),
    Held(&'t Held),
}

/// The rows to add for `news`, and for what was held and is due.
pub fn plan(terms: Terms<'_>, news: &[Logged], standing: &Standing) -> Vec<Entry> {
    let mut entries = Vec::new();
    // By sink and detector: a storm is one of these.
    let mut streams: BTreeMap<(String, String), Vec<Item<'_>>> = BTreeMap::new();
    for logged in news {
        let sinks = match destination(terms, logged) {
            Destination::Sinks(sinks) => sinks,
            Destination::Row(step, reason) => {
                entries.push(kept_back(terms, logged, step, reason));
                continue;
            }
            Destination::Nowhere => continue,
        };
        for sink in sinks {
            let key = notice::item_key(logged, sink);
            let item = Item { key, subject: notice::group_of(logged), what: What::New(logged) };
            streams.entry((sink.clone(), logged.finding.verdict.detector.to_string())).or_default().push(item);
        }
    }
    let mut held: BTreeMap<(String, String), Vec<Item<'_>>> = BTreeMap::new();
    for waiting in standing.held.values() {
        let item = Item { key: waiting.item.clone(), subject: waiting.subject.clone(), what: What::Held(waiting) };
        held.entry((waiting.sink.clone(), waiting.detector.clone())).or_default().push(item);
    }
    let names: std::collections::BTreeSet<_> = streams.keys().chain(held.keys()).cloned().collect();
    for name in names {
        let stream = Stream { terms, standing, sink: &name.0, detector: &name.1 };
        let (new, waiting) = (streams.remove(&name).unwrap_or_default(), held.remove(&name).unwrap_or_default());
        stream.plan(new, waiting, &mut entries);
    }
    entries
}

enum Destination<'t> {
    Sinks(Vec<&'t String>),
    /// Only a row that says why not.
    Row(Step, String),
    /// Nothing that anybody asked to hear of.
    Nowhere,
}

fn destination<'t>(terms: Terms<'t>, logged: &Logged) -> Destination<'t> {
    let verdict = &logged.finding.verdict;
    let kind = notice::kind_of(terms.catalog, &verdict.detector);
    let project = notice::project_of(logged);
    let config = terms.config;
    let route = config
        .routes
        .iter()
        .find(|r| r.matches(verdict.severity, &verdict.detector, project.as_deref(), kind, &logged.change));
    let sinks: Vec<&String> = match route {
        Some(route) => route.sinks.iter().collect(),
        None if config.routes.is_empty() && CHANGES.contains(&logged.change.as_str()) => config.sinks.keys().collect(),
        None => Vec::new(),
    };
    if route.is_none() && !CHANGES.contains(&logged.change.as_str()) {
        return Destination::Nowhere;
    }
    let row = verdict.row();
    if let Some(s) = terms.silences.iter().find(|s| s.holds_at(terms.now) && s.matches(&verdict.detector, &row)) {
        return Destination::Row(Step::Silenced, format!("silence {} of {}: {}", s.id, s.owner, s.reason));
    }
    match (sinks.is_empty(), route) {
        (false, _) => Destination::Sinks(sinks),
        (true, Some(_)) => Destination::Row(Step::Unrouted, "its route names no sink".to_owned()),
        (true, None) => Destination::Row(Step::Unrouted, "no route matches it".to_owned()),
    }
}

fn kept_back(terms: Terms<'_>, logged: &Logged, step: Step, reason: String) -> Entry {
    Entry {
        step,
        at: terms.now,
        item: notice::item_key(logged, ""),
        detector: logged.finding.verdict.detector.to_string(),
        severity: logged.finding.verdict.severity.as_str().to_owned(),
        subject: notice::group_of(logged),
        finding: logged.finding.id.clone(),
        change: logged.change.clone(),
        finding_sequence: logged.sequence,
        reason,
        ..Entry::default()
    }
}

/// The alerts of one detector on their way to one sink.
struct Stream<'t> {
    terms: Terms<'t>,
    standing: &'t Standing,
    sink: &'t str,
    detector: &'t str,
}

impl<'t> Stream<'t> {
    fn plan(&self, new: Vec<Item<'t>>, waiting: Vec<Item<'t>>, entries: &mut Vec<Entry>) {
        let opening = new.iter().filter(|i| matches!(i.change(), "opened" | "reopened")).count();
        if opening > self.terms.config.storm_findings {
            // What waits goes with it, so that no finding's changes change places.
            let all: Vec<Item<'_>> = waiting.into_iter().chain(new).collect();
            return self.storm(&all, entries);
        }
        let window = i64::from(self.terms.config.group_window_seconds) * 1_000_000;
        let mut due_of_group: HashMap<String, i64> = HashMap::new();
        let mut group_of_finding: HashMap<String, String> = HashMap::new();
        let mut gathered: BTreeMap<String, Vec<Item<'_>>> = BTreeMap::new();
        for item in waiting {
            let What::Held(held) = item.what else { continue };
            let due = due_of_group.entry(item.subject.clone()).or_insert(held.due_at);
            *due = held.due_at.min(*due);
            group_of_finding.insert(held.finding.clone(), item.subject.clone());
            gathered.entry(item.subject.clone()).or_default().push(item);
        }
        for mut item in new {
            // Another subject from one run to the next must not let the later change go first.
            let known = group_of_finding.entry(item.finding().to_owned()).or_insert_with(|| item.subject.clone());
            item.subject.clone_from(known);
            let group: Group = (self.sink.to_owned(), self.detector.to_owned(), item.subject.clone());
            let opens = self.standing.groups.get(&group).map_or(self.terms.now, |at| at.saturating_add(window));
            due_of_group.entry(item.subject.clone()).or_insert(opens);
            gathered.entry(item.subject.clone()).or_default().push(item);
        }
        for (subject, items) in gathered {
            let due = due_of_group.get(&subject).copied().unwrap_or(self.terms.now);
            if due > self.terms.now && window > 0 {
                entries.extend(items.iter().filter_map(|item| self.hold(item, due)));
            } else if items.len() > self.terms.config.storm_findings {
                self.storm(&items, entries);
            } else {
                // Without a window nothing is gathered: each alert for itself.
                let most = if window > 0 { ALERTS_MAX } else { 1 };
                items.chunks(most).for_each(|items| self.message(items, entries));
            }
        }
    }

    /// A row for an alert that waits; one that waits already has its row.
    fn hold(&self, item: &Item<'_>, due: i64) -> Option<Entry> {
        let What::New(_) = item.what else { return None };
        let content = serde_json::to_string(&item.alert(self.terms.catalog)).unwrap_or_default(); // texts by text
        Some(Entry { next_at: Some(due), content, ..self.about(item, Step::Held) })
    }

    fn message(&self, items: &[Item<'_>], entries: &mut Vec<Entry>) {
        let alerts = items.iter().map(|item| item.alert(self.terms.catalog)).collect();
        self.queue(&Message::of(alerts, self.sink, self.terms.now), items, entries);
    }

    fn storm(&self, items: &[Item<'_>], entries: &mut Vec<Entry>) {
        let message = storm::digest(items, self.sink, self.detector, self.terms);
        self.queue(&message, items, entries);
    }

    fn queue(&self, message: &Message, items: &[Item<'_>], entries: &mut Vec<Entry>) {
        entries.push(Entry {
            step: Step::Queued,
            at: self.terms.now,
            key: message.key.clone(),
            sink: self.sink.to_owned(),
            detector: self.detector.to_owned(),
            severity: message.severity.clone(),
            subject: if message.storm.is_some() {
                String::new()
            } else {
                items.first().map(|i| i.subject.clone()).unwrap_or_default()
            },
            finding: if let [one] = items { one.finding().to_owned() } else { String::new() },
            content: serde_json::to_string(message).unwrap_or_default(), // texts by text: always JSON
            ..Entry::default()
        });
        entries.extend(items.iter().map(|i| Entry { key: message.key.clone(), ..self.about(i, Step::Carried) }));
    }

    fn about(&self, item: &Item<'_>, step: Step) -> Entry {
        Entry {
            step,
            at: self.terms.now,
            item: item.key.clone(),
            sink: self.sink.to_owned(),
            detector: self.detector.to_owned(),
            severity: item.severity(),
            subject: item.subject.clone(),
            finding: item.finding().to_owned(),
            change: item.change().to_owned(),
            finding_sequence: match item.what {
                What::New(logged) => logged.sequence,
                What::Held(held) => held.finding_sequence,
            },
            ..Entry::default()
        }
    }
}

impl Item<'_> {
    pub fn finding(&self) -> &str {
        match self.what {
            What::New(logged) => &logged.finding.id,
            What::Held(held) => &held.finding,
        }
    }

    pub fn change(&self) -> &str {
        match self.what {
            What::New(logged) => &logged.change,
            What::Held(held) => &held.change,
        }
    }

    pub fn severity(&self) -> String {
        match self.what {
            What::New(logged) => logged.finding.verdict.severity.as_str().to_owned(),
            What::Held(held) => held.severity.clone(),
        }
    }

    fn alert(&self, catalog: &Catalog) -> Alert {
        match self.what {
            What::New(logged) => Alert::new(logged, catalog, self.key.clone()),
            // It was written by the program itself; if it cannot be read, what the row's own columns say is left.
            What::Held(held) => serde_json::from_str(&held.content).unwrap_or_else(|_| Alert::bare(held)),
        }
    }
}

#[cfg(test)]
mod tests;
