//! The log: to standard error, quiet unless asked, so that standard output carries data only.
//!
//! Two rules hold for whoever logs. Nothing out of a record, no person's name or address, stands in a message of level
//! info or above: logs go where the lake's readers need not be. And a message is about one thing, with its values as
//! fields, so that the JSON form can be searched.

use std::fmt;
use std::io::IsTerminal as _;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::event::time;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One object a line: at, level, module, message, and the values
    Json,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logging<'a> {
    pub format: LogFormat,
    /// Levels by module, such as `info,tokentrail::ingest=debug`; it overrides the two below.
    pub levels: Option<&'a str>,
    /// How often -v was given.
    pub verbose: u8,
    pub quiet: bool,
}

/// Starts logging.
///
/// # Errors
/// The levels cannot be read, with what is expected.
pub fn start(logging: Logging<'_>) -> Result<(), String> {
    let ours = match (logging.quiet, logging.verbose) {
        (true, _) => "error",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    // Libraries speak up only about what is wrong, and not about conflicts that the commit loop expects.
    let usual = format!("warn,deltalake=error,delta_kernel=error,buoyant_kernel=error,rdkafka=off,tokentrail={ours}");
    let filter = EnvFilter::try_new(logging.levels.unwrap_or(&usual)).map_err(|error| {
        let levels = logging.levels.unwrap_or_default();
        format!("levels {levels:?} of the log: {error}; expected such as info,tokentrail::ingest=debug")
    })?;
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let to_stderr = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !is_plain)
        // Without a reader there is nobody to tell that there is no reader.
        .log_internal_errors(false);
    // A second start in one process (tests) keeps the first.
    let _ = match logging.format {
        LogFormat::Text => to_stderr.with_target(false).try_init(),
        LogFormat::Json => to_stderr.with_ansi(false).event_format(Json).try_init(),
    };
    Ok(())
}

/// One object a line.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut values = Values(Map::new());
        event.record(&mut values);
        let (metadata, mut values) = (event.metadata(), values.0);
        // What libraries say through the crate `log` names its module in a value.
        let module = values.remove("log.target").unwrap_or_else(|| metadata.target().into());
        values.retain(|name, _| !name.starts_with("log."));
        let message = values.remove("message").unwrap_or_default();
        let mut line = Map::new();
        line.insert("at".into(), time::format(clock::now_micros()).into());
        line.insert("level".into(), metadata.level().as_str().to_lowercase().into());
        line.insert("module".into(), module);
        line.insert("message".into(), message);
        line.extend(values.into_iter().filter(|(name, _)| !["at", "level", "module"].contains(&name.as_str())));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The values of an event.
struct Values(Map<String, Value>);

impl Visit for Values {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
