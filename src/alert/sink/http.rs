//! Sinks that are asked by POST: any webhook, Slack's, and Alertmanager.
//!
//! The yes is a status of 2xx and an answer that comes whole and is not endless. Redirects are not followed: a signed
//! request with what is known about a person goes to the place that was configured and to no other.

use std::time::Duration;

use async_trait::async_trait;
use hmac::{Hmac, Mac as _};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use sha2::Sha256;

use super::{Failure, Sink};
use crate::alert::config::{Format, SinkConfig, SinkKind};
use crate::alert::format;
use crate::alert::notice::Message;
use crate::alert::secret::{self, Secret};
use crate::clock;
use crate::event::hex;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How much of a refusal's answer is told.
const ANSWER_CHARS_TOLD: usize = 200;
/// Where Alertmanager takes alerts.
const ALERTMANAGER_PATH: &str = "api/v2/alerts";

/// A place that is asked by POST.
pub struct Http {
    client: Client,
    url: Url,
    kind: SinkKind,
    format: Format,
    secret: Option<Secret>,
    headers: HeaderMap,
}

impl Http {
    pub fn new(config: &SinkConfig, timeout: Duration) -> Result<Self, String> {
        let secret_url = secret::url_of(config)?;
        // The URL may be a secret, so it is not repeated.
        let mut url = Url::parse(secret_url.reveal()).map_err(|e| format!("its URL is none: {e}"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(format!("its URL begins with {}: expected http or https", url.scheme()));
        }
        if config.kind == SinkKind::Alertmanager && !url.path().ends_with(ALERTMANAGER_PATH) {
            url.set_path(&format!("{}/{ALERTMANAGER_PATH}", url.path().trim_end_matches('/')));
        }
        let mut client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("tokentrail/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout)
            .timeout(timeout);
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path).map_err(|e| format!("the file {} cannot be read: {e}", path.display()))?;
            let all = Certificate::from_pem_bundle(&pem).map_err(|e| format!("{} is no PEM: {e}", path.display()))?;
            client = client.tls_certs_merge(all);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in config.headers.iter().flatten() {
            let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, value) = parsed.ok_or_else(|| format!("{name:?} is no header, or its value is none"))?;
            headers.insert(name, value);
        }
        Ok(Self {
            client: client.build().map_err(|e| format!("no HTTP client: {}", told(&e)))?,
            url,
            kind: config.kind,
            format: config.format(),
            secret: secret::of_sink(config)?,
            headers,
        })
    }

    fn content(&self, message: &Message) -> (String, &'static str) {
        match self.kind {
            SinkKind::Slack => (format::slack(message, self.format).to_string(), "application/json"),
            SinkKind::Alertmanager => (format::alertmanager(message, self.format).to_string(), "application/json"),
            _ => format::body(message, self.format),
        }
    }

    fn headers(&self, message: &Message, body: &str, content_type: &'static str) -> Result<HeaderMap, Failure> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let unfit = |_| Failure::new("a header cannot hold the key or the secret: are there line breaks in it?");
        headers.insert("idempotency-key", HeaderValue::try_from(&message.key).map_err(unfit)?);
        if let Some(secret) = &self.secret {
            if self.kind == SinkKind::Alertmanager {
                let mut value = HeaderValue::try_from(format!("Bearer {}", secret.reveal())).map_err(unfit)?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            } else {
                let timestamp = clock::now_micros().div_euclid(1_000_000).to_string();
                let signature = signature(secret, &timestamp, body);
                headers.insert("x-tokentrail-timestamp", HeaderValue::try_from(timestamp).map_err(unfit)?);
                headers.insert("x-tokentrail-signature", HeaderValue::try_from(signature).map_err(unfit)?);
            }
        }
        Ok(headers)
    }
}

/// `v1=` and the HMAC-SHA256 of timestamp, a dot and the body, in hexadecimal.
fn signature(secret: &Secret, timestamp: &str, body: &str) -> String {
    // It cannot fail: HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    format!("v1={}", hex(&mac.finalize().into_bytes()))
}

#[async_trait]
impl Sink for Http {
    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let (body, content_type) = self.content(message);
        let headers = self.headers(message, &body, content_type)?;
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
        let response = request.send().await.map_err(|e| Failure::new(format!("no answer: {}", told(&e))))?;
        let status = response.status();
        if status.is_redirection() {
            let place = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).unwrap_or("nowhere");
            return Err(Failure::new(format!(
                "it answered {status} and redirects to {place}: redirects are not followed, put the final URL into the configuration"
            )));
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        match (status.is_success(), whole(response).await) {
            (true, Ok(_)) => Ok(()),
            (true, Err(why)) => Err(Failure::new(format!("it answered {status}, but {why}"))),
            (false, answer) => {
                let answer = answer.unwrap_or_default();
                let said: String = answer.trim().chars().take(ANSWER_CHARS_TOLD).collect();
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                let failure = Failure::new(format!("it answered {status}{}{said}", advice(status)));
                Err(Failure { retry_after: retry_after.map(Duration::from_secs), ..failure })
            }
        }
    }
}

/// The answer, if it comes whole and is not too long.
async fn whole(mut response: Response) -> Result<String, String> {
    let mut answer = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if answer.len() + chunk.len() > ANSWER_BYTES_MAX => {
                return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes: is this the right URL?"));
            }
            Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
            Ok(None) => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            Err(error) => return Err(format!("the answer broke off: {}", told(&error))),
        }
    }
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => " (are URL and secret those of this sink?)",
        404 | 405 | 410 => " (is the URL right?)",
        _ => "",
    }
}

/// An error with its causes, and without the URL, which may be a secret.
fn told(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the exchange failed"
    };
    let mut deepest: &dyn std::error::Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    if error.is_timeout() { what.to_owned() } else { format!("{what} ({deepest})") }
}
