//! `tokentrail serve`: everything in one process, until a signal ends it.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::Global;
use super::config::{ConfigArgs, part};
use crate::config::Part;
use crate::serve::{self, Asked};

/// Arguments of `serve`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Run only these parts of those that the configuration has on: ingest, detect, alert, maintain
    #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = part)]
    only: Vec<Part>,
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let (stop, stopped) = watch::channel(false);
    let (hangup, hangups) = mpsc::channel(1);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hung_up.recv() => {
                    let _ = hangup.try_send(()); // one that waits already will do
                    continue;
                }
            }
            if stop.send_replace(true) {
                tracing::warn!("a second signal: ending at once; what was not committed is read again");
                std::process::exit(1);
            }
        }
    });
    let asked = Asked { file: args.config.config, over: global.overrides(), only: args.only.into_iter().collect() };
    serve::run(asked, stopped, hangups).await?;
    Ok(ExitCode::SUCCESS)
}
