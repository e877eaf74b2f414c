//! The columns of the lake's `events` table: the only place where their names are spelled.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// UTF-8 text that people look one thing up by: gets a bloom filter.
    Id,
    /// Microseconds since 1970-01-01 UTC.
    Time,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// List of text.
    Texts,
    /// Bytes.
    Binary,
    /// Days since 1970-01-01; a partition column.
    Date,
}

/// One column: its name, kind and meaning.
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

const fn column(name: &'static str, kind: Kind, help: &'static str) -> Column {
    Column { name, kind, help }
}

/// Every column in table order. The last two are the partition columns, which stand in folder names, not in files.
pub const ALL: &[Column] = &[
    column("event_id", Kind::Text, "the source's own id; without one, a hash of the record"),
    column("event_time", Kind::Time, "when it happened"),
    column("received_at", Kind::Time, "when it reached us: the broker's timestamp, else arrival"),
    column("action", Kind::Text, "what was done"),
    column("outcome", Kind::Text, "success or failure"),
    column("token_id", Kind::Id, "id or fingerprint of the token, never its value"),
    column("family_id", Kind::Text, "refresh-token family or authorization grant"),
    column("parent_id", Kind::Text, "the grant this one was delegated from"),
    column("grant_id", Kind::Id, "the unit of findings, as decoded; views resolve aliases"),
    column("grant_basis", Kind::Text, "family, session, token or derived: how sure grant_id is"),
    column("token_kind", Kind::Text, "access, refresh, id, session, pat, api_key, other"),
    column("grant_type", Kind::Text, "OAuth 2.0 grant type"),
    column("issued_at", Kind::Time, "as the issuer states it"),
    column("expires_at", Kind::Time, "as the issuer states it"),
    column("scopes", Kind::Texts, "OAuth 2.0 scopes"),
    column("token_storage", Kind::Text, "where the client keeps the token"),
    column("token_binding", Kind::Text, "none, dpop, mtls, device, unknown"),
    column("subject_id", Kind::Id, "whose token; for offboarding or an admin's revocation, the target"),
    column("subject_kind", Kind::Text, "human, service, agent, shared, unknown"),
    column("actor_id", Kind::Text, "who did it, when it is not the subject"),
    column("client_id", Kind::Text, "OAuth 2.0 client"),
    column("client_kind", Kind::Text, "cli, web, mobile, ci, agent, service, unknown"),
    column("session_id", Kind::Id, "session at the identity provider"),
    column("project_id", Kind::Text, "project or organisation"),
    column("device_id", Kind::Id, "registered device"),
    column("host_id", Kind::Id, "machine the client ran on"),
    column("host_kind", Kind::Text, "workstation, jump_host, ci_runner, server, container, unknown"),
    column("os_user", Kind::Text, "operating-system account"),
    column("ip", Kind::Text, "address of the client"),
    column("asn", Kind::Long, "autonomous system number"),
    column("country", Kind::Text, "ISO 3166-1 alpha-2"),
    column("user_agent", Kind::Text, "as the client states it"),
    column("source", Kind::Text, "native, okta, entra, ..."),
    column("source_event", Kind::Text, "the provider's own event name"),
    column("topic", Kind::Text, "Kafka topic, or path of the file"),
    column("partition", Kind::Int, "Kafka partition, or generation of the file"),
    column("offset", Kind::Long, "Kafka offset, or line number from 0"),
    column("record_index", Kind::Int, "which event of the record, from 0"),
    column("record_hash", Kind::Binary, "first 16 bytes of the SHA-256 of the record"),
    column("decode_notes", Kind::Text, "fields that were unusable and left null"),
    column("raw", Kind::Text, "the record as it came"),
    column("raw_bytes", Kind::Binary, "the record as it came, where it is not UTF-8"),
    column("reject_reason", Kind::Text, "rejected records only: why, naming the field"),
    column(CLASS, Kind::Text, "token, context, other, rejected"),
    column(EVENT_DATE, Kind::Date, "UTC date of event_time; of arrival for rejected records"),
];

/// First partition column.
pub const CLASS: &str = "class";
/// Second partition column.
pub const EVENT_DATE: &str = "event_date";
/// How many of [`ALL`] stand inside the data files.
pub const IN_FILE: usize = ALL.len() - 2;

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Id => DataType::Utf8View,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Int => DataType::Int32,
        Kind::Long => DataType::Int64,
        Kind::Texts => DataType::List(Arc::new(Field::new("element", DataType::Utf8View, true))),
        Kind::Binary => DataType::BinaryView,
        Kind::Date => DataType::Date32,
    }
}

fn fields(columns: &[Column]) -> Vec<Field> {
    columns.iter().map(|c| Field::new(c.name, data_type(c.kind), true)).collect()
}

/// Arrow schema of a data file: every column but the partition columns.
pub static FILE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(fields(&ALL[..IN_FILE]))));

/// Arrow schema of the table: the file's columns, then the partition columns.
pub static TABLE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(fields(ALL))));

/// Columns with a bloom filter: those that name one token, person, device, host or session.
pub fn ids() -> impl Iterator<Item = &'static str> {
    ALL.iter().filter(|c| c.kind == Kind::Id).map(|c| c.name)
}
