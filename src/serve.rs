//! One process that ingests, judges, alerts and tidies up, and says how it is.

pub mod metrics;
pub mod pages;
