//! The native record of an event, and ids as they are spelled.

use std::io::{self, Write};

use super::super::cast::{Name, Speller, Subject as Named, decimal, hex};
use super::super::dice::mix;
use super::super::record::time;
use super::cast::{CLIENTS, Kind};
use super::places::COUNTRIES;
use super::world::{Action, Event, World};

const CHUNK_BYTES: usize = 1 << 20;

/// Writes every event in the order it stands in; returns how many.
pub fn write(world: &World, mut to: impl Write) -> io::Result<u64> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + 4096);
    for (number, event) in world.events.iter().enumerate() {
        record(world, number as u64, event, &mut chunk);
        if chunk.len() >= CHUNK_BYTES {
            to.write_all(&chunk)?;
            chunk.clear();
        }
    }
    to.write_all(&chunk)?;
    to.flush()?;
    Ok(world.events.len() as u64)
}

/// The family that makes the grant's id.
pub fn grant_id(world: &World, grant: u32) -> String {
    spelled(|out| {
        put(out, &["fm-"]);
        hex(mix(mix(world.seed) ^ u64::from(grant)), 16, out);
    })
}

pub fn subject_id(world: &World, subject: u32) -> String {
    let subject = world.subjects[subject as usize];
    let named = match (subject.kind, Name::Number(subject.number)) {
        (Kind::Human, name) => Named::Person(name),
        (Kind::Service, name) => Named::Service(name),
        (Kind::Agent, name) => Named::Agent(name),
    };
    spelled(|out| Speller::subject(named, out))
}

/// RFC 3339, UTC.
pub fn spelled_time(at: i64) -> String {
    spelled(|out| time(at, out))
}

/// What `write` appends, as text. Everything we spell is ASCII.
fn spelled(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn record(world: &World, number: u64, event: &Event, out: &mut Vec<u8>) {
    let grant = world.grants[event.grant as usize];
    let subject = world.subjects[grant.subject as usize];
    let client = &CLIENTS[usize::from(event.client)];
    put(out, &["{\"event_id\":\"ev-"]);
    hex(mix(mix(world.seed ^ 0xe4e47) ^ number), 16, out);
    put(out, &["\",\"event_time\":\""]);
    time(event.at, out);
    let (action, outcome) = match event.action {
        Action::Issue => ("issue", "success"),
        Action::Refresh => ("refresh", "success"),
        Action::Refused => ("refresh", "failure"),
    };
    put(out, &["\",\"action\":\"", action, "\",\"outcome\":\"", outcome, "\",\"token\":{\"family\":\""]);
    put(out, &[&grant_id(world, event.grant), "\",\"kind\":\"refresh\",\"issued_at\":\""]);
    time(grant.issued_at, out);
    put(out, &["\",\"expires_at\":\""]);
    time(grant.expires_at, out);
    let kind = match subject.kind {
        Kind::Human => "human",
        Kind::Service => "service",
        Kind::Agent => "agent",
    };
    put(out, &["\"},\"subject\":{\"id\":\"", &subject_id(world, grant.subject), "\",\"kind\":\"", kind]);
    put(out, &["\"},\"client\":{\"id\":\"", client.id, "\",\"kind\":\"", client.kind, "\"}"]);
    place(event, grant.subject, out);
    put(out, &[",\"source\":\"", client.source.name(), "\"}\n"]);
}

/// Machine and network, as far as the event's machine still has the ids its source tells.
fn place(event: &Event, subject: u32, out: &mut Vec<u8>) {
    if let Some(device) = event.machine.device {
        put(out, &[",\"device\":{\"id\":\"dev-"]);
        decimal(u64::from(device), out);
        put(out, &["\"}"]);
    }
    if let Some(host) = event.machine.host {
        let (kind, prefix) = event.machine.host_kind.names();
        put(out, &[",\"host\":{\"id\":\"", prefix]);
        decimal(u64::from(host), out);
        put(out, &["\",\"kind\":\"", kind, "\"}"]);
    }
    let address = mix(u64::from(event.place.asn) << 32 | u64::from(subject));
    put(out, &[",\"network\":{\"ip\":\"", ["192.0.2.", "198.51.100.", "203.0.113."][(address % 3) as usize]]);
    decimal(1 + address / 3 % 254, out);
    put(out, &["\",\"asn\":"]);
    decimal(u64::from(event.place.asn), out);
    put(out, &[",\"country\":\"", COUNTRIES[usize::from(event.place.country)].code]);
    put(out, &["\",\"user_agent\":\"", event.agent, "\"}"]);
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}
