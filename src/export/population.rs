//! What was tested: of which events each detector speaks, and which feeds have to be there for its silence to count.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::framework::Framework;
use crate::detect::header::Header;
use crate::event::time::{DAY, SECOND};
use crate::policy::{Policy, parse_duration};

const BUILT_IN: &str = include_str!("../../queries/export/tests.toml");
/// In a condition: what the policy calls break-glass.
const BREAK_GLASS: &str = "break_glass";

/// The population of a detector, as a file declares it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// In words.
    pub what: String,
    /// In SQL, over columns of `events`.
    #[serde(rename = "where")]
    pub condition: String,
}

/// A kind of event that detectors rest on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedDeclared {
    pub action: String,
    pub views: Vec<String>,
    pub what: String,
    #[serde(default)]
    pub fresh: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CoverageDeclared {
    stopped_after: String,
    begins_within: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    coverage: CoverageDeclared,
    feed: Vec<FeedDeclared>,
    population: BTreeMap<String, Declared>,
}

/// A feed, its times read.
#[derive(Clone, Debug)]
pub struct FeedRule {
    pub action: String,
    views: Vec<String>,
    pub what: String,
    /// Microseconds.
    pub fresh: Option<i64>,
}

/// What tests need.
#[derive(Clone, Debug)]
pub struct Tests {
    /// Microseconds, as `begins_within`.
    pub stopped_after: i64,
    pub begins_within: i64,
    pub feeds: Vec<FeedRule>,
    populations: BTreeMap<String, Declared>,
}

impl Tests {
    /// Those compiled in, and what a framework file adds; conditions speak of the policy's break-glass credentials.
    ///
    /// # Errors
    /// A sentence, where a duration is none.
    pub fn new(framework: &Framework, policy: &Policy) -> Result<Self, String> {
        let file: File = toml::from_str(BUILT_IN).map_err(|e| e.to_string())?;
        let mut populations = file.population;
        populations.extend(framework.population.clone());
        let is_break_glass = policy.break_glass().map_or_else(|| "FALSE".to_owned(), |it| it.event_sql());
        for declared in populations.values_mut() {
            if let Some(rest) = declared.condition.strip_suffix(BREAK_GLASS) {
                declared.condition = format!("{rest}{is_break_glass}");
            }
        }
        let feeds = file.feed.into_iter().map(|feed| {
            let fresh = feed.fresh.as_deref().map(parse_duration).transpose()?;
            Ok(FeedRule { action: feed.action, views: feed.views, what: feed.what, fresh })
        });
        Ok(Self {
            stopped_after: parse_duration(&file.coverage.stopped_after)?,
            begins_within: parse_duration(&file.coverage.begins_within)?,
            feeds: feeds.collect::<Result<_, String>>()?,
            populations,
        })
    }

    /// The population of a detector, if one is declared.
    pub fn population(&self, detector: &str) -> Option<&Declared> {
        self.populations.get(detector)
    }

    /// The feeds that a detector rests on, by the views it reads.
    pub fn feeds_of(&self, header: &Header) -> Vec<String> {
        let reads = |feed: &&FeedRule| feed.views.iter().any(|view| header.reads.contains(view));
        self.feeds.iter().filter(reads).map(|feed| feed.action.clone()).collect()
    }
}

/// A length of time for people: `7 days`, `36 hours`.
pub fn in_words(micros: i64) -> String {
    let plural = |n: i64, unit: &str| if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") };
    if micros >= 2 * DAY || (micros > 0 && micros % DAY == 0) {
        plural(micros / DAY, "day")
    } else if micros >= 3600 * SECOND {
        plural(micros / (3600 * SECOND), "hour")
    } else {
        plural(micros / (60 * SECOND), "minute")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::catalog::Catalog;

    #[test]
    fn every_detector_has_a_population() {
        let framework = Framework::load("nist-csf-2.0").unwrap();
        let policy = Policy::parse("p", "[break_glass]\nmatch = { client_id = \"bg\" }\nmax_age = \"1h\"").unwrap();
        let tests = Tests::new(&framework, &policy).unwrap();
        let catalog = Catalog::load(None).unwrap();
        for detector in catalog.all() {
            assert!(tests.population(&detector.id).is_some(), "{}", detector.id);
        }
        assert!(tests.population("break_glass_unrevoked").unwrap().condition.contains("'bg'"));
        assert_eq!(tests.feeds_of(&catalog.find("refresh_after_offboarding").unwrap().header), ["offboard"]);
        assert_eq!(in_words(7 * DAY), "7 days");
    }
}
