//! `tokentrail hunt`: saved questions.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::asking::{Desk, LimitArgs, Values};
use super::query::{print_rows, quiet_pipe};
use super::{Global, Output};
use crate::query::hunts::{Hunt, Hunts};

/// Arguments of `hunt`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// All saved questions, and what they need to know
    List,
    /// What a question needs to know, and its SQL
    Show { name: String },
    /// Ask a saved question
    Run {
        name: String,
        #[command(flatten)]
        limits: Box<LimitArgs>,
    },
}

impl Args {
    /// Whether the lake is asked.
    pub fn gives_rows(&self) -> bool {
        matches!(self.what, What::Run { .. })
    }
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let hunts = Hunts::load(global.queries.as_deref())?;
    match args.what {
        What::List => {
            const COLUMNS: [&str; 3] = ["hunt", "question", "parameters"];
            let rows = hunts.all().map(|hunt| COLUMNS.into_iter().map(str::to_owned).zip(cells(hunt)).collect());
            print_rows(&COLUMNS, rows.collect(), global.output)?;
        }
        What::Show { name } => show(hunts.find(&name)?, global)?,
        What::Run { name, limits } => {
            let hunt = hunts.find(&name)?;
            let desk = Desk::open(global, &limits).await?;
            let values = hunt.bound(&desk.given())?;
            let answer = desk.ask(&hunt.sql, Values::Bound(values), global.output).await?;
            if global.output == Output::Table && !desk.is_parquet() && !global.quiet {
                eprintln!("{}", hunt.question);
            }
            desk.show(&answer, global.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(hunt: &Hunt) -> [Value; 3] {
    let params = hunt.params.iter().map(|(name, param)| match &param.default {
        Some(default) => format!("{name}={}", default.as_str().map_or_else(|| default.to_string(), str::to_owned)),
        None => name.clone(),
    });
    let params = params.collect::<Vec<_>>().join(" ");
    [hunt.name.clone().into(), hunt.question.clone().into(), params.into()]
}

fn show(hunt: &Hunt, global: &Global) -> anyhow::Result<()> {
    let params: Vec<Map<String, Value>> = hunt
        .params
        .iter()
        .map(|(name, param)| {
            let default =
                param.default.as_ref().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            let pairs = [
                ("name", json!(name)),
                ("type", json!(param.kind.as_str())),
                ("default", json!(default)),
                ("help", json!(param.help)),
            ];
            pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
        })
        .collect();
    let text = if global.output == Output::Table {
        let lines = params.iter().map(|param| {
            let word = |key: &str| crate::query::output::text(param.get(key).unwrap_or(&Value::Null));
            let default = if word("default").is_empty() {
                "must be given".to_owned()
            } else {
                format!("default {}", word("default"))
            };
            format!("  -p {}=...  {}, {} ({default})\n", word("name"), word("type"), word("help"))
        });
        let usage =
            hunt.params.iter().filter(|(_, param)| param.default.is_none()).map(|(name, _)| format!(" -p {name}=..."));
        format!(
            "{}\n{}\n\n{}\ntokentrail hunt run {}{}\n\n{}\n",
            hunt.title,
            hunt.question,
            lines.collect::<String>(),
            hunt.name,
            usage.collect::<String>(),
            hunt.sql
        )
    } else {
        let all = json!({"hunt": hunt.name, "title": hunt.title, "question": hunt.question, "parameters": params, "sql": hunt.sql});
        format!("{all}\n")
    };
    Ok(quiet_pipe(std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes()))?)
}
