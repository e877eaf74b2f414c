//! Why a detector fires for a key, or why it does not: its query, step by step.
//!
//! A detector is written as one thought after the other, each a named part of its WITH. For one key every part is asked
//! for its rows. Where a part has none, the rows it could have come from are shown with what each condition says of them.

use std::ops::ControlFlow;

use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, Select, SelectItem, SetExpr, Statement, TableFactor, TableWithJoins,
    Visit as _, Visitor,
};
use serde_json::{Map, Value};

use super::catalog::Detector;
use super::frame::{Frame, Nominated, nominated};
use super::{DetectError, Span, check};
use crate::query::{self, QueryError, Rows, output};

/// Rows shown of one step, and rows judged condition by condition.
const ROWS_MAX: usize = 5;

/// One named part of the query.
#[derive(Debug)]
pub struct Step {
    /// As the query calls it; the last one is the result.
    pub name: String,
    /// How many rows it has for the key.
    pub count: u64,
    /// The first of them.
    pub rows: Vec<Map<String, Value>>,
    /// If there are none: the rows they could have come from, judged.
    pub judged: Vec<Judged>,
    /// If there are none, and nothing to judge: what rows would have come from, and how many of the key each has.
    pub from: Vec<(String, u64)>,
}

/// What the conditions of a step say of one row.
#[derive(Debug)]
pub struct Judged {
    pub conditions: Vec<Condition>,
}

/// A condition as it is written, what came of it (`None`: unknown), and the values it looked at.
#[derive(Debug)]
pub struct Condition {
    pub text: String,
    pub holds: Option<bool>,
    pub values: Map<String, Value>,
}

/// An explanation.
#[derive(Debug)]
pub struct Explained {
    /// Whether the detector's cheap first question names the key's grant or host; `None` if it has none or cannot tell.
    pub is_nominated: Option<bool>,
    pub steps: Vec<Step>,
}

impl Explained {
    /// Whether the result has a row for the key.
    pub fn fires(&self) -> bool {
        self.steps.last().is_some_and(|step| step.count > 0)
    }
}

/// Explains what a detector makes of the rows whose columns have these values.
///
/// # Errors
/// If the detector cannot be planned or run, or has none of the columns.
pub async fn explain(
    frame: &Frame<'_>,
    detector: &Detector,
    key: &Map<String, Value>,
    as_of: i64,
) -> Result<Explained, DetectError> {
    let (is_nominated, session) = look_closely(frame, detector, key, as_of).await?;
    let query = parse(&session, &detector.sql)?;
    let asking = Asking { session: &session, detector, key, as_of };
    let parts = query.with.as_ref().map(|with| with.cte_tables.as_slice()).unwrap_or_default();
    let mut steps = Vec::with_capacity(parts.len() + 1);
    let mut before: Vec<String> = Vec::new();
    for part in parts {
        steps.push(asking.step(&part.alias.name.value, &before, &part.query).await?);
        before.push(part.to_string());
    }
    steps.push(asking.step("result", &before, &Query { with: None, ..query.clone() }).await?);
    Ok(Explained { is_nominated, steps })
}

/// The session the detector would have had, the key's own grant or host included.
async fn look_closely(
    frame: &Frame<'_>,
    detector: &Detector,
    key: &Map<String, Value>,
    as_of: i64,
) -> Result<(Option<bool>, SessionContext), QueryError> {
    let Some(sql) = &detector.header.nominate else { return Ok((None, frame.wide().clone())) };
    let named = nominated(frame.wide(), detector, sql, Span::until(as_of)).await?;
    let (column, mut names) = match named {
        Nominated::Grants(names) => ("grant_id", names),
        Nominated::Hosts(names) => ("host_id", names),
    };
    let wanted = key.get(column).and_then(Value::as_str);
    let is_nominated = wanted.map(|wanted| names.iter().any(|name| name == wanted));
    if is_nominated == Some(false) && detector.header.scope.is_none() {
        // It compares grants (or hosts) with each other: beside one that it did not ask for the others would be missing.
        return Ok((is_nominated, frame.wide().clone()));
    }
    if let (Some(wanted), Some(false)) = (wanted, is_nominated) {
        names.push(wanted.to_owned());
    }
    let all = if column == "grant_id" { Nominated::Grants(names) } else { Nominated::Hosts(names) };
    let close_up = frame.close_up(&all, false).await?;
    Ok((is_nominated, frame.narrow(&close_up, all.grants()).await?))
}

fn parse(session: &SessionContext, sql: &str) -> Result<Query, QueryError> {
    let state = session.state();
    let dialect = state.config().options().sql_parser.dialect;
    match state.sql_to_statement(sql, &dialect)? {
        Parsed::Statement(statement) => match *statement {
            Statement::Query(query) => Ok(*query),
            other => Err(QueryError::NotAQuery(other.to_string())),
        },
        other => Err(QueryError::NotAQuery(other.to_string())),
    }
}

/// What is asked of every step.
struct Asking<'a> {
    session: &'a SessionContext,
    detector: &'a Detector,
    key: &'a Map<String, Value>,
    as_of: i64,
}

impl Asking<'_> {
    async fn step(&self, name: &str, before: &[String], part: &Query) -> Result<Step, QueryError> {
        let mut parts = before.to_vec();
        parts.push(format!("explained AS ({part})"));
        let with = format!("WITH {}", parts.join(", "));
        let given = self.given(&with).await?;
        let count = number(&self.ask(&format!("{with} SELECT COUNT(*) AS n FROM explained {given}")).await?);
        let rows = self.ask(&format!("{with} SELECT * FROM explained {given} LIMIT {ROWS_MAX}")).await?;
        let rows = output::objects(&rows.batches).collect();
        let mut step = Step { name: name.to_owned(), count, rows, judged: Vec::new(), from: Vec::new() };
        if count == 0 {
            let mut from = Vec::new();
            for select in selects(&part.body) {
                step.judged.extend(self.judged(before, select).await?);
                for relation in select.from.iter().flat_map(relations) {
                    from.push((relation.clone(), self.count(before, &relation).await?));
                }
            }
            step.from = if step.judged.is_empty() { from } else { Vec::new() };
        }
        Ok(step)
    }

    /// How many rows a table, view or earlier part has of the key.
    async fn count(&self, before: &[String], relation: &str) -> Result<u64, QueryError> {
        let mut parts = before.to_vec();
        parts.push(format!("explained AS (SELECT * FROM {relation})"));
        let with = format!("WITH {}", parts.join(", "));
        let given = self.given(&with).await?;
        Ok(number(&self.ask(&format!("{with} SELECT COUNT(*) AS n FROM explained {given}")).await?))
    }

    async fn ask(&self, sql: &str) -> Result<Rows, QueryError> {
        query::collect(check::plan(self.session, self.detector, sql, self.as_of).await?).await
    }

    /// The key as a condition on a part's columns, as far as it has them.
    async fn given(&self, with: &str) -> Result<String, QueryError> {
        let sql = format!("{with} SELECT * FROM explained");
        let frame = check::plan(self.session, self.detector, &sql, self.as_of).await?;
        let has = |name: &&String| frame.schema().has_column_with_unqualified_name(name);
        let equals = self.key.keys().filter(has).map(|name| self.equals(&format!("\"{name}\""), name));
        Ok(as_where(&equals.collect::<Vec<_>>()))
    }

    fn equals(&self, expression: &str, name: &str) -> String {
        let value = self.key.get(name).map(output::text).unwrap_or_default();
        format!("CAST({expression} AS VARCHAR) = '{}'", value.replace('\'', "''"))
    }

    /// What the conditions of a part without rows say of the rows it is made from.
    async fn judged(&self, before: &[String], select: &Select) -> Result<Vec<Judged>, QueryError> {
        let conditions = conjuncts(select.selection.as_ref());
        if select.from.is_empty() || conditions.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns = Vec::new();
        let mut looked_at = Vec::new();
        for (i, condition) in conditions.iter().enumerate() {
            columns.push(format!("({condition}) AS condition_{i}"));
            let names = names(condition);
            columns.extend(names.iter().enumerate().map(|(j, name)| format!("{name} AS value_{i}_{j}")));
            looked_at.push(names);
        }
        let of_key = select.projection.iter().filter_map(|item| self.of_key(item)).collect::<Vec<_>>();
        let with = if before.is_empty() { String::new() } else { format!("WITH {} ", before.join(", ")) };
        let from = select.from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let sql = format!("{with}SELECT {} FROM {from} {} LIMIT {ROWS_MAX}", columns.join(", "), as_where(&of_key));
        let rows = self.ask(&sql).await?;
        let judge = |row: Map<String, Value>| {
            let conditions = conditions.iter().zip(&looked_at).enumerate().map(|(i, (text, names))| {
                let value = |j: usize| row.get(&format!("value_{i}_{j}")).cloned().unwrap_or(Value::Null);
                Condition {
                    text: text.to_string(),
                    holds: row.get(&format!("condition_{i}")).and_then(Value::as_bool),
                    values: names.iter().enumerate().map(|(j, name)| (name.clone(), value(j))).collect(),
                }
            });
            Judged { conditions: conditions.collect() }
        };
        Ok(output::objects(&rows.batches).map(judge).collect())
    }

    /// The key as a condition on what a column of the result is made from.
    fn of_key(&self, item: &SelectItem) -> Option<String> {
        let (expression, name) = match item {
            SelectItem::UnnamedExpr(expression @ Expr::Identifier(ident)) => (expression, ident),
            SelectItem::UnnamedExpr(expression @ Expr::CompoundIdentifier(idents)) => (expression, idents.last()?),
            SelectItem::ExprWithAlias {
                expr: expression @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)),
                alias,
            } => (expression, alias),
            _ => return None,
        };
        self.key.contains_key(&name.value).then(|| self.equals(&expression.to_string(), &name.value))
    }
}

/// The one number of an answer.
fn number(rows: &Rows) -> u64 {
    output::objects(&rows.batches).next().and_then(|row| row.get("n")?.as_u64()).unwrap_or(0)
}

/// The names a FROM draws on.
fn relations(from: &TableWithJoins) -> Vec<String> {
    let factors = std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
    let names = factors.filter_map(|factor| match factor {
        TableFactor::Table { name, .. } => Some(name.to_string()),
        _ => None,
    });
    names.collect()
}

fn as_where(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) }
}

/// The selects a part is made of; several where it is a union.
fn selects(body: &SetExpr) -> Vec<&Select> {
    match body {
        SetExpr::Select(select) => vec![select],
        SetExpr::Query(query) => selects(&query.body),
        SetExpr::SetOperation { left, right, .. } => [selects(left), selects(right)].concat(),
        _ => Vec::new(),
    }
}

/// The conditions that are joined by AND.
fn conjuncts(condition: Option<&Expr>) -> Vec<&Expr> {
    match condition {
        None => Vec::new(),
        Some(Expr::BinaryOp { left, op: BinaryOperator::And, right }) => {
            [conjuncts(Some(left)), conjuncts(Some(right))].concat()
        }
        Some(Expr::Nested(inner)) if matches!(**inner, Expr::BinaryOp { op: BinaryOperator::And, .. }) => {
            conjuncts(Some(inner))
        }
        Some(other) => vec![other],
    }
}

/// The columns a condition looks at, each once; those inside of a query of its own are not the row's.
fn names(condition: &Expr) -> Vec<String> {
    struct Names(Vec<String>, usize);
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let is_column = match expr {
                Expr::Identifier(Ident { value, .. }) => !value.starts_with('$'),
                Expr::CompoundIdentifier(_) => true,
                _ => false,
            };
            let name = expr.to_string();
            if is_column && self.1 == 0 && !self.0.contains(&name) {
                self.0.push(name);
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new(), 0);
    let _ = condition.visit(&mut names); // it never breaks off
    names.0
}
