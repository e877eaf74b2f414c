//! Arguments, telemetry, one command, the error chain, exit code.

use std::io::Write as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of mimalloc's option `purge_delay` (mimalloc.h), which the bindings do not name.
const PURGE_DELAY: i32 = 15;
/// Freed memory is kept for the next batch instead of going back to the system, which has to clear every page again.
const NEVER: std::ffi::c_long = -1;
/// Milliseconds. A service runs for months, and what it once needed for a moment is others' the rest of the time.
const OF_A_SERVICE: std::ffi::c_long = 5_000;

fn main() -> ExitCode {
    let delay = if std::env::args_os().any(|argument| argument == "serve") { OF_A_SERVICE } else { NEVER };
    // SAFETY: sets an integer option of the allocator, before any other thread runs.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, delay) };
    match tokentrail::cli::main() {
        Ok(code) => code,
        Err(error) => {
            // Nobody may be left to read it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}
