//! One `[[event]]`: which records it is about, and the event it makes of one.

use super::super::fields::Fields;
use super::super::json::Json;
use super::column::Column;
use super::condition::Condition;
use super::keys::Kind;
use super::path::Path;
use crate::event::{Action, Event, Outcome, Rejection, time};

/// What one `[[event]]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct EventMapping {
    /// All of them must hold.
    pub when: Vec<Condition>,
    pub columns: Vec<Column>,
}

impl EventMapping {
    /// Whether it is about a record.
    pub fn is_about(&self, record: &Json<'_>) -> bool {
        self.when.iter().all(|condition| condition.holds(record))
    }

    /// Where its conditions look.
    pub fn condition_paths(&self) -> impl Iterator<Item = &Path> {
        self.when.iter().map(|condition| &condition.path)
    }

    /// The paths of each thing it reads; one of them is enough.
    pub fn alternatives(&self) -> impl Iterator<Item = &[Path]> {
        let conditions = self.when.iter().map(|condition| std::slice::from_ref(&condition.path));
        conditions.chain(self.columns.iter().map(|column| column.paths.as_slice()))
    }

    /// Adds its event of a record. What was added before an error is only shown.
    ///
    /// # Errors
    /// No usable time, no action, or a word that the mapping refuses.
    pub fn decode<'a>(&'a self, record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
        let mut fields = Fields::new(record);
        let mut event = Event::new(i64::MIN, Action::Other);
        let (mut flaw, mut has_action) = (None, false);
        for column in &self.columns {
            let result = match column.key.kind {
                Kind::Action => column.decisive(Action::parse, record, &mut fields).map(|action| {
                    has_action = action.is_some();
                    event.action = action.unwrap_or(Action::Other);
                }),
                Kind::Outcome => column
                    .decisive(Outcome::parse, record, &mut fields)
                    .map(|outcome| event.outcome = outcome.unwrap_or(Outcome::Success)),
                Kind::Time => self.time(column, record, &mut fields, &mut event),
                Kind::Scopes => {
                    event.scopes = column.texts(record, &mut fields);
                    Ok(())
                }
                Kind::Asn => {
                    event.asn = column.number(record, &mut fields);
                    Ok(())
                }
                Kind::Text | Kind::Ip | Kind::Word(_) | Kind::Grant => column.text(record, &mut fields).map(|text| {
                    let place = column.key.slot();
                    if let Some((_, slot)) = place.and_then(|place| event.stated_texts_mut().into_iter().nth(place)) {
                        *slot = text;
                    }
                }),
            };
            flaw = flaw.or(result.err());
        }
        if !has_action && flaw.is_none() {
            flaw = Some(self.missing("action"));
        }
        fields.push(event, out);
        flaw.map_or(Ok(()), Err)
    }

    fn time<'a>(
        &self,
        column: &Column,
        record: &'a Json<'a>,
        fields: &mut Fields<'a>,
        event: &mut Event<'a>,
    ) -> Result<(), Rejection> {
        let micros = column.time(record);
        if column.key.name == "event_time" {
            event.event_time = micros.map_err(Rejection)?.ok_or_else(|| self.missing("event_time"))?;
            let plausible = time::PLAUSIBLE.contains(&event.event_time);
            let wrong =
                || Rejection(format!("event_time: {} is not between 2000 and 2100", time::format(event.event_time)));
            return plausible.then_some(()).ok_or_else(wrong);
        }
        let micros = micros.unwrap_or_else(|why| {
            fields.note(why);
            None
        });
        if column.key.name == "issued_at" {
            event.issued_at = micros;
        } else {
            event.expires_at = micros;
        }
        Ok(())
    }

    /// Why a record is rejected that lacks what an event needs.
    fn missing(&self, name: &str) -> Rejection {
        let paths = self.columns.iter().filter(|column| column.key.name == name).flat_map(|column| &column.paths);
        let paths: Vec<String> = paths.map(|path| format!("\"{}\"", path.text)).collect();
        Rejection(format!("{name}: no value at {}", paths.join(" or ")))
    }
}
