//! The feeds that detectors rest on: kinds of events without which they can find nothing.

use std::collections::BTreeSet;

use super::header::Header;
use crate::lake::Lake;
use crate::query::{self, QueryError};

/// Views, and the action of the events that they are made of.
const FEEDS: [(&str, &str); 6] = [
    ("offboardings", "offboard"),
    ("device_losses", "device_lost"),
    ("compromises", "compromise"),
    ("compromised", "compromise"),
    ("logged_out", "logout"),
    ("issuers", "issue"),
];

/// Actions of which a lake has some event.
#[derive(Debug, Default)]
pub struct Feeds(BTreeSet<String>);

impl Feeds {
    /// Those of a lake as it is now.
    pub async fn of(lake: &Lake) -> Result<Self, QueryError> {
        let state = lake.events().refresh().await?;
        let context = query::session(query::Limits::default())?;
        let files = query::events(lake, &context, state.files.values().cloned().collect())?;
        context.register_table("events", files)?;
        let mut actions = BTreeSet::new();
        for action in FEEDS.iter().map(|(_, action)| *action).collect::<BTreeSet<_>>() {
            let class = if matches!(action, "logout" | "issue") { "token" } else { "context" };
            let sql = format!("SELECT 1 FROM events WHERE class = '{class}' AND action = '{action}' LIMIT 1");
            if context.sql(&sql).await?.collect().await?.iter().any(|rows| rows.num_rows() > 0) {
                actions.insert(action.to_owned());
            }
        }
        Ok(Self(actions))
    }

    /// What a detector needs and the lake has not.
    pub fn lacked_by(&self, header: &Header) -> BTreeSet<&'static str> {
        let needed = FEEDS.iter().filter(|(view, _)| header.reads.iter().any(|read| read == view));
        needed.map(|(_, action)| *action).filter(|action| !self.0.contains(*action)).collect()
    }
}
