//! All integration tests in one binary: each one more would link DataFusion again.

mod authoring;
mod bad_input;
mod cases;
mod cli;
mod detect;
mod harness;
mod kafka;
mod kafka_broker;
mod lake;
mod order;
mod past;
mod random;
mod settled;
mod source;
mod tidy;
