//! Directory audit logs.
//!
//! Activities are those of "Microsoft Entra audit log activity reference"; fields are those of the directoryAudit,
//! auditActivityInitiator and targetResource resource types of Microsoft Graph. What shapes the mapping:
//!
//! - The target is whom it is about; the actor and the address are the administrator's. Only what is not about tokens is
//!   about whoever did it.
//! - Disabling a person is told twice or thrice: as `Disable account`, as `Update user` with `AccountEnabled`, and as new
//!   `StsRefreshTokenValidFrom`. A disabled device is told as `Update device` only.
//! - `Remove delegated permission grant` is also one half of an amendment. It takes something away only where no scope
//!   is left.
//! - A deleted person's name is written with the object id before it, without hyphens.

use std::borrow::Cow;

use super::{address, body, real_id, same_name};
use crate::decode::fields::{Fields, outcome};
use crate::decode::json::{Json, is_value};
use crate::event::{Action, Event, Rejection, Text};

/// What an event is about.
#[derive(Clone, Copy, PartialEq)]
pub enum About {
    Person,
    Device,
    /// The permissions a client has of a person.
    Consent,
}

/// What an activity means. `None`: nothing about tokens.
pub fn meaning(name: &str) -> Option<(Action, About)> {
    use Action::*;
    const MEANINGS: [(&str, Action, About); 22] = [
        ("Update StsRefreshTokenValidFrom Timestamp", Revoke, About::Person),
        ("Revoke sign in sessions", Revoke, About::Person),
        ("Revoke all sign in sessions", Revoke, About::Person),
        ("Disable account", Offboard, About::Person),
        ("Delete user", Offboard, About::Person),
        ("Hard Delete user", Offboard, About::Person),
        ("Delete external user", Offboard, About::Person),
        ("Enable account", Reinstate, About::Person),
        ("Restore user", Reinstate, About::Person),
        ("ConfirmAccountCompromised", Compromise, About::Person),
        ("ConfirmCompromised", Compromise, About::Person),
        ("ConfirmServicePrincipalCompromised", Compromise, About::Person),
        ("Delete device", DeviceLost, About::Device),
        ("Hard Delete device", DeviceLost, About::Device),
        ("Disable device", DeviceLost, About::Device),
        ("Unregister device", DeviceLost, About::Device),
        ("Enable device", DeviceRecovered, About::Device),
        ("Restore device", DeviceRecovered, About::Device),
        ("Remove delegated permission grant", Revoke, About::Consent),
        ("Remove OAuth2PermissionGrant", Revoke, About::Consent),
        // These two mean something only with what they changed: see [`of_change`].
        ("Update user", Other, About::Person),
        ("Update device", Other, About::Device),
    ];
    let found = MEANINGS.iter().find(|(activity, ..)| same_name(activity, name))?;
    Some((found.1, found.2))
}

/// The action, now that is known what was changed. A change is an old and a new value by the property's name.
pub fn of_change<'a>(action: Action, about: About, change: impl Fn(&str) -> (&'a Json<'a>, &'a Json<'a>)) -> Action {
    match (action, about) {
        (Action::Other, About::Person | About::Device) => {
            let (old, new) = change("AccountEnabled");
            match (truth(old), truth(new), about) {
                (Some(false), Some(true), About::Person) => Action::Reinstate,
                (Some(false), Some(true), _) => Action::DeviceRecovered,
                (was, Some(false), About::Person) if was != Some(false) => Action::Offboard,
                (was, Some(false), _) if was != Some(false) => Action::DeviceLost,
                _ => Action::Other,
            }
        }
        (Action::Revoke, About::Consent) => {
            let (_, left) = change("DelegatedPermissionGrant.Scope");
            if bare(left).is_some() { Action::Other } else { Action::Revoke }
        }
        _ => action,
    }
}

/// A truth value, which stands as JSON in text and mostly in a list: `"[true]"`.
fn truth(value: &Json<'_>) -> Option<bool> {
    match value {
        Json::Text(text) => match text.trim_matches(['[', ']', '"', ' ', '\r', '\n']) {
            word if word.eq_ignore_ascii_case("true") => Some(true),
            word if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        },
        _ => value.items().first().unwrap_or(value).boolean(),
    }
}

/// Text that stands as JSON in text, maybe in a list: `"\"a\""`, `"[\"a\"]"`.
pub fn bare<'a>(value: &'a Json<'a>) -> Option<&'a str> {
    Some(value.text()?.trim_matches(['[', ']', '"', ' ', '\r', '\n'])).filter(|text| is_value(text))
}

/// Adds the event of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    const TIMES: [&str; 4] = ["properties.activityDateTime", "activityDateTime", "time", "TimeGenerated"];
    let mut fields = Fields::new(record);
    let body = body(record);
    let named = fields.text_of("activityDisplayName", body.get("activityDisplayName"));
    let name = named.or_else(|| fields.text("operationName")).or_else(|| body.get("operationName").cow());
    let found = meaning(name.as_deref().unwrap_or_default());
    let targets = body.get("targetResources");
    let change = |property: &str| change(targets, property);
    let action = found.map_or(Action::Other, |(action, about)| of_change(action, about, change));
    let about = found.map(|(_, about)| about).filter(|_| action != Action::Other);

    let mut event = fields.event(&TIMES, action);
    event.event_id = fields.id_of("id", body.get("id"));
    event.source_event = name;
    event.outcome = outcome(!is_failed(record, body));
    initiator(body, &mut fields, &mut event);
    let person = person(targets, &mut fields);
    match about {
        None => event.subject_id = event.actor_id.take().or(person),
        Some(About::Person) => event.subject_id = person.or_else(|| principal(targets, &mut fields)),
        Some(About::Device) => event.subject_id = person,
        Some(About::Consent) => {
            let user = change("User.UPN");
            let user = bare(user.0).or_else(|| bare(user.1)).map(Into::into);
            event.subject_id = user.or(person);
            let app = change("ServicePrincipal.AppId");
            event.client_id = bare(app.0).or_else(|| bare(app.1)).map(Into::into);
            let scopes = bare(change("DelegatedPermissionGrant.Scope").0).unwrap_or_default();
            event.scopes = scopes.split_whitespace().take(crate::decode::SCOPES_MAX).map(Into::into).collect();
        }
    }
    event.device_id = device(body, targets, &mut fields);
    if about == Some(About::Consent) {
        fields.is_of_one_token(&mut event);
    }
    let is_named = match about {
        Some(About::Person) => event.subject_id.is_some(),
        Some(About::Device) => event.device_id.is_some(),
        Some(About::Consent) | None => true,
    };
    if !is_named {
        fields.note("targetResources: nobody and nothing that is named".to_owned());
    }
    event.ip = address(&mut fields, "initiatedBy.user.ipAddress", body.at("initiatedBy.user.ipAddress"))
        .or_else(|| fields.ip_of("additionalDetails.value", detail(body, "ipaddr").get("value")));
    event.user_agent =
        fields.text_of("userAgent", body.get("userAgent")).or_else(|| detail(body, "User-Agent").get("value").cow());
    if event.actor_id == event.subject_id {
        event.actor_id = None;
    }
    fields.finish(event, out)
}

/// A changed property of any target: its old and its new value.
fn change<'a>(targets: &'a Json<'a>, property: &str) -> (&'a Json<'a>, &'a Json<'a>) {
    let named = |target: &'a Json<'a>| target.get("modifiedProperties").item_where("displayName", property);
    let found = targets.items().iter().map(named).find(|found| found.is_object()).unwrap_or(&Json::Null);
    (found.get("oldValue"), found.get("newValue"))
}

fn is_failed(record: &Json<'_>, body: &Json<'_>) -> bool {
    const FAILED: [&str; 3] = ["failure", "failed", "timeout"];
    let stated = [body.get("result"), record.get("resultType"), record.get("resultSignature")];
    let word = stated.into_iter().find_map(Json::text).unwrap_or_default();
    FAILED.iter().any(|failed| failed.eq_ignore_ascii_case(word))
}

/// Who did it: a person by name, an application by its id. The application's own id is mostly not stated.
fn initiator<'a>(body: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    const IDS: [&str; 5] =
        ["user.userPrincipalName", "user.id", "app.appId", "app.servicePrincipalId", "app.servicePrincipalName"];
    let by = body.get("initiatedBy");
    event.actor_id = IDS.into_iter().find_map(|path| real_id(fields.text_of(path, by.at(path))));
}

/// The person among the targets, by name or id.
fn person<'a>(targets: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    let typed = targets.item_where("type", "User");
    let named = || targets.items().iter().find(|target| target.get("userPrincipalName").text().is_some());
    let target = if typed.is_object() { typed } else { named()? };
    let id = fields.text_of("targetResources.id", target.get("id"));
    let name = fields.text_of("targetResources.userPrincipalName", target.get("userPrincipalName"));
    match name {
        Some(name) => Some(undeleted(name, id.as_deref())),
        None => real_id(id),
    }
}

/// Whoever else is the target: a service, or one whose type is not stated.
fn principal<'a>(targets: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    real_id(fields.text_of("targetResources.id", targets.items().first()?.get("id")))
}

/// A person's name without the object id that deletion puts before it.
pub fn undeleted<'a>(name: Cow<'a, str>, id: Option<&str>) -> Cow<'a, str> {
    const ID_DIGITS: usize = 32;
    let Some((prefix, rest)) = name.split_at_checked(ID_DIGITS) else { return name };
    let is_prefix = id.is_some_and(|id| same_name(id, prefix)) && !rest.starts_with('@') && rest.contains('@');
    match (is_prefix, &name) {
        (false, _) => name,
        (true, Cow::Borrowed(text)) => Cow::Borrowed(text.get(ID_DIGITS..).unwrap_or_default()),
        (true, Cow::Owned(_)) => Cow::Owned(rest.to_owned()),
    }
}

/// The device: by the id that sign-ins name it by, if that is stated, else by its object id.
fn device<'a>(body: &'a Json<'a>, targets: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    let target = targets.item_where("type", "Device");
    if !target.is_object() {
        return None;
    }
    let stated = fields.text_of("additionalDetails.value", detail(body, "DeviceId").get("value"));
    let changed = target.get("modifiedProperties").item_where("displayName", "DeviceId");
    let named = real_id(stated)
        .or_else(|| bare(changed.get("oldValue")).or_else(|| bare(changed.get("newValue"))).map(Into::into));
    named.or_else(|| real_id(fields.text_of("targetResources.id", target.get("id"))))
}

fn detail<'a>(body: &'a Json<'a>, key: &str) -> &'a Json<'a> {
    body.get("additionalDetails").item_where("key", key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(name: &str, rest: &str) -> Vec<Option<String>> {
        let record = format!(
            r#"{{"activityDateTime":"2026-03-01T10:00:00Z","activityDisplayName":"{name}","result":"success",
                "initiatedBy":{{"user":{{"userPrincipalName":"admin@example.com","ipAddress":"192.0.2.1"}}}},{rest}}}"#
        );
        let record = Json::parse(record.as_bytes()).unwrap();
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        let event = &out[0];
        let texts = [&event.subject_id, &event.actor_id, &event.client_id, &event.device_id];
        let texts = texts.map(|text| text.as_deref().map(str::to_owned));
        [Some(event.action.as_str().to_owned())].into_iter().chain(texts).collect()
    }

    fn row(texts: [&str; 5]) -> Vec<Option<String>> {
        texts.map(|text| (!text.is_empty()).then(|| text.to_owned())).to_vec()
    }

    fn changed(kind: &str, property: &str, old: &str, new: &str) -> String {
        format!(
            r#""targetResources":[{{"type":"{kind}","id":"id-1","userPrincipalName":"ada@example.com",
                "modifiedProperties":[{{"displayName":"{property}","oldValue":{old},"newValue":{new}}}]}}]"#
        )
    }

    #[test]
    fn what_is_done_to_a_person_is_about_the_person() {
        let target = changed("User", "x", "null", "null");
        let row = |action| row([action, "ada@example.com", "admin@example.com", "", ""]);
        for (name, action) in [
            ("Update StsRefreshTokenValidFrom Timestamp", "revoke"),
            ("Disable account", "offboard"),
            ("Hard Delete user", "offboard"),
            ("Enable account", "reinstate"),
            ("ConfirmAccountCompromised", "compromise"),
        ] {
            assert_eq!(decoded(name, &target), row(action), "{name}");
        }
        assert_eq!(decoded("Reset password", &target)[..2], ["other", "admin@example.com"].map(|t| Some(t.to_owned())));
    }

    #[test]
    fn an_update_means_what_it_changed() {
        for (name, kind, old, new, action) in [
            ("Update user", "User", r#""[true]""#, r#""[false]""#, "offboard"),
            ("Update user", "User", r#""[]""#, r#""false""#, "offboard"),
            ("Update user", "User", r#""[false]""#, r#""[true]""#, "reinstate"),
            ("Update user", "User", r#""[]""#, r#""[true]""#, "other"),
            ("Update user", "User", r#""[false]""#, r#""[false]""#, "other"),
            ("Update device", "Device", "[true]", "[false]", "device_lost"),
            ("Update device", "Device", "false", "true", "device_recovered"),
        ] {
            let target = changed(kind, "AccountEnabled", old, new);
            assert_eq!(decoded(name, &target)[0].as_deref(), Some(action), "{name} {old} {new}");
        }
        let compliance = changed("Device", "IsCompliant", r#""[true]""#, r#""[false]""#);
        assert_eq!(decoded("Update device", &compliance)[0].as_deref(), Some("other"));
    }

    #[test]
    fn a_device_is_named_as_sign_ins_name_it() {
        let target = r#""targetResources":[{"type":"Device","id":"object-1"}]"#;
        assert_eq!(decoded("Delete device", target), row(["device_lost", "", "admin@example.com", "", "object-1"]));
        let named = format!(r#"{target},"additionalDetails":[{{"key":"DeviceId","value":"dev-1"}}]"#);
        assert_eq!(decoded("Delete device", &named)[4].as_deref(), Some("dev-1"));
    }

    #[test]
    fn a_permission_is_taken_away_only_where_none_is_left() {
        let target = |left: &str| {
            format!(
                r#""targetResources":[{{"type":"ServicePrincipal","id":"sp-1","modifiedProperties":[
                    {{"displayName":"DelegatedPermissionGrant.Scope","oldValue":"\"User.Read Mail.Read\"","newValue":{left}}},
                    {{"displayName":"ServicePrincipal.AppId","oldValue":"\"app-1\"","newValue":""}}]}}]"#
            )
        };
        let name = "Remove delegated permission grant";
        assert_eq!(decoded(name, &target(r#""\"\"""#)), row(["revoke", "", "admin@example.com", "app-1", ""]));
        assert_eq!(decoded(name, &target(r#""\"User.Read\"""#))[0].as_deref(), Some("other"));
    }

    #[test]
    fn a_deleted_person_keeps_the_name() {
        let id = "6ccd1bd1-a2b5-4a3f-8a87-3f1a4f3a0c11";
        let mangled = "6ccd1bd1a2b54a3f8a873f1a4f3a0c11ada@example.com";
        assert_eq!(undeleted(mangled.into(), Some(id)), "ada@example.com");
        assert_eq!(undeleted(mangled.into(), None), mangled);
        assert_eq!(undeleted("ada@example.com".into(), Some(id)), "ada@example.com");
    }
}
