//! `tokentrail query`: SQL over the lake, read-only.

use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use comfy_table::{ContentArrangement, Table, TableComponent, presets};
use serde_json::{Map, Value};

use super::{Global, Output};
use crate::clock;
use crate::detect::frame::{Frame, Reach};
use crate::detect::log;
use crate::detect::policy_views::Asked;
use crate::identities::Identities;
use crate::lake::Lake;
use crate::policy::Policy;
use crate::query::{self, QueryError, Rows, SessionContext, output, people, views};

/// Arguments of `query`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// One query; `token_events`, `context_events`, `rejected`, `offboardings`, `device_losses`, `grants`, `contexts`,
    /// `hosts`, `findings` and `events` are there to ask
    #[arg(conflicts_with = "file")]
    sql: Option<String>,
    /// Read the query from this file; - is standard input
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Ask the lake as it was at this version
    #[arg(long, value_name = "VERSION")]
    at: Option<i64>,
}

/// Views that stand on folds, not on events alone.
const OF_FOLDS: &[&str] = &["grants", "contexts", "hosts", "lifetimes", "ends", "broad_ends"];

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let sql = args.sql()?;
    query::readonly::check(&sql)?;
    let lake = Lake::open(&global.lake).await?;
    let state = match args.at {
        None => lake.events().refresh().await?,
        Some(version) => lake.events().at(version).await?.ok_or(QueryError::NoVersion(version))?,
    };
    let now = clock::now_micros();
    let context = query::session(query::Limits::default())?;
    let policy = global.load_policy()?;
    let context = if needs_folds(&context, &sql) {
        Frame::open(&lake, &state, Asked::anything(&policy), now, Reach::Kept).await?.into_session()
    } else {
        context
    };
    let files = query::events(&lake, &context, state.files.values().cloned().collect())?;
    // Views know people under the id that counts; `events` shows what is stored.
    views::replace(&context, "events", people::resolved(&context, files.clone(), policy.identities())?)?;
    for name in views::OF_EVENTS {
        if let (false, Some(view)) = (context.table_exist(*name)?, views::find(name)) {
            views::register(&context, view, None).await?;
        }
    }
    views::replace(&context, "events", files)?;
    log::register(&lake, &context).await?;
    let frame = views::bind(query::plan(&context, &sql).await?, Some(now))?;
    print(&query::collect(frame).await?, global.output)?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn sql(&self) -> anyhow::Result<String> {
        match (&self.sql, &self.file) {
            (Some(sql), _) => Ok(sql.clone()),
            (None, Some(path)) if path.as_os_str() != "-" => {
                std::fs::read_to_string(path).with_context(|| format!("reading the query in {}", path.display()))
            }
            (None, None) if io::stdin().is_terminal() => {
                bail!("no query: give one as an argument, with -f FILE, or on standard input")
            }
            _ => {
                let mut sql = String::new();
                io::stdin().read_to_string(&mut sql).context("reading the query on standard input")?;
                Ok(sql)
            }
        }
    }
}

fn needs_folds(context: &SessionContext, sql: &str) -> bool {
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let references = state.sql_to_statement(sql, &dialect).and_then(|s| state.resolve_table_references(&s));
    // Text that cannot be read is refused where it is planned, with the reason.
    references.is_ok_and(|names| names.iter().any(|name| OF_FOLDS.contains(&name.table())))
}

/// Prints rows on standard output.
pub(super) fn print(rows: &Rows, how: Output) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let names = || rows.schema.fields().iter().map(|f| f.name().as_str());
    let printed = match how {
        Output::Json => output::json(&rows.batches, &mut out),
        Output::Ndjson => output::ndjson(&rows.batches, &mut out),
        Output::Csv => output::csv(names(), output::objects(&rows.batches), &mut out),
        Output::Table => writeln!(out, "{}", table(names(), output::objects(&rows.batches))),
    };
    quiet_pipe(printed.and_then(|()| out.flush()))
}

/// An empty table as wide as the terminal, with no line but the one below the header.
pub(super) fn sheet() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_style(TableComponent::HeaderLines, '─').set_style(TableComponent::MiddleHeaderIntersections, '─');
    table
}

/// Rows as a table as wide as the terminal.
pub(super) fn table<'n>(names: impl Iterator<Item = &'n str>, rows: impl Iterator<Item = Map<String, Value>>) -> Table {
    let mut table = sheet();
    table.set_header(names);
    for row in rows {
        table.add_row(row.values().map(|value| printable(&output::text(value))));
    }
    table
}

/// Text from records may hold what moves a terminal's cursor; it is shown, not obeyed.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// A reader that has seen enough (`| head`) is no error.
pub(super) fn quiet_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

impl Global {
    /// The policy and the identities named on the command line, or the defaults and nobody.
    pub(super) fn load_policy(&self) -> anyhow::Result<Policy> {
        let policy = match &self.policy {
            Some(path) => Policy::load(path)?,
            None => Policy::default(),
        };
        Ok(match &self.identities {
            Some(path) => policy.with_identities(Identities::load(path)?),
            None => policy,
        })
    }
}
