//! `tokentrail timeline`: what happened to one token, grant, subject, device or host.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use anyhow::bail;

use super::query::quiet_pipe;
use super::{Global, Output};
use crate::clock;
use crate::lake::Lake;
use crate::query::{QueryError, output};
use crate::timeline::lines::{Piece, Shape, lines};
use crate::timeline::read::{self, Asked};
use crate::timeline::zone::Zone;
use crate::timeline::{self, About, Entry, Tone};

/// Arguments of `timeline`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tokentrail timeline --grant fm-mallory-gh --local
  tokentrail timeline --subject mallory@example.com --from 2026-10-01T00:00:00Z
  tokentrail timeline --host jump-1 --all -o ndjson")]
pub struct Args {
    #[command(flatten)]
    of: Of,
    /// Leave out what happened before (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = super::detect::moment)]
    from: Option<i64>,
    /// Leave out this moment (RFC 3339) and what happened after
    #[arg(long, value_name = "TIME", value_parser = super::detect::moment)]
    to: Option<i64>,
    #[command(flatten)]
    times: Times,
    /// One line for each event, however many are alike
    #[arg(long)]
    all: bool,
    /// Read the lake as it was at this version
    #[arg(long, value_name = "VERSION")]
    at: Option<i64>,
    /// Judge as if it were this moment (RFC 3339); the wall clock if not given
    #[arg(long, value_name = "TIME", value_parser = super::detect::moment)]
    as_of: Option<i64>,
    /// Cut lines to so many columns; the terminal's width if not given, and not at all where there is none
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
}

/// What the timeline is of.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Of {
    /// One token, by the id or fingerprint that events state
    #[arg(long, value_name = "ID")]
    token: Option<String>,
    /// One grant, as findings name it
    #[arg(long, value_name = "ID")]
    grant: Option<String>,
    /// One person or service, under any of its names
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// One registered device
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// One machine that clients ran on
    #[arg(long, value_name = "ID")]
    host: Option<String>,
}

/// In which zone times are shown.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Times {
    /// Times in UTC, which is what holds if nothing is said
    #[arg(long, conflicts_with = "local")]
    utc: bool,
    /// Times as this machine's clock shows them (TZ, else the system's zone)
    #[arg(long)]
    local: bool,
}

impl Times {
    /// The zone that was asked for.
    pub(super) fn zone(self) -> Zone {
        if self.local { Zone::local(std::env::var("TZ").ok().as_deref()) } else { Zone::utc() }
    }
}

impl Of {
    fn asked(&self) -> Option<(About, &str)> {
        let given = [&self.token, &self.grant, &self.subject, &self.device, &self.host];
        About::ALL.into_iter().zip(given).find_map(|(about, id)| Some((about, id.as_deref()?)))
    }
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let Some((about, id)) = args.of.asked() else { bail!("name what to look at, such as --grant ID") };
    let range = (args.from.unwrap_or(i64::MIN), args.to.unwrap_or(i64::MAX));
    if range.0 >= range.1 {
        bail!("--from is not before --to: there is nothing between them");
    }
    let policy = global.load_policy()?;
    let lake = Lake::open(&global.lake).await?;
    let state = match args.at {
        None => lake.events().refresh().await?,
        Some(version) => lake.events().at(version).await?.ok_or(QueryError::NoVersion(version))?,
    };
    let everything = global.output != Output::Table;
    let material = read::material(&lake, &state, &policy, &Asked { about, id, range, everything }).await?;
    if material.shown.is_empty() {
        bail!("{}", unknown(about, id, range, &read::known_as(&lake, &state, id).await?, state.rows()));
    }
    let as_of = args.as_of.unwrap_or_else(clock::now_micros);
    let timeline = timeline::build(about, id, &material, &policy, as_of, range);
    let zone = args.times.zone();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let entries = || timeline.entries.iter().map(|entry| entry.json(&zone));
    let printed = match global.output {
        Output::Json => {
            let whole = serde_json::to_writer_pretty(&mut out, &timeline.json(&zone));
            whole.map_err(io::Error::from).and_then(|()| writeln!(out))
        }
        Output::Ndjson => entries().try_for_each(|entry| {
            serde_json::to_writer(&mut out, &entry)?;
            writeln!(out)
        }),
        Output::Csv => output::csv(Entry::FIELDS.into_iter(), entries(), &mut out),
        Output::Table => {
            let width = args.width.or_else(terminal_width);
            print(&lines(&timeline, &Shape { width, all: args.all, zone }), &mut out)
        }
    };
    quiet_pipe(printed.and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}

/// What to say of an id that is not there, and where it is.
fn unknown(about: About, id: &str, range: (i64, i64), known: &[About], rows: u64) -> String {
    let column = about.column();
    let within = if range == (i64::MIN, i64::MAX) { "" } else { " within --from and --to" };
    if known.contains(&about) {
        return format!("{id:?} has events, but none{within}");
    }
    let none = format!("no event has {column} {id:?}");
    match known {
        [] => format!(
            "{none}; it was looked for as token, grant, subject, device and host in {rows} rows. Ids must be whole: \
             `tokentrail query \"SELECT DISTINCT {column} FROM token_events WHERE {column} LIKE '%…%'\"` finds them by a part"
        ),
        known => {
            let ways: Vec<String> =
                known.iter().map(|about| format!("`tokentrail timeline --{} {id}`", about.as_str())).collect();
            format!("{none}, but the lake knows it otherwise: {}", ways.join(", "))
        }
    }
}

/// How wide the terminal is, if standard output is one.
pub(super) fn terminal_width() -> Option<usize> {
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns)).filter(|columns| *columns > 20)
}

/// Prints lines, in colour where a terminal shows it and NO_COLOR is not set.
pub(super) fn print(lines: &[Vec<Piece>], out: &mut dyn Write) -> io::Result<()> {
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    for line in lines {
        for (tone, text) in line {
            let code = match tone {
                _ if !colours || text.is_empty() => "",
                Tone::Plain => "",
                Tone::Faint => "2",
                Tone::Good => "32",
                Tone::Notice => "33",
                Tone::Alarm => "1;31",
            };
            if code.is_empty() {
                write!(out, "{text}")?;
            } else {
                write!(out, "\x1b[{code}m{text}\x1b[0m")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
