//! Folds: small tables, one row per key, that make a pass cost what is new instead of what there is.
//!
//! A fold is declared once, as a query over `events` with only MIN, MAX and BIT_OR. Those are idempotent and do not mind order, so
//! folding a part of the events and merging the parts gives what folding all of them gives, repeats included. How parts
//! merge follows from the plan of the declaration; it is not written a second time.

mod finest;
mod ordered;
mod reading;
mod same;
pub mod store;
mod together;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::datasource::empty::EmptyTable;
use datafusion::functions_aggregate::expr_fn::{bit_or, max, min};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use parquet::basic::Encoding;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::event::columns::TABLE_SCHEMA;
use crate::event::hex;
use crate::policy::Policy;
use crate::query::{self, QueryError};

/// Why a query cannot be a fold.
#[derive(Debug, Error)]
pub enum FoldError {
    #[error("fold {0}: it must be one SELECT with GROUP BY over events")]
    NotAggregate(String),
    #[error("fold {fold}: column {column} is {found}; only keys, MIN, MAX and BIT_OR can be merged")]
    NotMergeable { fold: String, column: String, found: String },
    #[error("fold {fold}: {source}")]
    Sql { fold: String, source: DataFusionError },
}

/// How two values of one key become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    Min,
    Max,
    BitOr,
}

impl Merge {
    /// Of a column that holds such values already.
    fn of(self, column: Expr) -> Expr {
        match self {
            Self::Min => min(column),
            Self::Max => max(column),
            Self::BitOr => bit_or(column),
        }
    }

    const fn sql(self) -> &'static str {
        match self {
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::BitOr => "BIT_OR",
        }
    }
}

/// How a fold's rows are read at a moment in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// A grant with an event after the moment is folded again from its own events.
    Grants,
    /// Rows whose time in this column is after the moment do not exist.
    Column(&'static str),
    /// Rows are of a stretch of one UTC day, which begins in this column: later days do not exist, and the day of the
    /// moment is folded again from its events.
    Days(&'static str),
    /// Each value is a first time; readers compare it with the moment themselves.
    FirstTimes,
}

/// A fold, declared and understood.
#[derive(Clone, Debug)]
pub struct Fold {
    pub name: &'static str,
    pub sql: String,
    pub past: Past,
    pub keys: Vec<String>,
    pub values: Vec<(String, Merge)>,
    /// Of its rows, parts and bases alike.
    pub schema: SchemaRef,
    question: Question,
}

/// What a declaration asks of events, clause by clause.
#[derive(Clone, Debug, Default)]
struct Question {
    /// All of which an event must meet.
    conditions: Vec<Expr>,
    /// One for each key, in their order.
    keys: Vec<Expr>,
    /// One aggregate for each value, in their order.
    values: Vec<Expr>,
}

/// The declarations of queries/folds, and how each is read in the past.
const DECLARED: &[(&str, &str, Past)] = &[
    ("grants", include_str!("../../queries/folds/grants.sql"), Past::Grants),
    ("contexts", include_str!("../../queries/folds/contexts.sql"), Past::Grants),
    ("exercises", include_str!("../../queries/folds/exercises.sql"), Past::Grants),
    ("places", include_str!("../../queries/folds/places.sql"), Past::Grants),
    ("machines", include_str!("../../queries/folds/machines.sql"), Past::FirstTimes),
    ("host_bounds", include_str!("../../queries/folds/host_bounds.sql"), Past::FirstTimes),
    ("active_days", include_str!("../../queries/folds/active_days.sql"), Past::Grants),
    ("refresh_days", include_str!("../../queries/folds/refresh_days.sql"), Past::Days("day")),
    ("source_minutes", include_str!("../../queries/folds/source_minutes.sql"), Past::Days("hour")),
    ("context_rows", include_str!("../../queries/folds/context_rows.sql"), Past::Column("event_time")),
    ("broad_revokes", include_str!("../../queries/folds/broad_revokes.sql"), Past::Column("event_time")),
    ("derived_ends", include_str!("../../queries/folds/derived_ends.sql"), Past::Column("ended_at")),
    ("parents", include_str!("../../queries/folds/parents.sql"), Past::Column("first_stated_at")),
    ("issuers", include_str!("../../queries/folds/issuers.sql"), Past::FirstTimes),
    ("logouts", include_str!("../../queries/folds/logouts.sql"), Past::Column("event_time")),
];
const ALIASES: (&str, &str, Past) =
    ("aliases", include_str!("../../queries/folds/aliases.sql"), Past::Column("first_seen_at"));

/// The folds that are declared in files, by name.
pub fn declared() -> impl Iterator<Item = (&'static str, &'static str)> {
    DECLARED.iter().chain([&ALIASES]).map(|(name, sql, _)| (*name, *sql))
}

impl Fold {
    /// Reads a fold off the plan of its declaration.
    pub async fn declare(name: &'static str, sql: &str, past: Past) -> Result<Self, FoldError> {
        let failed = |source| FoldError::Sql { fold: name.to_owned(), source };
        let context =
            query::session(query::Limits::default()).map_err(|e| failed(DataFusionError::External(Box::new(e))))?;
        context.register_table("events", Arc::new(EmptyTable::new(TABLE_SCHEMA.clone()))).map_err(failed)?;
        let frame = context.sql(sql).await.map_err(failed)?;
        let (keys, values, question) = understand(name, frame.logical_plan())?;
        let fields = frame.schema().as_arrow().fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { name, sql: sql.to_owned(), past, keys, values, schema, question })
    }

    /// Folds every lake has, the policy's rules among them if it has any.
    pub async fn all(policy: &Policy) -> Result<Vec<Self>, FoldError> {
        let mut folds = Vec::with_capacity(DECLARED.len() + 1);
        for (name, sql, past) in DECLARED {
            folds.push(Self::declare(name, sql, *past).await?);
        }
        if let Some(sql) = rule_matches(policy) {
            folds.push(Self::declare("rule_matches", &sql, Past::FirstTimes).await?);
        }
        Ok(folds)
    }

    /// The fold that lakes need where tokens are met without their family.
    pub async fn aliases() -> Result<Self, FoldError> {
        Self::declare(ALIASES.0, ALIASES.1, ALIASES.2).await
    }

    /// Columns of events that it asks about.
    fn columns(&self) -> impl Iterator<Item = &str> {
        let Question { conditions, keys, values } = &self.question;
        conditions.iter().chain(keys).chain(values).flat_map(Expr::column_refs).map(|column| column.name.as_str())
    }

    /// Identity of the declaration: parts made by another are of no use.
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, hex(&Sha256::digest(self.sql.as_bytes())[..4]))
    }

    /// How files of its rows are written: a dictionary of grants or moments, nearly all of which differ, takes longer to
    /// make than the rest of their column, and the bounds of what rows are not ordered by exclude nothing.
    pub fn properties(&self) -> WriterPropertiesBuilder {
        let mut properties = WriterProperties::builder();
        for field in self.schema.fields() {
            let path = ColumnPath::from(field.name().as_str());
            properties = match field.data_type() {
                DataType::Timestamp(..) => properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                _ if field.name() == "grant_id" => properties.set_column_dictionary_enabled(path, false),
                DataType::Utf8 | DataType::Utf8View if *field.name() != self.keys[0] => {
                    properties.set_column_statistics_enabled(path, EnabledStatistics::None)
                }
                _ => properties,
            };
        }
        properties
    }

    /// Whether it holds when grants met rules of the policy that ask about this column.
    pub fn is_of_rules_about(&self, column: &str) -> bool {
        self.name == "rule_matches" && self.sql.contains(&format!("\"{column}\""))
    }

    /// One row per key, from a table of parts.
    pub fn merge_sql(&self, parts: &str) -> String {
        let keys = self.keys.join(", ");
        let columns = [keys.clone()].into_iter().chain(self.merges());
        format!("SELECT {} FROM {parts} GROUP BY {keys}", columns.collect::<Vec<_>>().join(", "))
    }

    /// One row per grant (and the remaining keys) with aliases resolved, from a table of parts.
    pub fn resolve_sql(&self, parts: &str) -> String {
        let rest = self.keys.iter().filter(|key| !matches!(key.as_str(), "grant_id" | "alias_token_id"));
        let keys = ["coalesce(family_id, grant_id)".to_owned()].into_iter().chain(rest.cloned()).collect::<Vec<_>>();
        let named =
            keys.iter().enumerate().map(|(i, key)| if i == 0 { format!("{key} AS grant_id") } else { key.clone() });
        let columns = named.chain(self.merges()).collect::<Vec<_>>().join(", ");
        format!(
            "SELECT {columns} FROM {parts} LEFT JOIN aliases ON token_id = alias_token_id GROUP BY {}",
            keys.join(", ")
        )
    }

    fn merges(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|(name, merge)| format!("{}({name}) AS {name}", merge.sql()))
    }
}

/// First time that an exercise of each grant met each rule's match, and that of break-glass; `None` if nothing matches any.
fn rule_matches(policy: &Policy) -> Option<String> {
    let rules = policy.rules().iter().enumerate().map(|(i, rule)| (format!("rule_{i}_at"), rule.event_sql()));
    let break_glass = policy.break_glass().map(|it| ("break_glass_at".to_owned(), it.event_sql()));
    let matches: Vec<(String, String)> = rules.chain(break_glass).collect();
    if matches.is_empty() {
        return None;
    }
    let columns = matches.iter().map(|(name, sql)| format!("MIN(CASE WHEN {sql} THEN event_time END) AS {name}"));
    let any: Vec<&str> = matches.iter().map(|(_, sql)| sql.as_str()).collect();
    Some(format!(
        "SELECT grant_id, CASE WHEN family_id IS NULL THEN token_id END AS alias_token_id, {} FROM events \
         WHERE class = 'token' AND outcome = 'success' AND action IN ('issue', 'refresh', 'use') AND grant_id IS NOT NULL \
         AND ({}) GROUP BY grant_id, CASE WHEN family_id IS NULL THEN token_id END",
        columns.collect::<Vec<_>>().join(", "),
        any.join(" OR ")
    ))
}

type Understood = (Vec<String>, Vec<(String, Merge)>, Question);

fn understand(fold: &str, plan: &LogicalPlan) -> Result<Understood, FoldError> {
    let LogicalPlan::Projection(projection) = plan else { return Err(FoldError::NotAggregate(fold.to_owned())) };
    let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref() else {
        return Err(FoldError::NotAggregate(fold.to_owned()));
    };
    let (mut keys, mut values, mut question) = (Vec::new(), Vec::new(), Question::default());
    for (expr, field) in projection.expr.iter().zip(projection.schema.fields()) {
        let name = field.name().clone();
        match merged_by(aggregate, expr) {
            Ok((of, None)) => {
                keys.push(name);
                question.keys.push(of);
            }
            Ok((of, Some(merge))) => {
                values.push((name, merge));
                question.values.push(of);
            }
            Err(found) => return Err(FoldError::NotMergeable { fold: fold.to_owned(), column: name, found }),
        }
    }
    if keys.len() != aggregate.group_expr.len() {
        // A key that is not kept would merge rows that the declaration keeps apart.
        return Err(FoldError::NotMergeable {
            fold: fold.to_owned(),
            column: "GROUP BY".to_owned(),
            found: format!("{} keys of which {} are selected", aggregate.group_expr.len(), keys.len()),
        });
    }
    let mut events = aggregate.input.as_ref();
    if let LogicalPlan::Filter(filter) = events {
        question.conditions = split_conjunction_owned(filter.predicate.clone());
        events = filter.input.as_ref();
    }
    if !matches!(events, LogicalPlan::TableScan(_)) {
        return Err(FoldError::NotAggregate(fold.to_owned()));
    }
    Ok((keys, values, question))
}

/// What a selected column is, and how it merges; `None`: it is a key.
fn merged_by(aggregate: &Aggregate, expr: &Expr) -> Result<(Expr, Option<Merge>), String> {
    let inner = expr.clone().unalias_nested().data;
    let Expr::Column(column) = &inner else { return Err(format!("computed from aggregates ({inner})")) };
    let position = aggregate.schema.index_of_column(column).map_err(|e| e.to_string())?;
    let Some(value) = position.checked_sub(aggregate.group_expr.len()) else {
        return Ok((aggregate.group_expr[position].clone(), None));
    };
    match aggregate.aggr_expr.get(value).map(|e| e.clone().unalias_nested().data) {
        Some(Expr::AggregateFunction(call)) => {
            let merge = match call.func.name() {
                "min" => Merge::Min,
                "max" => Merge::Max,
                "bit_or" => Merge::BitOr,
                other => return Err(other.to_uppercase()),
            };
            Ok((Expr::AggregateFunction(call), Some(merge)))
        }
        other => Err(format!("{other:?}")),
    }
}

impl From<FoldError> for QueryError {
    fn from(error: FoldError) -> Self {
        Self::Sql(DataFusionError::External(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_merge_follows_from_the_declaration() {
        let sql = "SELECT grant_id, CASE WHEN family_id IS NULL THEN token_id END AS alias_token_id, MIN(event_time) AS first_at, \
                   MAX(event_time) FILTER (WHERE action = 'use') AS last_at FROM events \
                   GROUP BY grant_id, CASE WHEN family_id IS NULL THEN token_id END";
        let fold = Fold::declare("f", sql, Past::Grants).await.unwrap();
        assert_eq!(fold.keys, ["grant_id", "alias_token_id"]);
        assert_eq!(
            fold.merge_sql("p"),
            "SELECT grant_id, alias_token_id, MIN(first_at) AS first_at, MAX(last_at) AS last_at FROM p \
             GROUP BY grant_id, alias_token_id"
        );
        assert!(fold.resolve_sql("p").contains("GROUP BY coalesce(family_id, grant_id)"));
    }

    #[tokio::test]
    async fn what_cannot_be_merged_is_refused() {
        for (sql, part) in [
            ("SELECT grant_id, COUNT(*) AS n FROM events GROUP BY grant_id", "column n is"),
            (
                "SELECT grant_id, MAX(event_time) - MIN(event_time) AS d FROM events GROUP BY grant_id",
                "column d is computed",
            ),
            ("SELECT MIN(event_time) AS a FROM events GROUP BY grant_id", "1 keys of which 0 are selected"),
            ("SELECT grant_id FROM events", "one SELECT with GROUP BY"),
            ("SELECT grant_id FROM (SELECT * FROM events LIMIT 1) AS e GROUP BY grant_id", "one SELECT with GROUP BY"),
        ] {
            let error = Fold::declare("f", sql, Past::Grants).await.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn the_declared_folds_are_folds() {
        let policy = Policy::parse("p.toml", "[[rule]]\nmatch = { client_id = \"a\" }\nmax_age = \"1d\"").unwrap();
        assert_eq!(Fold::all(&policy).await.unwrap().len(), DECLARED.len() + 1);
        assert_eq!(Fold::aliases().await.unwrap().values, [("first_seen_at".to_owned(), Merge::Min)]);
    }
}
