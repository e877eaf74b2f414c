//! Values for `$name` in a query, given as text.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;

use super::{QueryError, views};
use crate::event::time;
use crate::policy::parse_duration;
use crate::policy::spelling::nearest;

/// Names that are bound without being given.
const KNOWN: &str = "as_of";

/// Binds what a query asks for: each value as the type that the query needs in its place. `$as_of` is now, unless given.
///
/// # Errors
/// One is missing, is not asked for, or does not fit its place; each is named.
pub fn bind(frame: DataFrame, given: &BTreeMap<String, String>, now: i64) -> Result<DataFrame, QueryError> {
    let asked = asked(&frame)?;
    if let Some(name) = given.keys().find(|name| !asked.contains_key(*name)) {
        let advice = match (nearest(name, asked.keys().map(String::as_str)), asked.is_empty()) {
            (Some((word, true)), _) => format!("; did you mean ${word}?"),
            (_, true) => "; it has none".to_owned(),
            _ => format!("; it has ${}", asked.keys().cloned().collect::<Vec<_>>().join(", $")),
        };
        return Err(QueryError::UnknownParameter { name: name.clone(), advice });
    }
    let mut values = Vec::new();
    for (name, kind) in &asked {
        let value = match given.get(name) {
            Some(text) => value(name, text, kind.as_ref())?,
            None if name == KNOWN => views::timestamp(now),
            None => return Err(QueryError::NoParameter(name.clone())),
        };
        values.push((name.as_str(), value));
    }
    if values.is_empty() { Ok(frame) } else { Ok(frame.with_param_values(values)?) }
}

/// Of the values that are there, those that a query asks for.
pub fn wanted(frame: &DataFrame, mut given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, QueryError> {
    let asked = asked(frame)?;
    given.retain(|name, _| asked.contains_key(name));
    Ok(given)
}

/// The names that a query asks for, and the types that their places need.
fn asked(frame: &DataFrame) -> Result<BTreeMap<String, Option<DataType>>, QueryError> {
    let types = frame.logical_plan().get_parameter_types()?;
    Ok(types.into_iter().map(|(name, kind)| (name.trim_start_matches('$').to_owned(), kind)).collect())
}

/// Binds values that have their types already, and `$as_of`.
pub fn bind_typed(frame: DataFrame, mut values: Vec<(String, ScalarValue)>, now: i64) -> Result<DataFrame, QueryError> {
    if !values.iter().any(|(name, _)| name == KNOWN) {
        values.push((KNOWN.to_owned(), views::timestamp(now)));
    }
    Ok(frame.with_param_values(values)?)
}

/// Text as a value of the type that its place needs; where any would do, as text.
pub fn value(name: &str, text: &str, kind: Option<&DataType>) -> Result<ScalarValue, QueryError> {
    let bad = |expected: &str| QueryError::BadParameter {
        name: name.to_owned(),
        value: text.to_owned(),
        expected: expected.to_owned(),
    };
    match kind {
        None | Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null) => {
            Ok(ScalarValue::Utf8(Some(text.to_owned())))
        }
        Some(DataType::Timestamp(..)) => {
            time::parse(text).map(views::timestamp).ok_or_else(|| bad("a time such as 2026-11-01T00:00:00Z"))
        }
        Some(DataType::Interval(_) | DataType::Duration(_)) => {
            interval(text).ok_or_else(|| bad("a duration such as 30d or 12h"))
        }
        Some(kind) => {
            ScalarValue::try_from_string(text.to_owned(), kind).map_err(|_| bad(&format!("a value of type {kind}")))
        }
    }
}

/// A duration as the policy spells them, as an interval.
pub fn interval(text: &str) -> Option<ScalarValue> {
    let micros = parse_duration(text).ok()?;
    let (days, rest) = (micros / time::DAY, micros % time::DAY);
    let interval = datafusion::arrow::datatypes::IntervalMonthDayNano::new(0, i32::try_from(days).ok()?, rest * 1_000);
    Some(ScalarValue::IntervalMonthDayNano(Some(interval)))
}
