//! What a pack holds for different readers: each format is a pure function of the assessment, in a file of its own.
//!
//! A new one adds its module here and a line in [`files`]; its name becomes a path in the pack. `verify` makes them again
//! and compares, so the same assessment must give the same bytes.

mod readme;

use super::model::Assessment;

/// Name and bytes of every file that a format makes, beside those that the pack itself consists of.
pub fn files(assessment: &Assessment) -> Vec<(String, Vec<u8>)> {
    vec![("README.txt".to_owned(), readme::text(assessment).into_bytes())]
}
