//! Silences: what nobody wants to be alerted of, who says so, why, and until when.
//!
//! They stand in the configuration or in the lake's table `alert_silences`, to which rows are only added: one when a
//! silence begins, another when somebody ends it early. What a silence keeps back is recorded in the outbox all the same.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use serde::Serialize;
use serde_json::{Map, Value};

use super::config::{Config, SilenceConfig};
use super::notice::key_of;
use super::outbox::{texts, times};
use crate::event::time;
use crate::lake::scan::Files;
use crate::lake::table::{Table, TableSpec};
use crate::lake::{Lake, LakeError};
use crate::policy::glob;
use crate::query::output;
use crate::query::{self, QueryError, views};

/// A silence, and when it holds.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Silence {
    pub id: String,
    pub owner: String,
    pub reason: String,
    /// With `*` and `?`.
    pub detector: String,
    /// Columns of the finding and their values, with `*` and `?`.
    #[serde(rename = "match")]
    pub matching: BTreeMap<String, String>,
    /// Microseconds UTC, as `ended_at`.
    pub until: i64,
    /// When and by whom it was ended early.
    pub ended: Option<(i64, String)>,
    /// Whether it stands in the configuration.
    pub configured: bool,
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8View, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    Arc::new(Schema::new(vec![
        time("at"),
        text("id"),
        text("event"),
        text("owner"),
        text("reason"),
        text("detector"),
        text("match"),
        time("until"),
    ]))
});

fn spec() -> TableSpec {
    TableSpec { name: "alert_silences", schema: SCHEMA.clone(), partition_columns: Vec::new(), statistics: &["at"] }
}

/// The table with its columns.
pub fn table() -> (&'static str, SchemaRef) {
    ("alert_silences", SCHEMA.clone())
}

impl Silence {
    /// A silence with an id made of what it says.
    pub fn new(owner: &str, reason: &str, detector: &str, matching: BTreeMap<String, String>, until: i64) -> Self {
        let words = serde_json::to_string(&matching).unwrap_or_default();
        let id = key_of(&["silence", owner, reason, detector, &words, &until.to_string()]);
        Self {
            id: id[..12].to_owned(),
            owner: owner.to_owned(),
            reason: reason.to_owned(),
            detector: detector.to_owned(),
            matching,
            until,
            ended: None,
            configured: false,
        }
    }

    fn configured(config: &SilenceConfig) -> Option<Self> {
        let until = time::parse(&config.until)?;
        let silence = Self::new(&config.owner, &config.reason, &config.detector, config.matching.clone(), until);
        Some(Self { configured: true, ..silence })
    }

    /// Whether it silences anything at this moment.
    pub fn holds_at(&self, now: i64) -> bool {
        now < self.until && self.ended.is_none()
    }

    /// In one word, for people.
    pub fn state(&self, now: i64) -> &'static str {
        match (&self.ended, now < self.until) {
            (Some(_), _) => "ended",
            (None, true) => "holds",
            (None, false) => "expired",
        }
    }

    /// Whether it is about a finding with this detector and row.
    pub fn matches(&self, detector: &str, row: &Map<String, Value>) -> bool {
        let is_so = |(name, wanted): (&String, &String)| {
            row.get(name).is_some_and(|value| !value.is_null() && glob::matches(wanted, &output::text(value)))
        };
        glob::matches(&self.detector, detector) && self.matching.iter().all(is_so)
    }
}

/// The silences of a lake and of a configuration, ended and expired ones included.
pub struct Silences {
    lake: Lake,
    table: Option<Table>,
    version: i64,
    configured: Vec<Silence>,
    kept: Vec<Silence>,
}

impl Silences {
    /// Those of the configuration; the lake's are read by [`Silences::refresh`].
    pub fn new(lake: &Lake, config: &Config) -> Self {
        let configured = config.silences.iter().filter_map(Silence::configured).collect();
        Self { lake: lake.clone(), table: None, version: -1, configured, kept: Vec::new() }
    }

    /// All, those of the configuration first.
    pub fn all(&self) -> impl Iterator<Item = &Silence> {
        self.configured.iter().chain(&self.kept)
    }

    /// Reads what others added or ended since the last look.
    pub async fn refresh(&mut self) -> Result<(), QueryError> {
        if self.table.is_none() {
            self.table = Table::open(self.lake.uri(), "alert_silences").await?;
        }
        let Some(table) = &self.table else { return Ok(()) };
        let state = table.refresh().await?;
        if state.version == self.version {
            return Ok(());
        }
        let context = query::session(query::Limits::default())?;
        query::know_store(&context, table);
        let files = Files::new(table, SCHEMA.clone(), &[], state.files.values().cloned().collect())?;
        views::replace(&context, "rows", Arc::new(files))?;
        let rows = query::collect(context.sql("SELECT * FROM rows ORDER BY at, event").await?).await?;
        let mut kept: Vec<Silence> = Vec::new();
        for batch in &rows.batches {
            read(batch, &mut kept).ok_or_else(|| LakeError::Log("alert_silences".into(), "a row is broken".into()))?;
        }
        self.kept = kept;
        self.version = state.version;
        Ok(())
    }

    /// Adds a silence to the lake.
    pub async fn add(&self, silence: &Silence, at: i64) -> Result<(), LakeError> {
        self.append("added", silence, &silence.owner, &silence.reason, at).await
    }

    /// Ends one of the lake's silences.
    pub async fn end(&self, silence: &Silence, owner: &str, at: i64) -> Result<(), LakeError> {
        self.append("ended", silence, owner, &silence.reason, at).await
    }

    async fn append(&self, event: &str, of: &Silence, owner: &str, reason: &str, at: i64) -> Result<(), LakeError> {
        let table = self.lake.table(&spec()).await?;
        let matching = serde_json::to_string(&of.matching).unwrap_or_default(); // texts by text: always JSON
        let one = |text: &str| texts([Some(text.to_owned())]);
        let columns = vec![
            times(vec![Some(at)]),
            one(&of.id),
            one(event),
            one(owner),
            one(reason),
            one(&of.detector),
            one(&matching),
            times(vec![Some(of.until)]),
        ];
        table.append(RecordBatch::try_new(SCHEMA.clone(), columns)?).await?;
        Ok(())
    }
}

/// Takes up rows in their order; `None` if one is broken.
fn read(batch: &RecordBatch, kept: &mut Vec<Silence>) -> Option<()> {
    let column = |name: &str| batch.column_by_name(name)?.as_string_view_opt();
    let time = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>();
    let (ids, events, owners, reasons) = (column("id")?, column("event")?, column("owner")?, column("reason")?);
    let (detectors, matches, at, until) = (column("detector")?, column("match")?, time("at")?, time("until")?);
    for row in 0..batch.num_rows() {
        let (id, owner) = (ids.value(row), owners.value(row));
        if events.value(row) == "ended" {
            let ended = kept.iter_mut().filter(|s| s.id == id);
            ended.for_each(|silence| silence.ended = Some((at.value(row), owner.to_owned())));
            continue;
        }
        let matching = serde_json::from_str(matches.value(row)).ok()?;
        let silence = Silence::new(owner, reasons.value(row), detectors.value(row), matching, until.value(row));
        kept.retain(|s| s.id != id);
        kept.push(Silence { id: id.to_owned(), ..silence });
    }
    Some(())
}
