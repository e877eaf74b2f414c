//! `tokentrail fingerprint`: what stands for a secret or a name in the lake. So a token that leaked can be looked for, and
//! a person asked about found, although neither is stored.

use std::io::{self, BufRead as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::Global;
use super::key::KeyArgs;
use crate::decode::secrets::Redactor;
use crate::decode::secrets::pseudonyms::Pseudonyms;

/// Arguments of `fingerprint`. What to look for is read from standard input, one a line: a secret on a command line would
/// stand in the history of the shell.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    key: KeyArgs,
    /// The lines are people, not secrets
    #[arg(long, conflicts_with = "ip")]
    person: bool,
    /// The lines are addresses of the network
    #[arg(long)]
    ip: bool,
}

/// Runs the command: for each line the fingerprint under the present key, then under those before it.
pub fn run(args: &Args, _global: &Global) -> anyhow::Result<ExitCode> {
    let Some(keys) = args.key.known()? else {
        bail!("there is no key yet: the first `tokentrail ingest` makes one; --secret-key-file names another file");
    };
    for line in io::stdin().lock().lines() {
        let line = line.context("standard input")?;
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        for key in std::iter::once(&keys.current).chain(&keys.old) {
            let pseudonyms = || Pseudonyms::new(key.clone());
            println!(
                "{}",
                match (args.person, args.ip) {
                    (true, _) => pseudonyms().of_person(text),
                    (_, true) => pseudonyms().of_ip(text),
                    _ => Redactor::new(key.clone()).fingerprint(text.as_bytes()),
                }
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
