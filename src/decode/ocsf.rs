//! Open Cybersecurity Schema Framework: identity and access management classes, and API activity.
//!
//! Where the mapping comes from: the OCSF schema, classes `authentication` (3002), `account_change` (3001),
//! `authorize_session` (3003) and `api_activity` (6003, in release candidates of 1.0 3005), objects `user`, `actor`,
//! `session`, `network_endpoint`, `authentication_token`, `metadata`, from 1.0 to 1.8.
//!
//! The schema has no word for tokens: logons and Kerberos tickets are kept as `other`, and what an API call means only
//! the product knows. So where the product is one that Tokentrail decodes as well, its operation is looked up there.

use std::borrow::Cow;

use super::fields::{self, Fields};
use super::json::Json;
use super::{aws, github, okta};
use crate::event::{Action, Event, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "class_uid, with activity_id or metadata";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.get("class_uid").integer().is_some() && (record.has("activity_id") || record.has("metadata"))
}

/// The classes whose records say more than `other`.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    AccountChange,
    Authentication,
    Api,
    Other,
}

/// Adds the event of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let class = class(record);
    let action = named(record).unwrap_or_else(|| action(class, activity(record)));
    let mut event = fields.event(&["time", "time_dt", "metadata.original_time"], action);
    event.event_id = fields.id("metadata.uid").or_else(|| fields.id("metadata.original_event_uid"));
    event.source_event = operation(record).or_else(|| name(record)).map(Cow::Borrowed);
    event.outcome = fields::outcome(!has_failed(record));
    event.ip = fields.ip("src_endpoint.ip");
    event.asn = fields.integer("src_endpoint.autonomous_system.number");
    event.country = fields.text("src_endpoint.location.country");
    event.user_agent = fields.text("http_request.user_agent");
    event.device_id = fields.id("device.uid").or_else(|| fields.text("device.hostname"));
    event.host_id = fields.text("device.hostname");
    event.client_id =
        ["app.uid", "app.name", "actor.app_uid", "actor.app_name"].into_iter().find_map(|path| fields.id(path));
    people(&mut fields, record, class, &mut event);
    event.session_id = fields.id("session.uid");
    // The actor's session is not that of whom, or of the key that, was acted on.
    if event.session_id.is_none() && event.actor_id.is_none() && matches!(event.action, Action::Other | Action::Logout)
    {
        event.session_id = fields.id("actor.session.uid");
    }
    match class {
        Class::Authentication => ticket(&mut fields, &mut event),
        Class::Api => key(&mut fields, record, &mut event),
        _ => {}
    }
    fields.finish(event, out)
}

fn class(record: &Json<'_>) -> Class {
    let is_call = || record.get("api").get("operation").text().is_some();
    match record.get("class_uid").integer() {
        Some(3001) => Class::AccountChange,
        Some(3002) => Class::Authentication,
        Some(6003) => Class::Api,
        Some(3005) if is_call() => Class::Api,
        _ => Class::Other,
    }
}

/// The activity, which `type_uid` holds as well.
fn activity(record: &Json<'_>) -> i64 {
    record.get("activity_id").integer().or_else(|| record.get("type_uid").integer().map(|uid| uid % 100)).unwrap_or(0)
}

fn action(class: Class, activity: i64) -> Action {
    match (class, activity) {
        (Class::Authentication, 2) => Action::Logout,
        (Class::AccountChange, 5 | 6) => Action::Offboard,
        (Class::AccountChange, 2) => Action::Reinstate,
        _ => Action::Other,
    }
}

/// The product's own name of what was done.
fn operation<'a>(record: &'a Json<'a>) -> Option<&'a str> {
    record.at("api.operation").text().or_else(|| record.at("metadata.event_code").text())
}

/// The schema's name of what was done.
fn name<'a>(record: &'a Json<'a>) -> Option<&'a str> {
    record.get("type_name").text().or_else(|| record.get("activity_name").text())
}

/// What the product's own decoder would make of an operation, if it knows that for more than `other`.
fn named(record: &Json<'_>) -> Option<Action> {
    let operation = operation(record)?;
    let product = record.at("metadata.product");
    let is_by = |name: &str| {
        let says_so = |member: &str| {
            let words = product.get(member).text().unwrap_or_default().split(|letter: char| !letter.is_alphanumeric());
            words.into_iter().any(|word| word.eq_ignore_ascii_case(name))
        };
        says_so("vendor_name") || says_so("name")
    };
    let action = if is_by("okta") {
        okta::action(operation)?
    } else if is_by("aws") || is_by("amazon") || is_by("cloudtrail") {
        aws::action(record.at("api.service.name").text().unwrap_or_default(), operation)
    } else if is_by("github") {
        github::action(operation)
    } else {
        return None;
    };
    (action != Action::Other).then_some(action)
}

/// Whether it was refused; where no status is stated, by the words beside.
fn has_failed(record: &Json<'_>) -> bool {
    let says = |member: &str, word: &str| record.get(member).text().is_some_and(|text| text.eq_ignore_ascii_case(word));
    match record.get("status_id").integer() {
        Some(1) => false,
        Some(2) => true,
        _ => says("status", "failure") || says("status", "failed") || record.get("action_id").integer() == Some(2),
    }
}

/// Whose account or token, and who acted. A target that is not named is not taken to be the one who acted.
fn people<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>, class: Class, event: &mut Event<'a>) {
    let actor = person(fields, ["actor.user.name", "actor.user.email_addr", "actor.user.uid"]);
    let mut user = person(fields, ["user.name", "user.email_addr", "user.uid"]);
    if user.is_some() && user == record.at("user.uid").id() && user == record.at("actor.user.uid").id() {
        // The same one, who goes by a better known name there.
        user = actor.clone();
    }
    let has_target =
        matches!(event.action, Action::Offboard | Action::Reinstate) || ends_sessions(record, event.action);
    if user.is_none() && has_target && class == Class::Api {
        let target = resource(record, &["user"]);
        user = ["name", "uid"].into_iter().find_map(|name| fields.id_of(name, target.get(name)));
    }
    let kind_of = if user.is_some() { record.get("user") } else { record.at("actor.user") };
    if user.is_none() && !has_target {
        user = actor.clone();
    }
    event.actor_id = actor.filter(|actor| user.as_ref() != Some(actor));
    event.subject_kind = matches!(kind_of.get("type_id").integer(), Some(3 | 4)).then_some(Cow::Borrowed("service"));
    event.subject_id = user;
}

/// A login name, else an address, else a number. A name with blanks is what people are called, and comes last.
fn person<'a>(fields: &mut Fields<'a>, paths: [&str; 3]) -> Text<'a> {
    let [name, address, number] = paths.map(|path| fields.id(path));
    let (login, called) =
        if name.as_ref().is_some_and(|name| name.contains(' ')) { (None, name) } else { (name, None) };
    login.or(address).or(number).or(called)
}

/// Whether it ended the sessions of somebody, all of them, and not one key or token.
fn ends_sessions(record: &Json<'_>, action: Action) -> bool {
    action == Action::Revoke && operation(record).is_some_and(|name| name.contains(".session"))
}

/// The first affected resource whose type says that it is one of these.
fn resource<'a>(record: &'a Json<'a>, kinds: &[&str]) -> &'a Json<'a> {
    let is_of_kind = |resource: &&Json<'a>| {
        let kind = resource.get("type").text().unwrap_or_default().to_ascii_lowercase();
        kinds.iter().any(|name| kind.contains(name))
    };
    record.get("resources").items().iter().find(is_of_kind).unwrap_or(&Json::Null)
}

/// The ticket, assertion or token that an authentication names.
fn ticket<'a>(fields: &mut Fields<'a>, event: &mut Event<'a>) {
    let Some(id) = fields.id("authentication_token.uid") else { return };
    event.token_id = Some(id);
    event.token_kind = Some(Cow::Borrowed(match fields.integer("authentication_token.type_id") {
        Some(3) => "id",
        Some(4) => "refresh",
        _ => "other",
    }));
    event.issued_at = fields.time("authentication_token.created_time");
    event.expires_at = fields.time("authentication_token.expiration_time");
}

/// The key or token that a call made or withdrew.
fn key<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>, event: &mut Event<'a>) {
    if !matches!(event.action, Action::Issue | Action::Revoke) {
        return;
    }
    let resource = resource(record, &["token", "key", "credential"]);
    event.token_id = ["uid", "name"].into_iter().find_map(|name| fields.id_of(name, resource.get(name)));
    event.token_kind = event.token_id.is_some().then_some(Cow::Borrowed("api_key"));
    if !ends_sessions(record, event.action) {
        fields.is_of_one_token(event);
    }
}

#[cfg(test)]
mod tests;
