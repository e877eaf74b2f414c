//! All integration tests in one binary: each one more would link DataFusion again.

mod authoring;
mod bad_input;
mod cases;
mod cli;
mod decode;
mod detect;
mod envelopes;
mod harness;
mod hostile;
mod hunts;
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
mod settled;
mod shell;
mod source;
mod tidy;
