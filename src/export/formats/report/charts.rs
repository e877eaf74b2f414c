//! Charts as inline SVG: a title, a description in words, colours by class so that style decides them, numbers as text.

use std::collections::BTreeMap;

use super::markup::{count, day, esc, number, words};
use crate::event::time::{self, DAY};
use crate::export::model::{Assessment, Bucket, Moment, Outcome};

const WIDTH: i64 = 880;
/// Room for names at the left.
const LEFT: i64 = 150;

fn svg(id: &str, height: i64, title: &str, desc: &str, body: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n<title id=\"{id}-t\">{}</title>\n\
         <desc id=\"{id}-d\">{}</desc>\n{body}</svg>\n",
        esc(title),
        esc(desc)
    )
}

/// `numerator / denominator` of `whole`; nothing of nothing.
fn share(whole: i64, numerator: u64, denominator: u64) -> i64 {
    let part = i128::from(whole) * i128::from(numerator) / i128::from(denominator.max(1));
    i64::try_from(part).unwrap_or(whole)
}

/// A bar for each group, cut by outcome.
pub fn outcomes(groups: &[(String, Vec<(Outcome, u64)>)]) -> String {
    const ROW: i64 = 54;
    let mut body = String::new();
    let mut told = Vec::new();
    for (row, (name, parts)) in (0_i64..).zip(groups) {
        let top = row * ROW;
        let total: u64 = parts.iter().map(|(_, count)| count).sum();
        body.push_str(&format!("<text class=\"label\" x=\"0\" y=\"{}\">{}</text>\n", top + 22, esc(name)));
        let mut before = 0;
        for (outcome, count) in parts {
            let from = LEFT + share(WIDTH - LEFT, before, total);
            before += count;
            let wide = LEFT + share(WIDTH - LEFT, before, total) - from - 2;
            // Under a narrow piece there is no room for words: the figure is enough, and the words are in the table below.
            let text = if wide >= 100 { format!("{count} {}", words(*outcome)) } else { count.to_string() };
            body.push_str(&format!(
                "<rect class=\"bar {outcome}\" x=\"{from}\" y=\"{top}\" width=\"{wide}\" height=\"34\" rx=\"3\"/>\n\
                 <text class=\"in {outcome}\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{text}</text>\n",
                from + wide / 2,
                top + 22
            ));
        }
        let parts: Vec<String> = parts.iter().map(|(outcome, count)| format!("{count} {}", words(*outcome))).collect();
        told.push(format!("{name}: {}", parts.join(", ")));
    }
    let height = (i64::try_from(groups.len()).unwrap_or(1) * ROW - 16).max(1);
    svg("chart-outcomes", height, "Results", &told.join(". "), &body) + &legend(groups)
}

fn legend(groups: &[(String, Vec<(Outcome, u64)>)]) -> String {
    let is_there = |outcome: Outcome| groups.iter().flat_map(|(_, parts)| parts).any(|(own, _)| *own == outcome);
    let each = Outcome::ALL.iter().filter(|(_, outcome)| is_there(*outcome));
    let each = each.map(|(_, outcome)| {
        format!("<li><span class=\"swatch {outcome}\" aria-hidden=\"true\"></span> {}</li>\n", words(*outcome))
    });
    format!("<ul class=\"legend\">\n{}</ul>\n", each.collect::<String>())
}

/// Events a day of each source, and its silences; empty without sources.
pub fn strips(it: &Assessment, sources_max: usize) -> String {
    const ROW: i64 = 46;
    const TALL: i64 = 34;
    let from = it.period.from.0.div_euclid(DAY) * DAY;
    let days = ((it.period.to.0 - from + DAY - 1) / DAY).max(1);
    let sources: Vec<_> = it.coverage.sources.iter().take(sources_max).collect();
    if sources.is_empty() {
        return String::new();
    }
    let by_day = by_day(it, from);
    let x = |day: i64| LEFT + (WIDTH - LEFT) * day.clamp(0, days) / days;
    let mut body = String::new();
    let mut told = Vec::new();
    for (row, source) in (0_i64..).zip(&sources) {
        let (top, name) = (row * ROW, source.source.as_str());
        let base = top + TALL;
        let busiest = by_day.iter().filter(|((own, _), _)| *own == name).map(|(_, count)| *count).max().unwrap_or(0);
        let label = short(name);
        body.push_str(&format!(
            "<text class=\"label\" x=\"0\" y=\"{}\">{}</text>\n<text class=\"sub\" x=\"0\" y=\"{}\">{}</text>\n\
             <line class=\"axis\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{base}\" y2=\"{base}\"/>\n",
            top + 15,
            esc(&label),
            top + 31,
            count(source.events, "event", "events")
        ));
        let gaps: Vec<_> = it.coverage.gaps.iter().filter(|gap| gap.source == name).collect();
        for gap in &gaps {
            let (a, b) = (gap.from.0, gap.to.map_or(it.period.to.0, |to| to.0));
            let (a, b) = (x((a - from).div_euclid(DAY)), x((b - from + DAY - 1).div_euclid(DAY)));
            body.push_str(&format!(
                "<rect class=\"gap\" x=\"{a}\" y=\"{top}\" width=\"{}\" height=\"{TALL}\"/>\n",
                (b - a).max(2)
            ));
        }
        for ((_, at), events) in by_day.range((name, 0)..(name, days)) {
            let tall = share(TALL - 2, *events, busiest).max(2);
            let wide = (x(at + 1) - x(*at) - 1).max(1);
            body.push_str(&format!(
                "<rect class=\"day\" x=\"{}\" y=\"{}\" width=\"{wide}\" height=\"{tall}\"/>\n",
                x(*at),
                base - tall
            ));
        }
        let silences = count(gaps.len() as u64, "silence", "silences");
        told.push(format!(
            "{name}: {} on {} of {} days, {silences}",
            count(source.events, "event", "events"),
            source.days,
            source.days_expected
        ));
    }
    let base = i64::try_from(sources.len()).unwrap_or(1) * ROW;
    body.push_str(&dates(base + 6, from, days, it.period.as_of));
    svg("chart-sources", base + 14, "Events a day by source", &told.join(". "), &body)
        + &below_strips(it, sources.len())
}

/// Events by source and day since `from`.
fn by_day(it: &Assessment, from: i64) -> BTreeMap<(&str, i64), u64> {
    let mut by_day: BTreeMap<(&str, i64), u64> = BTreeMap::new();
    for total in &it.coverage.totals {
        if let Some(at) = time::parse(&format!("{}T00:00:00Z", total.day)) {
            *by_day.entry((&total.source, (at - from) / DAY)).or_default() += total.events;
        }
    }
    by_day
}

/// What the colours are, and that there are sources without a strip.
fn below_strips(it: &Assessment, shown: usize) -> String {
    let left = it.coverage.sources.len() - shown;
    let mut below = String::new();
    if !it.coverage.gaps.is_empty() {
        below.push_str(
            "<ul class=\"legend\">\n<li><span class=\"swatch day\" aria-hidden=\"true\"></span> events</li>\n<li><span \
             class=\"swatch gap\" aria-hidden=\"true\"></span> silent though events were expected</li>\n</ul>\n",
        );
    }
    if left > 0 {
        below.push_str(&format!("<p class=\"more\">{left} sources more in the table below.</p>\n"));
    }
    below
}

/// As much of a name as there is room for; the table has all of it.
fn short(name: &str) -> String {
    const LETTERS_MAX: usize = 16;
    if name.chars().count() <= LETTERS_MAX {
        return name.to_owned();
    }
    name.chars().take(LETTERS_MAX - 1).chain(['…']).collect()
}

/// First, middle and last day under a chart.
fn dates(y: i64, from: i64, days: i64, last: Moment) -> String {
    let place = |x: i64, anchor: &str, at: Moment| {
        format!("<text class=\"sub\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>\n", day(at))
    };
    let mut out = place(LEFT, "start", Moment(from)) + &place(WIDTH, "end", last);
    if days > 4 {
        out.push_str(&place(LEFT + (WIDTH - LEFT) / 2, "middle", Moment(from + days / 2 * DAY)));
    }
    out
}

/// What began and ended in each stretch as bars, what was open as a line.
pub fn trend(buckets: &[Bucket]) -> String {
    const TALL: i64 = 200;
    const EDGE: i64 = 44;
    let largest = buckets.iter().map(|b| b.opened.max(b.resolved).max(b.open_at_end)).max().unwrap_or(0);
    let top = round_up(largest);
    let y = |value: u64| 10 + TALL - share(TALL, value, top);
    let many = i64::try_from(buckets.len()).unwrap_or(1).max(1);
    let wide = (WIDTH - EDGE) / many;
    let mut body = String::new();
    for step in 0..=4 {
        if (top * step).is_multiple_of(4) {
            let (value, at) = (top * step / 4, y(top * step / 4));
            body.push_str(&format!(
                "<line class=\"grid\" x1=\"{EDGE}\" x2=\"{WIDTH}\" y1=\"{at}\" y2=\"{at}\"/>\n<text class=\"sub\" x=\"{}\" \
                 y=\"{}\" text-anchor=\"end\">{}</text>\n",
                EDGE - 8,
                at + 4,
                number(value)
            ));
        }
    }
    let bar = (wide * 3 / 10).clamp(2, 28);
    let mut points = Vec::new();
    let mut marks = String::new();
    let every = many / 7 + 1;
    for (at, bucket) in (0_i64..).zip(buckets) {
        let middle = EDGE + wide * at + wide / 2;
        for (class, x, value) in
            [("opened", middle - bar - 1, bucket.opened), ("resolved", middle + 1, bucket.resolved)]
        {
            let top = y(value);
            let tall = y(0) - top;
            body.push_str(&format!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{bar}\" height=\"{tall}\"/>\n"
            ));
        }
        points.push(format!("{middle},{}", y(bucket.open_at_end)));
        marks.push_str(&format!("<circle class=\"open\" cx=\"{middle}\" cy=\"{}\" r=\"4\"/>\n", y(bucket.open_at_end)));
        if at % every == 0 {
            let text = bucket.from.to_string().get(5..10).unwrap_or_default().to_owned();
            body.push_str(&format!(
                "<text class=\"sub\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{text}</text>\n",
                y(0) + 20
            ));
        }
    }
    body.push_str(&format!("<polyline class=\"open\" points=\"{}\"/>\n{marks}", points.join(" ")));
    svg("chart-trend", TALL + 40, "Findings over the period", &described(buckets), &body)
        + "<ul class=\"legend\">\n<li><span class=\"swatch opened\" aria-hidden=\"true\"></span> began</li>\n<li><span \
           class=\"swatch resolved\" aria-hidden=\"true\"></span> ended</li>\n<li><span class=\"swatch open\" \
           aria-hidden=\"true\"></span> open at the end of the stretch (line)</li>\n</ul>\n"
}

fn described(buckets: &[Bucket]) -> String {
    let sum = |figure: fn(&Bucket) -> u64| buckets.iter().map(figure).sum::<u64>();
    let (first, last) = (buckets.first(), buckets.last());
    let open = |bucket: Option<&Bucket>| number(bucket.map_or(0, |b| b.open_at_end));
    format!(
        "{}: {} findings began and {} ended. Open at the end of the first stretch: {}, of the last: {}.",
        count(buckets.len() as u64, "stretch", "stretches"),
        number(sum(|b| b.opened)),
        number(sum(|b| b.resolved)),
        open(first),
        open(last)
    )
}

/// The top of an axis: 4, 8, 12, 16, 20, 32, then ten times as much, which quarters divide.
fn round_up(value: u64) -> u64 {
    let mut scale = 1_u64;
    loop {
        for step in [4, 8, 12, 16, 20, 32] {
            let top = scale.saturating_mul(step);
            if top >= value {
                return top;
            }
        }
        scale = scale.saturating_mul(10);
    }
}
