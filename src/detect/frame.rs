//! What detectors see: the events, folds and policy of one moment, as tables of a session.
//!
//! Events after `as_of` do not exist in a frame. Folds reach to the lake's newest version, so a grant that has an event
//! after `as_of` is folded again from its own events; all others are read as they are.
//!
//! A frame has sessions of two kinds over the same views. In the wide one `token_events` is every event: only a full run,
//! and detectors that nominate nothing, ask it for them. In a narrow one all tables hold only what was nominated; several
//! of them share a close-up, whose rows are read once.

mod sources;

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionContext, col, lit};

use super::catalog::Detector;
use super::check;
use super::cut::Cut;
use super::folds::Fold;
use super::kept;
use super::policy_views::Asked;
use crate::event::columns::{ALL as COLUMNS, TABLE_SCHEMA};
use crate::lake::Lake;
use crate::lake::table::State;
use crate::policy::Policy;
use crate::query::{self, QueryError, views};
use sources::Sources;

/// Names that are looked up one by one; more than these are joined with everything.
pub(super) const LOOKUP_MAX: usize = 20_000;
/// Of lakes with up to this many events, `grants` is held in memory: there are fewer of those by far.
const HELD_EVENTS_MAX: u64 = 10_000_000;
/// Columns of events that no verdict needs and that are large.
const LEFT_OUT: &[&str] = &["raw", "raw_bytes", "reject_reason"];
/// Columns of events that views and folds need, whatever detectors ask for.
const NEEDED: &[&str] = &[
    "event_id",
    "event_time",
    "action",
    "outcome",
    "token_id",
    "family_id",
    "grant_id",
    "grant_basis",
    "token_kind",
    "source",
    "topic",
    "partition",
    "offset",
    "record_index",
    "record_hash",
    "class",
    "event_date",
];
/// Views a frame registers, in order.
const VIEWS: &[&str] = &[
    "single_events",
    "token_events",
    "context_events",
    "country_discs",
    "offboardings",
    "device_losses",
    "compromises",
    "contexts",
    "exercises",
    "places",
    "active_days",
    "refresh_days",
    "source_minutes",
    "issuers",
    "broad_ends",
];
/// Views that are small and read by many: they are worked out once, and the same for every detector.
const SMALL: [&str; 3] = ["offboardings", "device_losses", "compromises"];
/// Views that read `grants`.
const OF_GRANTS: [&str; 3] = ["ends", "logged_out", "compromised"];

type Tables = Vec<(String, Arc<dyn TableProvider>)>;

/// What a detector wants to look at closely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nominated {
    Grants(Vec<String>),
    Hosts(Vec<String>),
}

impl Nominated {
    /// The grants; none if it is about hosts.
    pub fn grants(&self) -> &[String] {
        match self {
            Self::Grants(names) => names,
            Self::Hosts(_) => &[],
        }
    }
}

impl std::fmt::Display for Nominated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Grants(names) => write!(f, "{} grants", names.len()),
            Self::Hosts(names) => write!(f, "{} hosts", names.len()),
        }
    }
}

/// The tables of a frame with only the rows of what was nominated.
pub struct CloseUp {
    tables: Tables,
    by_grant: bool,
}

/// What a frame is made from.
#[derive(Clone, Debug)]
pub enum Reach {
    /// What earlier runs kept, brought up to date.
    Kept,
    /// All events; nothing that was kept is used.
    All,
    /// The events within a cut of the past.
    Cut(Cut),
}

impl Reach {
    /// What a request asks for.
    pub fn of(request: &super::Request) -> Self {
        if request.full { Self::All } else { Self::Kept }
    }
}

/// The events, folds and policy of one moment.
pub struct Frame<'p> {
    asked: Asked<'p>,
    /// Where rows are kept from run to run; a full run and an empty frame use none of it.
    opened: Option<(&'p Lake, &'p State)>,
    as_of: i64,
    folds: Vec<Fold>,
    /// Events up to `as_of`, the parts of each fold, and `aliases`.
    tables: Tables,
    /// Whether all grants fit into memory, so that they are worked out once and not by each detector.
    few_grants: bool,
    wide: SessionContext,
}

impl<'p> Frame<'p> {
    /// The frame of `state` at `as_of`.
    pub async fn open(
        lake: &'p Lake,
        state: &'p State,
        asked: Asked<'p>,
        as_of: i64,
        reach: Reach,
    ) -> Result<Self, QueryError> {
        let context = query::session(query::Limits::default())?;
        let full = !matches!(reach, Reach::Kept);
        let mut files: Arc<dyn TableProvider> = query::events(lake, &context, state.files.values().cloned().collect())?;
        if let Reach::Cut(cut) = &reach {
            files = cut.rows(&context, files, state).await?;
        }
        let events = up_to(&context, files, &all_columns().collect::<Vec<_>>(), as_of)?;
        let folds = Fold::all(asked.policy).await?;
        let aliases = Fold::aliases().await?;
        let mut tables: Tables = vec![("events".to_owned(), events.clone())];
        let mut sources = Sources { lake, state, context: &context, events: &events, as_of, all_again: full };
        let dirty = if full { Vec::new() } else { sources.dirty(&folds).await? };
        sources.all_again |= dirty.len() > LOOKUP_MAX;
        let dirty_rows =
            if sources.all_again || dirty.is_empty() { None } else { Some(sources.rows_of(&dirty).await?) };
        for fold in &folds {
            let parts = sources.parts(fold, &dirty, dirty_rows.as_ref()).await?;
            tables.push((format!("{}_parts", fold.name), parts));
        }
        let known = sources.aliases(&aliases, &tables).await?;
        tables.push(("aliases".to_owned(), known));
        let opened = (!full).then_some((lake, state));
        let few_grants = state.files.values().map(|f| f.rows).sum::<u64>() <= HELD_EVENTS_MAX;
        let mut frame = Self { asked, opened, as_of, folds, tables, few_grants, wide: context };
        frame.wide = frame.session(&frame.tables, None).await?;
        frame.keep_small().await?;
        Ok(frame)
    }

    /// A frame without any event, for planning.
    pub async fn empty(policy: &'p Policy) -> Result<Self, QueryError> {
        let context = query::session(query::Limits::default())?;
        let nothing = Arc::new(EmptyTable::new(TABLE_SCHEMA.clone()));
        let events = up_to(&context, nothing, &all_columns().collect::<Vec<_>>(), 0)?;
        let folds = Fold::all(policy).await?;
        let mut tables: Tables = vec![("events".to_owned(), events.clone()), ("aliases".to_owned(), none()?)];
        for fold in &folds {
            tables.push((format!("{}_parts", fold.name), folded(&context, fold, events.clone()).await?));
        }
        let mut frame = Self {
            asked: Asked::anything(policy),
            opened: None,
            as_of: 0,
            folds,
            tables,
            few_grants: false,
            wide: context,
        };
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

    /// The rows of these grants, or what happened on these hosts, read once for whoever is to see them.
    /// `keep`: they are worth keeping for later runs.
    pub async fn close_up(&self, nominated: &Nominated, keep: bool) -> Result<CloseUp, QueryError> {
        let tokens = match nominated {
            Nominated::Grants(grants) => self.tokens_of(grants).await?,
            Nominated::Hosts(_) => Vec::new(),
        };
        let mut tables: Tables = Vec::new();
        for (name, table) in &self.tables {
            let narrowed = match (nominated, name.as_str()) {
                (Nominated::Grants(grants), "events") => Some(self.own_rows(grants, &tokens, keep).await?),
                (
                    Nominated::Grants(grants),
                    "grants_parts" | "contexts_parts" | "exercises_parts" | "places_parts" | "active_days_parts"
                    | "rule_matches_parts",
                ) => Some(rows_under(&self.wide, table, &[("grant_id", grants), ("alias_token_id", &tokens)]).await?),
                (Nominated::Hosts(hosts), "contexts_parts") => {
                    Some(rows_under(&self.wide, table, &[("host_id", hosts)]).await?)
                }
                _ => None,
            };
            tables.push((name.clone(), narrowed.unwrap_or_else(|| table.clone())));
        }
        for small in SMALL {
            tables.push((small.to_owned(), self.wide.table_provider(small).await?));
        }
        Ok(CloseUp { tables, by_grant: matches!(nominated, Nominated::Grants(_)) })
    }

    /// A session over what was read; of grants, over these alone.
    pub async fn narrow(&self, close_up: &CloseUp, grants: &[String]) -> Result<SessionContext, QueryError> {
        self.session(&close_up.tables, close_up.by_grant.then_some(grants)).await
    }

    /// The events of some grants up to `as_of`.
    async fn own_rows(
        &self,
        grants: &[String],
        tokens: &[String],
        keep: bool,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        match self.opened {
            Some((lake, state)) if keep && grants.len() + tokens.len() <= LOOKUP_MAX => {
                let columns: Vec<&str> =
                    all_columns().filter(|name| NEEDED.contains(name) || self.asked.for_column(name)).collect();
                let kept = kept::Store::new(lake, &self.wide, &columns)?;
                up_to(&self.wide, kept.rows(state, grants, tokens).await?, &columns, self.as_of)
            }
            _ => {
                let events = self.wide.table_provider("events").await?;
                rows_under(&self.wide, &events, &[("grant_id", grants), ("token_id", tokens)]).await
            }
        }
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
            if view.name == "single_events" && only.is_some() && !has_repeats(&context).await? {
                // The rows are few enough to ask; telling repeats apart would sort them all.
                views::replace(&context, view.name, context.table_provider("events").await?)?;
                continue;
            }
            views::register(&context, view, Some(self.as_of)).await?;
            if only.is_some()
                && matches!(view.name, "token_events" | "contexts" | "exercises" | "places" | "active_days")
            {
                // A stored id may resolve to a grant that is not among these, of which only some rows are here.
                limit(&context, view.name).await?;
                hold(&context, view.name).await?;
            }
        }
        // For detectors that must know whether all of somebody is here.
        let everywhere = if only.is_some() { &self.wide } else { &context };
        views::replace(&context, "all_places", everywhere.table("places").await?.into_view())?;
        for fold in self.folds.iter().filter(|f| f.keys == ["grant_id", "alias_token_id"]) {
            let resolved = context.sql(&fold.resolve_sql(&format!("{}_parts", fold.name))).await?;
            views::replace(&context, &format!("{}_fold", fold.name), resolved.into_view())?;
        }
        if only.is_some() {
            limit(&context, "grants_fold").await?;
        }
        self.register(&context, "lifetimes").await?;
        for (name, sql) in [("grants", self.asked.grants()), ("hosts", self.asked.hosts())] {
            let frame = views::bind(context.sql(&sql).await?, Some(self.as_of))?;
            views::replace(&context, name, frame.into_view())?;
        }
        if only.is_some() || self.few_grants {
            hold(&context, "grants").await?;
        }
        for name in OF_GRANTS {
            self.register(&context, name).await?;
        }
        Ok(context)
    }

    async fn register(&self, context: &SessionContext, name: &str) -> Result<(), QueryError> {
        match views::find(name) {
            Some(view) => views::register(context, view, Some(self.as_of)).await,
            None => Ok(()),
        }
    }

    /// Holds in memory what is small and read by many.
    async fn keep_small(&mut self) -> Result<(), QueryError> {
        for name in SMALL {
            hold(&self.wide, name).await?;
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

/// What a nominating query names, asked of the session over all grants.
pub async fn nominated(
    wide: &SessionContext,
    detector: &Detector,
    sql: &str,
    as_of: i64,
) -> Result<Nominated, QueryError> {
    let frame = check::plan(wide, detector, sql, as_of).await?;
    let about_hosts = frame.schema().field_with_unqualified_name("grant_id").is_err();
    let column = if about_hosts { "host_id" } else { "grant_id" };
    let names = texts(&frame.select(vec![col(column)])?.distinct()?.collect().await?)?;
    Ok(if about_hosts { Nominated::Hosts(names) } else { Nominated::Grants(names) })
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

/// Some columns of the events up to a moment.
fn up_to(
    context: &SessionContext,
    rows: Arc<dyn TableProvider>,
    columns: &[&str],
    as_of: i64,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let wanted: Vec<Expr> = columns.iter().map(|name| column(name)).collect();
    let until = column("event_time")
        .lt_eq(lit(views::timestamp(as_of)))
        // Says nothing new, but prunes whole partitions.
        .and(column("event_date").lt_eq(lit(query::ScalarValue::Date32(Some(day(as_of))))));
    Ok(context.read_table(rows)?.filter(until)?.select(wanted)?.into_view())
}

/// Days since 1970-01-01.
fn day(at: i64) -> i32 {
    i32::try_from(at.div_euclid(crate::event::time::DAY)).unwrap_or(i32::MAX)
}

/// The columns of events that frames can show.
fn all_columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|c| c.name).filter(|name| !LEFT_OUT.contains(name))
}

/// A column by its exact name; `col` would fold case and split at dots.
pub(super) fn column(name: &str) -> Expr {
    Expr::Column(datafusion::common::Column::new_unqualified(name))
}

/// Rows stored under one of these grants, or with one of these tokens.
pub(super) fn stored_rows(grants: &[String], tokens: &[String], token_column: &str) -> Expr {
    let by_grant = col("grant_id").in_list(literals(grants), false);
    if tokens.is_empty() { by_grant } else { by_grant.or(col(token_column).in_list(literals(tokens), false)) }
}

/// Rows that have one of the names in the column beside them, in memory.
async fn rows_under(
    context: &SessionContext,
    table: &Arc<dyn TableProvider>,
    wanted: &[(&str, &[String])],
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let rows = if wanted.iter().map(|(_, texts)| texts.len()).sum::<usize>() <= LOOKUP_MAX {
        let any = wanted.iter().filter(|(_, texts)| !texts.is_empty());
        let any = any.map(|(column, texts)| one_of(column, texts)).reduce(Expr::or);
        context.read_table(table.clone())?.filter(any.unwrap_or_else(|| lit(false)))?
    } else {
        let context = query::sibling(context);
        views::replace(&context, "stored", table.clone())?;
        let mut conditions = Vec::new();
        for (column, texts) in wanted {
            views::replace(&context, &format!("wanted_{column}"), names(column, texts)?)?;
            conditions.push(format!("{column} IN (SELECT {column} FROM wanted_{column})"));
        }
        context.sql(&format!("SELECT * FROM stored WHERE {}", conditions.join(" OR "))).await?
    };
    views::memory(query::collect(rows).await?)
}

/// A column that has one of these texts. The bounds say nothing new, but prune pages where rows are ordered by the column.
fn one_of(column: &str, texts: &[String]) -> Expr {
    let text = |text: &String| lit(datafusion::common::ScalarValue::Utf8View(Some(text.clone())));
    let listed = col(column).in_list(literals(texts), false);
    match (texts.iter().min(), texts.iter().max()) {
        (Some(least), Some(most)) => col(column).gt_eq(text(least)).and(col(column).lt_eq(text(most))).and(listed),
        _ => listed,
    }
}

/// Works a registered view out once, for the many times that it is read.
async fn hold(context: &SessionContext, name: &str) -> Result<(), QueryError> {
    let rows = query::collect(context.table(name).await?).await?;
    views::replace(context, name, views::memory(rows)?)
}

/// Whether some event stands in more than one row.
async fn has_repeats(context: &SessionContext) -> Result<bool, QueryError> {
    let sql = "SELECT 1 AS one FROM events GROUP BY source, event_id HAVING COUNT(*) > 1 LIMIT 1";
    let rows = context.sql(sql).await?.collect().await?;
    Ok(rows.iter().any(|batch| batch.num_rows() > 0))
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
