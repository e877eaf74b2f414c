//! What can be said of a detector without running it: that it plans, reads what it says, gives the columns findings need,
//! and depends on nothing but events, policy and `$as_of`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    Expr as Expression, FunctionArgumentClause, FunctionArguments, Visit as _, Visitor,
};

use super::Span;
use super::catalog::Detector;
use super::header::{self, Mistake, Param, ParamKind};
use crate::query::{self, QueryError, views};

/// Result columns every detector has beside its key.
const REQUIRED: [&str; 2] = ["violated_at", "resolved_at"];

/// Aggregates that follow the order of rows, and functions that put what is inside them in order.
const ORDERED: [&str; 5] = ["array_agg", "string_agg", "first_value", "last_value", "nth_value"];
const SORTING: [&str; 2] = ["array_sort", "list_sort"];

/// Plans a detector's SQL in a session, with `$as_of` and its parameters bound.
pub async fn plan(
    context: &SessionContext,
    detector: &Detector,
    sql: &str,
    as_of: i64,
) -> Result<DataFrame, QueryError> {
    bound(context, detector, sql, vec![("as_of", views::timestamp(as_of))]).await
}

/// Plans what a detector nominates, with `$since` too: 1970 where all there was is asked for.
pub async fn plan_nominating(
    context: &SessionContext,
    detector: &Detector,
    sql: &str,
    span: Span,
) -> Result<DataFrame, QueryError> {
    let (since, as_of) = (span.since.unwrap_or(0), span.as_of);
    bound(context, detector, sql, vec![("as_of", views::timestamp(as_of)), ("since", views::timestamp(since))]).await
}

async fn bound<'d>(
    context: &SessionContext,
    detector: &'d Detector,
    sql: &str,
    mut values: Vec<(&'d str, ScalarValue)>,
) -> Result<DataFrame, QueryError> {
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

/// Everything wrong with a detector; `context` holds the tables detectors may read, empty ones will do.
pub async fn mistakes(context: &SessionContext, detector: &Detector) -> Vec<Mistake> {
    let found = sentences(context, detector).await;
    let mistake = |message: String| Mistake { file: detector.file.clone(), line: line(detector, &message), message };
    found.into_iter().map(mistake).collect()
}

/// The line a sentence is about: the one the parser named, else that of the first name in it which the file has.
fn line(detector: &Detector, message: &str) -> usize {
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    if let Some(line) = message.split_once("Line: ").and_then(|(_, rest)| number(rest)) {
        return line;
    }
    let key = message.split_once(':').map(|(key, _)| key).filter(|key| header::KEYS.contains(key));
    let in_header = |text: &str| text.lines().position(|l| key.is_some_and(|key| l.trim_start().starts_with(key)));
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_owned).collect()
    };
    let called = message.split_once("()").and_then(|(before, _)| words(before).pop());
    let names = words(message).into_iter().filter(|word| word.contains('_') || word.len() > 5);
    let has = |name: String| detector.sql.lines().position(|line| words(line).contains(&name));
    let place = in_header(&detector.text).or_else(|| called.into_iter().chain(names).find_map(has));
    let query = || detector.sql.lines().position(|l| !l.trim().is_empty());
    1 + place.or_else(query).unwrap_or(0)
}

async fn sentences(context: &SessionContext, detector: &Detector) -> Vec<String> {
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
    found.extend(unordered(context, &detector.sql));
    if let Some(sql) = &detector.header.nominate {
        match plan_nominating(context, detector, sql, Span::until(0)).await {
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
    for name in detector.header.because.iter().flat_map(|text| placeholders(text)) {
        if schema.field_with_name(name).is_err() {
            found.push(format!("because: the result has no column {name}"));
        }
    }
    for name in detector.header.absence.iter().flat_map(|absence| [&absence.from, &absence.to]) {
        match schema.field_with_name(name) {
            Err(_) => found.push(format!("absence: the result has no column {name}")),
            Ok(field) if !matches!(field.data_type(), DataType::Timestamp(..)) => {
                found.push(format!("absence: result column {name} is {}, not a timestamp", field.data_type()));
            }
            Ok(_) => {}
        }
    }
    for name in detector.header.ticking.iter().filter(|name| schema.field_with_name(name).is_err()) {
        found.push(format!("ticking: the result has no column {name}"));
    }
    found
}

/// The names between braces.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
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

/// Aggregates whose answer depends on the order of rows, with no order given.
fn unordered(context: &SessionContext, sql: &str) -> Vec<String> {
    struct Unordered(Vec<String>, usize);
    impl Visitor for Unordered {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expression) -> ControlFlow<()> {
            let Expression::Function(call) = expr else { return ControlFlow::Continue(()) };
            let name = call.name.to_string().to_lowercase();
            if SORTING.contains(&name.as_str()) {
                self.1 += 1;
            }
            let has_order = match &call.args {
                FunctionArguments::List(list) => {
                    list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)))
                }
                _ => false,
            };
            let is_ordered = has_order || !call.within_group.is_empty() || call.over.is_some() || self.1 > 0;
            if ORDERED.contains(&name.as_str()) && !is_ordered {
                self.0.push(format!("{call} gives another answer in another order of rows: give it an ORDER BY"));
            }
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &Expression) -> ControlFlow<()> {
            if let Expression::Function(call) = expr
                && SORTING.contains(&call.name.to_string().to_lowercase().as_str())
            {
                self.1 -= 1;
            }
            ControlFlow::Continue(())
        }
    }
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let Ok(Parsed::Statement(statement)) = state.sql_to_statement(sql, &dialect) else { return Vec::new() };
    let mut unordered = Unordered(Vec::new(), 0);
    let _ = statement.visit(&mut unordered); // it never breaks off
    unordered.0
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
