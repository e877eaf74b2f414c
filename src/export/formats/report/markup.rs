//! Text as markup: everything that comes from data goes through [`esc`].

use crate::export::model::{Moment, Outcome};

/// Text that means itself and nothing else, in elements and in quoted attributes. Letters that steer terminals or turn the
/// direction of reading are shown as a replacement character.
pub fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(letter),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            other if other.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// An identifier of this page for something: letters, digits and `-`; other letters by their number, so that no two share one.
pub fn anchor(kind: &str, name: &str) -> String {
    let mut out = format!("{kind}-");
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            out.push(letter);
        } else {
            out.push_str(&format!("-{:x}-", u32::from(letter)));
        }
    }
    out
}

/// `12 345` with thin spaces that do not break.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `1 finding`, `2 findings`.
pub fn count(count: u64, one: &str, many: &str) -> String {
    format!("{}\u{a0}{}", number(count), if count == 1 { one } else { many })
}

/// More than one of what a framework calls its parts.
pub fn plural(word: &str) -> String {
    match (word.strip_suffix("ion"), word.strip_suffix('y')) {
        (Some(stem), _) if stem.ends_with("criter") => format!("{stem}ia"),
        (_, Some(stem)) => format!("{stem}ies"),
        _ => format!("{word}s"),
    }
}

/// A moment to the minute; the exact one is in the attribute.
pub fn when(at: Moment) -> String {
    let text = at.to_string();
    let shown = text.get(..16).unwrap_or(&text).replace('T', "\u{a0}");
    format!("<time datetime=\"{text}\">{shown}</time>")
}

/// The same, or a word where there is none.
pub fn when_or(at: Option<Moment>, none: &str) -> String {
    at.map_or_else(|| none.to_owned(), when)
}

/// `24 October 2026`.
pub fn day(at: Moment) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<usize>().ok());
    match (text.get(..4), part(5..7).and_then(|month| MONTHS.get(month.wrapping_sub(1))), part(8..10)) {
        (Some(year), Some(month), Some(day)) => format!("{day} {month} {year}"),
        _ => text,
    }
}

/// How long: the largest unit that fits, `3.5 days`.
pub fn long(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let fits = |(length, _): &(i64, &str)| seconds >= *length;
    let (length, unit) = units.into_iter().find(fits).unwrap_or((1, "second"));
    let tenths = seconds * 10 / length;
    let part = if tenths % 10 == 0 { String::new() } else { format!(".{}", tenths % 10) };
    let many = if tenths == 10 { "" } else { "s" };
    format!("{}{part}\u{a0}{unit}{many}", number((tenths / 10).unsigned_abs()))
}

/// A result as a word with a sign, so that no colour stands alone.
pub fn badge(result: Outcome) -> String {
    format!(
        "<span class=\"badge {result}\"><span aria-hidden=\"true\">{}</span> {}</span>",
        sign(result),
        words(result)
    )
}

/// For a reader: `not tested`.
pub fn words(result: Outcome) -> String {
    result.as_str().replace('-', "\u{a0}")
}

fn sign(result: Outcome) -> &'static str {
    match result {
        Outcome::Pass => "✓",
        Outcome::Fail => "✕",
        Outcome::NotApplicable => "–",
        Outcome::NotTested => "○",
        Outcome::Inconclusive => "?",
        Outcome::Error => "!",
    }
}

/// A table with a caption. Heads starting with `#` are numbers. Cells are markup; the first of a row is its head.
pub fn table(caption: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    let is_number = |column: usize| heads.get(column).is_some_and(|head| head.starts_with('#'));
    let class = |column: usize| if is_number(column) { " class=\"number\"" } else { "" };
    let mut out = format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\n<table>\n<caption>{0}</caption>\n<thead><tr>",
        esc(caption)
    );
    for (column, head) in heads.iter().enumerate() {
        out.push_str(&format!("<th scope=\"col\"{}>{}</th>", class(column), esc(head.trim_start_matches('#'))));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let class = class(column);
            out.push_str(&match column {
                0 => format!("<th scope=\"row\"{class}>{cell}</th>"),
                _ => format!("<td{class}>{cell}</td>"),
            });
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    out
}

/// That a list goes on elsewhere; nothing if it does not.
pub fn more(total: usize, shown: usize, file: &str) -> String {
    if total <= shown {
        return String::new();
    }
    let left = number((total - shown) as u64);
    format!("<p class=\"more\">{left} more in <code>{}</code> of the pack.</p>\n", esc(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            esc("<b a=\"x\" b='y'>&\u{1b}\u{202e}"),
            "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;\u{fffd}\u{fffd}"
        );
        assert_ne!(anchor("t", "a_b"), anchor("t", "a.b"));
        assert!(anchor("t", "a\"><script>").chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    }

    #[test]
    fn figures_are_told_as_people_read_them() {
        assert_eq!([number(0), number(999), number(1_234_567)], ["0", "999", "1\u{202f}234\u{202f}567"]);
        assert_eq!([long(302_400), long(59), long(3600)], ["3.5\u{a0}days", "59\u{a0}seconds", "1\u{a0}hour"]);
        assert_eq!(day(Moment(1_792_800_000_000_000)), "24 October 2026");
    }
}
