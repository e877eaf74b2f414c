//! What detectors ask to look at closely.

use datafusion::common::JoinType;
use datafusion::dataframe::DataFrame;
use datafusion::prelude::{SessionContext, col, lit};

use super::texts;
use crate::detect::catalog::Detector;
use crate::detect::{Span, check};
use crate::query::{QueryError, views};

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

/// What a nominating query names, asked of the session over all grants.
pub async fn nominated(
    wide: &SessionContext,
    detector: &Detector,
    sql: &str,
    span: Span,
) -> Result<Nominated, QueryError> {
    let frame = check::plan_nominating(wide, detector, sql, span).await?;
    let about_hosts = frame.schema().field_with_unqualified_name("grant_id").is_err();
    let column = if about_hosts { "host_id" } else { "grant_id" };
    let mut named = frame.select(vec![col(column)])?.distinct()?;
    if let Some(since) = span.since.filter(|_| detector.header.resolved_by_end && !about_hosts) {
        named = named.join(over_by(wide, since).await?, JoinType::LeftAnti, &["grant_id"], &["over_id"], None)?;
    }
    let names = texts(&named.collect().await?)?;
    Ok(if about_hosts { Nominated::Hosts(names) } else { Nominated::Grants(names) })
}

/// Grants that ended before a moment, and were not exercised when they ended or later.
async fn over_by(wide: &SessionContext, moment: i64) -> Result<DataFrame, QueryError> {
    let ended = col("ended_at").lt(lit(views::timestamp(moment))).and(col("last_exercised_at").lt(col("ended_at")));
    Ok(wide.table("grants").await?.filter(ended)?.select(vec![col("grant_id").alias("over_id")])?)
}
