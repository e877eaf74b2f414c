//! `tokentrail completions` and `tokentrail man`: what shells and people ask about the arguments, made from the arguments.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap_complete::Shell;

use super::query::quiet_pipe;

/// Arguments of `completions`.
#[derive(clap::Args, Debug)]
pub struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// Folder for the pages, one for each command; made if it is not there
    folder: PathBuf,
}

/// Prints the completions of a shell.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "tokentrail", &mut script);
    let mut out = io::stdout().lock();
    quiet_pipe(out.write_all(&script).and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of the manual.
pub fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let doing = || format!("writing the manual to {}", args.folder.display());
    std::fs::create_dir_all(&args.folder).with_context(doing)?;
    clap_mangen::generate_to(super::command(), &args.folder).with_context(doing)?;
    Ok(ExitCode::SUCCESS)
}
