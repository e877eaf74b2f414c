//! Asking the lake: what a single query, a hunt and the shell have in common. Every query is held to its limits, and
//! recorded.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::key::KeyArgs;
use super::query::{print, quiet_pipe};
use super::standard::counted;
use super::{Global, Output};
use crate::alert::outbox;
use crate::clock;
use crate::detect::Span;
use crate::detect::frame::{self, Frame, Reach};
use crate::detect::log;
use crate::detect::policy_views::Asked;
use crate::ingest::protection::Protection;
use crate::lake::Lake;
use crate::lake::table::State;
use crate::policy::Policy;
use crate::query::journal::{self, Entry};
use crate::query::{self, Answer, QueryError, ScalarValue, SessionContext, output, parameters, people, views};

/// Rows that a table shows unless more are asked for, and that any other output has.
const ROWS_SHOWN: usize = 1_000;
const ROWS_MAX: usize = 1_000_000;

/// How much a query may use, and where its rows go.
#[derive(clap::Args, Clone, Debug)]
pub struct LimitArgs {
    /// A value for $NAME in the query; may be given many times
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub param: Vec<(String, String)>,
    /// Stop the query after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Memory that the query may hold; sorts and joins beyond it spill to disk where they can, and fail where they cannot
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(16..))]
    memory_mib: u64,
    /// Give at most this many rows [default: 1000 in a table, else 1000000]
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    max_rows: Option<u64>,
    /// Ask the lake as it was at this version
    #[arg(long, value_name = "VERSION")]
    at: Option<i64>,
    /// Write the rows to this file as Parquet instead of printing them; `-o parquet` writes them to standard output
    #[arg(long, value_name = "FILE")]
    parquet: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

impl LimitArgs {
    fn is_to_stdout(&self) -> bool {
        self.parquet.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().trim_start_matches('$').to_owned(), value.to_owned()))
}

/// What stands for `$name` in a query.
pub enum Values {
    /// As the place needs it; what no place needs is a mistake.
    Given(BTreeMap<String, String>),
    /// The same for many queries in a row: each takes what it asks for.
    Offered(BTreeMap<String, String>),
    /// As the hunt says.
    Bound(Vec<(String, ScalarValue)>),
}

/// An open lake, ready to be asked.
pub struct Desk {
    pub lake: Lake,
    policy: Policy,
    limits: LimitArgs,
    protection: Arc<Protection>,
    /// Whether it was said that queries cannot be recorded.
    is_mute: AtomicBool,
}

impl Desk {
    /// Opens the lake.
    pub async fn open(global: &Global, limits: &LimitArgs) -> anyhow::Result<Self> {
        let protection = match limits.key.known()? {
            Some(keys) => Arc::new(Protection::new(&keys.current, false)),
            None => Protection::passing(),
        };
        let mut limits = limits.clone();
        if global.is_parquet() && limits.parquet.is_none() {
            limits.parquet = Some("-".into());
        }
        if limits.is_to_stdout() && std::io::stdout().is_terminal() {
            anyhow::bail!(
                "Parquet is nothing for a terminal: add > FILE, pipe it on, or name a file with --parquet FILE"
            );
        }
        let (lake, policy) = (Lake::open(&global.lake).await?, global.load_policy()?);
        bound_memory(limits.memory_mib);
        Ok(Self { lake, policy, limits, protection, is_mute: AtomicBool::new(false) })
    }

    /// Whether rows are written as Parquet and not printed.
    pub fn is_parquet(&self) -> bool {
        self.limits.parquet.is_some()
    }

    /// The values given on the command line.
    pub fn given(&self) -> BTreeMap<String, String> {
        self.limits.param.iter().cloned().collect()
    }

    /// Asks one query and records that it was asked. Ctrl-C ends the query and not the process.
    pub async fn ask(&self, sql: &str, values: Values, how: Output) -> Result<Answer, QueryError> {
        let (at, started) = (clock::now_micros(), Instant::now());
        let mut version = -1;
        let asked = tokio::select! {
            answered = self.answer(sql, values, how, at, &mut version) => answered,
            () = tokio::time::sleep(Duration::from_secs(self.limits.timeout)) => Err(QueryError::TimedOut(self.limits.timeout)),
            Ok(()) = tokio::signal::ctrl_c() => Err(QueryError::Cancelled),
        };
        let (rows, bytes_read) =
            asked.as_ref().map_or((0, 0), |answer| (answer.rows.count() as u64, answer.bytes_read));
        let result = asked.as_ref().map_or_else(|error| self.clean(&error.to_string()), |_| "ok".to_owned());
        let (user, text) = (user(), self.clean(sql));
        let seconds = started.elapsed().as_secs_f64();
        let entry = Entry { at, user, text, version, rows, bytes_read, seconds, result };
        if let Err(error) = journal::record(&self.lake, &entry).await
            && !self.is_mute.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "queries of this lake cannot be recorded in query_log");
        }
        asked
    }

    /// A text without secrets.
    fn clean(&self, text: &str) -> String {
        const KEPT_MAX: usize = 64 << 10;
        let kept = text.get(..text.floor_char_boundary(KEPT_MAX)).unwrap_or_default();
        String::from_utf8_lossy(&self.protection.rejected(kept.as_bytes(), "").record).into_owned()
    }

    async fn answer(
        &self,
        sql: &str,
        values: Values,
        how: Output,
        now: i64,
        version: &mut i64,
    ) -> Result<Answer, QueryError> {
        query::readonly::check(sql)?;
        let state = match self.limits.at {
            None => self.lake.events().refresh().await?,
            Some(version) => self.lake.events().at(version).await?.ok_or(QueryError::NoVersion(version))?,
        };
        *version = state.version;
        let context = self.session(&state, Some(sql), now).await?;
        let planned = query::plan(&context, sql).await;
        let frame = planned.map_err(|error| query::with_names(error, names(&context).iter().map(String::as_str)))?;
        let frame = match values {
            Values::Given(given) => parameters::bind(frame, &given, now)?,
            Values::Offered(given) => {
                let wanted = parameters::wanted(&frame, given)?;
                parameters::bind(frame, &wanted, now)?
            }
            Values::Bound(bound) => parameters::bind_typed(frame, bound, now)?,
        };
        let by_default = if how == Output::Table && self.limits.parquet.is_none() { ROWS_SHOWN } else { ROWS_MAX };
        let rows_max = self.limits.max_rows.map_or(by_default, |rows| usize::try_from(rows).unwrap_or(usize::MAX - 1));
        query::answer(frame, rows_max, self.bytes_max()).await
    }

    fn bytes_max(&self) -> usize {
        usize::try_from(self.limits.memory_mib << 20).unwrap_or(usize::MAX)
    }

    /// A session with everything that a query names, or all there is.
    async fn session(&self, state: &Arc<State>, sql: Option<&str>, now: i64) -> Result<SessionContext, QueryError> {
        let (lake, policy) = (&self.lake, &self.policy);
        let limits = query::Limits { memory_bytes: self.bytes_max(), ..query::Limits::default() };
        let context = query::session(limits)?;
        let context = if sql.is_none_or(|sql| needs_folds(&context, sql)) {
            let frame = Frame::open(lake, state, Asked::anything(policy), Span::until(now), Reach::Kept).await?;
            frame.into_asked()?
        } else {
            context
        };
        let files = query::events(lake, &context, state.files.values().cloned().collect())?;
        // Views know people under the id that counts; `events` shows what is stored.
        views::replace(&context, "events", people::resolved(&context, files.clone(), policy.identities())?)?;
        for name in views::OF_EVENTS {
            if let (false, Some(view)) = (context.table_exist(*name)?, views::find(name)) {
                views::register(&context, view, None).await?;
            }
        }
        views::replace(&context, "events", files)?;
        log::register(lake, &context).await?;
        outbox::register(lake, &context).await?;
        journal::register(lake, &context).await?;
        Ok(context)
    }

    /// Everything there is to ask, folds and all: what Tab completes.
    pub async fn everything(&self) -> Result<SessionContext, QueryError> {
        self.session(&self.lake.events().refresh().await?, None, clock::now_micros()).await
    }

    /// Prints an answer, or writes it to the file that was asked for; says so if it was cut off.
    pub fn show(&self, answer: &Answer, how: Output) -> anyhow::Result<()> {
        match &self.limits.parquet {
            None => print(&answer.rows, how)?,
            Some(_) if self.limits.is_to_stdout() => quiet_pipe(output::parquet(&answer.rows, std::io::stdout()))?,
            Some(path) => {
                let mut file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
                output::parquet(&answer.rows, &mut file).with_context(|| path.display().to_string())?;
                file.flush()?;
            }
        }
        self.tell_cut(answer);
        Ok(())
    }

    /// Says so if there was more than was asked for.
    pub fn tell_cut(&self, answer: &Answer) {
        match answer.rows.count() {
            _ if !answer.is_cut => {}
            1 => eprintln!("This is the first row; --max-rows gives more."),
            count => eprintln!("These are the first {}; --max-rows gives more.", counted(count, "row")),
        }
    }
}

/// Memory that this process may take beside what a query holds: caches, plans, and what is reserved and never touched.
const BESIDE_MIB: u64 = 4096;

/// Bounds the memory of the whole process. The pool counts what sorts, joins and aggregates hold, but not the values that
/// an expression makes: forty doublings of a text are a terabyte. Then this process ends, and nothing else suffers.
fn bound_memory(memory_mib: u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let Some(now_kib) = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()) else { return };
    let bytes = (now_kib << 10) + ((memory_mib + BESIDE_MIB) << 20);
    if let Err(error) = rlimit::setrlimit(rlimit::Resource::AS, bytes, rlimit::INFINITY) {
        tracing::debug!(%error, "memory has no limit but the query's own");
    }
}

/// Tables and views of a session, and those of folds, which would be there if a query named them.
fn names(context: &SessionContext) -> Vec<String> {
    let schema = context.catalog("datafusion").and_then(|catalog| catalog.schema("public"));
    let mut names = schema.map(|schema| schema.table_names()).unwrap_or_default();
    names.extend(frame::ASKED.iter().map(|name| (*name).to_owned()));
    names.sort();
    names
}

fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    named.unwrap_or_else(|| "unknown".to_owned())
}

/// Whether a query names what stands on folds, or asks what there is: a list that leaves something out would be wrong.
fn needs_folds(context: &SessionContext, sql: &str) -> bool {
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let Ok(statement) = state.sql_to_statement(sql, &dialect) else { return false };
    let words = statement.to_string().to_ascii_uppercase();
    // Text that cannot be read is refused where it is planned, with the reason.
    let names = state.resolve_table_references(&statement).unwrap_or_default();
    let is_list = |schema: Option<&str>| schema == Some("information_schema");
    words.starts_with("SHOW ")
        || names.iter().any(|name| frame::ASKED.contains(&name.table()) || is_list(name.schema()))
}
