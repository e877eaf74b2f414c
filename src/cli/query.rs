//! `tokentrail query`: SQL over the lake, read-only.

use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use serde_json::{Map, Value};

use super::asking::{Desk, LimitArgs, Values};
use super::{Global, Output, shell};
use crate::identities::Identities;
use crate::policy::Policy;
use crate::query::hunts::Hunts;
use crate::query::readonly::QUERY_BYTES_MAX;
use crate::query::{Rows, output};

/// Arguments of `query`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// One query; `token_events`, `context_events`, `rejected`, `offboardings`, `device_losses`, `grants`, `contexts`,
    /// `hosts`, `findings` and `events` are there to ask. Without one, on a terminal: a shell
    #[arg(conflicts_with = "file")]
    sql: Option<String>,
    /// Read the query from this file; - is standard input
    #[arg(short, long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(global, &args.limits).await?;
    match args.sql()? {
        Some(sql) => {
            let answer = desk.ask(&sql, Values::Given(desk.given()), global.output).await?;
            desk.show(&answer, global.output)?;
        }
        None if desk.is_parquet() => anyhow::bail!(
            "Parquet is for one query: give it as an argument or with -f; the shell shows table, json, ndjson and csv"
        ),
        None => shell::run(desk, Hunts::load(global.queries.as_deref())?, global).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The query; `None`: there is a terminal to ask on.
    fn sql(&self) -> anyhow::Result<Option<String>> {
        // One byte more than is accepted, so that what is longer is seen to be.
        let limit = QUERY_BYTES_MAX as u64 + 1;
        let mut sql = String::new();
        match (&self.sql, &self.file) {
            (Some(sql), _) => return Ok(Some(sql.clone())),
            (None, Some(path)) if path.as_os_str() != "-" => {
                let reading = || format!("reading the query in {}", path.display());
                std::fs::File::open(path)
                    .with_context(reading)?
                    .take(limit)
                    .read_to_string(&mut sql)
                    .with_context(reading)?
            }
            (None, None) if io::stdin().is_terminal() => return Ok(None),
            _ => io::stdin().take(limit).read_to_string(&mut sql).context("reading the query on standard input")?,
        };
        Ok(Some(sql))
    }
}

/// Prints rows on standard output.
pub(super) fn print(rows: &Rows, how: Output) -> io::Result<()> {
    print_to(rows, how, &mut io::BufWriter::new(io::stdout().lock()))
}

/// Writes rows as text; a reader that leaves is no error.
pub(super) fn print_to(rows: &Rows, how: Output, out: &mut dyn Write) -> io::Result<()> {
    let names = || rows.schema.fields().iter().map(|f| f.name().as_str());
    let printed = match how {
        Output::Json => output::json(&rows.batches, out),
        Output::Ndjson => output::ndjson(&rows.batches, out),
        Output::Csv => output::csv(names(), output::objects(&rows.batches), out),
        Output::Table => writeln!(out, "{}", table(names(), output::objects(&rows.batches))),
    };
    quiet_pipe(printed.and_then(|()| out.flush()))
}

/// Prints rows that are not of the lake, in the same formats.
pub(super) fn print_rows(names: &[&str], rows: Vec<Map<String, Value>>, how: Output) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = match how {
        Output::Json => writeln!(out, "{:#}", Value::Array(rows.into_iter().map(Value::Object).collect())),
        Output::Ndjson => rows.into_iter().try_for_each(|row| writeln!(out, "{}", Value::Object(row))),
        Output::Csv => output::csv(names.iter().copied(), rows.into_iter(), &mut out),
        Output::Table => writeln!(out, "{}", table(names.iter().copied(), rows.into_iter())),
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
    // Digits of the same weight stand below each other in columns of nothing but numbers.
    let mut numbers: Vec<Option<bool>> = Vec::new();
    for row in rows {
        numbers.resize(row.len().max(numbers.len()), None);
        for (of_column, value) in numbers.iter_mut().zip(row.values()).filter(|(_, value)| !value.is_null()) {
            *of_column = Some(of_column.unwrap_or(true) && value.is_number());
        }
        table.add_row(row.values().map(|value| printable(&output::text(value))));
    }
    for (column, is_number) in table.column_iter_mut().zip(numbers) {
        if is_number == Some(true) {
            column.set_cell_alignment(CellAlignment::Right);
        }
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
