//! Arguments, telemetry, one command, the error chain, exit code.

use std::io::Write as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of mimalloc's option `purge_delay` (mimalloc.h), which the bindings do not name.
const PURGE_DELAY: i32 = 15;
/// Milliseconds. The next batch takes freed memory again long before that, and the system need not clear its pages; what
/// only a part of a run needed does not add to what the next part needs.
const AFTER: std::ffi::c_long = 500;

fn main() -> ExitCode {
    // SAFETY: sets an integer option of the allocator, before any other thread runs.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, AFTER) };
    match tokentrail::cli::main() {
        Ok(code) => code,
        Err(error) => {
            // Nobody may be left to read it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}
