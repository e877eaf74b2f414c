//! `tokentrail config`: whether a configuration is good, what it comes to, and one to begin with.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use super::standard::counted;
use super::{Global, Output};
use crate::config::{Config, Part, Settings, check};

/// Which configuration.
#[derive(clap::Args, Clone, Debug)]
pub struct ConfigArgs {
    /// The configuration of the service (TOML); `tokentrail config example` prints one. --lake, --policy, --identities and
    /// --queries, or their variables, count more than what it says
    #[arg(long, value_name = "FILE", env = "TOKENTRAIL_CONFIG", default_value = "tokentrail.toml")]
    pub config: PathBuf,
}

/// Arguments of `config`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Read everything the configuration names, try each connection, and tell every problem at once
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        /// Do not connect to anything
        #[arg(long)]
        offline: bool,
    },
    /// Print the settings in force, defaults included and secrets left out
    Show {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Print a configuration to begin with, each setting with its default and what it means
    Example,
}

/// Reads the name of a part.
pub fn part(text: &str) -> Result<Part, String> {
    Part::ALL.into_iter().find(|part| part.as_str() == text).ok_or_else(|| {
        let names = Part::ALL.map(Part::as_str);
        format!("expected some of {}", names.join(", "))
    })
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Example => print!("{}", crate::config::EXAMPLE),
        What::Show { config } => {
            let shown = Config::load(&config.config, &global.overrides())?.without_secrets();
            match global.output {
                Output::Json | Output::Ndjson => println!("{}", serde_json::to_string(&shown)?),
                _ => print!("{}", toml::to_string(&shown)?),
            }
        }
        What::Check { config, offline } => {
            let settings = match Settings::load(&config.config, &global.overrides()) {
                Ok(settings) => settings,
                Err(problems) => bail!("{}", told(&problems)),
            };
            let problems = if offline { Vec::new() } else { check::connections(&settings).await };
            if !problems.is_empty() {
                bail!("{}", told(&problems));
            }
            let parts: Vec<&str> = settings.config.parts().map(Part::as_str).collect();
            println!(
                "good: {}, {}, parts {}; lake {}",
                counted(settings.sources.len(), "source"),
                counted(settings.catalog.all().len(), "detector"),
                parts.join(", "),
                settings.config.lake.uri
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told(problems: &[String]) -> String {
    format!("{}\n{}", counted(problems.len(), "problem"), problems.join("\n"))
}
