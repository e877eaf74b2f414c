//! Standard output and standard error, when their reader has seen enough: `tokentrail … | head -1` ends quietly.
//!
//! The macros of the standard library panic there. Those of `cli` are written here, so that no command has to think of it.

use std::fmt::Arguments;
use std::io::{self, Write as _};

use indicatif::HumanCount;

/// So many of something: `1 row`, `1,234 rows`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", HumanCount(count as u64), if count == 1 { "" } else { "s" })
}

/// Data for whoever reads standard output. A reader that left is no error; a disk that is full is one, and ends the
/// process with code 2, since nothing that follows could be told either.
pub fn output(text: Arguments<'_>) {
    match io::stdout().lock().write_fmt(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            message(format_args!("error: writing to standard output: {error}\n"));
            std::process::exit(2);
        }
        _ => {}
    }
}

/// Words for people on standard error. If nobody can read them, there is nobody to tell.
pub fn message(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_is_not_many() {
        let of = |count| super::counted(count, "row");
        assert_eq!((of(0), of(1), of(12_345)), ("0 rows".to_owned(), "1 row".to_owned(), "12,345 rows".to_owned()));
    }
}
