//! Reading what a timeline is made of: a few pages of a few files, found by their bloom filters and bounds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::RecordBatch;
use serde_json::{Map, Value};

use super::{About, Change, Event, Material, lives};
use crate::detect::log;
use crate::event::columns;
use crate::event::time;
use crate::lake::Lake;
use crate::lake::log::DataFile;
use crate::lake::lookup::{Among, Lookup, Wanted};
use crate::lake::table::State;
use crate::policy::Policy;
use crate::query::{self, QueryError, output, views};

/// Most events of one timeline: more would not be read by anybody, and would not fit.
pub const EVENTS_MAX: usize = 100_000;
/// Most ids that are followed from what was found: the tokens of a grant, the owners of a device.
const RELATED_MAX: usize = 200;
/// Most grants of a device or host whose beginning is looked for; of more it stays a lower bound, and says so.
const BEGINNINGS_MAX: usize = 16;
/// Most tokens of one grant that are looked for on events without a family.
const TOKENS_MAX: usize = 5_000;
/// Columns of events that a timeline never shows.
const LEFT_OUT: &[&str] = &["raw", "raw_bytes", "reject_reason"];
/// Columns that lines of text say nothing of: each costs a page of every file that is read.
const DETAILS: &[&str] = &[
    "received_at",
    "parent_id",
    "grant_type",
    "scopes",
    "token_storage",
    "token_binding",
    "subject_kind",
    "client_kind",
    "host_kind",
    "asn",
    "user_agent",
    "source_event",
    "decode_notes",
];

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub about: About,
    pub id: &'a str,
    /// From, and to without its end, in microseconds.
    pub range: (i64, i64),
    /// All columns of each event, and not only those that lines and limits need.
    pub everything: bool,
}

/// Where rows are read, and which columns of them.
struct Reader<'a> {
    lake: &'a Lake,
    state: &'a State,
    lookup: Lookup,
    columns: Vec<&'static str>,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("more than {EVENTS_MAX} events have {0} {1:?}: ask for less of it with --from and --to")]
    TooMany(&'static str, String),
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Everything a timeline is made of; without events if the lake knows none with the id.
pub async fn material(lake: &Lake, state: &State, policy: &Policy, asked: &Asked<'_>) -> Result<Material, ReadError> {
    let names = names(policy, asked);
    let reader = Reader::open(lake, state, policy, asked.everything).await?;
    // What a grant did before the range decides how old it is in it; whoever has many grants has too many events.
    let range = if matches!(asked.about, About::Token | About::Grant) { (i64::MIN, i64::MAX) } else { asked.range };
    let files = files(state, &["token", "context"], range);
    let own = reader.rows(files, &[(asked.about.column(), &names)], Among::All, range).await?;
    if own.len() > EVENTS_MAX {
        return Err(ReadError::TooMany(asked.about.column(), asked.id.to_owned()));
    }
    if own.is_empty() {
        return Ok(Material::default());
    }
    let (of_grants, context) =
        tokio::try_join!(reader.rows_of_grants(asked.about, &own), reader.context(asked.about, &own, range))?;
    let all = events(own.into_iter().chain(of_grants).chain(context), policy);
    let shown = shown(&all, asked, &names);
    let ids = ids_of_findings(&shown, asked);
    let mut material = Material { shown, of_grants: all, changes: Vec::new() };
    material.changes = changes(lake, &ids, asked).await?;
    Ok(material)
}

/// Which kinds of id the lake knows a text as.
pub async fn known_as(lake: &Lake, state: &State, id: &str) -> Result<Vec<About>, ReadError> {
    let id = [id.to_owned()];
    let wanted: Vec<(&'static str, &[String])> =
        About::ALL.iter().map(|about| (about.column(), id.as_slice())).collect();
    let policy = Policy::default();
    let reader = Reader::open(lake, state, &policy, false).await?;
    let files = files(state, &["token", "context"], (i64::MIN, i64::MAX));
    let found = reader.rows(files, &wanted, Among::All, (0, i64::MAX)).await?;
    let has = |about: &About| found.iter().any(|row| row.get(about.column()).and_then(Value::as_str) == Some(&id[0]));
    Ok(About::ALL.into_iter().filter(|about| has(about)).collect())
}

/// The id; of a person every name that stands for the same one.
fn names(policy: &Policy, asked: &Asked<'_>) -> Vec<String> {
    let mut names = BTreeSet::from([asked.id.to_owned()]);
    if asked.about == About::Subject {
        let subject = policy.identities().subject_of(asked.id);
        names.insert(subject.to_owned());
        let others = policy.identities().aliases().filter(|(_, of)| *of == subject);
        names.extend(others.map(|(alias, _)| alias.to_owned()));
    }
    names.into_iter().collect()
}

/// The data files of these classes whose day touches the range.
fn files<'s>(state: &'s State, classes: &[&str], range: (i64, i64)) -> Vec<&'s DataFile> {
    let day = |micros: i64| (micros > i64::MIN && micros < i64::MAX).then(|| time::date(micros));
    let (from, to) = (day(range.0), day(range.1));
    let of_class = |file: &&DataFile| {
        file.partition(columns::CLASS).is_some_and(|class| classes.contains(&class))
            && file.partition(columns::EVENT_DATE).is_none_or(|day| {
                from.as_deref().is_none_or(|from| day >= from) && to.as_deref().is_none_or(|to| day <= to)
            })
    };
    state.files.values().filter(of_class).collect()
}

/// A column that has one of the texts. The bounds say nothing new, but prune pages where rows are ordered by the column.
fn one_of(column: &str, texts: &[String]) -> String {
    let quoted = |text: &String| format!("'{}'", text.replace('\'', "''"));
    let listed = texts.iter().map(quoted).collect::<Vec<_>>().join(", ");
    match (texts, texts.iter().min(), texts.iter().max()) {
        ([_], _, _) | (_, None, _) | (_, _, None) => format!("{column} = {listed}"),
        (_, Some(least), Some(most)) => {
            let (least, most) = (quoted(least), quoted(most));
            format!("({column} >= {least} AND {column} <= {most} AND {column} IN ({listed}))")
        }
    }
}

/// Different values of a column, none if there are too many to follow.
fn related(rows: &[Map<String, Value>], column: &str, most: usize) -> Vec<String> {
    let values: BTreeSet<&str> = rows.iter().filter_map(|row| row.get(column)?.as_str()).collect();
    if values.len() > most { Vec::new() } else { values.into_iter().map(str::to_owned).collect() }
}

/// Rows as objects without what is null.
fn objects(batches: &[RecordBatch]) -> Vec<Map<String, Value>> {
    let rows = output::objects(batches);
    rows.map(|row| row.into_iter().filter(|(_, value)| !value.is_null()).collect()).collect()
}

fn text(row: &Map<String, Value>, name: &str) -> Option<String> {
    row.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn first_time(rows: &[Map<String, Value>]) -> i64 {
    rows.iter().filter_map(|row| time::parse(row.get("event_time")?.as_str()?)).min().unwrap_or(0)
}

impl<'a> Reader<'a> {
    async fn open(lake: &'a Lake, state: &'a State, policy: &'a Policy, everything: bool) -> Result<Self, QueryError> {
        let by_rules: BTreeSet<&str> = policy.rules().iter().flat_map(|rule| rule.columns()).collect();
        let wanted = |name: &&str| {
            !LEFT_OUT.contains(name) && (everything || !DETAILS.contains(name) || by_rules.contains(name))
        };
        let columns = columns::ALL.iter().map(|column| column.name).filter(wanted).collect();
        let lookup = Lookup::open(lake, &state.files).await?;
        Ok(Self { lake, state, lookup, columns })
    }

    async fn rows(
        &self,
        files: Vec<&DataFile>,
        wanted: &[(&'static str, &[String])],
        among: Among,
        range: (i64, i64),
    ) -> Result<Vec<Map<String, Value>>, QueryError> {
        let wanted: Vec<_> = wanted.iter().filter(|(_, texts)| !texts.is_empty()).copied().collect();
        let files = if wanted.is_empty() { Vec::new() } else { self.lookup.files_with(&files, &wanted, among) };
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let bound = |at: i64| (at > 0 && at < i64::MAX).then_some(at);
        let (from, to) = (bound(range.0), bound(range.1));
        let most = EVENTS_MAX + 1;
        let asked = Wanted { any: &wanted, among, from, to, columns: &self.columns, most };
        if let Some(rows) = self.lookup.rows(&files, &asked, |batch| objects(std::slice::from_ref(batch))) {
            return Ok(rows?);
        }
        self.query(files, &asked).await
    }

    /// The same rows of a lake elsewhere.
    async fn query(&self, files: Vec<DataFile>, asked: &Wanted<'_>) -> Result<Vec<Map<String, Value>>, QueryError> {
        let context = query::session(query::Limits::default())?;
        views::replace(&context, "events", query::events(self.lake, &context, files)?)?;
        let one_of: Vec<String> = asked.any.iter().map(|(column, texts)| one_of(column, texts)).collect();
        let and = match asked.among {
            Among::All => "TRUE",
            Among::Grantless => "action = 'revoke' AND grant_id IS NULL",
            Among::LoneTokens => "family_id IS NULL",
        };
        let columns: Vec<String> = asked.columns.iter().map(|name| format!("\"{name}\"")).collect();
        let mut sql = format!("SELECT {} FROM events WHERE ({}) AND {and}", columns.join(", "), one_of.join(" OR "));
        for (bound, sign) in [(asked.from, ">="), (asked.to, "<")] {
            if let Some(bound) = bound {
                sql.push_str(&format!(" AND event_time {sign} TIMESTAMP '{}'", time::format(bound)));
            }
        }
        sql.push_str(&format!(" LIMIT {}", asked.most));
        let found = query::collect(query::plan(&context, &sql).await?).await?;
        Ok(objects(&found.batches))
    }

    /// All rows of the grants that were met, so that it is known when they began; those stored under a token of theirs too.
    async fn rows_of_grants(
        &self,
        about: About,
        own: &[Map<String, Value>],
    ) -> Result<Vec<Map<String, Value>>, QueryError> {
        if about == About::Subject {
            return Ok(Vec::new());
        }
        // Where the issuing is among the rows, nothing before it is missing.
        let issues = own.iter().filter(|row| text(row, "action").as_deref() == Some("issue"));
        let issued: BTreeSet<String> = issues.filter_map(|row| text(row, "grant_id")).collect();
        let mut grants = related(own, "grant_id", RELATED_MAX);
        if about != About::Token {
            grants.retain(|grant| !issued.contains(grant));
        }
        if about == About::Grant || (about != About::Token && grants.len() > BEGINNINGS_MAX) {
            grants.clear();
        }
        let (mut tokens, mut first) = (Vec::new(), i64::MIN);
        if matches!(about, About::Grant | About::Token) {
            tokens = related(own, "token_id", TOKENS_MAX);
            first = first_time(own);
        }
        let classes = ["token", "context"];
        let (of_grants, of_tokens) = ([("grant_id", grants.as_slice())], [("token_id", tokens.as_slice())]);
        let (mut found, lone) = tokio::try_join!(
            self.rows(files(self.state, &classes, (i64::MIN, i64::MAX)), &of_grants, Among::All, (0, i64::MAX)),
            self.rows(files(self.state, &classes, (first, i64::MAX)), &of_tokens, Among::LoneTokens, (first, i64::MAX)),
        )?;
        found.extend(lone);
        Ok(found)
    }

    /// What befell the owners and devices that were met, and revocations that name no token.
    async fn context(
        &self,
        about: About,
        own: &[Map<String, Value>],
        range: (i64, i64),
    ) -> Result<Vec<Map<String, Value>>, QueryError> {
        let (subjects, devices) = (related(own, "subject_id", RELATED_MAX), related(own, "device_id", RELATED_MAX));
        let wanted = [("subject_id", subjects.as_slice()), ("device_id", devices.as_slice())];
        let mut found = self.rows(files(self.state, &["context"], range), &wanted, Among::All, range).await?;
        if matches!(about, About::Token | About::Grant) {
            // From the first event on: what was revoked before is not revoked again. Those that name a session have its
            // grant.
            let range = (first_time(own), i64::MAX);
            let sessions = related(own, "session_id", RELATED_MAX);
            let (of_subjects, of_sessions) =
                ([("subject_id", subjects.as_slice())], [("grant_id", sessions.as_slice())]);
            let (by_subject, by_session) = tokio::try_join!(
                self.rows(files(self.state, &["token"], range), &of_subjects, Among::Grantless, range),
                self.rows(files(self.state, &["token"], range), &of_sessions, Among::All, range),
            )?;
            found.extend(by_subject.into_iter().chain(by_session));
        }
        Ok(found)
    }
}

/// Rows as events: each once, aliases of tokens and of people resolved, by time.
pub fn events(rows: impl Iterator<Item = Map<String, Value>>, policy: &Policy) -> Vec<Event> {
    let mut once: BTreeMap<(Option<String>, Option<String>), Map<String, Value>> = BTreeMap::new();
    // Of two contents under one id the smaller record hash counts, as in the view `single_events`.
    let place = |row: &Map<String, Value>| {
        let number = |name: &str| row.get(name).and_then(Value::as_i64);
        (text(row, "record_hash"), text(row, "topic"), number("partition"), number("offset"), number("record_index"))
    };
    for row in rows {
        let key = (text(&row, "source"), text(&row, "event_id"));
        match once.get(&key) {
            Some(other) if place(other) <= place(&row) => {}
            _ => {
                once.insert(key, row);
            }
        }
    }
    let mut families: HashMap<String, String> = HashMap::new();
    for row in once.values() {
        if let (Some(token), Some(family)) = (text(row, "token_id"), text(row, "family_id")) {
            let known = families.entry(token).or_insert_with(|| family.clone());
            if family < *known {
                *known = family;
            }
        }
    }
    let mut events: Vec<Event> = once
        .into_values()
        .map(|mut row| {
            let lone = if row.contains_key("family_id") { None } else { text(&row, "token_id") };
            let grant = lone.and_then(|token| families.get(&token).cloned()).or_else(|| text(&row, "grant_id"));
            if let Some(subject) = text(&row, "subject_id") {
                row.insert("subject_id".to_owned(), policy.identities().subject_of(&subject).into());
            }
            let at = text(&row, "event_time").and_then(|at| time::parse(&at)).unwrap_or(0);
            Event { at, grant, row }
        })
        .collect();
    events.sort_by_cached_key(|event| (event.at, text(&event.row, "event_id")));
    events
}

/// Those that the timeline is of: its own, what befell its owners and devices, and revocations that cover it.
fn shown(all: &[Event], asked: &Asked<'_>, names: &[String]) -> Vec<Event> {
    let is_own = |event: &Event| match event.text(asked.about.column()) {
        Some(value) => names.iter().any(|name| name == value),
        None => false,
    };
    let grants: BTreeSet<&String> = all.iter().filter(|e| is_own(e)).filter_map(|e| e.grant.as_ref()).collect();
    let of_them = |event: &Event| event.grant.as_ref().is_some_and(|grant| grants.contains(grant));
    let exercises: Vec<&Event> = all.iter().filter(|event| event.is_exercise() && of_them(event)).collect();
    let covers = |event: &Event| {
        lives::is_broad_revocation(event) && exercises.iter().any(|exercise| lives::is_covered(exercise, event))
    };
    let is_shown = |event: &&Event| {
        event.is_context()
            || match asked.about {
                About::Grant => of_them(event) || covers(event),
                // What is said of the grant as a whole is said of each of its tokens.
                About::Token => is_own(event) || (of_them(event) && event.text("token_id").is_none()) || covers(event),
                About::Subject => {
                    // Names were resolved: each of them is now the one that counts.
                    is_own(event)
                }
                About::Device | About::Host => is_own(event),
            }
    };
    all.iter().filter(is_shown).cloned().collect()
}

/// The ids of which findings are looked for; none: too many to name.
fn ids_of_findings(shown: &[Event], asked: &Asked<'_>) -> BTreeSet<String> {
    let mut ids: BTreeSet<String> = shown.iter().filter_map(|event| event.grant.clone()).collect();
    ids.insert(asked.id.to_owned());
    if matches!(asked.about, About::Grant | About::Token) {
        for column in ["host_id", "device_id", "session_id"] {
            ids.extend(shown.iter().filter_map(|event| event.text(column)).map(str::to_owned));
        }
    }
    ids
}

/// What became of findings about these ids.
async fn changes(lake: &Lake, ids: &BTreeSet<String>, asked: &Asked<'_>) -> Result<Vec<Change>, QueryError> {
    let found = log::changes_about(lake, ids, RELATED_MAX).await?;
    let concerns = |change: &Change| {
        let of = |column: &str| change.key.get(column).and_then(Value::as_str);
        match of("grant_id") {
            Some(grant) => ids.contains(grant),
            None => change.key.iter().any(|(column, value)| {
                let is_id = column == asked.about.column() || column.ends_with("_id") && column != "project_id";
                is_id && value.as_str().is_some_and(|value| ids.contains(value))
            }),
        }
    };
    let mut rows: Vec<_> = output::objects(&found).collect();
    rows.sort_by_cached_key(|row| (row.get("sequence").and_then(Value::as_i64), text(row, "finding_id")));
    Ok(rows.into_iter().map(change).filter(concerns).collect())
}

fn change(row: Map<String, Value>) -> Change {
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    let moment = |name: &str| text(name).and_then(|at| time::parse(&at));
    Change {
        finding_id: text("finding_id").unwrap_or_default(),
        detector: text("detector").unwrap_or_default(),
        change: text("change").unwrap_or_default(),
        severity: text("severity").unwrap_or_default(),
        key: text("key").and_then(|key| serde_json::from_str(&key).ok()).unwrap_or_default(),
        violated_at: moment("violated_at").unwrap_or(0),
        resolved_at: moment("resolved_at"),
        at: moment("at").unwrap_or(0),
        owner: text("owner"),
        reason: text("reason"),
    }
}
