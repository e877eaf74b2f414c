//! What can be said of a detector without running it: that it plans, reads what it says, gives the columns findings need,
//! and depends on nothing but events, policy and `$as_of`.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::SessionContext;

use super::catalog::Detector;
use super::header::{Param, ParamKind};
use crate::query::{self, QueryError, views};

/// Result columns every detector has beside its key.
const REQUIRED: [&str; 2] = ["violated_at", "resolved_at"];

/// Plans a detector's SQL in a session, with `$as_of` and its parameters bound.
pub async fn plan(
    context: &SessionContext,
    detector: &Detector,
    sql: &str,
    as_of: i64,
) -> Result<DataFrame, QueryError> {
    let mut values = vec![("as_of", views::timestamp(as_of))];
    for (name, param) in &detector.header.params {
        values.push((name.as_str(), value(name, param)?));
    }
    Ok(query::plan(context, sql).await?.with_param_values(values)?)
}

/// A parameter's default as a typed value.
fn value(name: &str, param: &Param) -> Result<ScalarValue, QueryError> {
    let value = match (param.kind, &param.default) {
        (ParamKind::Integer, toml::Value::Integer(number)) => ScalarValue::Int64(Some(*number)),
        (ParamKind::Number, toml::Value::Float(number)) => ScalarValue::Float64(Some(*number)),
        (ParamKind::Number, toml::Value::Integer(number)) => ScalarValue::Float64(Some(*number as f64)),
        (ParamKind::Text, toml::Value::String(text)) => ScalarValue::Utf8View(Some(text.clone())),
        (ParamKind::Boolean, toml::Value::Boolean(value)) => ScalarValue::Boolean(Some(*value)),
        (kind, found) => {
            let message = format!("parameter {name}: its default {found} is no {kind:?}");
            return Err(DataFusionError::Plan(message.to_lowercase()).into());
        }
    };
    Ok(value)
}

/// Everything wrong with a detector, as sentences; `context` holds the tables detectors may read, empty ones will do.
pub async fn mistakes(context: &SessionContext, detector: &Detector) -> Vec<String> {
    let mut found = Vec::new();
    match plan(context, detector, &detector.sql, 0).await {
        Ok(frame) => {
            found.extend(columns(detector, &frame));
            found.extend(
                volatile(frame.logical_plan()).map(|f| format!("{f} gives another answer each time: use $as_of")),
            );
        }
        Err(error) => found.push(error.to_string()),
    }
    found.extend(reads(context, detector));
    if let Some(sql) = &detector.header.nominate {
        match plan(context, detector, sql, 0).await {
            Ok(frame) => {
                let has = |name: &str| frame.schema().field_with_unqualified_name(name).is_ok();
                if !has("grant_id") && !has("host_id") {
                    found.push("nominate: it gives no column grant_id or host_id".to_owned());
                }
                found.extend(
                    volatile(frame.logical_plan()).map(|f| format!("nominate: {f} gives another answer each time")),
                );
            }
            Err(error) => found.push(format!("nominate: {error}")),
        }
    }
    if crate::policy::parse_duration(&detector.header.every).is_err() {
        found.push(format!("every: {:?} is no duration such as \"5m\"", detector.header.every));
    }
    found
}

/// Missing and mistyped result columns.
fn columns(detector: &Detector, frame: &DataFrame) -> Vec<String> {
    let schema = frame.schema().as_arrow();
    let mut found = Vec::new();
    if detector.header.key.is_empty() {
        found.push("key: at least one column tells one finding from another".to_owned());
    }
    for name in detector.header.key.iter().map(String::as_str).chain(REQUIRED) {
        match schema.field_with_name(name) {
            Err(_) => found.push(format!("the result has no column {name}")),
            Ok(field) if REQUIRED.contains(&name) && !matches!(field.data_type(), DataType::Timestamp(..)) => {
                found.push(format!("result column {name} is {}, not a timestamp", field.data_type()));
            }
            Ok(_) => {}
        }
    }
    for name in detector.header.ticking.iter().filter(|name| schema.field_with_name(name).is_err()) {
        found.push(format!("ticking: the result has no column {name}"));
    }
    found
}

/// Where `reads` and the SQL differ.
fn reads(context: &SessionContext, detector: &Detector) -> Vec<String> {
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let Ok(statement) = state.sql_to_statement(&detector.sql, &dialect) else { return Vec::new() };
    let Ok(references) = state.resolve_table_references(&statement) else { return Vec::new() };
    let read: BTreeSet<String> = references.iter().map(|r| r.table().to_owned()).collect();
    let said: BTreeSet<String> = detector.header.reads.iter().cloned().collect();
    let unsaid = read.difference(&said).map(|name| format!("reads: the SQL reads {name} too"));
    let unread = said.difference(&read).map(|name| format!("reads: the SQL does not read {name}"));
    unsaid.chain(unread).collect()
}

/// The first function in a plan whose answer depends on more than its arguments.
pub fn volatile(plan: &LogicalPlan) -> Option<String> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (name, volatility) = match expr {
                    Expr::ScalarFunction(call) => (call.func.name(), call.func.signature().volatility),
                    Expr::AggregateFunction(call) => (call.func.name(), call.func.signature().volatility),
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                if volatility == Volatility::Immutable {
                    return Ok(TreeNodeRecursion::Continue);
                }
                found = Some(format!("{name}()"));
                Ok(TreeNodeRecursion::Stop)
            })
        })
    });
    match walked {
        Ok(_) => found,
        Err(error) => Some(error.to_string()),
    }
}
