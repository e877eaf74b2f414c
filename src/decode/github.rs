//! GitHub audit log, of organisations, enterprises and people, and of GitHub Enterprise Server.
//!
//! What events mean and which fields they have is from the pages "Audit log events for your organization", "Audit log
//! events for your enterprise" and "Security log events" of the GitHub documentation, and "Identifying audit log events
//! performed by an access token". Enterprise Server puts part of the fields under `data`.
//!
//! - `oauth_access` are OAuth tokens and classic personal access tokens, `personal_access_token` the fine-grained ones.
//! - `token_id` and `hashed_token` name the token with which something was done. That is the token an event is about when
//!   its owner acts on it; not when somebody else does. A fine-grained token goes by its owner and name, which stay when it
//!   is regenerated, and which a user has once; else by its own id.
//! - A regenerated token is an issue: the one before it has the same name, so revoking that name would end both.
//! - Leaving an organisation ends nothing elsewhere, so it is scoped to that organisation (`project_id`); leaving an
//!   enterprise or GitHub itself is whole. `org.add_member` is no reinstatement, `org.restore_member` is one.
//! - Revoking all tokens of an application has no subject: the actor is only the one who asked for it.
//! - The token that `git` and most events name was used; they are other. An SSH key counts if its fingerprint is known.
//! - `oauth_authorization.destroy` is also written when an authorization expires.

use std::borrow::Cow;

use super::fields::{Fields, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "action with actor, org, user, repo or business, and an epoch in @timestamp or created_at, or one \
                         of _document_id, at_sign_timestamp, operation_type, business_id, programmatic_access_type, or \
                         an action that only GitHub has";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    const PLACES: [&str; 6] = ["actor", "org", "user", "repo", "business", "actor_id"];
    // Many logs have an action, an actor and a time; these are GitHub's own, as are epochs where others write dates.
    const MARKS: [&str; 5] =
        ["_document_id", "at_sign_timestamp", "operation_type", "business_id", "programmatic_access_type"];
    let is_marked = || MARKS.iter().any(|key| record.has(key)) || is_its_own(record);
    let is_stamped = || ["@timestamp", "created_at"].iter().any(|key| record.get(key).integer().is_some());
    record.get("action").text().is_some()
        && PLACES.iter().any(|key| record.has(key))
        && (is_stamped() || is_marked())
        // Slack has an action, too, done by an object to an entity.
        && !record.get("actor").is_object()
        && !record.has("entity")
}

/// Whether nobody else calls an action so; or calls it after an organisation or repository that is named so.
fn is_its_own(record: &Json<'_>) -> bool {
    const CATEGORIES: [&str; 6] = [
        "personal_access_token",
        "oauth_authorization",
        "org_credential_authorization",
        "integration_installation",
        "protected_branch",
        "external_identity",
    ];
    let category =
        record.get("action").text().and_then(|name| name.split_once('.')).map_or("", |(category, _)| category);
    CATEGORIES.contains(&category) || (matches!(category, "org" | "repo") && record.get(category).text().is_some())
}

/// Adds the event of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let name = record.get("action").text().unwrap_or_default();
    let (category, verb) = name.split_once('.').unwrap_or((name, ""));
    // When it happened comes before when it was recorded.
    let times = ["@timestamp", "at_sign_timestamp", "data.@timestamp", "created_at"];
    let mut event = fields.event(&times, meaning(category, verb, record));
    event.outcome = outcome(!(verb.starts_with("failed") || verb.ends_with("_failure") || verb.ends_with("_failed")));
    event.event_id = first(&mut fields, &["_document_id", "data._document_id"]);
    event.source_event = fields.text("action");
    people(category, verb, &mut fields, &mut event);
    let is_whole = matches!(event.action, Action::Offboard | Action::Reinstate) && category != "org";
    let org = if is_whole { None } else { record.get("org").items().first() };
    event.project_id = org.and_then(|org| fields.text_of("org", org));
    event.client_id = client(category, event.action, &mut fields);
    token(category, record, &mut fields, &mut event);
    if event.subject_id.is_some() {
        fields.is_of_one_token(&mut event);
    }
    event.ip = fields.ip("actor_ip").or_else(|| fields.ip("actor_location.ip"));
    event.country =
        fields.text("actor_location.country_code").or_else(|| fields.text("data.actor_location.country_code"));
    event.user_agent = fields.text("user_agent").or_else(|| fields.text("data.user_agent"));
    fields.finish(event, out)
}

/// What an action means where its name is all that is known.
pub fn action(name: &str) -> Action {
    let (category, verb) = name.split_once('.').unwrap_or((name, ""));
    meaning(category, verb, &Json::Null)
}

fn meaning(category: &str, verb: &str, record: &Json<'_>) -> Action {
    match (category, verb) {
        ("oauth_access", "create" | "regenerate") | ("oauth_authorization", "create") => Action::Issue,
        ("personal_access_token", "create" | "access_granted" | "credential_regenerated") => Action::Issue,
        ("org_credential_authorization", "grant") => Action::Issue,
        ("oauth_access", "destroy" | "revoke") | ("oauth_authorization", "destroy") => Action::Revoke,
        ("personal_access_token", "destroy" | "access_revoked" | "credential_revoked") => Action::Revoke,
        ("org_credential_authorization", "revoke" | "deauthorize" | "deauthorized") => Action::Revoke,
        ("oauth_application" | "integration", "revoke_tokens" | "revoke_all_tokens") => Action::Revoke,
        ("public_key", "create" | "delete") if record.get("fingerprint").text().is_none() => Action::Other,
        ("public_key", "create") => Action::Issue,
        ("public_key", "delete") => Action::Revoke,
        ("user", "logout") => Action::Logout,
        ("org", "remove_member" | "remove_outside_collaborator") | ("business", "remove_member") => Action::Offboard,
        ("user", "suspend" | "delete" | "destroy") | ("external_identity", "deprovision") => Action::Offboard,
        ("user", "unsuspend" | "recreate") | ("org", "restore_member") => Action::Reinstate,
        _ => Action::Other,
    }
}

/// Whom it is about and who did it.
fn people<'a>(category: &str, verb: &str, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    let actor = fields.text("actor");
    let target = match (category, verb) {
        (_, "block_user" | "unblock_user") => fields.text("blocked_user"),
        _ => None,
    };
    let target = target.or_else(|| fields.text("user"));
    let target =
        if category == "org_credential_authorization" { target.or_else(|| fields.text("owner")) } else { target };
    // Done to somebody: without a name it must not hit the one who did it.
    let is_done_to = match (event.action, category, verb) {
        (Action::Offboard | Action::Reinstate, ..) => verb != "destroy",
        (Action::Revoke, "personal_access_token", "access_revoked") => true,
        (Action::Revoke, "org_credential_authorization", "revoke") => true,
        _ => false,
    };
    let is_of_all = event.action == Action::Revoke && matches!(category, "oauth_application" | "integration");
    let target = target.or_else(|| is_done_to.then(|| otherwise_named(fields, actor.as_ref())).flatten());
    if is_done_to && target.is_none() {
        fields.note("user: missing".to_owned());
    }
    event.subject_id = match target {
        _ if is_of_all => None,
        None if !is_done_to => actor.clone(),
        target => target,
    };
    event.actor_id = actor.filter(|actor| Some(actor) != event.subject_id.as_ref());
}

/// Whom it was done to, where the login is not told: the name at the identity provider, else the number.
fn otherwise_named<'a>(fields: &mut Fields<'a>, actor: Option<&Cow<'a, str>>) -> Text<'a> {
    let user = fields.id("user_id");
    if user.is_some() && user == fields.id("actor_id") {
        return actor.cloned().or(user);
    }
    fields.text("external_identity_nameid").or(user)
}

/// The application whose token it is. On other events about tokens it would be the one an administrator used.
fn client<'a>(category: &str, action: Action, fields: &mut Fields<'a>) -> Text<'a> {
    let paths: &[&str] = match category {
        "org_credential_authorization" => &["application_id", "application_name"],
        "oauth_access" | "oauth_authorization" | "oauth_application" | "integration" => &[
            "oauth_application_id",
            "data.application_id",
            "oauth_application_name",
            "application_name",
            "data.application_name",
            "oauth_application",
            "integration",
        ],
        _ if action == Action::Other => &["oauth_application_id", "oauth_application_name", "application_name"],
        _ => return None,
    };
    first(fields, paths)
}

/// The token it is about, or that was used.
fn token<'a>(category: &str, record: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    const OWN: [&str; 4] = ["token_id", "data.oauth_access_id", "hashed_token", "data.hashed_token"];
    let kind = match category {
        "oauth_authorization" | "oauth_application" | "integration" => return,
        "personal_access_token" => {
            let name = fields.text("user_programmatic_access_name");
            let named = event.subject_id.as_ref().zip(name).map(|(user, name)| Cow::Owned(format!("{user}/{name}")));
            event.family_id = named.or_else(|| fields.id("user_programmatic_access_id"));
            if event.actor_id.is_none() || event.family_id.is_none() {
                event.token_id = first(fields, &OWN);
            }
            Some("pat")
        }
        "org_credential_authorization" => {
            let own =
                ["managed_token_id", "managed_oauth_access_id", "managed_hashed_token", "token_id", "fingerprint"];
            event.token_id = first(fields, &own);
            kind_of(record.get("oauth_credential_type"))
        }
        "public_key" => {
            event.token_id = fields.text("fingerprint");
            event.token_id.as_ref().map(|_| "other")
        }
        "oauth_access" => {
            event.token_id = first(fields, &OWN);
            // Application 0: nobody's, so a person's own.
            let application = [record.get("oauth_application_id"), record.at("data.application_id")];
            let is_own = application.iter().any(|id| id.integer() == Some(0));
            if is_own { Some("pat") } else { kind_of(record.get("programmatic_access_type")).or(Some("access")) }
        }
        _ => {
            event.token_id = first(fields, &OWN);
            kind_of(record.get("programmatic_access_type"))
        }
    };
    event.token_kind = kind.map(Cow::Borrowed);
    event.expires_at = fields.time("token_expiration");
    let scopes = ["managed_token_scopes", "managed_oauth_scopes", "token_scopes", "data.scopes"];
    event.scopes = scopes.iter().map(|path| fields.scopes(path)).find(|scopes| !scopes.is_empty()).unwrap_or_default();
}

/// What kind of token GitHub's words for people mean, such as `Personal access token (classic)`.
fn kind_of(words: &Json<'_>) -> Option<&'static str> {
    let words = words.text()?.to_ascii_lowercase();
    let has = |word: &str| words.contains(word);
    match () {
        () if has("personal") => Some("pat"),
        () if has("ssh") || has("key") => Some("other"),
        () if has("token") => Some("access"),
        () => None,
    }
}

/// The first of these ids that is stated; 0 is none.
fn first<'a>(fields: &mut Fields<'a>, paths: &[&str]) -> Text<'a> {
    paths.iter().find_map(|path| fields.id(path).filter(|id| id != "0"))
}

#[cfg(test)]
mod tests;
