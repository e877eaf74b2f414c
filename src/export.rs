//! Evidence an auditor can check without trusting us: what the detectors found in a period, of how many events, from which
//! sources, under which policy, and what this data cannot show.
//!
//! ```text
//!  lake at a cut ──> Assessment ──> files ──> folder or zip
//!  policy, queries   plain data     pure      written beside, then renamed
//!  framework file    (model)        (pack)
//! ```
//!
//! [`model::Assessment`] is the whole of it as plain data: everything that a pack says follows from it and from nothing
//! else. A *format* is a pure function of it. Each is one file in `export/formats/` and hooks in at [`formats::files`], which
//! gives the name and bytes of every file that the pack has beside its own; the same assessment gives the same bytes, so
//! [`verify`] makes them again and compares. A format asks no clock, draws no random number and reads no file.

pub mod assess;
mod census;
mod coverage;
mod derived;
mod evidence;
pub mod formats;
pub mod framework;
mod history;
pub mod model;
pub mod pack;
mod population;
pub mod privacy;
mod results;
pub mod sample;
pub mod verify;

use crate::detect::DetectError;
use crate::lake::LakeError;
use crate::query::QueryError;

/// Why there is no pack.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The period cannot be assessed.
    #[error("{0}")]
    Period(String),
    /// Something in the framework, the catalogue or the files compiled in.
    #[error("{0}")]
    Terms(String),
    #[error(transparent)]
    Framework(#[from] framework::FrameworkError),
    #[error("{path} {what}: name another folder with --out, or empty it")]
    Taken { path: String, what: &'static str },
    #[error("{path} cannot be written, and nothing was left behind: {cause}")]
    Write { path: String, cause: std::io::Error },
    #[error(transparent)]
    Detect(#[from] DetectError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Lake(#[from] LakeError),
}
