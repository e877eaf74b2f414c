//! Tokentrail: audit trail and anomaly detector for the life of tokens after login.
//!
//! Modules in the order data flows:
//!
//! ```text
//!  source ──> decode ──> ingest ──> lake ──> detect ──> finding
//!  kafka      native     exactly    Delta    folds,      opened, resolved,
//!  file                  once                SQL         retracted
//!  memory                             └────> query
//! ```
//!
//! Imports go down only: `cli` > `serve` > `config` > `alert`, `export`, `timeline` > `ingest`, `detect`, `generate` >
//! `query` > `source`, `decode`, `lake` > `event`, `finding`, `policy`, `identities`, `csv`, `clock`. A test holds this
//! (tests/it/tidy.rs); docs/ARCHITECTURE.md has the reasons.

pub mod cli;
pub mod config;
pub mod serve;
pub mod telemetry;

pub mod alert;

pub mod detect;
pub mod generate;
pub mod ingest;

pub mod query;

pub mod decode;
pub mod lake;
pub mod source;

pub mod clock;
pub mod csv;
pub mod event;
pub mod finding;
pub mod identities;
pub mod policy;
