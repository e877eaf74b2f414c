//! The part of the lake that a pass looks at when it goes on from a base: grants that were not settled, grants that newer
//! rows belong to, and settled ones that newer rows concern.
//!
//! All of it is rows of folds. What newer rows concern is found by name: an offboarding or a revocation of a subject, a lost
//! device, a logout of a session touch all grants exercised under that name, however old.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionContext, col, lit};

use super::scope::Scope;
use super::{column, day, names, rows_under, texts};
use crate::detect::folds::Fold;
use crate::detect::folds::store::Store;
use crate::detect::settled::{Base, Bases, HISTORY};
use crate::event::time;
use crate::lake::Lake;
use crate::lake::log::DataFile;
use crate::lake::table::State;
use crate::query::{self, QueryError, views};

/// What a world is made from.
pub(super) struct Ground<'g> {
    pub(super) lake: &'g Lake,
    pub(super) state: &'g State,
    pub(super) context: &'g SessionContext,
    pub(super) store: &'g Store<'g>,
    /// Every fold that is needed, and its parts over all events.
    pub(super) whole: &'g [(&'g Fold, Arc<dyn TableProvider>)],
    pub(super) bases: &'g Bases,
    pub(super) base: &'g Base,
    /// Rows earlier than this are late.
    pub(super) late_before: i64,
    /// Before this moment the grants that are settled had ended and were seen last.
    pub(super) settled_before: i64,
}

/// Parts of folds with only what is looked at, by fold; and what that is.
pub(super) struct World {
    pub(super) parts: HashMap<&'static str, Arc<dyn TableProvider>>,
    pub(super) scope: Scope,
}

/// Either a world, or why everything must be looked at.
type Found<T> = Result<Result<T, &'static str>, QueryError>;

/// Settled grants that are looked at again; of more, looking at everything is not much dearer.
const CONCERNED_MAX: usize = 100_000;
/// Folds of what concerns all that was exercised under a name.
const NAMING: [&str; 3] = ["context_rows", "broad_revokes", "logouts"];

/// Context events that can say something of grants that are settled; `$as_of` is when those had ended. What begins later finds
/// nothing alive and nothing exercised. What takes back later does if it takes back what had begun by then.
const REACHING: &str = "\
WITH begun AS (
    SELECT
        subject_id, project_id, device_id,
        MAX(CASE WHEN action IN ('offboard', 'device_lost') THEN event_time END) AS at,
        MAX(CASE WHEN action IN ('reinstate', 'device_recovered') AND outcome = 'success' THEN event_time END) AS back_at
    FROM (
        SELECT action, outcome, event_time, subject_id, project_id, NULL AS device_id FROM context_rows
        WHERE action IN ('offboard', 'reinstate') AND event_time < $as_of
        UNION ALL
        SELECT action, outcome, event_time, NULL AS subject_id, NULL AS project_id, device_id FROM context_rows
        WHERE action IN ('device_lost', 'device_recovered') AND event_time < $as_of
    )
    GROUP BY subject_id, project_id, device_id
)
SELECT * FROM naming
WHERE
    event_time < $as_of
    OR action NOT IN ('offboard', 'device_lost', 'compromise', 'reinstate', 'device_recovered')
    OR (action = 'reinstate' AND subject_id IN (
        SELECT subject_id FROM begun WHERE subject_id IS NOT NULL AND at >= coalesce(back_at, at)
    ))
    OR (action = 'device_recovered' AND device_id IN (
        SELECT device_id FROM begun WHERE device_id IS NOT NULL AND at >= coalesce(back_at, at)
    ))";

/// Whether a fold has rows of grants, which a world has only some of.
pub(in crate::detect) fn is_of_grants(fold: &Fold) -> bool {
    fold.keys.iter().take(2).eq(["grant_id", "alias_token_id"])
}

impl<'g> Ground<'g> {
    /// The world, unless something newer than the base asks for everything.
    pub(super) async fn world(&self) -> Found<World> {
        let added = self.lake.events().added_between(self.base.version, self.state.version).await?;
        let Some(added) = added else { return Ok(Err("the log does not reach back to the last run")) };
        if let Some(reason) = self.asks_for_everything(&added).await? {
            return Ok(Err(reason));
        }
        let mut since = HashMap::new();
        for (fold, _) in self.of_grants() {
            since.insert(fold.name, self.store.since(fold, self.base.version, self.state.version, &added).await?);
        }
        let Some(grants) = self.of_grants().find(|(fold, _)| fold.name == "grants").map(|(fold, _)| *fold) else {
            return Ok(Err("there is no fold of grants"));
        };
        let newer = &since[grants.name];
        if (self.base.has_lone_tokens || self.has_lone(newer).await?) && self.has_aliases().await? {
            return Ok(Err("some tokens are met with and without their family"));
        }
        let open = ids(self.context, &self.bases.rows(self.context, self.base, grants).await?).await?;
        let unknown: Vec<String> = ids(self.context, newer).await?.difference(&open).cloned().collect();
        let concerned = match self.concerned(grants, &unknown, &open, &added).await? {
            Ok(concerned) => concerned,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut parts = HashMap::new();
        for (fold, whole) in self.whole {
            let part = match since.get(fold.name) {
                Some(newer) => self.part(fold, whole, newer, &concerned).await?,
                None if fold.name == "refresh_days" => self.recent_days(whole)?,
                None => whole.clone(),
            };
            parts.insert(fold.name, part);
        }
        let grants = open.into_iter().chain(unknown).chain(concerned).collect();
        let scope = Scope {
            grants,
            hosts: self.names_in(&parts, "contexts", "host_id").await?,
            subjects: self.names_in(&parts, "places", "subject_id").await?,
            first_day: time::format(self.late_before).get(..10).unwrap_or_default().to_owned(),
        };
        Ok(Ok(World { parts, scope }))
    }

    fn of_grants(&self) -> impl Iterator<Item = &(&'g Fold, Arc<dyn TableProvider>)> {
        self.whole.iter().filter(|(fold, _)| is_of_grants(fold))
    }

    /// What came that can change what was said of settled grants, in ways that no name tells.
    async fn asks_for_everything(&self, added: &[DataFile]) -> Result<Option<&'static str>, QueryError> {
        let rows = self.context.read_table(query::events(self.lake, self.context, added.to_vec())?)?;
        let late = column("class").not_eq(lit("context")).and(before("event_time", self.late_before));
        if any(rows.filter(late)?).await? {
            return Ok(Some("rows came that are older than the horizon"));
        }
        if self.has_any("parents").await? {
            return Ok(Some("some grants were delegated from others"));
        }
        let issuers = match self.whole.iter().find(|(fold, _)| fold.name == "issuers") {
            Some((_, whole)) => issuers(self.context, whole, self.base.as_of).await?,
            None => return Ok(None),
        };
        Ok((issuers != self.base.issuers).then_some("a source began to record the issuing of tokens"))
    }

    async fn has_any(&self, fold: &str) -> Result<bool, QueryError> {
        match self.whole.iter().find(|(it, _)| it.name == fold) {
            Some((_, whole)) => any(self.context.read_table(whole.clone())?).await,
            None => Ok(false),
        }
    }

    /// Whether any token was met with its family: what stands under its own id may belong there.
    async fn has_aliases(&self) -> Result<bool, QueryError> {
        let parts = self.store.parts(&Fold::aliases().await?, self.state).await?;
        any(self.context.read_table(parts)?).await
    }

    async fn has_lone(&self, grants: &Arc<dyn TableProvider>) -> Result<bool, QueryError> {
        any(self.context.read_table(grants.clone())?.filter(col("alias_token_id").is_not_null())?).await
    }

    /// Settled grants that newer rows belong to, or name together with others.
    async fn concerned(
        &self,
        grants: &Fold,
        unknown: &[String],
        open: &HashSet<String>,
        added: &[DataFile],
    ) -> Found<Vec<String>> {
        let lost = "the folds up to the last run are not there any more";
        let mut found = HashSet::new();
        if !unknown.is_empty() {
            let Some(before) = self.store.until(grants, self.base.version).await? else { return Ok(Err(lost)) };
            let context = query::sibling(self.context);
            views::replace(&context, "before", before)?;
            views::replace(&context, "unknown", names("grant_id", unknown)?)?;
            let sql = "SELECT DISTINCT grant_id FROM before WHERE grant_id IN (SELECT grant_id FROM unknown)";
            found.extend(texts(&context.sql(sql).await?.collect().await?)?);
        }
        if let Some(named) = self.named(added).await? {
            let Some((_, contexts)) = self.whole.iter().find(|(fold, _)| fold.name == "contexts") else {
                return Ok(Err("there is no fold of contexts"));
            };
            let touched = self.context.read_table(contexts.clone())?.filter(named)?;
            let touched = touched.select(vec![col("grant_id")])?.distinct()?;
            found.extend(texts(&touched.collect().await?)?);
        }
        found.retain(|id| !open.contains(id));
        if found.len() > CONCERNED_MAX {
            return Ok(Err("newer rows concern very many settled grants"));
        }
        Ok(Ok(found.into_iter().collect()))
    }

    /// Under which names an exercise is concerned by a context event, a logout or a revocation of many: such as came since the
    /// base, or had not happened yet at its moment.
    async fn named(&self, added: &[DataFile]) -> Result<Option<Expr>, QueryError> {
        let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (fold, whole) in self.whole.iter().filter(|(fold, _)| NAMING.contains(&fold.name)) {
            let newer = self.store.since(fold, self.base.version, self.state.version, added).await?;
            let not_yet = column("event_time").gt(lit(views::timestamp(self.base.as_of)));
            let not_yet = self.context.read_table(whole.clone())?.filter(not_yet)?;
            let mut rows = self.context.read_table(newer)?.union(not_yet)?;
            rows = self.reaching_settled(fold, whole, rows).await?;
            if fold.keys.iter().any(|key| key == "named_grant_id") {
                rows = rows.filter(col("named_grant_id").is_null())?;
            }
            let all = query::sibling(self.context);
            views::replace(&all, "naming", views::memory(query::collect(rows).await?)?)?;
            for name in
                ["subject_id", "device_id", "session_id"].into_iter().filter(|name| fold.keys.iter().any(|k| k == name))
            {
                let sql = format!("SELECT DISTINCT {name} FROM naming WHERE {name} IS NOT NULL");
                names.entry(name).or_default().extend(texts(&all.sql(&sql).await?.collect().await?)?);
            }
        }
        let listed = names.into_iter().filter(|(_, list)| !list.is_empty());
        Ok(listed.map(|(name, list)| super::rows::one_of(name, &list)).reduce(Expr::or))
    }

    /// Of these rows of a fold those that can say something of settled grants.
    async fn reaching_settled(
        &self,
        fold: &Fold,
        whole: &Arc<dyn TableProvider>,
        rows: DataFrame,
    ) -> Result<DataFrame, QueryError> {
        if fold.name != "context_rows" {
            return Ok(rows.filter(before("event_time", self.settled_before))?);
        }
        let context = query::sibling(self.context);
        views::replace(&context, "context_rows", whole.clone())?;
        views::replace(&context, "naming", rows.into_view())?;
        views::bind(context.sql(REACHING).await?, Some(self.settled_before))
    }

    /// A fold's rows of the base, of what came since, and of the settled grants that are concerned.
    async fn part(
        &self,
        fold: &Fold,
        whole: &Arc<dyn TableProvider>,
        newer: &Arc<dyn TableProvider>,
        concerned: &[String],
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let open = self.bases.rows(self.context, self.base, fold).await?;
        let mut rows = self.context.read_table(open)?.union(self.context.read_table(newer.clone())?)?;
        if !concerned.is_empty() {
            let old = rows_under(self.context, whole, &[("grant_id", concerned)]).await?;
            rows = rows.union(self.context.read_table(old)?)?;
        }
        Ok(rows.into_view())
    }

    /// Days that are judged, and those that they are compared with.
    fn recent_days(&self, whole: &Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>, QueryError> {
        let first = query::ScalarValue::Date32(Some(day(self.late_before.saturating_sub(HISTORY))));
        Ok(self.context.read_table(whole.clone())?.filter(col("day").gt_eq(lit(first)))?.into_view())
    }

    async fn names_in(
        &self,
        parts: &HashMap<&'static str, Arc<dyn TableProvider>>,
        fold: &str,
        name: &str,
    ) -> Result<HashSet<String>, QueryError> {
        let Some(table) = parts.get(fold) else { return Ok(HashSet::new()) };
        let rows = self.context.read_table(table.clone())?.select(vec![col(name)])?.distinct()?;
        Ok(texts(&rows.collect().await?)?.into_iter().collect())
    }
}

fn before(name: &str, moment: i64) -> Expr {
    column(name).lt(lit(views::timestamp(moment)))
}

async fn any(rows: datafusion::dataframe::DataFrame) -> Result<bool, QueryError> {
    Ok(rows.limit(0, Some(1))?.collect().await?.iter().any(|batch| batch.num_rows() > 0))
}

/// The grants that a table of parts has rows of.
pub(super) async fn ids(
    context: &SessionContext,
    parts: &Arc<dyn TableProvider>,
) -> Result<HashSet<String>, QueryError> {
    let rows = context.read_table(parts.clone())?.select(vec![col("grant_id")])?.distinct()?;
    Ok(texts(&rows.collect().await?)?.into_iter().collect())
}

/// Since when each source records the issuing of tokens, as seen at a moment.
pub(in crate::detect) async fn issuers(
    context: &SessionContext,
    parts: &Arc<dyn TableProvider>,
    as_of: i64,
) -> Result<BTreeMap<String, i64>, QueryError> {
    let context = query::sibling(context);
    views::replace(&context, "issuers_parts", parts.clone())?;
    let sql = format!(
        "SELECT source, CAST(MIN(first_issue_at) AS BIGINT) AS at FROM issuers_parts WHERE source IS NOT NULL \
         GROUP BY source HAVING CAST(MIN(first_issue_at) AS BIGINT) <= {as_of}"
    );
    let rows = query::collect(context.sql(&sql).await?).await?;
    let objects = query::output::objects(&rows.batches);
    Ok(objects.filter_map(|row| Some((row.get("source")?.as_str()?.to_owned(), row.get("at")?.as_i64()?))).collect())
}
