//! One file for one service: what to read, what to look for, whom to tell, how often.
//!
//! Every mistake is told at once, with its line: who deploys a service should not have to restart it twelve times to find
//! twelve of them. Paths in the file are seen from the file's own folder, so that it means the same wherever the service
//! is started.

pub mod check;
mod mend;
mod parts;
mod settings;

use std::path::{Path, PathBuf};

use mend::{Gone, Mended};
pub use parts::{Detect, Ingest, Kafka, LakeConfig, Maintain, Part, Service, SourceConfig, Telemetry};
use serde::{Deserialize, Serialize};
pub use settings::{Reading, Settings};

use crate::policy::{Mistake, Mistakes};

/// A configuration to begin with: every setting as it is if nothing is said, and what it means.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// Largest file that is read, in bytes.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// What tokentrail.toml says; whatever it leaves out has its default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub lake: LakeConfig,
    pub ingest: Ingest,
    pub detect: Detect,
    pub alert: crate::alert::Config,
    pub maintain: Maintain,
    pub telemetry: Telemetry,
    pub serve: Service,
}

/// What was said on the command line or in the environment, which counts more than the file. Paths are seen from where
/// the program was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub lake: Option<String>,
    pub policy: Option<PathBuf>,
    pub identities: Option<PathBuf>,
    pub queries: Option<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Invalid(#[from] Mistakes),
}

impl Config {
    /// Reads the configuration in a file; its paths are put in the file's folder, and what `over` has in the file's place.
    ///
    /// # Errors
    /// The file cannot be read, or every mistake in it, by line.
    pub fn load(path: &Path, over: &Overrides) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let mut config = Self::parse(&path.display().to_string(), &text)?;
        config.stand_in(path.parent().unwrap_or(Path::new("")));
        config.give_way(over);
        Ok(config)
    }

    /// Reads a configuration from text; `file_name` is for messages.
    ///
    /// # Errors
    /// Every mistake, by line.
    ///
    /// # Example
    ///
    /// ```
    /// # use tokentrail::config::Config;
    /// let error = Config::parse("tokentrail.toml", "[detect]\non = true\npolice = \"policy.toml\"").unwrap_err();
    /// assert!(error.to_string().starts_with("tokentrail.toml:3: unknown key \"police\"; did you mean \"policy\"?"));
    /// ```
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Mistakes> {
        let invalid = |mistakes| Mistakes { file_name: file_name.to_owned(), mistakes };
        if text.len() > CONFIG_BYTES_MAX {
            let message = format!("larger than {CONFIG_BYTES_MAX} bytes, the largest accepted");
            return Err(invalid(vec![Mistake { line: 1, message }]));
        }
        let Mended { value: config, mut mistakes, gone } = mend::read::<Self>(text);
        if let Some(config) = &config {
            mistakes.extend(config.contradictions(text, &gone));
        }
        mistakes.sort_by_key(|mistake| mistake.line);
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(invalid(mistakes)),
        }
    }

    /// Parts that are on; alerts are if they have a sink to go to.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        let on = [
            (Part::Ingest, self.ingest.on),
            (Part::Detect, self.detect.on),
            (Part::Alert, !self.alert.sinks.is_empty()),
            (Part::Maintain, self.maintain.on),
        ];
        on.into_iter().filter(|(_, on)| *on).map(|(part, _)| part)
    }

    /// What is well written and cannot be done. Of a table with a mistake that was told already, nothing is said.
    fn contradictions(&self, text: &str, gone: &Gone) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for (number, source) in self.ingest.source.iter().enumerate() {
            let line = mend::line_of_nth(text, "[[ingest.source]]", number);
            if !gone.touches(&format!("ingest.source.{number}")) {
                mistakes.extend(source.contradictions().into_iter().map(|message| Mistake { line, message }));
            }
            let is_twice = self.ingest.source.iter().take(number).any(|earlier| earlier.name == source.name);
            if is_twice {
                mistakes.push(Mistake { line, message: format!("a second source is named {:?}", source.name) });
            }
        }
        // A route's sink may be the one that could not be read.
        let follows = |message: &String| {
            let place = message.split([' ', ':']).next().unwrap_or_default();
            let is_of_sink = place.starts_with("alert.sinks.") && gone.touches(place);
            is_of_sink || (message.contains("unknown sink") && gone.has_entry_of("alert.sinks"))
        };
        let alerts = self.alert.problems().into_iter().filter(|message| !follows(message));
        mistakes.extend(alerts.map(|message| Mistake { line: alert_line(text, &message), message }));
        let forgotten = self.maintain.contradictions(&self.alert).into_iter();
        mistakes.extend(
            forgotten.map(|(key, message)| Mistake { line: mend::line_of_key(text, "maintain", key), message }),
        );
        for (section, key, value, least) in self.least() {
            if value < least {
                let line = mend::line_of_key(text, section, key);
                mistakes.push(Mistake { line, message: format!("{key} in [{section}] must be at least {least}") });
            }
        }
        mistakes
    }

    /// Numbers below which nothing would work.
    fn least(&self) -> [(&'static str, &'static str, u64, u64); 6] {
        [
            ("ingest", "commit_rows", self.ingest.commit_rows as u64, 1),
            ("ingest", "commit_mib", self.ingest.commit_mib as u64, 1),
            ("detect", "apart_seconds", self.detect.apart_seconds, 2),
            ("detect", "lease_seconds", self.detect.lease_seconds, 2),
            ("maintain", "every_seconds", self.maintain.every_seconds, 1),
            ("serve", "drain_seconds", self.serve.drain_seconds, 1),
        ]
    }

    /// Puts every relative path into a folder.
    fn stand_in(&mut self, folder: &Path) {
        let own = [&mut self.detect.policy, &mut self.detect.identities, &mut self.detect.queries];
        let own = own.into_iter().chain([&mut self.lake.secret_key_file]).flatten();
        let sources = self.ingest.source.iter_mut();
        let of_sources = sources.flat_map(|source| {
            let kafka = source.kafka.iter_mut().filter_map(|kafka| kafka.properties_file.as_mut());
            source.files.iter_mut().chain(&mut source.mapping).chain(kafka)
        });
        let of_sinks = self.alert.sinks.values_mut().flat_map(|sink| {
            let paths = [&mut sink.path, &mut sink.url_file, &mut sink.ca_file, &mut sink.secret_file];
            paths.into_iter().flatten()
        });
        own.chain(of_sources).chain(of_sinks).for_each(|path| *path = folder.join(&*path));
        if !self.lake.uri.contains("://") {
            self.lake.uri = folder.join(&self.lake.uri).display().to_string();
        }
    }

    fn give_way(&mut self, over: &Overrides) {
        if let Some(lake) = &over.lake {
            self.lake.uri.clone_from(lake);
        }
        let detect = &mut self.detect;
        for (own, other) in [
            (&mut detect.policy, &over.policy),
            (&mut detect.identities, &over.identities),
            (&mut detect.queries, &over.queries),
        ] {
            if other.is_some() {
                own.clone_from(other);
            }
        }
    }

    /// The same without what nobody should read over somebody's shoulder.
    pub fn without_secrets(mut self) -> Self {
        for kafka in self.ingest.source.iter_mut().filter_map(|source| source.kafka.as_mut()) {
            for (name, value) in &mut kafka.properties {
                if ["password", "secret", "jaas", "token", "key.pem"].iter().any(|word| name.contains(word)) {
                    *value = "(left out)".to_owned();
                }
            }
        }
        for sink in self.alert.sinks.values_mut() {
            // A webhook's address is often its password, and so are headers.
            let headers = sink.headers.iter_mut().flat_map(|headers| headers.values_mut());
            headers.chain(&mut sink.url).for_each(|value| *value = "(left out)".to_owned());
        }
        self
    }

    /// Files and folders whose change is a change of the configuration, itself left out.
    pub fn files(&self) -> Vec<PathBuf> {
        let mappings = self.ingest.source.iter().filter_map(|source| source.mapping.clone());
        let properties = self.ingest.source.iter().filter_map(|source| source.kafka.as_ref()?.properties_file.clone());
        let detect = [&self.detect.policy, &self.detect.identities, &self.detect.queries];
        let sinks = self.alert.sinks.values();
        let secrets = sinks.flat_map(|sink| [&sink.url_file, &sink.ca_file, &sink.secret_file].into_iter().flatten());
        detect.into_iter().flatten().chain(secrets).cloned().chain(mappings).chain(properties).collect()
    }
}

/// The line that a problem of alerts is about: its words begin with `alert.sinks.NAME: ` or `alert.KEY `.
fn alert_line(text: &str, problem: &str) -> usize {
    let place = problem.split([' ', ':']).next().unwrap_or_default();
    match place.strip_prefix("alert.") {
        Some(key) if !key.contains('.') => mend::line_of_key(text, "alert", key),
        _ => mend::line_of_nth(text, &format!("[{place}]"), 0),
    }
}

#[cfg(test)]
mod tests;
