//! What detectors see: the events, folds and policy of one moment, as tables of a session.
//!
//! Events after `as_of` do not exist in a frame. Folds reach to the lake's newest version, so a grant that has an event
//! after `as_of` is folded again from its own events; all others are read as they are.
//!
//! A frame has sessions of two kinds over the same views. In the wide one `token_events` is every event: only a full run,
//! and detectors that nominate nothing, ask it for them. In a narrow one all tables hold only what was nominated; several
//! of them share a close-up, whose rows are read once.

mod days;
mod named;
mod nominated;
mod rows;
mod scope;
mod seen;
mod sources;
mod world;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::{SessionContext, col};

use super::cut::Cut;
use super::folds::Fold;
use super::kept::{self, Begins};
use super::policy_views::Asked;
use super::settled::{self, Base, Bases};
use super::{Span, Watch};
use crate::event::columns::TABLE_SCHEMA;
use crate::event::time;
use crate::lake::Lake;
use crate::lake::table::State;
use crate::policy::Policy;
use crate::query::scratch::Scratch;
use crate::query::{self, QueryError, people, views};
pub use named::ASKED;
use named::{HELD, OF_GRANTS, SMALL, VIEWS};
pub use nominated::{Nominated, nominated};
use rows::{
    all_columns, begins, day, days_of, folded, hold, limit, names, none, on_days, one_of, rows_under, texts, up_to,
};
pub(super) use rows::{any_of, column};
pub use scope::Scope;
use seen::Seen;
use sources::Sources;

/// Names that are looked up one by one; more than these are joined with everything.
pub(super) const LOOKUP_MAX: usize = 20_000;
/// What an hour gives rise to is over so long after its day began.
const AFTER: i64 = 3 * time::DAY;
/// Of lakes with up to this many events, `grants` is held in memory: there are fewer of those by far.
const HELD_EVENTS_MAX: u64 = 10_000_000;
/// Files of up to so many rows on average have so few pages that grants in order of their id would be read from nearly all.
const SMALL_FILE_ROWS: u64 = 100_000;
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
/// Context events, each once, as `context_events` tells them apart.
const CONTEXT_EVENTS: &str = "\
SELECT * EXCLUDE (copy)
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY source, event_id ORDER BY record_hash, event_time
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS copy
    FROM (SELECT DISTINCT * FROM context_rows_parts)
)
WHERE copy = 1";
type Tables = Vec<(String, Arc<dyn TableProvider>)>;

/// Of what a session is.
#[derive(Clone, Copy)]
enum Of<'n> {
    All,
    Grants(&'n [String]),
    Hosts,
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
    /// The same, of what can have changed since a run before.
    Since(Footing),
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

/// What a run goes on from.
#[derive(Clone, Debug)]
pub struct Footing {
    pub bases: Arc<Bases>,
    pub base: Base,
    /// Subjects of whom something was found, which detectors of subjects ask about again.
    pub found_subjects: Vec<String>,
}

/// The events, folds and policy of one moment.
pub struct Frame<'p> {
    asked: Asked<'p>,
    /// Where rows are kept from run to run; a full run and an empty frame use none of it.
    opened: Option<(&'p Lake, &'p State)>,
    as_of: i64,
    folds: Vec<Fold>,
    seen: Seen,
    /// Whether all grants fit into memory, so that they are worked out once and not by each detector.
    few_grants: bool,
    /// Where detectors find them worked out if not, and the rows of very many of them.
    scratch: Scratch,
    wide: SessionContext,
}

impl<'p> Frame<'p> {
    /// The frame of `state` at the end of the span.
    pub async fn open(
        lake: &'p Lake,
        state: &'p State,
        asked: Asked<'p>,
        span: Span,
        reach: Reach,
    ) -> Result<Self, QueryError> {
        let (mut watch, as_of) = (Watch::start(), span.as_of);
        let context = query::sorting(query::Limits::default())?;
        let opened = matches!(reach, Reach::Kept | Reach::Since(_)).then_some((lake, state));
        let identities = asked.policy.identities();
        let mut files: Arc<dyn TableProvider> = query::events(lake, &context, state.files.values().cloned().collect())?;
        if let Reach::Cut(cut) = &reach {
            files = cut.rows(&context, files, state).await?;
        }
        let events = up_to(&context, files, &all_columns().collect::<Vec<_>>(), as_of)?;
        let events = people::resolved(&context, events, identities)?;
        let folds = Fold::all(asked.policy).await?;
        let scratch = Scratch::default();
        let sources = Sources { state, context: &context, events: &events, scratch: &scratch, as_of };
        let past = if let Reach::Since(past) = &reach { Some(past) } else { None };
        let mut seen = match opened {
            Some(_) => Seen::kept(&sources, lake, &folds, &asked, past).await?,
            None => Seen::anew(&sources, &folds, &asked).await?,
        };
        watch.lap("folds");
        for (_, table) in &mut seen.tables {
            *table = people::resolved(&context, table.clone(), identities)?;
        }
        // Of those that are not looked at, everything is carried over.
        let found_subjects: Vec<String> = match (past, &seen.scope) {
            (Some(past), Some(scope)) => {
                past.found_subjects.iter().filter(|name| scope.subjects.contains(*name)).cloned().collect()
            }
            _ => Vec::new(),
        };
        let few_grants = seen.scope.is_some() || state.rows() <= HELD_EVENTS_MAX;
        let mut frame = Self { asked, opened, as_of, folds, seen, few_grants, scratch, wide: context.clone() };
        frame.seen.tables.push(("events".to_owned(), events.clone()));
        frame.seen.tables.push(("found_subjects".to_owned(), names("subject_id", &found_subjects)?));
        // Before any view is planned: a view that reads them keeps what it found when it was planned.
        frame.keep_small(span.since).await?;
        watch.lap("what is small");
        frame.wide = frame.session(&frame.seen.tables, Of::All).await?;
        watch.lap("views");
        Ok(frame)
    }

    /// A frame without any event, for planning.
    pub async fn empty(policy: &'p Policy) -> Result<Self, QueryError> {
        let context = query::session(query::Limits::default())?;
        let nothing = Arc::new(EmptyTable::new(TABLE_SCHEMA.clone()));
        let events = up_to(&context, nothing, &all_columns().collect::<Vec<_>>(), 0)?;
        let folds = Fold::all(policy).await?;
        let mut tables: Tables = vec![("events".to_owned(), events.clone()), ("aliases".to_owned(), none()?)];
        tables.push(("found_subjects".to_owned(), names("subject_id", [""; 0])?));
        for fold in &folds {
            tables.push((format!("{}_parts", fold.name), Arc::new(EmptyTable::new(fold.schema.clone()))));
        }
        let mut seen = Seen::default();
        seen.tables = tables;
        let asked = Asked::anything(policy);
        let scratch = Scratch::default();
        let mut frame = Self { asked, opened: None, as_of: 0, folds, seen, few_grants: false, scratch, wide: context };
        frame.wide = frame.session(&frame.seen.tables, Of::All).await?;
        Ok(frame)
    }

    /// What is looked at; `None`: everything.
    pub fn scope(&self) -> Option<&Scope> {
        self.seen.scope.as_ref()
    }

    /// Whether all grants that are looked at fit into memory.
    pub fn has_few_grants(&self) -> bool {
        self.few_grants
    }

    /// Leaves a base for the next run. `findings`: version of the findings log that this one compared with.
    pub async fn leave(&self, bases: &Bases, findings: i64) -> Result<(), QueryError> {
        let Some((_, state)) = self.opened else { return Ok(()) };
        let ground = (state.version, self.as_of, settled::horizon(self.asked.policy, self.as_of));
        self.seen.leave(&self.wide, bases, ground, findings).await
    }

    /// The session over all grants.
    pub fn wide(&self) -> &SessionContext {
        &self.wide
    }

    /// The session over all grants, for whoever needs nothing else of the frame.
    pub fn into_session(self) -> SessionContext {
        self.wide
    }

    /// The same for queries: without the tables that only stand behind its views, which would be there
    /// or not depending on what else a query names.
    pub fn into_asked(self) -> Result<SessionContext, QueryError> {
        let behind = self.seen.tables.iter().map(|(name, _)| name.clone());
        let behind = behind.chain(self.folds.iter().map(|fold| format!("{}_fold", fold.name)));
        for name in behind.filter(|name| !ASKED.contains(&name.as_str()) && !views::OF_EVENTS.contains(&name.as_str()))
        {
            self.wide.deregister_table(name.as_str())?;
        }
        Ok(self.wide)
    }

    /// The rows of these grants, or what happened on these hosts, read once for whoever is to see them.
    /// `keep`: they are worth keeping for later runs.
    pub async fn close_up(&self, nominated: &Nominated, keep: bool) -> Result<CloseUp, QueryError> {
        let tokens = match nominated {
            Nominated::Grants(grants) => self.tokens_of(grants).await?,
            Nominated::Hosts(_) => Vec::new(),
        };
        let mut tables: Tables = Vec::new();
        for (name, table) in &self.seen.tables {
            let table = self.seen.whole(name).unwrap_or(table);
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
        Ok(CloseUp { tables, by_grant: matches!(nominated, Nominated::Grants(_)) })
    }

    /// A session over what was read; of grants, over these alone.
    pub async fn narrow(&self, close_up: &CloseUp, grants: &[String]) -> Result<SessionContext, QueryError> {
        self.session(&close_up.tables, if close_up.by_grant { Of::Grants(grants) } else { Of::Hosts }).await
    }

    /// On which days these grants began, where going through them in that order reads less: rows of a file are ordered by
    /// grant, but a file of few pages is read as a whole.
    pub async fn begins(&self, grants: Vec<String>) -> Begins {
        let is_of_small_files =
            self.opened.is_some_and(|(_, state)| state.rows() <= SMALL_FILE_ROWS * state.files.len() as u64);
        if grants.is_empty() || !is_of_small_files {
            return Begins::new();
        }
        // Without them it takes longer, and comes to the same.
        begins(&self.wide, &grants).await.unwrap_or_default()
    }

    /// The columns of events that somebody asks for.
    fn shown(&self) -> impl Iterator<Item = &'static str> {
        all_columns().filter(|name| NEEDED.contains(name) || self.asked.for_column(name))
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
                let columns: Vec<&str> = self.shown().collect();
                let begins = begins(&self.wide, grants).await?;
                let kept = kept::Store::new(lake, &self.wide, &columns)?;
                let rows = up_to(&self.wide, kept.rows(state, (grants, &begins), tokens).await?, &columns, self.as_of)?;
                people::resolved(&self.wide, rows, self.asked.policy.identities())
            }
            _ => {
                let columns: Vec<_> = self.shown().map(column).collect();
                let mut events = self.wide.table("events").await?.select(columns)?;
                let wanted = [("grant_id", grants), ("token_id", tokens)];
                let folds = self.wide.table_provider("grants_parts").await?;
                // Rows under a token alone may be of any day.
                if tokens.is_empty()
                    && let Some(days) = days_of(&self.wide, &folds, grants).await?
                {
                    events = events.filter(on_days(days))?;
                }
                if grants.len() <= LOOKUP_MAX {
                    return rows_under(&self.wide, &events.into_view(), &wanted).await;
                }
                // So many that holding them would take memory that grows with history.
                self.scratch.hold(&self.wide, events.filter(any_of(&wanted))?).await
            }
        }
    }

    /// A session over these tables with every view, and nothing of other grants than those it is of.
    async fn session(&self, tables: &Tables, of: Of<'_>) -> Result<SessionContext, QueryError> {
        let only = if let Of::Grants(grants) = of { Some(grants) } else { None };
        let few = only.is_some_and(|grants| grants.len() <= LOOKUP_MAX);
        let context = query::sibling(&self.wide);
        for (name, table) in tables {
            views::replace(&context, name, table.clone())?;
        }
        if let Some(grants) = only {
            views::replace(&context, "nominated", names("grant_id", grants)?)?;
        }
        let given = |name: &str| tables.iter().any(|(table, _)| table == name);
        let is_shown = |name: &str| VIEWS.contains(&name) && !(HELD.contains(&name) && only.is_some());
        for view in views::ALL.iter().filter(|v| is_shown(v.name) && !given(v.name)) {
            if view.name == "single_events" && only.is_some() && !query::has_repeats(&context, "TRUE").await? {
                // Asking is a table of ids; telling repeats apart would sort all rows.
                views::replace(&context, view.name, context.table_provider("events").await?)?;
                continue;
            }
            views::register(&context, view, Some(self.as_of)).await?;
            if only.is_some()
                && matches!(view.name, "token_events" | "contexts" | "exercises" | "places" | "active_days")
            {
                // A stored id may resolve to a grant that is not among these, of which only some rows are here.
                limit(&context, view.name).await?;
                if few {
                    hold(&context, view.name).await?;
                }
            } else if matches!(of, Of::Hosts) && view.name == "contexts"
                || matches!(of, Of::All) && HELD.contains(&view.name) && self.asked.names(view.name)
            {
                hold(&context, view.name).await?;
            }
        }
        views::replace(&context, "all_places", self.all_places(&context, only.is_some()).await?)?;
        for fold in self.folds.iter().filter(|f| f.keys == ["grant_id", "alias_token_id"]) {
            let resolved = context.sql(&fold.resolve_sql(&format!("{}_parts", fold.name))).await?;
            views::replace(&context, &format!("{}_fold", fold.name), resolved.into_view())?;
        }
        if only.is_some() {
            limit(&context, "grants_fold").await?;
        }
        self.register(&context, "lifetimes").await?;
        if matches!(of, Of::All) && !self.few_grants && !self.asked.for_anything() {
            let rows = self.scratch.hold(&context, context.table("lifetimes").await?).await?;
            views::replace(&context, "lifetimes", rows)?;
        }
        for (name, sql) in [("grants", self.asked.grants()), ("hosts", self.asked.hosts())] {
            let frame = views::bind(context.sql(&sql).await?, Some(self.as_of))?;
            views::replace(&context, name, frame.into_view())?;
        }
        // Whoever looks closely at hosts asks for no grant, and the few grants of a close-up are worked out once.
        match of {
            Of::Hosts => hold(&context, "hosts").await?,
            Of::All if !self.few_grants => {}
            Of::All | Of::Grants(_) => hold(&context, "grants").await?,
        }
        for name in OF_GRANTS {
            self.register(&context, name).await?;
        }
        Ok(context)
    }

    /// For detectors that must know whether all of somebody is here.
    async fn all_places(
        &self,
        context: &SessionContext,
        is_narrow: bool,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        if is_narrow {
            return Ok(self.wide.table_provider("all_places").await?);
        }
        let Some(whole) = self.seen.whole("places_parts") else { return Ok(context.table_provider("places").await?) };
        let everywhere = query::sibling(context);
        views::replace(&everywhere, "aliases", context.table_provider("aliases").await?)?;
        views::replace(&everywhere, "places_parts", whole.clone())?;
        self.register(&everywhere, "places").await?;
        Ok(everywhere.table_provider("places").await?)
    }

    async fn register(&self, context: &SessionContext, name: &str) -> Result<(), QueryError> {
        match views::find(name) {
            Some(view) => views::register(context, view, Some(self.as_of)).await,
            None => Ok(()),
        }
    }

    /// Holds in memory what is small and read by many; their events come from the fold, not from every day's files.
    async fn keep_small(&mut self, since: Option<i64>) -> Result<(), QueryError> {
        let context = query::sibling(&self.wide);
        for (name, table) in
            self.seen.tables.iter().filter(|(name, _)| matches!(&**name, "context_rows_parts" | "aliases"))
        {
            views::replace(&context, name, table.clone())?;
        }
        views::replace(&context, "context_events", context.sql(CONTEXT_EVENTS).await?.into_view())?;
        hold(&context, "context_events").await?;
        for name in SMALL {
            self.register(&context, name).await?;
            hold(&context, name).await?;
            self.seen.tables.push((name.to_owned(), context.table_provider(name).await?));
        }
        // Working them out reads every day there is: for detectors that ask, and not for every question about grants.
        if days::VIEWS.iter().any(|view| self.asked.names(view)) {
            let from = since.map(|since| day(since.saturating_sub(settled::HISTORY + AFTER)));
            let of_days = days::tables(&self.wide, self.seen.tables.iter(), from).await?;
            self.seen.tables.extend(of_days);
        }
        Ok(())
    }

    /// Tokens that stand alone on some event and belong to one of these grants.
    async fn tokens_of(&self, grants: &[String]) -> Result<Vec<String>, QueryError> {
        let aliases = self.wide.table("aliases").await?;
        let wanted = aliases.filter(one_of("family_id", grants))?.select(vec![col("token_id")])?;
        texts(&wanted.collect().await?)
    }
}
