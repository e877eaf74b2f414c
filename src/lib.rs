//! Tokentrail: audit trail and anomaly detector for the life of tokens after login.

pub mod cli;
pub mod clock;
pub mod decode;
pub mod event;
pub mod generate;
pub mod ingest;
pub mod lake;
pub mod policy;
pub mod source;
pub mod telemetry;
