//! AWS CloudTrail: tokens of IAM Identity Center, access keys of IAM, sessions of STS.
//!
//! Which calls there are and what they carry: IAM Identity Center user guide, "IAM Identity Center information in
//! CloudTrail" (identity store, OIDC and access portal operations), "Understanding CloudTrail events for IAM Identity
//! Center" and "Logging IAM Identity Center SCIM API calls"; IAM user guide, "Logging IAM and AWS STS API calls" and
//! "Revoke IAM role temporary security credentials" (the `AWSRevokeOlderSessions` policy); AWS managed policy reference
//! (`AWSCompromisedKeyQuarantine`); CloudTrail user guide, "userIdentity element" (see [`caller`]). Grant types are those
//! of the OIDC API reference.
//!
//! `GetRoleCredentials` and the other calls of the access portal use a token and make none of their own: kept as `other`,
//! with the token they used. One that asks whether the user has confirmed a device code yet decides nothing: `other`.

mod caller;

use std::borrow::Cow;

use super::fields::{self, Fields};
use super::json::Json;
use super::times;
use crate::event::{Action, Event, Rejection, Text};
use caller::{Caller, known};

/// What a record must have.
pub const SHAPE: &str = "eventSource and eventName";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.get("eventSource").text().is_some() && record.get("eventName").text().is_some()
}

/// What an API call is about.
#[derive(Clone, Copy, PartialEq)]
enum Call {
    /// A token of Identity Center is made, for a grant or for a refresh token.
    Token,
    /// Somebody signs out of the access portal.
    Logout,
    /// STS makes temporary credentials.
    Session,
    /// A long-lived key of an IAM user.
    Key,
    /// An IAM user, of one account.
    IamUser,
    /// A person of the identity store, of the whole organization.
    Person,
    /// All sessions of a role that were made before now.
    RoleSessions,
    Other,
}

/// Adds the event of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let service = service(record);
    let (call, action) = call(service, record.get("eventName").text().unwrap_or_default(), record);
    let mut event = fields.event(&["eventTime"], action);
    event.event_id = fields.id("eventID");
    event.source_event = fields.text("eventName");
    event.outcome = fields::outcome(!has_failed(record));
    event.ip = fields.ip("sourceIPAddress");
    event.user_agent = fields.text("userAgent");
    let caller = caller::read(&mut fields, record);
    match call {
        Call::Token => token(&mut fields, record, &mut event, caller),
        Call::Session => session(&mut fields, record, &mut event, caller),
        Call::Key => key(&mut fields, record, &mut event, caller),
        Call::IamUser | Call::RoleSessions | Call::Person => target(&mut fields, record, call, &mut event, caller),
        Call::Logout | Call::Other => {
            event.token_id = fields.id("userIdentity.credentialId");
            event.token_kind = event.token_id.is_some().then_some(Cow::Borrowed("access"));
            own(&mut event, caller);
        }
    }
    if service.starts_with("sso") {
        event.client_id = fields.text("requestParameters.clientId");
        // The session of an application lives as long as its refresh tokens: it is their family.
        event.session_id = fields.text("responseElements.aws_sso_app_session_id");
        event.family_id = event.session_id.clone();
    }
    fields.finish(event, out)
}

/// The service of an event source: `sts` of `sts.amazonaws.com`.
fn service<'a>(record: &'a Json<'a>) -> &'a str {
    let source = record.get("eventSource").text().unwrap_or_default();
    source.split_once('.').map_or(source, |(name, _)| name)
}

/// What was done, where only the names of the service and of the call are known.
pub fn action(service: &str, name: &str) -> Action {
    let service = service.split_once('.').map_or(service, |(name, _)| name);
    call(service, name, &Json::Null).1
}

/// What a call is about, and what was done.
fn call(service: &str, name: &str, record: &Json<'_>) -> (Call, Action) {
    let parameter = |name: &str| record.get("requestParameters").get(name).text().unwrap_or_default();
    let is_inactive = || parameter("status").eq_ignore_ascii_case("Inactive");
    match (service, name) {
        ("sso" | "sso-oauth", "CreateToken" | "CreateTokenWithIAM") if is_poll(record) => (Call::Other, Action::Other),
        ("sso" | "sso-oauth", "CreateToken" | "CreateTokenWithIAM") => {
            let is_refresh = fields::grant_type(parameter("grantType")) == "refresh_token";
            (Call::Token, if is_refresh { Action::Refresh } else { Action::Issue })
        }
        ("sso", "Logout") => (Call::Logout, Action::Logout),
        (
            "sts",
            "AssumeRole"
            | "AssumeRoleWithSAML"
            | "AssumeRoleWithWebIdentity"
            | "AssumeRoot"
            | "GetSessionToken"
            | "GetFederationToken",
        ) => (Call::Session, Action::Issue),
        ("iam", "CreateAccessKey" | "CreateServiceSpecificCredential") => (Call::Key, Action::Issue),
        ("iam", "DeleteAccessKey" | "DeleteServiceSpecificCredential") => (Call::Key, Action::Revoke),
        ("iam", "UpdateAccessKey" | "UpdateServiceSpecificCredential") if is_inactive() => (Call::Key, Action::Revoke),
        ("iam", "DeleteUser") => (Call::IamUser, Action::Offboard),
        // AWS attaches this policy itself, to users whose keys it found in public.
        ("iam", "AttachUserPolicy") if parameter("policyArn").contains("/AWSCompromisedKeyQuarantine") => {
            (Call::IamUser, Action::Compromise)
        }
        ("iam", "PutRolePolicy") if parameter("policyName") == "AWSRevokeOlderSessions" => {
            (Call::RoleSessions, Action::Revoke)
        }
        ("sso-directory" | "identitystore" | "identitystore-scim", "DeleteUser" | "DisableUser") => {
            (Call::Person, Action::Offboard)
        }
        ("sso-directory" | "identitystore", "EnableUser") => (Call::Person, Action::Reinstate),
        ("identitystore-scim", "PatchUser" | "PutUser") => match activity(record) {
            Some(false) => (Call::Person, Action::Offboard),
            Some(true) if name == "PatchUser" => (Call::Person, Action::Reinstate),
            _ => (Call::Person, Action::Other),
        },
        _ => (Call::Other, Action::Other),
    }
}

/// Whether a device asks for its token before the user has decided (RFC 8628 section 3.5).
fn is_poll(record: &Json<'_>) -> bool {
    let error = record.get("errorCode").text().unwrap_or_default();
    error.starts_with("AuthorizationPending") || error.starts_with("SlowDown")
}

/// What a SCIM request makes of a user's `active`: `PutUser` states the whole user, `PatchUser` a list of changes.
fn activity(record: &Json<'_>) -> Option<bool> {
    let body = record.at("requestParameters.httpBody");
    let change = body.get("operations").item_where("path", "active").get("value");
    body.get("active").boolean().or_else(|| change.boolean())
}

/// Whether AWS refused: with an error, or in the place where sign-in says so.
fn has_failed(record: &Json<'_>) -> bool {
    let says_so = |member: &str| {
        let mut answers = record.get(member).members().iter().filter_map(|(_, value)| value.text());
        answers.any(|answer| answer == "Failure")
    };
    record.has("errorCode")
        || record.has("errorMessage")
        || says_so("responseElements")
        || says_so("serviceEventDetails")
}

/// A token of Identity Center. An application that asks for a user names the user beside the request.
fn token<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>, event: &mut Event<'a>, caller: Caller<'a>) {
    let more = record.get("additionalEventData");
    match fields.id_of("additionalEventData.identitystore:UserId", more.get("identitystore:UserId")) {
        Some(user) => {
            event.subject_id = Some(user);
            event.subject_kind = Some(Cow::Borrowed("human"));
            event.actor_id = caller.id.filter(|id| event.subject_id.as_ref() != Some(id));
        }
        None => own(event, caller),
    }
    event.grant_type = fields.text("requestParameters.grantType").map(|stated| fields::grant_type(&stated).into());
    event.scopes = fields.scopes("requestParameters.scope");
    // What a record tells about a token is about the new one, and a refresh is told by the one that was spent.
    if event.action == Action::Issue {
        let credential =
            fields.id_of("additionalEventData.identitycenter:CredentialId", more.get("identitycenter:CredentialId"));
        event.token_id = credential.or_else(|| fields.id("userIdentity.credentialId"));
        event.token_kind = Some(Cow::Borrowed("access"));
        let lifetime = fields.integer("responseElements.expiresIn");
        event.expires_at = lifetime.and_then(|seconds| times::after(event.event_time, seconds));
    }
}

/// Temporary credentials; their access key id is no secret and names them.
fn session<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>, event: &mut Event<'a>, caller: Caller<'a>) {
    event.token_id = fields.id("responseElements.credentials.accessKeyId");
    event.token_kind = Some(Cow::Borrowed("session"));
    event.expires_at = moment(fields, record, "responseElements.credentials.expiration");
    // Sessions of sessions outlive each other by design, so only a key counts as what a session was made from.
    event.parent_id = fields.id("userIdentity.accessKeyId").filter(|key| key.starts_with("AKIA"));
    event.project_id = account(fields);
    own(event, caller);
}

/// A long-lived key: its owner's, and if none is named, the caller's.
fn key<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>, event: &mut Event<'a>, caller: Caller<'a>) {
    event.token_id = [
        "responseElements.accessKey.accessKeyId",
        "requestParameters.accessKeyId",
        "responseElements.serviceSpecificCredential.serviceSpecificCredentialId",
        "requestParameters.serviceSpecificCredentialId",
    ]
    .into_iter()
    .find_map(|path| fields.id(path));
    event.token_kind = Some(Cow::Borrowed("api_key"));
    event.expires_at = moment(fields, record, "responseElements.serviceSpecificCredential.expirationDate");
    event.project_id = account(fields);
    let owner = known(fields.text("requestParameters.userName"))
        .or_else(|| known(fields.text("responseElements.accessKey.userName")))
        .or_else(|| known(fields.text("responseElements.serviceSpecificCredential.userName")));
    match owner {
        Some(owner) => {
            event.actor_id = caller.id.filter(|id| *id != owner);
            event.subject_id = Some(owner);
        }
        None => own(event, caller),
    }
    fields.is_of_one_token(event);
}

/// Whom an administrator's call is about.
fn target<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>, call: Call, event: &mut Event<'a>, caller: Caller<'a>) {
    event.actor_id = caller.id;
    event.subject_id = match call {
        Call::Person => fields.id("requestParameters.userId").or_else(|| fields.id("requestParameters.id")),
        Call::RoleSessions => fields.text("requestParameters.roleName"),
        _ => known(fields.text("requestParameters.userName")),
    };
    match call {
        Call::Person => {
            event.subject_kind = Some(Cow::Borrowed("human"));
            let change = record.at("requestParameters.httpBody.operations").item_where("path", "active");
            fields.boolean_of("value of active", change.get("value"));
        }
        // Names of IAM mean something within their account only.
        _ => event.project_id = account(fields),
    }
}

/// What the caller did for itself.
fn own<'a>(event: &mut Event<'a>, caller: Caller<'a>) {
    event.subject_id = caller.id;
    event.subject_kind = caller.kind.map(Cow::Borrowed);
}

fn account<'a>(fields: &mut Fields<'a>) -> Text<'a> {
    fields.id("recipientAccountId").or_else(|| fields.id("userIdentity.accountId"))
}

/// A time as responses spell it: `Sep 27, 2022 5:09:18 PM`, newer ones with a comma behind the year; or any other way.
fn moment<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>, path: &str) -> Option<i64> {
    record.at(path).text().and_then(english).or_else(|| fields.time(path))
}

fn english(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split([' ', ',', '\u{202f}']).filter(|word| !word.is_empty());
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| name.starts_with(month))? + 1;
    let (day, year, clock, half) = (words.next()?, words.next()?, words.next()?, words.next()?);
    times::parse(&format!("{month}/{day}/{year} {clock} {half}"))
}

#[cfg(test)]
mod tests;
