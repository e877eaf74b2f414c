//! One sink's table. All keys stand in one struct, so that a key of another type of sink is told from a misspelled one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the content of a message is written.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The JSON object of docs/ALERTING.md.
    Native,
    /// Plain text for people.
    Text,
    /// OCSF 1.8.0 Detection Finding (class 2004).
    Ocsf,
}

/// What kind of place it is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    Stdout,
    /// A line each, synced to the disk.
    File,
    /// POST with an idempotency key; signed if there is a secret.
    Webhook,
    /// Slack's incoming webhook, which others take too.
    Slack,
    /// Prometheus Alertmanager, API v2; a secret is sent as bearer token.
    Alertmanager,
    /// A topic; a secret becomes `sasl.password`.
    Kafka,
    /// Mail; with a user name, the secret is the password.
    Smtp,
}

/// How a mail server is talked to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// In the clear, and only to this machine.
    None,
    /// STARTTLS, and nothing is said without it.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
}

/// A place where alerts go.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    #[serde(rename = "type")]
    pub kind: SinkKind,
    #[serde(default)]
    pub format: Option<Format>,
    /// Of a file.
    #[serde(default)]
    pub path: Option<PathBuf>,
    #[serde(default)]
    pub url: Option<String>,
    /// A file that holds the URL, where that is a secret itself (Slack's are).
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// An environment variable that holds the URL.
    #[serde(default)]
    pub url_env: Option<String>,
    /// Certificate authority (PEM) to trust beside those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A file that holds the secret.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// An environment variable that holds it.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// Further headers of a webhook, none of them secret.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub topic: Option<String>,
    /// librdkafka's.
    #[serde(default)]
    pub properties: Option<BTreeMap<String, String>>,
    /// Of the mail server.
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub tls: Option<SmtpTls>,
    #[serde(default)]
    pub from: Option<String>,
    #[serde(default)]
    pub to: Option<Vec<String>>,
    #[serde(default)]
    pub username: Option<String>,
}

impl SinkKind {
    /// The keys that have to be given, and those that may.
    const fn keys(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Stdout => (&[], &[]),
            Self::File => (&["path"], &[]),
            Self::Webhook => (&["url"], &["url_file", "url_env", "ca_file", "secret_file", "secret_env", "headers"]),
            Self::Slack => (&["url"], &["url_file", "url_env", "ca_file"]),
            Self::Alertmanager => (&["url"], &["url_file", "url_env", "ca_file", "secret_file", "secret_env"]),
            Self::Kafka => (&["topic", "properties"], &["secret_file", "secret_env"]),
            Self::Smtp => {
                (&["host", "from", "to"], &["port", "tls", "username", "secret_file", "secret_env", "ca_file"])
            }
        }
    }
}

impl SinkConfig {
    /// The port of the mail server: as it is given, else the usual one (RFC 8314 section 3.3, RFC 5321 section 4.5.4.2).
    pub fn smtp_port(&self) -> u16 {
        self.port.unwrap_or(match self.tls.unwrap_or_default() {
            SmtpTls::None => 25,
            SmtpTls::Starttls => 587,
            SmtpTls::Tls => 465,
        })
    }

    /// The format, or the one its kind is for.
    pub fn format(&self) -> Format {
        self.format.unwrap_or(match self.kind {
            SinkKind::Slack | SinkKind::Alertmanager | SinkKind::Smtp => Format::Text,
            _ => Format::Native,
        })
    }

    /// What is wrong with it, as far as can be seen without trying.
    pub fn problems(&self) -> Vec<String> {
        // A struct of texts and numbers: always an object.
        let Ok(Value::Object(object)) = serde_json::to_value(self) else { return Vec::new() };
        let given: Vec<&str> = object.iter().filter(|(_, v)| !v.is_null()).map(|(k, _)| k.as_str()).collect();
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
        let (needed, allowed) = self.kind.keys();
        let is_given = |key: &str| {
            given.contains(&key) || (key == "url" && (given.contains(&"url_file") || given.contains(&"url_env")))
        };
        let mut found: Vec<String> =
            needed.iter().filter(|key| !is_given(key)).map(|key| format!("a {kind} sink needs `{key}`")).collect();
        let strange =
            given.iter().filter(|k| !["type", "format"].contains(k) && !needed.contains(k) && !allowed.contains(k));
        found.extend(strange.map(|key| format!("`{key}` means nothing to a {kind} sink")));
        for group in [&["url", "url_file", "url_env"][..], &["secret_file", "secret_env"]] {
            if group.iter().filter(|key| given.contains(*key)).count() > 1 {
                found.push(format!("only one of {} can hold", group.join(", ")));
            }
        }
        let is_local = |host: &str| ["localhost", "127.0.0.1", "::1"].contains(&host);
        if self.tls == Some(SmtpTls::None) && self.host.as_deref().is_some_and(|host| !is_local(host)) {
            found.push(
                "tls = \"none\" is for a mail server on this machine only: use \"starttls\" or \"tls\"".to_owned(),
            );
        }
        if self.tls == Some(SmtpTls::None) && self.username.is_some() {
            found.push(
                "a password is not sent in the clear: use tls = \"starttls\" or \"tls\" with `username`".to_owned(),
            );
        }
        if self.kind == SinkKind::Smtp
            && self.username.is_some() != (self.secret_file.is_some() || self.secret_env.is_some())
        {
            found.push("`username` and a secret (its password) belong together".to_owned());
        }
        if let Some(properties) = &self.properties {
            if !properties.contains_key("bootstrap.servers") {
                found.push("properties need \"bootstrap.servers\"".to_owned());
            }
            let secret = properties.keys().filter(|k| k.contains("password") || k.ends_with("key.pem"));
            found.extend(
                secret.map(|k| format!("{k:?} is a secret: name a file or variable by secret_file or secret_env")),
            );
        }
        found
    }
}
