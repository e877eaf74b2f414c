//! Who made a call, from `userIdentity`.
//!
//! People of Identity Center are known by `onBehalfOf.userId` (records since 2024), before that by `userName` with type
//! `Unknown`. Sessions of a role carry the role, and the person only where Identity Center made the session: then the
//! session is named after the user. Elsewhere a session name is whatever the caller liked, and proves nothing, unlike a
//! source identity, which the role's trust policy guards.

use std::borrow::Cow;

use crate::decode::fields::Fields;
use crate::decode::json::Json;
use crate::event::Text;

/// Who made a call.
#[derive(Default)]
pub struct Caller<'a> {
    pub id: Text<'a>,
    /// As in `subject_kind`, where the identity says so.
    pub kind: Option<&'static str>,
}

/// What AWS writes in place of a user name that may be a mistyped password.
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Text that AWS has not hidden.
pub fn known(text: Text<'_>) -> Text<'_> {
    text.filter(|text| text != HIDDEN)
}

/// Reads `userIdentity`.
pub fn read<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>) -> Caller<'a> {
    let identity = record.get("userIdentity");
    let person = identity.get("onBehalfOf").items().first().unwrap_or(&Json::Null);
    if let Some(user) = fields.id_of("userIdentity.onBehalfOf.userId", person.get("userId")) {
        return Caller { id: Some(user), kind: Some("human") };
    }
    let mut first = |paths: &[&str]| paths.iter().find_map(|path| known(fields.id(path)));
    match identity.get("type").text().unwrap_or_default() {
        "AWSService" => Caller { id: first(&["userIdentity.invokedBy"]), kind: Some("service") },
        // The user name of a root user is the account's alias.
        "Root" => Caller { id: first(&[ARN, USER_NAME, PRINCIPAL]), kind: None },
        "AssumedRole" => user_of_role(identity).unwrap_or_else(|| {
            let id = first(&["userIdentity.sessionContext.sourceIdentity", ARN, PRINCIPAL]);
            Caller { id, kind: None }
        }),
        "FederatedUser" => {
            Caller { id: after(identity, ":federated-user/").or_else(|| first(&[ARN, PRINCIPAL])), kind: None }
        }
        "SAMLUser" => Caller { id: first(&[USER_NAME, PRINCIPAL]), kind: Some("human") },
        "AWSAccount" => Caller { id: first(&[PRINCIPAL, "userIdentity.accountId"]), kind: None },
        _ => Caller { id: first(&[USER_NAME, PRINCIPAL, ARN]), kind: None },
    }
}

const ARN: &str = "userIdentity.arn";
const USER_NAME: &str = "userIdentity.userName";
const PRINCIPAL: &str = "userIdentity.principalId";

/// The user of a session that Identity Center made: roles of permission sets are named so, and nobody else may.
fn user_of_role<'a>(identity: &'a Json<'a>) -> Option<Caller<'a>> {
    let arn = identity.get("arn").text()?;
    let (_, role_and_session) = arn.split_once(":assumed-role/")?;
    let (role, session) = role_and_session.split_once('/')?;
    let is_person = role.starts_with("AWSReservedSSO_") && !session.is_empty();
    is_person.then_some(Caller { id: Some(Cow::Borrowed(session)), kind: Some("human") })
}

fn after<'a>(identity: &'a Json<'a>, mark: &str) -> Text<'a> {
    let (_, name) = identity.get("arn").text()?.split_once(mark)?;
    (!name.is_empty()).then_some(Cow::Borrowed(name))
}
