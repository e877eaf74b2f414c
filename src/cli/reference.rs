//! `tokentrail reference`: what stands in the code, written into the blocks of a page that are marked for it. So docs can
//! neither forget a metric nor name one that is gone.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::serve::metrics::Metrics;

/// Arguments of `reference`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A page of Markdown; printed with its marked blocks made anew
    page: PathBuf,
    /// Write the page instead of printing it
    #[arg(long)]
    update: bool,
}

/// A block stands between these two lines; its name between `BEGIN` and `END_OF_BEGIN`.
const BEGIN: &str = "<!-- made by the program: ";
const END_OF_BEGIN: &str = " -->";
const END: &str = "<!-- until here -->";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let name = args.page.display();
    let text = std::fs::read_to_string(&args.page).with_context(|| format!("reading {name}"))?;
    let made = remade(&text)?;
    if args.update {
        std::fs::write(&args.page, made).with_context(|| format!("writing {name}"))?;
    } else {
        print!("{made}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The page with every marked block made anew.
fn remade(page: &str) -> anyhow::Result<String> {
    let mut made = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (name, behind) = behind.split_once(END_OF_BEGIN).context("a mark of a block is not ended")?;
        let (_, behind) = behind.split_once(END).with_context(|| format!("block {name:?} has no {END:?}"))?;
        made.push_str(before);
        let _ = write!(made, "{BEGIN}{name}{END_OF_BEGIN}\n\n{}\n{END}", block(name)?); // a String takes all
        rest = behind;
    }
    Ok(made + rest)
}

fn block(name: &str) -> anyhow::Result<String> {
    Ok(match name {
        "metrics" => metrics(),
        "environment" => environment(),
        "settings" => format!("```toml\n{}\n```", crate::config::EXAMPLE.trim_end()),
        other => bail!("no block is named {other:?}; there are metrics, settings and environment"),
    })
}

fn metrics() -> String {
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for metric in Metrics::new().described() {
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(table, "| `{}` | {} | {labels} | {} |", metric.name, metric.kind, metric.help); // a String takes all
    }
    table
}

/// Settings from the environment, and the arguments they stand for.
fn environment() -> String {
    let mut root = super::command();
    root.build();
    let mut rows: Vec<[String; 4]> = Vec::new();
    let commands = std::iter::once(&root).chain(root.get_subcommands());
    for command in commands {
        for argument in command.get_arguments() {
            let Some(variable) = argument.get_env().map(|name| name.to_string_lossy().into_owned()) else { continue };
            let of = if argument.is_global_set() { "all" } else { command.get_name() };
            if let Some(row) = rows.iter_mut().find(|row| row[0] == variable) {
                if row[2] != "all" && !row[2].split(", ").any(|known| known == of) {
                    row[2] = format!("{}, {of}", row[2]);
                }
                continue;
            }
            let spelled = argument.get_long().map_or_else(String::new, |long| format!("`--{long}`"));
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
            rows.push([variable, spelled, of.to_owned(), help]);
        }
    }
    rows.sort();
    let mut table = "| variable | argument | of | meaning |\n|---|---|---|---|\n".to_owned();
    for [variable, argument, of, help] in rows {
        let _ = writeln!(table, "| `{variable}` | {argument} | {of} | {help} |"); // a String takes all
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_marked_is_made_anew() {
        let page = "# A\n<!-- made by the program: metrics -->\nwas here before\n<!-- until here -->\nkept\n";
        let made = remade(page).unwrap();
        assert!(
            made.starts_with("# A\n")
                && made.ends_with("<!-- until here -->\nkept\n")
                && !made.contains("was here before")
        );
        assert!(made.contains("| `tokentrail_ingest_records_total` | counter |"), "{made}");
        assert_eq!(remade(&made).unwrap(), made);
        assert!(remade("<!-- made by the program: metrics -->").unwrap_err().to_string().contains("has no"));
        assert!(
            remade("<!-- made by the program: x --><!-- until here -->").unwrap_err().to_string().contains("there are")
        );
    }

    #[test]
    fn settings_of_several_commands_stand_once() {
        let table = environment();
        assert_eq!(table.matches("| `TOKENTRAIL_LAKE` |").count(), 1);
        assert!(table.contains("| `TOKENTRAIL_LAKE` | `--lake` | all |"), "{table}");
    }
}
