//! Slack's incoming webhook: a text with the three characters escaped that it gives a meaning to.
//! <https://docs.slack.dev/messaging/formatting-message-text>

use serde_json::{Value, json};

use super::{headline, lines, text};
use crate::alert::config::Format;
use crate::alert::notice::Message;

/// Slack cuts texts at 40,000 characters; long before that nobody reads on.
const CHARS_MAX: usize = 12_000;

/// The body of the request.
pub fn body(message: &Message, format: Format) -> Value {
    let whole = match format {
        Format::Text => text(message),
        other => lines(message, other),
    };
    let (first, rest) = match format {
        Format::Text => {
            (headline(message), whole.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default())
        }
        _ => (headline(message), whole),
    };
    let mut shown: String = rest.trim().chars().take(CHARS_MAX).collect();
    if shown.len() < rest.trim().len() {
        shown.push_str("\n(cut)");
    }
    json!({ "text": format!("*{}*\n```\n{}\n```", escaped(&first), escaped(&shown.replace("```", "'''"))) })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
