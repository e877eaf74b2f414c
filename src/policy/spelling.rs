//! Guessing what was meant: the nearest name to one that does not exist.

/// How much of a name messages repeat and distances compare: names are short, files may be hostile.
const NAME_MAX: usize = 64;

/// The start of a name, on a character boundary.
pub fn clip(name: &str) -> &str {
    name.char_indices().nth(NAME_MAX).map_or(name, |(end, _)| &name[..end])
}

/// Which of `known` is closest to `name`, and whether close enough to be meant. Ties go to the first.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<(&'a str, bool)> {
    let name = clip(name);
    let best = known.map(|word| (distance(name, word), word)).min_by_key(|(distance, _)| *distance)?;
    Some((best.1, best.0 <= (best.1.len() / 2).clamp(1, 4)))
}

/// Edits (insert, delete, replace) that turn `a` into `b`, case aside.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn nearest_forgives_a_slip_but_not_everything() {
        let names = || Policy::KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("max_agee", names()), Some(("max_age", true)));
        assert_eq!(nearest("Max-Age", names()), Some(("max_age", true)));
        assert_eq!(nearest("clockskew", names()), Some(("clock_skew", true)));
        assert_eq!(nearest("completely_else", names()).map(|(_, close)| close), Some(false));
        assert_eq!(nearest("x", std::iter::empty()), None);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(clip(&"é".repeat(100)).chars().count(), NAME_MAX);
    }
}
