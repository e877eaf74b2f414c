//! Folds as they were at a moment: read where nothing happened since, folded again from the events where something did.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionContext, col, lit};

use super::seen::DIRTY_MAX;
use super::{LOOKUP_MAX, Tables, column, day, days_of, folded, none, on_days, one_of, rows_under, texts};
use crate::detect::folds::store::Store;
use crate::detect::folds::{Fold, Past};
use crate::event::{Class, columns, time};
use crate::lake::table::State;
use crate::query::scratch::Scratch;
use crate::query::{self, QueryError, views};

/// What folds are read or made from.
pub(super) struct Sources<'s> {
    pub(super) state: &'s State,
    pub(super) context: &'s SessionContext,
    pub(super) events: &'s Arc<dyn TableProvider>,
    pub(super) scratch: &'s Scratch,
    pub(super) as_of: i64,
}

impl Sources<'_> {
    /// Grants with an event after `as_of`, at most one more than are looked up.
    pub(super) async fn dirty(&self, grants: &Arc<dyn TableProvider>) -> Result<Vec<String>, QueryError> {
        let after = self
            .context
            .read_table(grants.clone())?
            .filter(col("last_event_at").gt(lit(views::timestamp(self.as_of))))?;
        let some = after.select(vec![col("grant_id")])?.distinct()?.limit(0, Some(DIRTY_MAX + 1))?;
        texts(&some.collect().await?)
    }

    /// A fold's parts as they were at `as_of`.
    pub(super) async fn at(
        &self,
        fold: &Fold,
        parts: &Arc<dyn TableProvider>,
        dirty: &[String],
        dirty_rows: Option<&Arc<dyn TableProvider>>,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let parts = parts.clone();
        match (fold.past, dirty_rows) {
            (Past::Column(column), _) => {
                let until = col(column).lt_eq(lit(views::timestamp(self.as_of)));
                Ok(self.context.read_table(parts)?.filter(until)?.into_view())
            }
            // Now is mostly later than all events, and a day may have very many.
            (Past::Days(_), _) if !may_have_later(self.state, self.as_of) => Ok(parts),
            (Past::Days(column), _) => {
                let day = self.as_of - self.as_of.rem_euclid(time::DAY);
                let start = query::cast(col(column), views::timestamp(day).data_type());
                let before = self.context.read_table(parts)?.filter(start.lt(lit(views::timestamp(day))))?;
                let current = self.context.read_table(self.events.clone())?.filter(since(day))?;
                let again = self.context.read_table(folded(self.context, fold, current.into_view()).await?)?;
                Ok(before.union(again)?.into_view())
            }
            (Past::Grants, Some(rows)) => {
                let clean = self.context.read_table(parts)?.filter(one_of("grant_id", dirty).is_not_true())?;
                let again = self.context.read_table(folded(self.context, fold, rows.clone()).await?)?;
                Ok(clean.union(again)?.into_view())
            }
            _ => Ok(parts),
        }
    }

    /// The fold of all events up to `as_of`.
    pub(super) async fn anew(&self, fold: &Fold) -> Result<Arc<dyn TableProvider>, QueryError> {
        folded(self.context, fold, self.events.clone()).await
    }

    /// Events up to `as_of` whose stored grant is one of these, which all are in the fold.
    pub(super) async fn rows_of(
        &self,
        grants: &[String],
        fold: &Arc<dyn TableProvider>,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let mut events = self.context.read_table(self.events.clone())?;
        if let Some(days) = days_of(self.context, fold, grants).await? {
            events = events.filter(on_days(days))?;
        }
        if grants.len() > LOOKUP_MAX {
            return self.scratch.hold(self.context, events.filter(one_of("grant_id", grants))?).await;
        }
        rows_under(self.context, &events.into_view(), &[("grant_id", grants)]).await
    }

    /// What is known of tokens met without their family. Where there are none, no event is read for it.
    pub(super) async fn aliases(
        &self,
        fold: &Fold,
        tables: &Tables,
        store: Option<&Store<'_>>,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let context = query::sibling(self.context);
        for (name, table) in tables.iter().filter(|(name, _)| name == "grants_parts") {
            views::replace(&context, name, table.clone())?;
        }
        let lone = "SELECT DISTINCT alias_token_id AS token_id FROM grants_parts WHERE alias_token_id IS NOT NULL";
        let lone = query::collect(context.sql(lone).await?).await?;
        if lone.batches.iter().all(|b| b.num_rows() == 0) {
            return none();
        }
        views::replace(&context, "lone", views::memory(lone)?)?;
        let parts = match store {
            Some(store) => self.at(fold, &store.parts(fold, self.state).await?, &[], None).await?,
            None => self.anew(fold).await?,
        };
        views::replace(&context, "aliases_parts", parts)?;
        let sql = "SELECT a.token_id, MIN(a.family_id) AS family_id FROM aliases_parts AS a \
                   INNER JOIN lone AS l ON l.token_id = a.token_id GROUP BY a.token_id";
        views::memory(query::collect(context.sql(sql).await?).await?)
    }
}

/// Whether some event may be later than a moment: a file says so, or does not say that none is.
fn may_have_later(state: &State, at: i64) -> bool {
    let day = time::date(at);
    state.files.values().any(|file| {
        file.partition(columns::CLASS).is_none_or(|class| class != Class::Rejected.as_str())
            && file.partition(columns::EVENT_DATE).is_none_or(|of_day| of_day >= day.as_str())
            && file.greatest("event_time").and_then(|latest| time::parse(&latest)).is_none_or(|latest| latest > at)
    })
}

/// Events at a moment or later.
fn since(at: i64) -> Expr {
    column("event_time")
        .gt_eq(lit(views::timestamp(at)))
        // Prunes whole partitions.
        .and(column("event_date").gt_eq(lit(query::ScalarValue::Date32(Some(day(at))))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::lake::log::DataFile;

    #[test]
    fn files_say_whether_an_event_may_be_later() {
        let state = |class: &str, day: &str, latest: Option<&str>| {
            let value = |text: &str| Some(text.to_owned());
            let file = DataFile {
                path: "f".to_owned(),
                partition_values: BTreeMap::from([
                    (columns::CLASS.to_owned(), value(class)),
                    (columns::EVENT_DATE.to_owned(), value(day)),
                ]),
                bytes: 1,
                rows: 1,
                modified_at_ms: 0,
                stats: latest.map(|at| json!({ "numRecords": 1, "maxValues": { "event_time": at } }).to_string()),
            };
            State { files: [(file.path.clone(), file)].into(), ..State::default() }
        };
        let noon = time::parse("2026-05-02T12:00:00Z").unwrap();
        for (class, day, latest, may) in [
            ("token", "2026-05-02", Some("2026-05-02T12:00:00.000Z"), false),
            ("token", "2026-05-02", Some("2026-05-02T12:00:00.001Z"), true),
            ("token", "2026-05-03", Some("2026-05-03T00:00:00.000Z"), true),
            ("token", "2026-05-02", None, true),
            ("token", "2026-05-01", None, false),
            ("rejected", "2026-05-03", None, false),
        ] {
            assert_eq!(may_have_later(&state(class, day, latest), noon), may, "{class} {day} {latest:?}");
        }
        assert!(!may_have_later(&State::default(), noon));
    }
}
