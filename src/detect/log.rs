//! The findings log and the record of runs: two Delta tables beside `events`, only ever appended to.
//!
//! A finding's present state is its newest row. Rows are committed on exactly the version of the log they were derived
//! from: of two runs at once, the later sees what the earlier wrote and records only what is new to it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array as _, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion::prelude::SessionContext;
use serde_json::{Map, Value};

use super::lifecycle::{Decision, Transition};
use super::runs::{self, Run};
use crate::finding::{Evidence, Finding, Severity, State, Verdict};
use crate::lake::scan::Files;
use crate::lake::table::{Commit, Table, TableSpec};
use crate::lake::{Lake, LakeError, plain, writer};
use crate::query::{self, QueryError, Rows, views};

pub(super) fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8View, true)
}

pub(super) fn time(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
}

pub(super) fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

pub(super) static FINDINGS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        text("finding_id"),
        text("detector"),
        text("change"),
        text("state"),
        text("severity"),
        text("key"),
        time("violated_at"),
        time("resolved_at"),
        time("first_detected_at"),
        text("evidence"),
        text("digest"),
        number("version"),
        text("policy_hash"),
        text("queries_hash"),
        time("as_of"),
        time("at"),
        text("run_id"),
        number("sequence"),
        text("owner"),
        text("reason"),
        time("until"),
    ]))
});

fn spec(name: &'static str, schema: &SchemaRef) -> TableSpec {
    TableSpec { name, schema: schema.clone(), partition_columns: Vec::new(), statistics: &["at"] }
}

/// The newest row of each finding.
const PRESENT: &str = "SELECT * EXCLUDE (place) FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY finding_id ORDER BY sequence DESC) \
                       AS place FROM finding_changes) WHERE place = 1";

/// Runs detector by detector. A run keeps what its detectors came to in one text, for nothing but this reads them singly.
const HISTORY: &str = r#"
SELECT
    run_id,
    REGEXP_MATCH(came, '"detector":"([^"]*)"')[1] AS detector,
    at AS started_at,
    version,
    CAST(REGEXP_MATCH(came, '"took_ms":([0-9]+)')[1] AS BIGINT) AS duration_ms,
    CAST(REGEXP_MATCH(came, '"rows":([0-9]+)')[1] AS BIGINT) AS rows,
    CASE WHEN came LIKE '%"failed":"%' THEN 'failed' ELSE 'ok' END AS result,
    REGEXP_MATCH(came, '"failed":"((?:[^"\\]|\\.)*)"')[1] AS error
FROM (SELECT run_id, at, version, UNNEST(STRING_TO_ARRAY(CAST(outcomes AS VARCHAR), '},{"det')) AS came FROM (
    SELECT run_id, at, version, REPLACE(outcomes, '},{"detector"', '},{"det"detector"') AS outcomes FROM detector_runs
))
"#;

/// The findings log of a lake, at one version.
pub struct Log {
    findings: Table,
    pub(super) runs: Table,
    sequence: i64,
    /// All findings in their present state, by detector and id.
    pub present: HashMap<Arc<str>, HashMap<String, Finding>>,
    /// Ids of those that are resolved because their row was gone.
    pub gone: HashSet<String>,
    /// `as_of` of the latest run.
    pub last_as_of: Option<i64>,
    context: SessionContext,
}

impl Log {
    /// Reads the log, making its tables if they are not there.
    pub async fn open(lake: &Lake) -> Result<Self, QueryError> {
        let findings = lake.table(&spec("findings", &FINDINGS)).await?;
        let runs = lake.table(&spec("detector_runs", &runs::SCHEMA)).await?;
        let context = query::session(query::Limits::default())?;
        let sequence = register_table(&context, &findings, "finding_changes", &FINDINGS).await? + 1;
        register_table(&context, &runs, "detector_runs", &runs::SCHEMA).await?;
        let rows = query::collect(context.sql(PRESENT).await?).await?;
        let mut present: HashMap<Arc<str>, HashMap<String, Finding>> = HashMap::new();
        let mut gone = HashSet::new();
        for batch in &rows.batches {
            let as_of = batch.column_by_name("as_of").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
            for (row, finding) in read(batch)?.into_iter().enumerate() {
                // A run that misses a row resolves its finding at its own moment.
                let at = as_of.filter(|column| column.is_valid(row)).map(|column| column.value(row));
                if finding.state == State::Resolved && finding.verdict.resolved_at == at {
                    gone.insert(finding.id.clone());
                }
                present.entry(finding.verdict.detector.clone()).or_default().insert(finding.id.clone(), finding);
            }
        }
        let last = context.sql("SELECT MAX(as_of) AS as_of FROM detector_runs").await?.collect().await?;
        let last_as_of = last.first().filter(|b| b.num_rows() == 1).and_then(|b| {
            let column = b.column(0).as_primitive_opt::<TimestampMicrosecondType>()?;
            column.iter().next().flatten()
        });
        Ok(Self { findings, runs, sequence, present, gone, last_as_of, context })
    }

    /// The version of the log that was read.
    pub fn version(&self) -> i64 {
        self.sequence - 1
    }

    /// Whether a run by another policy or other queries wrote anything after this version of the log.
    pub async fn others_wrote_since(&self, version: i64, run: &Run) -> Result<bool, QueryError> {
        let sql = "SELECT 1 FROM finding_changes WHERE sequence > $version AND policy_hash <> '' \
                   AND (policy_hash <> $policy OR queries_hash <> $queries) LIMIT 1";
        let text = |text: &String| query::ScalarValue::Utf8View(Some(text.clone()));
        let version = query::ScalarValue::Int64(Some(version));
        let values =
            vec![("version", version), ("policy", text(&run.policy_hash)), ("queries", text(&run.queries_hash))];
        Ok(self.context.sql(sql).await?.with_param_values(values)?.count().await? > 0)
    }

    /// Subjects that findings are about by themselves, and not by their grants.
    pub fn subjects_found(&self) -> Vec<String> {
        let findings = self.present.values().flat_map(HashMap::values).filter(|f| f.state != State::Retracted);
        let keys =
            findings.map(|f| &f.verdict.key).filter(|key| !key.contains_key("grant_id") && !key.contains_key("day"));
        let subjects: BTreeSet<String> =
            keys.filter_map(|key| key.get("subject_id")?.as_str().map(str::to_owned)).collect();
        subjects.into_iter().collect()
    }

    /// Appends transitions; `false` if another run wrote first, and the log is to be read again.
    pub async fn record(&self, run: &Run, transitions: &[Transition]) -> Result<bool, QueryError> {
        if transitions.is_empty() {
            return Ok(true);
        }
        let batch = changes(run, transitions, self.sequence).map_err(LakeError::from)?;
        let add = writer::write_plain(&self.findings, batch).await?;
        let commit = Commit { operation: "WRITE", adds: vec![add], ..Commit::default() };
        let base = self.sequence - 1;
        let committed = self.findings.commit(commit, |s, _| if s.version == base { Ok(()) } else { Err(()) }).await?;
        Ok(committed.is_ok())
    }
}

/// Makes `findings` (present state), `finding_changes` and `detector_runs` known to a session, where the lake has them.
pub async fn register(lake: &Lake, context: &SessionContext) -> Result<(), QueryError> {
    if let Some(table) = Table::open(lake.uri(), "findings").await? {
        register_table(context, &table, "finding_changes", &FINDINGS).await?;
        let present = context.sql(PRESENT).await?.into_view();
        views::replace(context, "findings", present)?;
    }
    if let Some(table) = Table::open(lake.uri(), "detector_runs").await? {
        register_table(context, &table, "detector_runs", &runs::SCHEMA).await?;
        let history = context.sql(HISTORY).await?.into_view();
        views::replace(context, "detector_history", history)?;
    }
    Ok(())
}

/// Records what a person decided about a finding; `false` if a run wrote first, and the finding is to be looked at again.
pub async fn decide(lake: &Lake, decided: Transition, at: i64) -> Result<bool, QueryError> {
    let log = Log::open(lake).await?;
    let newest = log.present.get(&decided.finding.verdict.detector).and_then(|f| f.get(&decided.finding.id));
    if newest.is_none_or(|f| {
        (f.version, f.first_detected_at) != (decided.finding.version, decided.finding.first_detected_at)
    }) {
        return Ok(false);
    }
    let run = Run { as_of: at, at, version: decided.finding.version, ..Run::default() };
    log.record(&run, &[decided]).await
}

/// What happened to a finding, in order, as rows of `finding_changes`.
pub async fn history(lake: &Lake, id: &str) -> Result<Rows, QueryError> {
    let context = query::session(query::Limits::default())?;
    register(lake, &context).await?;
    let sql = "SELECT at, change, state, version, owner, reason, until FROM finding_changes WHERE finding_id = $id \
               ORDER BY sequence";
    let id = query::ScalarValue::Utf8View(Some(id.to_owned()));
    query::collect(context.sql(sql).await?.with_param_values(vec![("id", id)])?).await
}

/// Columns of the log that tell what became of a finding, of which `sequence` says when.
const TOLD: [&str; 11] = [
    "finding_id",
    "detector",
    "change",
    "severity",
    "key",
    "violated_at",
    "resolved_at",
    "at",
    "sequence",
    "owner",
    "reason",
];

/// Rows of the log about findings whose key holds one of these ids, in no order; of more than `named_max` ids, and for
/// whoever looks closer anyway, all rows.
///
/// Without a plan: for three rows it took longer than reading them.
pub async fn changes_about(
    lake: &Lake,
    ids: &BTreeSet<String>,
    named_max: usize,
) -> Result<Vec<RecordBatch>, LakeError> {
    let Some(table) = Table::open(lake.uri(), "findings").await? else { return Ok(Vec::new()) };
    let texts = ids.iter().map(|id| serde_json::to_string(id).unwrap_or_default()); // text is always JSON
    // More ids than can be searched for together are looked at one by one by the caller.
    let any = if ids.len() > named_max { None } else { aho_corasick::AhoCorasick::new(texts).ok() };
    let holds = move |batch: &RecordBatch| {
        let keys = batch.column(0).as_string_view_opt();
        let is_about =
            |row| any.as_ref().is_none_or(|any| keys.is_some_and(|k| k.is_valid(row) && any.is_match(k.value(row))));
        (0..batch.num_rows()).map(|row| Some(is_about(row))).collect()
    };
    plain::matching(&table, &FINDINGS, &TOLD, ("key", holds)).await
}

/// All findings of a lake in their present state, by id; none if no run was ever recorded.
pub async fn present(lake: &Lake) -> Result<Vec<Finding>, QueryError> {
    let context = query::session(query::Limits::default())?;
    register(lake, &context).await?;
    if !context.table_exist("findings")? {
        return Ok(Vec::new());
    }
    let rows = query::collect(context.sql("SELECT * FROM findings ORDER BY finding_id").await?).await?;
    let mut findings = Vec::new();
    for batch in &rows.batches {
        findings.extend(read(batch)?);
    }
    Ok(findings)
}

/// The log and the record of runs, each with its columns: each run adds a file to both.
pub fn tables() -> [(&'static str, SchemaRef); 2] {
    [("findings", FINDINGS.clone()), ("detector_runs", runs::SCHEMA.clone())]
}

pub(super) async fn register_table(
    context: &SessionContext,
    table: &Table,
    name: &str,
    schema: &SchemaRef,
) -> Result<i64, QueryError> {
    let state = table.refresh().await?;
    query::know_store(context, table);
    let files = Files::new(table, schema.clone(), &[], state.files.values().cloned().collect())?;
    views::replace(context, name, Arc::new(files))?;
    Ok(state.version)
}

pub(super) fn times(micros: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

fn changes(run: &Run, transitions: &[Transition], sequence: i64) -> Result<RecordBatch, arrow::error::ArrowError> {
    let texts = |of: &dyn Fn(&Transition) -> String| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(transitions.iter().map(of)))
    };
    let moments = |of: &dyn Fn(&Transition) -> Option<i64>| -> ArrayRef { times(transitions.iter().map(of).collect()) };
    let numbers = |n: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![n; transitions.len()])) };
    let object = |map: &Map<String, Value>| serde_json::to_string(map).unwrap_or_default();
    let said = |of: &dyn Fn(&Decision) -> &String| -> ArrayRef {
        Arc::new(StringViewArray::from_iter(transitions.iter().map(|t| t.decision.as_ref().map(of))))
    };
    let columns = vec![
        texts(&|t| t.finding.id.clone()),
        texts(&|t| t.finding.verdict.detector.to_string()),
        texts(&|t| t.change.as_str().to_owned()),
        texts(&|t| t.finding.state.as_str().to_owned()),
        texts(&|t| t.finding.verdict.severity.as_str().to_owned()),
        texts(&|t| object(&t.finding.verdict.key)),
        moments(&|t| Some(t.finding.verdict.violated_at)),
        moments(&|t| t.finding.verdict.resolved_at),
        moments(&|t| Some(t.finding.first_detected_at)),
        texts(&|t| t.finding.verdict.evidence.text().to_owned()),
        texts(&|t| t.finding.verdict.evidence.digest().to_owned()),
        numbers(run.version),
        texts(&|_| run.policy_hash.clone()),
        texts(&|_| run.queries_hash.clone()),
        moments(&|_| Some(run.as_of)),
        moments(&|_| Some(run.at)),
        texts(&|_| run.id.clone()),
        numbers(sequence),
        said(&|d| &d.owner),
        said(&|d| &d.reason),
        moments(&|t| t.finding.until),
    ];
    RecordBatch::try_new(FINDINGS.clone(), columns)
}

/// Rows of the log as findings.
pub(super) fn read(batch: &RecordBatch) -> Result<Vec<Finding>, QueryError> {
    let bad = |what: &str| QueryError::from(LakeError::Log("findings".to_owned(), what.to_owned()));
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| bad(name));
    let texts = |name: &str| column(name)?.as_string_view_opt().ok_or_else(|| bad(name));
    let times = |name: &str| column(name)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| bad(name));
    let (ids, detectors, states, severities) =
        (texts("finding_id")?, texts("detector")?, texts("state")?, texts("severity")?);
    let (keys, evidence, digests) = (texts("key")?, texts("evidence")?, texts("digest")?);
    let (violated, resolved, first) = (times("violated_at")?, times("resolved_at")?, times("first_detected_at")?);
    let until = times("until")?;
    let versions = column("version")?.as_primitive_opt::<Int64Type>().ok_or_else(|| bad("version"))?;
    let mut names: HashMap<&str, Arc<str>> = HashMap::new();
    let mut findings = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let key: Map<String, Value> = serde_json::from_str(keys.value(row)).map_err(|e| bad(&format!("key: {e}")))?;
        let detector = names.entry(detectors.value(row)).or_insert_with(|| detectors.value(row).into()).clone();
        let verdict = Verdict {
            detector,
            key: Arc::new(key),
            severity: Severity::parse(severities.value(row)).ok_or_else(|| bad("severity"))?,
            violated_at: violated.value(row),
            resolved_at: resolved.is_valid(row).then(|| resolved.value(row)),
            evidence: Evidence::kept(evidence.value(row), digests.value(row)),
        };
        findings.push(Finding {
            id: ids.value(row).to_owned(),
            verdict,
            state: State::parse(states.value(row)).ok_or_else(|| bad("state"))?,
            first_detected_at: first.value(row),
            version: versions.value(row),
            until: until.is_valid(row).then(|| until.value(row)),
        });
    }
    Ok(findings)
}
