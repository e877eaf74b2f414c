//! What a configuration leads to: policy, detectors, people, mappings and connections, all read and checked.
//!
//! Whoever has settings has good ones. What is wrong in any of the files is told together, so that a mistake in the policy
//! does not hide one in a mapping.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use super::{Config, Overrides, SourceConfig};
use crate::alert::reach;
use crate::csv::Layout;
use crate::decode::mapping::Mapping;
use crate::detect::catalog::Catalog;
use crate::identities::Identities;
use crate::policy::Policy;
use crate::source::kafka::KafkaOptions;

/// Everything a service goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    pub config: Config,
    pub policy: Policy,
    pub catalog: Catalog,
    pub sources: Vec<Reading>,
}

/// One source, ready to be opened.
#[derive(Clone, Debug)]
pub struct Reading {
    pub config: SourceConfig,
    pub mapping: Option<Arc<Mapping>>,
    pub kafka: Option<KafkaOptions>,
    /// The texts of mapping and properties, and the limits of batches: where they differ, it is another source.
    texts: Vec<String>,
}

impl Reading {
    /// Whether it reads the same in the same way.
    pub fn is_same(&self, other: &Self) -> bool {
        self.config == other.config && self.texts == other.texts
    }
}

impl Settings {
    /// Reads a configuration and every file that it, or what counts more, names.
    ///
    /// # Errors
    /// All problems of all files, each with file and line where it has them.
    pub fn load(path: &Path, over: &Overrides) -> Result<Self, Vec<String>> {
        let config = Config::load(path, over).map_err(|error| lines(&error))?;
        let mut problems = Vec::new();
        let policy = or_problem(&mut problems, config.detect.policy.as_deref().map(Policy::load).transpose());
        let identities =
            or_problem(&mut problems, config.detect.identities.as_deref().map(Identities::load).transpose());
        let catalog = or_problem(&mut problems, Catalog::load(config.detect.queries.as_deref()));
        problems.extend(reach::problems(&config.alert));
        let mut sources = Vec::new();
        for source in &config.ingest.source {
            match Self::reading(source) {
                Ok(mut reading) => {
                    let limits = (config.ingest.commit_rows, config.ingest.commit_mib, config.ingest.commit_ms);
                    reading.texts.push(format!("{limits:?}"));
                    sources.push(reading);
                }
                Err(wrong) => problems.extend(wrong),
            }
        }
        match (policy, identities, catalog) {
            (Some(policy), Some(identities), Some(catalog)) if problems.is_empty() => {
                let policy = policy.unwrap_or_default();
                let policy = match identities {
                    Some(identities) => policy.with_identities(identities),
                    None => policy,
                };
                Ok(Self { config, policy, catalog, sources })
            }
            _ => Err(problems),
        }
    }

    fn reading(source: &SourceConfig) -> Result<Reading, Vec<String>> {
        let mut problems = Vec::new();
        let mapping = or_problem(&mut problems, source.mapping.as_deref().map(Mapping::load).transpose()).flatten();
        let mut texts = Vec::new();
        for path in source.mapping.iter().chain(source.kafka.iter().filter_map(|k| k.properties_file.as_ref())) {
            let read =
                std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
            // What a mapping lacks was told above.
            let is_mapping = source.mapping.as_ref() == Some(path);
            match read {
                Ok(text) => texts.push(text),
                Err(_) if is_mapping => {}
                Err(problem) => problems.push(problem),
            }
        }
        if mapping.as_ref().and_then(|m| m.csv()).is_some_and(Layout::has_header_row) && source.kafka.is_some() {
            problems.push(format!(
                "{}: messages have no header: name the columns of their rows in [csv] of the mapping",
                source.name
            ));
        }
        let kafka =
            or_problem(&mut problems, source.kafka.as_ref().map(|_| kafka(source, &texts)).transpose()).flatten();
        let mapping = mapping.map(Arc::new);
        if problems.is_empty() { Ok(Reading { config: source.clone(), mapping, kafka, texts }) } else { Err(problems) }
    }
}

/// How to connect; the last of the texts is that of the properties' file, if one is named.
fn kafka(source: &SourceConfig, texts: &[String]) -> Result<KafkaOptions, String> {
    let Some(kafka) = &source.kafka else { return Ok(KafkaOptions::default()) };
    let mut options = KafkaOptions { topics: kafka.topics.clone(), ..KafkaOptions::default() };
    options.properties.insert("group.id".to_owned(), kafka.group.clone());
    if !kafka.bootstrap.is_empty() {
        options.properties.insert("bootstrap.servers".to_owned(), kafka.bootstrap.join(","));
    }
    if let (Some(path), Some(text)) = (&kafka.properties_file, texts.last()) {
        options.add_properties(&path.display().to_string(), text).map_err(|error| error.to_string())?;
    }
    options.properties.extend(kafka.properties.clone());
    if !options.properties.contains_key("bootstrap.servers") {
        return Err(format!("{}: kafka needs bootstrap = [\"HOST:PORT\"]", source.name));
    }
    Ok(options)
}

fn or_problem<T, E: Display>(problems: &mut Vec<String>, read: Result<T, E>) -> Option<T> {
    read.map_err(|error| problems.extend(lines(&error))).ok()
}

fn lines(error: &impl Display) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}
