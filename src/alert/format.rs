//! A message as the JSON or text that sinks send.

mod alertmanager;
mod ocsf;
mod slack;
mod text;

use serde_json::{Value, json};

use super::config::Format;
use super::notice::Message;
pub(super) use alertmanager::alerts as alertmanager;
pub(super) use slack::body as slack;
pub(super) use text::{body as text, headline};

/// The documents a message becomes: one for the message itself, or one OCSF finding for each alert.
pub fn documents(message: &Message, format: Format) -> Vec<Value> {
    match format {
        Format::Native => vec![json!(message)],
        Format::Ocsf => ocsf::findings(message),
        Format::Text => vec![Value::String(text(message))],
    }
}

/// The same as text: a document a line, or paragraphs for people.
pub fn lines(message: &Message, format: Format) -> String {
    documents(message, format)
        .into_iter()
        .map(|document| match document {
            Value::String(text) => text.trim_end().to_owned() + "\n",
            other => other.to_string() + "\n",
        })
        .collect()
}

/// The same as the body of a request, and its content type.
pub fn body(message: &Message, format: Format) -> (String, &'static str) {
    let mut documents = documents(message, format);
    match (documents.len(), documents.pop()) {
        (1, Some(Value::String(text))) => (text, "text/plain; charset=utf-8"),
        (1, Some(one)) => (one.to_string(), "application/json"),
        (_, last) => (Value::Array(documents.into_iter().chain(last).collect()).to_string(), "application/json"),
    }
}
