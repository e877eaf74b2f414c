//! What detectors see: the events, folds and policy of one moment, as tables of a session.
//!
//! Events after `as_of` do not exist in a frame. Folds reach to the lake's newest version, so a grant that has an event
//! after `as_of` is folded again from its own events; all others are read as they are.
//!
//! A frame has two sessions over the same views. In the wide one `token_events` is every event: only a full run asks it
//! for them. In the narrow one all tables hold only the grants that detectors nominated, read in one scan.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionContext, col, lit};

use super::folds::store::Store;
use super::folds::{Fold, Past};
use super::policy_views;
use crate::event::columns::{ALL as COLUMNS, TABLE_SCHEMA};
use crate::lake::Lake;
use crate::lake::table::State;
use crate::policy::Policy;
use crate::query::{self, QueryError, views};

/// Grants that are looked up by name; more than these, and everything is read instead.
const LOOKUP_MAX: usize = 20_000;
/// Columns of events that no verdict needs and that are large.
const LEFT_OUT: &[&str] = &["raw", "raw_bytes", "reject_reason"];
/// Views a frame registers, in order.
const VIEWS: &[&str] = &["token_events", "context_events", "offboardings", "device_losses", "contexts", "broad_ends"];

type Tables = Vec<(String, Arc<dyn TableProvider>)>;

/// The events, folds and policy of one moment.
pub struct Frame<'p> {
    policy: &'p Policy,
    as_of: i64,
    folds: Vec<Fold>,
    /// Events up to `as_of`, the parts of each fold, and `aliases`.
    tables: Tables,
    wide: SessionContext,
}

impl<'p> Frame<'p> {
    /// The frame of `state` at `as_of`. `full`: folds are made from the events instead of being read.
    pub async fn open(
        lake: &Lake,
        state: &State,
        policy: &'p Policy,
        as_of: i64,
        full: bool,
    ) -> Result<Self, QueryError> {
        let context = query::session(query::Limits::default())?;
        let files = query::events(lake, &context, state.files.values().cloned().collect())?;
        let events = up_to(&context, files, as_of)?;
        let folds = Fold::all(policy).await?;
        let aliases = Fold::aliases().await?;
        let mut tables: Tables = vec![("events".to_owned(), events.clone())];
        let mut sources = Sources { lake, state, context: &context, events: &events, as_of, all_again: full };
        let dirty = if full { Vec::new() } else { sources.dirty(&folds).await? };
        sources.all_again |= dirty.len() > LOOKUP_MAX;
        let dirty_rows =
            if sources.all_again || dirty.is_empty() { None } else { Some(sources.rows_of(&dirty, &[]).await?) };
        for fold in &folds {
            let parts = sources.parts(fold, &dirty, dirty_rows.as_ref()).await?;
            tables.push((format!("{}_parts", fold.name), parts));
        }
        let known = sources.aliases(&aliases, &tables).await?;
        tables.push(("aliases".to_owned(), known));
        let mut frame = Self { policy, as_of, folds, tables, wide: context };
        frame.wide = frame.session(&frame.tables, None).await?;
        frame.keep_small().await?;
        Ok(frame)
    }

    /// A frame without any event, for planning.
    pub async fn empty(policy: &'p Policy) -> Result<Self, QueryError> {
        let context = query::session(query::Limits::default())?;
        let nothing = Arc::new(EmptyTable::new(TABLE_SCHEMA.clone()));
        let events = up_to(&context, nothing, 0)?;
        let folds = Fold::all(policy).await?;
        let mut tables: Tables = vec![("events".to_owned(), events.clone()), ("aliases".to_owned(), none()?)];
        for fold in &folds {
            tables.push((format!("{}_parts", fold.name), folded(&context, fold, events.clone()).await?));
        }
        let mut frame = Self { policy, as_of: 0, folds, tables, wide: context };
        frame.wide = frame.session(&frame.tables, None).await?;
        Ok(frame)
    }

    /// The session over all grants.
    pub fn wide(&self) -> &SessionContext {
        &self.wide
    }

    /// The session over all grants, for whoever needs nothing else of the frame.
    pub fn into_session(self) -> SessionContext {
        self.wide
    }

    /// The grants that a nominating query names.
    pub async fn nominated(&self, sql: &str) -> Result<Vec<String>, QueryError> {
        let frame = views::bind(query::plan(&self.wide, sql).await?, Some(self.as_of))?;
        let frame = frame.select(vec![col("grant_id")])?.distinct()?;
        texts(&frame.collect().await?)
    }

    /// A session over the rows of these grants alone; `None`: they are so many that the wide one is as good.
    pub async fn narrow(&self, grants: &[String]) -> Result<Option<SessionContext>, QueryError> {
        if grants.len() > LOOKUP_MAX {
            return Ok(None);
        }
        let tokens = self.tokens_of(grants).await?;
        let mut tables: Tables = Vec::new();
        for (name, table) in &self.tables {
            let narrowed = match name.as_str() {
                "events" => Some(collect_rows(&self.wide, table, &stored_rows(grants, &tokens, "token_id")).await?),
                "grants_parts" | "contexts_parts" | "rule_matches_parts" => {
                    Some(collect_rows(&self.wide, table, &stored_rows(grants, &tokens, "alias_token_id")).await?)
                }
                _ => None,
            };
            tables.push((name.clone(), narrowed.unwrap_or_else(|| table.clone())));
        }
        for small in ["offboardings", "device_losses"] {
            tables.push((small.to_owned(), self.wide.table_provider(small).await?));
        }
        Ok(Some(self.session(&tables, Some(grants)).await?))
    }

    /// A session over these tables with every view; `only`: nothing of other grants.
    async fn session(&self, tables: &Tables, only: Option<&[String]>) -> Result<SessionContext, QueryError> {
        let context = query::sibling(&self.wide);
        for (name, table) in tables {
            views::replace(&context, name, table.clone())?;
        }
        if let Some(grants) = only {
            views::replace(&context, "nominated", names("grant_id", grants)?)?;
        }
        let given = |name: &str| tables.iter().any(|(table, _)| table == name);
        for view in views::ALL.iter().filter(|v| VIEWS.contains(&v.name) && !given(v.name)) {
            views::register(&context, view, Some(self.as_of)).await?;
            if only.is_some() && matches!(view.name, "token_events" | "contexts") {
                // A stored id may resolve to a grant that is not among these, of which only some rows are here.
                limit(&context, view.name).await?;
            }
        }
        for fold in self.folds.iter().filter(|f| f.keys == ["grant_id", "alias_token_id"]) {
            let resolved = context.sql(&fold.resolve_sql(&format!("{}_parts", fold.name))).await?;
            views::replace(&context, &format!("{}_fold", fold.name), resolved.into_view())?;
        }
        if only.is_some() {
            limit(&context, "grants_fold").await?;
        }
        self.register(&context, "lifetimes").await?;
        for (name, sql) in [("grants", policy_views::grants(self.policy)), ("hosts", policy_views::hosts(self.policy))]
        {
            let frame = views::bind(context.sql(&sql).await?, Some(self.as_of))?;
            views::replace(&context, name, frame.into_view())?;
        }
        self.register(&context, "ends").await?;
        Ok(context)
    }

    async fn register(&self, context: &SessionContext, name: &str) -> Result<(), QueryError> {
        match views::find(name) {
            Some(view) => views::register(context, view, Some(self.as_of)).await,
            None => Ok(()),
        }
    }

    /// Holds in memory what is small and read by many: offboardings and losses.
    async fn keep_small(&mut self) -> Result<(), QueryError> {
        for name in ["offboardings", "device_losses"] {
            let rows = query::collect(self.wide.table(name).await?).await?;
            views::replace(&self.wide, name, views::memory(rows)?)?;
        }
        Ok(())
    }

    /// Tokens that stand alone on some event and belong to one of these grants.
    async fn tokens_of(&self, grants: &[String]) -> Result<Vec<String>, QueryError> {
        let aliases = self.wide.table("aliases").await?;
        let wanted =
            aliases.filter(col("family_id").in_list(literals(grants), false))?.select(vec![col("token_id")])?;
        texts(&wanted.collect().await?)
    }
}

/// What folds are read or made from.
struct Sources<'s> {
    lake: &'s Lake,
    state: &'s State,
    context: &'s SessionContext,
    events: &'s Arc<dyn TableProvider>,
    as_of: i64,
    /// Nothing kept is of use: fold the events up to `as_of`.
    all_again: bool,
}

impl Sources<'_> {
    /// Grants with an event after `as_of`, at most one more than are looked up.
    async fn dirty(&self, folds: &[Fold]) -> Result<Vec<String>, QueryError> {
        let Some(grants) = folds.iter().find(|f| f.name == "grants") else { return Ok(Vec::new()) };
        let parts = Store::new(self.lake, self.context)?.parts(grants, self.state).await?;
        let after =
            self.context.read_table(parts)?.filter(col("last_event_at").gt(lit(views::timestamp(self.as_of))))?;
        let some = after.select(vec![col("grant_id")])?.distinct()?.limit(0, Some(LOOKUP_MAX + 1))?;
        texts(&some.collect().await?)
    }

    async fn parts(
        &self,
        fold: &Fold,
        dirty: &[String],
        dirty_rows: Option<&Arc<dyn TableProvider>>,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        if self.all_again {
            return folded(self.context, fold, self.events.clone()).await;
        }
        let parts = Store::new(self.lake, self.context)?.parts(fold, self.state).await?;
        match (fold.past, dirty_rows) {
            (Past::Column(column), _) => {
                let until = col(column).lt_eq(lit(views::timestamp(self.as_of)));
                Ok(self.context.read_table(parts)?.filter(until)?.into_view())
            }
            (Past::Grants, Some(rows)) => {
                let clean = self.context.read_table(parts)?.filter(col("grant_id").in_list(literals(dirty), true))?;
                let again = self.context.read_table(folded(self.context, fold, rows.clone()).await?)?;
                Ok(clean.union(again)?.into_view())
            }
            _ => Ok(parts),
        }
    }

    /// Events up to `as_of` whose stored grant is one of these.
    async fn rows_of(&self, grants: &[String], tokens: &[String]) -> Result<Arc<dyn TableProvider>, QueryError> {
        collect_rows(self.context, self.events, &stored_rows(grants, tokens, "token_id")).await
    }

    /// What is known of tokens met without their family. Where there are none, no event is read for it.
    async fn aliases(&self, fold: &Fold, tables: &Tables) -> Result<Arc<dyn TableProvider>, QueryError> {
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
        views::replace(&context, "aliases_parts", self.parts(fold, &[], None).await?)?;
        let sql = "SELECT a.token_id, MIN(a.family_id) AS family_id FROM aliases_parts AS a \
                   INNER JOIN lone AS l ON l.token_id = a.token_id GROUP BY a.token_id";
        views::memory(query::collect(context.sql(sql).await?).await?)
    }
}

/// The fold of some events, in memory.
async fn folded(
    context: &SessionContext,
    fold: &Fold,
    events: Arc<dyn TableProvider>,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let context = query::sibling(context);
    views::replace(&context, "events", events)?;
    views::memory(query::collect(context.sql(&fold.sql).await?).await?)
}

/// Events up to a moment, without what is large and decides nothing.
fn up_to(
    context: &SessionContext,
    files: Arc<dyn TableProvider>,
    as_of: i64,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let wanted: Vec<Expr> = COLUMNS.iter().filter(|c| !LEFT_OUT.contains(&c.name)).map(|c| column(c.name)).collect();
    let last_day = i32::try_from(as_of.div_euclid(crate::event::time::DAY)).unwrap_or(i32::MAX);
    let until = column("event_time")
        .lt_eq(lit(views::timestamp(as_of)))
        // Says nothing new, but prunes whole partitions.
        .and(column("event_date").lt_eq(lit(datafusion::common::ScalarValue::Date32(Some(last_day)))));
    Ok(context.read_table(files)?.filter(until)?.select(wanted)?.into_view())
}

/// A column by its exact name; `col` would fold case and split at dots.
fn column(name: &str) -> Expr {
    Expr::Column(datafusion::common::Column::new_unqualified(name))
}

/// Rows stored under one of these grants, or under one of these tokens alone.
fn stored_rows(grants: &[String], tokens: &[String], token_column: &str) -> Expr {
    let by_grant = col("grant_id").in_list(literals(grants), false);
    if tokens.is_empty() { by_grant } else { by_grant.or(col(token_column).in_list(literals(tokens), false)) }
}

async fn collect_rows(
    context: &SessionContext,
    table: &Arc<dyn TableProvider>,
    wanted: &Expr,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    views::memory(query::collect(context.read_table(table.clone())?.filter(wanted.clone())?).await?)
}

/// Limits a registered view to the nominated grants.
async fn limit(context: &SessionContext, name: &str) -> Result<(), QueryError> {
    let sql = format!("SELECT v.* FROM {name} AS v WHERE v.grant_id IN (SELECT grant_id FROM nominated)");
    let limited = context.sql(&sql).await?.into_view();
    views::replace(context, name, limited)
}

fn literals(texts: &[String]) -> Vec<Expr> {
    texts.iter().map(|text| lit(datafusion::common::ScalarValue::Utf8View(Some(text.clone())))).collect()
}

fn names(column: &str, texts: &[String]) -> Result<Arc<dyn TableProvider>, QueryError> {
    let schema = Arc::new(Schema::new(vec![Field::new(column, DataType::Utf8View, true)]));
    let array = StringViewArray::from_iter_values(texts);
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(array)])
        .map_err(datafusion::common::DataFusionError::from)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// No alias at all.
fn none() -> Result<Arc<dyn TableProvider>, QueryError> {
    let text = |name: &str| Field::new(name, DataType::Utf8View, true);
    let schema = Arc::new(Schema::new(vec![text("token_id"), text("family_id")]));
    Ok(Arc::new(EmptyTable::new(schema)))
}

/// The first column as text, nulls left out.
fn texts(batches: &[RecordBatch]) -> Result<Vec<String>, QueryError> {
    let mut all = Vec::new();
    for batch in batches {
        let column = cast(batch.column(0), &DataType::Utf8View).map_err(datafusion::common::DataFusionError::from)?;
        all.extend(column.as_string_view().iter().flatten().map(str::to_owned));
    }
    Ok(all)
}
