//! Results by part of the framework, with the tests that each rests on.

use super::markup::{anchor, badge, count, esc, number, table};
use crate::export::model::{Assessment, Link, Subcategory};

/// All results in one table.
pub fn section(it: &Assessment) -> String {
    let part = esc(&it.framework.part);
    format!("<section id=\"results\">\n<h2>Results by {part}</h2>\n{}</section>\n", overview(it))
}

/// Each part with its reason and its tests.
pub fn parts(it: &Assessment) -> String {
    let (supporting, core): (Vec<&Subcategory>, Vec<_>) = it.subcategories.iter().partition(|part| part.is_supporting);
    let mut out = format!("<section id=\"parts\">\n<h2>Each {} and its tests</h2>\n", esc(&it.framework.part));
    core.iter().for_each(|part| out.push_str(&card(it, part)));
    if !supporting.is_empty() {
        out.push_str(
            "<h3 class=\"group\">Supporting outcomes</h3>\n<p>What the running of these tests contributes to elsewhere in the \
             framework. None of these is decided by this data alone.</p>\n",
        );
        supporting.iter().for_each(|part| out.push_str(&card(it, part)));
    }
    out.push_str("</section>\n");
    out
}

fn overview(it: &Assessment) -> String {
    let rows: Vec<Vec<String>> = it
        .subcategories
        .iter()
        .map(|part| {
            let deciding = part.links.iter().filter(|link| link.decides).filter_map(|link| it.detector(&link.detector));
            let (mut tests, mut found, mut open) = (0, 0, 0);
            deciding.for_each(|detector| {
                (tests, found, open) = (tests + 1, found + detector.counts.found, open + detector.counts.open_at_end);
            });
            let id = format!("<a class=\"id\" href=\"#{}\">{}</a>", anchor("p", &part.id), esc(&part.id));
            let title =
                esc(&part.title) + if part.is_supporting { " <span class=\"quiet\">(supporting)</span>" } else { "" };
            // A zero would read as if somebody had looked.
            let figure = |figure| if tests == 0 { "–".to_owned() } else { number(figure) };
            vec![id, title, badge(part.verdict.result), number(tests), figure(found), figure(open)]
        })
        .collect();
    let heads = ["Part", "In short", "Result", "#Tests that decide", "#Findings", "#Open at the end"];
    table("Every part in one look", &heads, &rows)
}

fn card(it: &Assessment, part: &Subcategory) -> String {
    let statement =
        part.statement.as_deref().map_or_else(String::new, |text| format!("<blockquote>{}</blockquote>\n", esc(text)));
    let tests = if part.links.is_empty() {
        String::new()
    } else {
        let rows: String = part.links.iter().filter_map(|link| line(it, link)).collect();
        let told = count(part.links.len() as u64, "test", "tests");
        format!(
            "<details><summary>{told} of {}</summary>\n<ul class=\"links\">\n{rows}</ul>\n</details>\n",
            esc(&part.id)
        )
    };
    format!(
        "<article class=\"card\" id=\"{}\">\n<h3><span class=\"id\">{}</span> {}</h3>\n<p class=\"verdict\">{} {}</p>\n\
         {statement}<p class=\"reach\">{}</p>\n{tests}</article>\n",
        anchor("p", &part.id),
        esc(&part.id),
        esc(&part.title),
        badge(part.verdict.result),
        reason(it, part),
        esc(&part.reach),
    )
}

/// The reason, with detectors by their titles: `refresh_after_offboarding` is for programs.
fn reason(it: &Assessment, part: &Subcategory) -> String {
    let mut text = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, text: &mut String| {
        match it.detector(word).filter(|detector| part.links.iter().any(|link| link.detector == detector.id)) {
            Some(detector) => {
                let title = esc(&detector.title);
                text.push_str(&format!("<a href=\"#{}\">{title}</a>", anchor("t", &detector.id)));
            }
            None => text.push_str(&esc(word)),
        }
        word.clear();
    };
    for letter in part.verdict.reason.chars() {
        if letter.is_alphanumeric() || letter == '_' {
            word.push(letter);
        } else {
            flush(&mut word, &mut text);
            text.push_str(&esc(&letter.to_string()));
        }
    }
    flush(&mut word, &mut text);
    let mut sentences = text.split("; ").map(|sentence| {
        let mut letters = sentence.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
    });
    let first = sentences.next().unwrap_or_default();
    let rest: String = sentences.map(|sentence| format!("<br>{sentence}.")).collect();
    format!("<span>{first}.{rest}</span>")
}

fn line(it: &Assessment, link: &Link) -> Option<String> {
    let detector = it.detector(&link.detector)?;
    let decides = if link.decides { "" } else { ", does not decide" };
    Some(format!(
        "<li>{} <a href=\"#{}\">{}</a> <span class=\"quiet\">({}{decides}; {} of {})</span><br>{}</li>\n",
        badge(detector.verdict.result),
        anchor("t", &detector.id),
        esc(&detector.title),
        link.relation.words(),
        count(detector.counts.found, "finding", "findings"),
        number(detector.population.events) + "\u{a0}events",
        esc(&link.why),
    ))
}
