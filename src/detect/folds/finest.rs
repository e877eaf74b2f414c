//! Folds of the same events, out of one: what several folds ask of an exercise is answered once, by all of their keys.
//!
//! MIN, MAX and BIT_OR of groups are those of the parts of groups. So events are put into the groups that all keys together
//! make, which are few beside the events, and each fold is folded from those.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::prelude::{SessionContext, col};

use super::{Fold, Question};
use crate::query::QueryError;

/// The question whose answers several folds can be made of.
#[derive(Debug)]
pub(super) struct Finest {
    question: Question,
    names: Vec<&'static str>,
}

impl Finest {
    /// Of those that ask about the same events, if there are several; what one asks beyond that must be about keys.
    pub(super) fn of(folds: &[&Fold]) -> Option<Self> {
        let of = |root: &&Fold| {
            let all = &root.question.conditions;
            let asking: Vec<&Fold> =
                folds.iter().copied().filter(|f| all.iter().all(|c| f.question.conditions.contains(c))).collect();
            let is_told = |keys: &[Expr], fold: &Fold| {
                fold.question.conditions.iter().filter(|c| !all.contains(c)).all(|c| is_of(keys, c))
            };
            let telling = asking.iter().filter(|fold| is_told(&fold.question.keys, fold));
            let keys = distinct(telling.flat_map(|fold| fold.question.keys.iter()));
            let has_keys = |fold: &&Fold| fold.question.keys.iter().all(|key| keys.contains(key));
            let members: Vec<&Fold> = asking.into_iter().filter(|fold| is_told(&keys, fold)).filter(has_keys).collect();
            let values = members.iter().flat_map(|fold| fold.question.values.iter());
            let values = distinct(values.filter(|value| of_key(&keys, value).is_none()));
            let names = members.iter().map(|fold| fold.name).collect();
            Self { question: Question { conditions: all.clone(), keys, values }, names }
        };
        folds.iter().map(of).max_by_key(|it| it.names.len()).filter(|it| it.names.len() > 1)
    }

    pub(super) fn has(&self, fold: &Fold) -> bool {
        self.names.contains(&fold.name)
    }

    /// The groups of all keys.
    pub(super) fn ask(
        &self,
        context: &SessionContext,
        events: Arc<dyn TableProvider>,
    ) -> Result<DataFrame, QueryError> {
        ask(context, events, &self.question, (key, value))
    }

    /// A fold's rows, from those groups.
    pub(super) fn fold(
        &self,
        context: &SessionContext,
        groups: Arc<dyn TableProvider>,
        fold: &Fold,
    ) -> Result<DataFrame, QueryError> {
        let Question { conditions, keys, values } = &self.question;
        let mut rows = context.read_table(groups)?;
        for condition in fold.question.conditions.iter().filter(|c| !conditions.contains(c)) {
            rows = rows.filter(in_keys(keys, condition)?)?;
        }
        let of_keys = fold.question.keys.iter().zip(&fold.keys);
        let group = of_keys.map(|(expr, name)| Ok(col(key(place(keys, expr)?)).alias(name)));
        let group = group.collect::<Result<Vec<_>, DataFusionError>>()?;
        let of_values = fold.question.values.iter().zip(&fold.values);
        let merged = of_values.map(|(expr, (name, merge))| {
            let column = match of_key(keys, expr) {
                Some(number) => key(number),
                None => value(place(values, expr)?),
            };
            Ok(merge.of(col(column)).alias(name))
        });
        let merged = merged.collect::<Result<Vec<_>, DataFusionError>>()?;
        in_order(rows.aggregate(group, merged)?, fold)
    }
}

/// A fold's rows, from the events.
pub(super) fn alone(
    context: &SessionContext,
    events: Arc<dyn TableProvider>,
    fold: &Fold,
) -> Result<DataFrame, QueryError> {
    let names = (|n: usize| fold.keys[n].clone(), |n: usize| fold.values[n].0.clone());
    in_order(ask(context, events, &fold.question, names)?, fold)
}

fn ask(
    context: &SessionContext,
    events: Arc<dyn TableProvider>,
    question: &Question,
    names: (impl Fn(usize) -> String, impl Fn(usize) -> String),
) -> Result<DataFrame, QueryError> {
    let mut plan = LogicalPlanBuilder::scan("events", provider_as_source(events), None)?;
    if let Some(condition) = conjunction(question.conditions.clone()) {
        plan = plan.filter(condition)?;
    }
    let keys = question.keys.iter().enumerate().map(|(n, expr)| expr.clone().alias((names.0)(n)));
    let values = question.values.iter().enumerate().map(|(n, expr)| expr.clone().alias((names.1)(n)));
    let plan = plan.aggregate(keys.collect::<Vec<_>>(), values.collect::<Vec<_>>())?.build()?;
    Ok(DataFrame::new(context.state(), plan))
}

/// Columns in the order of the declaration.
fn in_order(rows: DataFrame, fold: &Fold) -> Result<DataFrame, QueryError> {
    let names: Vec<&str> = fold.schema.fields().iter().map(|field| field.name().as_str()).collect();
    Ok(rows.select_columns(&names)?)
}

fn key(number: usize) -> String {
    format!("key_{number}")
}

fn value(number: usize) -> String {
    format!("value_{number}")
}

fn place(all: &[Expr], one: &Expr) -> Result<usize, DataFusionError> {
    let place = all.iter().position(|it| it == one);
    place.ok_or_else(|| DataFusionError::Internal(format!("{one} is not among what folds share")))
}

fn distinct<'e>(all: impl Iterator<Item = &'e Expr>) -> Vec<Expr> {
    let mut distinct: Vec<Expr> = Vec::new();
    for one in all {
        if !distinct.contains(one) {
            distinct.push(one.clone());
        }
    }
    distinct
}

/// Which key an aggregate is the least or greatest of.
fn of_key(keys: &[Expr], value: &Expr) -> Option<usize> {
    let Expr::AggregateFunction(call) = value else { return None };
    match call.params.args.as_slice() {
        [of] if call.params.filter.is_none() => keys.iter().position(|key| key == of),
        _ => None,
    }
}

/// Whether a condition is about nothing but keys.
fn is_of(keys: &[Expr], condition: &Expr) -> bool {
    condition.column_refs().into_iter().all(|column| keys.contains(&Expr::Column(column.clone())))
}

/// The same condition about the columns that hold the keys.
fn in_keys(keys: &[Expr], condition: &Expr) -> Result<Expr, QueryError> {
    let renamed = condition.clone().transform(|it| match keys.iter().position(|key| *key == it) {
        Some(number) => Ok(Transformed::yes(col(key(number)))),
        None => Ok(Transformed::no(it)),
    });
    Ok(renamed?.data)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::arrow::util::pretty::pretty_format_batches;

    use super::*;
    use crate::policy::Policy;
    use crate::query::{self, Limits, views};

    /// Events that differ from each other in every way that folds tell apart, some of which are no exercises.
    const EVENTS: &str = "
        SELECT
            'e' || n AS event_id,
            to_timestamp_micros(1767225600000000 + n * 7919000000) AS event_time,
            CASE n % 11 WHEN 0 THEN 'revoke' WHEN 1 THEN 'issue' WHEN 2 THEN 'use' ELSE 'refresh' END AS action,
            CASE WHEN n % 13 = 0 THEN 'failure' ELSE 'success' END AS outcome,
            CASE WHEN n % 17 = 0 THEN 'context' ELSE 'token' END AS class,
            CAST(to_timestamp_micros(1767225600000000 + n * 7919000000) AS DATE) AS event_date,
            CASE WHEN n % 19 > 0 THEN 'g' || (n % 7) END AS grant_id,
            CASE WHEN n % 5 > 0 THEN 'f' END AS family_id,
            't' || (n % 3) AS token_id,
            CASE WHEN n % 4 > 0 THEN 's' || (n % 4) END AS subject_id,
            CASE WHEN n % 3 > 0 THEN 'h' || (n % 6) END AS host_id,
            'u' || (n % 5) AS os_user,
            'cli/' || (n % 9) AS user_agent,
            CASE WHEN n % 2 = 0 THEN 'c1' ELSE 'c2' END AS client_id,
            make_array('a', 'b' || (n % 2)) AS scopes
        FROM generate_series(1, 400) AS numbers(n)";

    async fn context() -> SessionContext {
        let context = query::session(Limits::default()).unwrap();
        let mut columns = Vec::new();
        let some = context.sql(EVENTS).await.unwrap();
        let has = |name: &str| some.schema().fields().iter().any(|field| field.name() == name);
        for field in crate::event::columns::TABLE_SCHEMA.fields() {
            columns.push(match field.name().as_str() {
                name if !has(name) => format!("arrow_cast(NULL, '{}') AS \"{name}\"", field.data_type()),
                "event_time" => format!("arrow_cast(event_time, '{}') AS event_time", field.data_type()),
                name => format!("\"{name}\""),
            });
        }
        let sql = format!("SELECT {} FROM ({EVENTS})", columns.join(", "));
        let rows = query::collect(context.sql(&sql).await.unwrap()).await.unwrap();
        context.register_table("events", views::memory(rows).unwrap()).unwrap();
        context
    }

    async fn shown(rows: DataFrame) -> BTreeSet<String> {
        let rows = pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string();
        rows.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|l| !l.contains('+'))
            .collect()
    }

    #[tokio::test]
    async fn folds_are_the_same_out_of_finer_groups_as_out_of_events() {
        let rules = "[[rule]]\nmatch = { client_id = \"c1\" }\nmax_age = \"1d\"";
        let folds = Fold::all(&Policy::parse("p.toml", rules).unwrap()).await.unwrap();
        let folds: Vec<&Fold> = folds.iter().collect();
        let finest = Finest::of(&folds).unwrap();
        let context = context().await;
        let events = context.table_provider("events").await.unwrap();
        let groups = query::collect(finest.ask(&context, events.clone()).unwrap()).await.unwrap();
        let groups = views::memory(groups).unwrap();
        for fold in &folds {
            let declared = shown(context.sql(&fold.sql).await.unwrap()).await;
            assert_eq!(shown(alone(&context, events.clone(), fold).unwrap()).await, declared, "{} alone", fold.name);
            if finest.has(fold) {
                assert!(declared.len() > 3, "{}: {declared:?}", fold.name);
                let made = shown(finest.fold(&context, groups.clone(), fold).unwrap()).await;
                assert_eq!(made, declared, "{} from groups", fold.name);
            }
        }
        let names = ["contexts", "exercises", "places", "machines", "host_bounds", "active_days", "rule_matches"];
        assert_eq!(finest.names, names);
        let families = finest.question.keys.iter().filter(|key| key.to_string().contains("user_agent_family"));
        assert_eq!(families.count(), 1, "{:?}", finest.question.keys);
    }

    #[tokio::test]
    async fn one_fold_is_no_company() {
        let folds = Fold::all(&Policy::default()).await.unwrap();
        let some: Vec<&Fold> = folds.iter().filter(|fold| ["grants", "places"].contains(&fold.name)).collect();
        assert!(Finest::of(&some).is_none());
    }
}
