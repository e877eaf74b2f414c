//! The log: to standard error, quiet unless asked, so that standard output carries data only.

use tracing_subscriber::EnvFilter;

/// Starts logging. `verbose`: how often -v was given; `RUST_LOG` overrides both.
pub fn start(verbose: u8, quiet: bool) {
    let ours = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    // Libraries speak up only about what is wrong, and not about conflicts that the commit loop expects.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(format!(
            "warn,deltalake=error,delta_kernel=error,buoyant_kernel=error,rdkafka=off,tokentrail={ours}"
        ))
    });
    let to_stderr = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start in one process (tests) keeps the first.
    let _ = to_stderr.try_init();
}
