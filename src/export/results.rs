//! What counts and findings come to: pass, fail, or why neither. Pure: `verify` asks again and must get the same.

use super::model::{Counts, Coverage, Detector, Link, Outcome, Verdict};

/// How many problems one reason names; the rest is counted.
const SHOWN_MAX: usize = 4;

/// What a detector came to, if nothing broke and nobody said that it does not apply.
pub fn of_detector(detector: &Detector, coverage: &Coverage) -> Verdict {
    let events = detector.population.events;
    let Counts { found, excepted, open_at_end, uncertain, .. } = detector.counts;
    let covered =
        if excepted > 0 { format!("; {} covered by exceptions of the policy", rows(excepted)) } else { String::new() };
    let said = |result, reason: String| Verdict { result, reason };
    if detector.kind == "lead" {
        let reason = format!("a lead: {} for people to look at in {events} events; leads never decide", rows(found));
        return said(Outcome::NotTested, reason);
    }
    if found > uncertain {
        let open = if open_at_end > 0 {
            format!("{open_at_end} still so at the end")
        } else {
            "none still so at the end".to_owned()
        };
        let reason = format!("{} found by this test in {events} events, {open}{covered}", rows(found));
        return said(Outcome::Fail, reason);
    }
    if detector.population.definition.is_empty() {
        return said(
            Outcome::NotTested,
            "no population is declared for this test: say in the framework file of which events it speaks".to_owned(),
        );
    }
    if events == 0 && found == 0 {
        return said(
            Outcome::NotTested,
            format!("there was nothing to test: no {} in the period", detector.population.what),
        );
    }
    let mut missing: Vec<String> = coverage.problems.clone();
    let feeds = coverage.feeds.iter().filter(|feed| detector.feeds.contains(&feed.feed));
    missing.extend(feeds.filter_map(|feed| feed.problem.clone()));
    if found > 0 {
        missing.insert(
            0,
            format!("{} found, and all of them rest on what a silent source may have kept back", rows(found)),
        );
    }
    if missing.len() > SHOWN_MAX {
        let more = missing.len() - SHOWN_MAX;
        missing.truncate(SHOWN_MAX);
        missing.push(format!("and {more} more, see coverage"));
    }
    if !missing.is_empty() {
        return said(Outcome::Inconclusive, format!("{}; {events} events were tested{covered}", missing.join("; ")));
    }
    said(Outcome::Pass, format!("no exceptions found by this test in {events} events{covered}"))
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

/// What a part comes to: `find` gives the result of a detector and how many events it tested. `reach` is said where
/// nothing speaks to the part.
pub fn of_links(reach: &str, links: &[Link], find: &dyn Fn(&str) -> Option<(Outcome, u64)>) -> Verdict {
    let deciding: Vec<(&str, Outcome, u64)> = links
        .iter()
        .filter(|link| link.decides)
        .filter_map(|link| find(&link.detector).map(|(result, events)| (link.detector.as_str(), result, events)))
        .collect();
    if links.is_empty() {
        return Verdict { result: Outcome::NotTested, reason: reach.to_owned() };
    }
    if deciding.is_empty() {
        let ran = links.iter().filter_map(|link| find(&link.detector)).filter(|(result, _)| *result != Outcome::Error);
        let (count, events) = ran.fold((0, 0), |(count, most), (_, events)| (count + 1, most.max(events)));
        let tests = if count == 1 { "1 detector".to_owned() } else { format!("{count} detectors") };
        let reason =
            format!("supported by running {tests} over {events} events; no result is drawn from what they found");
        return Verdict { result: Outcome::NotTested, reason };
    }
    let with = |wanted: Outcome| deciding.iter().filter(move |(_, result, _)| *result == wanted);
    let named = |wanted: Outcome| with(wanted).map(|(id, _, _)| *id).collect::<Vec<_>>().join(", ");
    let also = |others: &[Outcome]| {
        let parts = others.iter().filter(|other| with(**other).count() > 0);
        parts.map(|other| format!("; {other}: {}", named(*other))).collect::<String>()
    };
    use Outcome::{Error, Fail, Inconclusive, NotApplicable, NotTested, Pass};
    // Tests of one population overlap, so the largest is named, not the sum.
    let events = |wanted: Outcome| with(wanted).map(|(_, _, events)| *events).max().unwrap_or(0);
    let worst = [Fail, Error, Inconclusive].into_iter().find(|result| with(*result).count() > 0);
    let (result, reason) = match worst {
        Some(Fail) => (Fail, format!("rows found by {}{}", named(Fail), also(&[Error, Inconclusive, NotTested]))),
        Some(Error) => (Error, format!("a test broke: {}{}", named(Error), also(&[Inconclusive, NotTested]))),
        Some(other) => {
            (other, format!("what these tests rest on was not all there: {}{}", named(other), also(&[NotTested])))
        }
        None if with(Pass).count() > 0 => {
            let tests = with(Pass).count();
            let tests = if tests == 1 { "this test".to_owned() } else { format!("these {tests} tests") };
            (
                Pass,
                format!(
                    "no exceptions found by {tests} in {} events{}",
                    events(Pass),
                    also(&[NotTested, NotApplicable])
                ),
            )
        }
        None if with(NotTested).count() > 0 => {
            (NotTested, format!("nothing to test for {}{}", named(NotTested), also(&[NotApplicable])))
        }
        None => (NotApplicable, format!("not applicable: {}", named(NotApplicable))),
    };
    Verdict { result, reason }
}

#[cfg(test)]
mod tests;
