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
//! else. A *format* is a pure function of it. Each is one file in `export/formats/` and hooks in at `formats::files`, which
//! gives the name and bytes of every file that the pack has beside its own; the same assessment gives the same bytes, so
//! `verify` makes them again and compares. A format asks no clock, draws no random number and reads no file.

pub mod model;
