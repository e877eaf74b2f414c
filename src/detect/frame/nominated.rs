//! What detectors ask to look at closely.

use datafusion::prelude::{SessionContext, col};

use super::texts;
use crate::detect::catalog::Detector;
use crate::detect::check;
use crate::query::QueryError;

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
    as_of: i64,
) -> Result<Nominated, QueryError> {
    let frame = check::plan(wide, detector, sql, as_of).await?;
    let about_hosts = frame.schema().field_with_unqualified_name("grant_id").is_err();
    let column = if about_hosts { "host_id" } else { "grant_id" };
    let names = texts(&frame.select(vec![col(column)])?.distinct()?.collect().await?)?;
    Ok(if about_hosts { Nominated::Hosts(names) } else { Nominated::Grants(names) })
}
