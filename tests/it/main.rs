//! All integration tests in one binary: each one more would link DataFusion again.

mod authoring;
mod bad_input;
mod cases;
mod cli;
mod decode;
mod deploy;
mod detect;
mod earlier;
mod envelopes;
mod harness;
mod kafka;
mod kafka_broker;
mod lake;
mod mappings;
mod order;
mod past;
mod people;
mod random;
mod replay;
mod secrets;
mod serve;
mod settled;
mod source;
mod telemetry;
mod terminal;
mod tidy;
