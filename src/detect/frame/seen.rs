//! The folds that a frame shows: all of them as they are kept, or folded anew, or what a run goes on from.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;

use super::scope::Scope;
use super::sources::Sources;
use super::world::{Ground, World, is_of_grants, issuers};
use super::{Footing, Tables};
use crate::detect::folds::Fold;
use crate::detect::folds::store::Store;
use crate::detect::policy_views::Asked;
use crate::detect::settled::{self, Base, Bases};
use crate::lake::Lake;
use crate::query::{self, QueryError, Rows, views};

/// Of a moment long ago very many grants have a later event; with more, folding everything anew is not much dearer.
pub(super) const DIRTY_MAX: usize = 500_000;

/// Folds as tables of parts.
#[derive(Default)]
pub(super) struct Seen {
    /// At the frame's moment.
    pub(super) tables: Tables,
    /// Of the folds of which `tables` has only what is looked at: all of it.
    whole: Tables,
    /// The folds of grants as they are kept, for a base to be left.
    kept: Vec<(Fold, Arc<dyn TableProvider>)>,
    /// What is looked at; `None`: everything.
    pub(super) scope: Option<Scope>,
    has_lone_tokens: bool,
}

impl Seen {
    /// All of a table of which only some is looked at.
    pub(super) fn whole(&self, name: &str) -> Option<&Arc<dyn TableProvider>> {
        self.whole.iter().find(|(it, _)| it == name).map(|(_, table)| table)
    }

    /// Every fold that is asked for, made from the events.
    pub(super) async fn anew(sources: &Sources<'_>, folds: &[Fold], asked: &Asked<'_>) -> Result<Self, QueryError> {
        let mut seen = Self::default();
        for fold in folds {
            let table = if asked.for_fold(fold.name) { sources.anew(fold).await? } else { empty(fold) };
            seen.tables.push((parts(fold), table));
        }
        let aliases = sources.aliases(&Fold::aliases().await?, &seen.tables, None).await?;
        seen.tables.push(("aliases".to_owned(), aliases));
        Ok(seen)
    }

    /// Every fold that is asked for, as it is kept and brought up to date; what is looked at, if `past` says from where.
    pub(super) async fn kept(
        sources: &Sources<'_>,
        lake: &Lake,
        folds: &[Fold],
        asked: &Asked<'_>,
        past: Option<&Footing>,
    ) -> Result<Self, QueryError> {
        let store = Store::new(lake).await?;
        // What is kept of rules asked about names as they are stored.
        let is_of_names = |fold: &&Fold| !asked.policy.identities().is_empty() && fold.is_of_rules_about("subject_id");
        let (of_names, kept): (Vec<&Fold>, Vec<&Fold>) =
            folds.iter().filter(|fold| asked.for_fold(fold.name)).partition(is_of_names);
        let tables = store.all_parts(&kept, sources.state).await?;
        let mut whole: Vec<_> = kept.into_iter().zip(tables).collect();
        for fold in of_names {
            whole.push((fold, sources.anew(fold).await?));
        }
        let world = match past {
            Some(past) => looked_at(sources, lake, &store, &whole, past, asked).await?,
            None => None,
        };
        let part = |fold: &Fold, whole: &Arc<dyn TableProvider>| -> Arc<dyn TableProvider> {
            world.as_ref().and_then(|world| world.parts.get(fold.name)).unwrap_or(whole).clone()
        };
        let grants = whole.iter().find(|(fold, _)| fold.name == "grants");
        let grants = grants.map(|(fold, whole)| part(fold, whole));
        let dirty = match &grants {
            Some(grants) => sources.dirty(grants).await?,
            None => Vec::new(),
        };
        if dirty.len() > DIRTY_MAX {
            return Self::anew(sources, folds, asked).await;
        }
        let rows = match &grants {
            Some(grants) if !dirty.is_empty() => Some(sources.rows_of(&dirty, grants).await?),
            _ => None,
        };
        let mut seen = Self::default();
        for (fold, all) in &whole {
            let part = part(fold, all);
            seen.tables.push((parts(fold), sources.at(fold, &part, &dirty, rows.as_ref()).await?));
            if is_of_grants(fold) {
                if world.is_some() {
                    seen.whole.push((parts(fold), sources.at(fold, all, &dirty, rows.as_ref()).await?));
                }
                seen.kept.push((Fold::clone(fold), part));
            }
        }
        for fold in folds.iter().filter(|fold| !asked.for_fold(fold.name)) {
            seen.tables.push((parts(fold), empty(fold)));
        }
        let aliases = sources.aliases(&Fold::aliases().await?, &seen.tables, Some(&store)).await?;
        seen.tables.push(("aliases".to_owned(), aliases));
        seen.has_lone_tokens = past.is_some_and(|past| past.base.has_lone_tokens);
        seen.scope = world.map(|world| world.scope);
        Ok(seen)
    }

    /// Leaves a base: the rows of all grants that are not settled. `wide` is the session that these tables are seen in.
    pub(super) async fn leave(
        &self,
        wide: &SessionContext,
        bases: &Bases,
        (version, as_of, horizon): (i64, i64, i64),
        findings: i64,
    ) -> Result<(), QueryError> {
        let context = query::sibling(wide);
        for (fold, table) in &self.kept {
            views::replace(&context, &parts(fold), table.clone())?;
        }
        views::replace(&context, "grants", wide.table_provider("grants").await?)?;
        let open = views::bind(context.sql(OPEN).await?, Some(horizon))?;
        views::replace(&context, "open", views::memory(query::collect(open).await?)?)?;
        if self.kept.iter().any(|(fold, _)| fold.name == "exercises") {
            let open = query::collect(context.sql(OF_SOURCES).await?).await?;
            views::replace(&context, "open", views::memory(open)?)?;
        }
        let mut rows: Vec<(&Fold, Rows)> = Vec::new();
        for (fold, _) in &self.kept {
            let own = format!("(SELECT * FROM {} WHERE grant_id IN (SELECT grant_id FROM open))", parts(fold));
            rows.push((fold, query::collect(context.sql(&fold.merge_sql(&own)).await?).await?));
        }
        let lone = context.sql("SELECT 1 FROM grants_parts WHERE alias_token_id IS NOT NULL LIMIT 1").await?;
        let has_lone_tokens = self.has_lone_tokens || lone.count().await? > 0;
        let issuers = match self.tables.iter().find(|(name, _)| name == "issuers_parts") {
            Some((_, table)) => issuers(&context, table, as_of).await?,
            None => Default::default(),
        };
        bases.leave(&Base { version, as_of, findings, issuers, has_lone_tokens }, rows).await
    }
}

/// Grants that are not settled; `$as_of` is the horizon.
const OPEN: &str = "\
SELECT f.grant_id
FROM (
    SELECT grant_id, MAX(last_event_at) AS last_event_at, MAX(any_expires_at) AS any_expires_at
    FROM grants_parts GROUP BY grant_id
) AS f
LEFT JOIN grants AS l ON l.grant_id = f.grant_id
WHERE
    f.last_event_at >= $as_of OR coalesce(f.any_expires_at >= $as_of, FALSE)
    OR (l.grant_id IS NOT NULL AND coalesce(l.ended_at >= $as_of, TRUE))";

/// Those, and the grants that stand for their source in the policy.
const OF_SOURCES: &str = "\
SELECT grant_id FROM open
UNION
SELECT MIN(grant_id) AS grant_id FROM exercises_parts GROUP BY source";

async fn looked_at(
    sources: &Sources<'_>,
    lake: &Lake,
    store: &Store<'_>,
    whole: &[(&Fold, Arc<dyn TableProvider>)],
    past: &Footing,
    asked: &Asked<'_>,
) -> Result<Option<World>, QueryError> {
    let late_before = past.base.late_before(asked.policy);
    // Somebody of many names may be offboarded under one and reinstated under another: any row concerns whom it names.
    let has_names = !asked.policy.identities().is_empty();
    let settled_before = if has_names { i64::MAX } else { settled::horizon(asked.policy, past.base.as_of) };
    let (state, context, bases, base) = (sources.state, sources.context, &*past.bases, &past.base);
    let ground = Ground { lake, state, context, store, whole, bases, base, late_before, settled_before };
    match ground.world().await? {
        Ok(world) => Ok(Some(world)),
        Err(reason) => {
            tracing::info!("looking at everything: {reason}");
            Ok(None)
        }
    }
}

fn parts(fold: &Fold) -> String {
    format!("{}_parts", fold.name)
}

fn empty(fold: &Fold) -> Arc<dyn TableProvider> {
    Arc::new(EmptyTable::new(fold.schema.clone()))
}
