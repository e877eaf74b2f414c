//! Mail. The key makes the Message-ID, so that a mail that comes twice is known for the same.

use std::time::Duration;

use async_trait::async_trait;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::{Failure, Sink};
use crate::alert::config::{Format, SinkConfig, SmtpTls};
use crate::alert::format;
use crate::alert::notice::Message;
use crate::alert::secret;

/// A mail server, and whom to write to.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    format: Format,
    mode: SmtpTls,
    timeout: Duration,
    /// Where, for people.
    place: String,
}

impl Smtp {
    pub fn new(config: &SinkConfig, timeout: Duration) -> Result<Self, String> {
        let host = config.host.clone().ok_or("it needs `host`")?;
        let mode = config.tls.unwrap_or_default();
        let port = config.smtp_port();
        let tls = match mode {
            SmtpTls::None => Tls::None,
            SmtpTls::Starttls => Tls::Required(parameters(config, &host)?),
            SmtpTls::Tls => Tls::Wrapper(parameters(config, &host)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host);
        builder = builder.port(port).tls(tls).timeout(Some(timeout));
        if let (Some(user), Some(password)) = (&config.username, secret::of_sink(config)?) {
            builder = builder.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
        }
        let mailbox = |text: &String| text.parse::<Mailbox>().map_err(|e| format!("{text:?} is no mail address: {e}"));
        let from = mailbox(config.from.as_ref().ok_or("it needs `from`")?)?;
        let to = config.to.iter().flatten().map(mailbox).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err("`to` names nobody".to_owned());
        }
        Ok(Self {
            transport: builder.build(),
            from,
            to,
            format: config.format(),
            mode,
            timeout,
            place: format!("{host}:{port}"),
        })
    }

    fn mail(&self, message: &Message) -> Result<lettre::Message, String> {
        let id = format!("<{}@{}>", message.key, self.from.email.domain());
        let to = self.to.iter().cloned();
        let mut mail: MessageBuilder = to.fold(lettre::Message::builder().from(self.from.clone()), |m, to| m.to(to));
        mail = mail.message_id(Some(id)).subject(format::headline(message)).header(ContentType::TEXT_PLAIN);
        let header =
            |name: &'static str, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        mail = mail.raw_header(header("X-Tokentrail-Key", &message.key));
        // Out-of-office replies to a machine help nobody (RFC 3834).
        mail = mail.raw_header(header("Auto-Submitted", "auto-generated"));
        mail.body(format::lines(message, self.format)).map_err(|e| format!("no mail could be made: {e}"))
    }
}

fn parameters(config: &SinkConfig, host: &str) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = &config.ca_file {
        let pem = std::fs::read(path).map_err(|e| format!("the file {} cannot be read: {e}", path.display()))?;
        let authority = Certificate::from_pem(&pem).map_err(|e| format!("{} is no PEM: {e}", path.display()))?;
        builder = builder.add_root_certificate(authority);
    }
    builder.build().map_err(|e| format!("TLS cannot be set up: {e}"))
}

#[async_trait]
impl Sink for Smtp {
    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let mail = self.mail(message).map_err(Failure::new)?;
        // lettre's own limit is for connecting: a server that says nothing would be waited for beyond it.
        let sent = tokio::time::timeout(self.timeout, self.transport.send(mail)).await;
        let sent = sent.map_err(|_| Failure::new(self.silent()))?;
        sent.map(drop).map_err(|error| Failure::new(format!("the mail server {}: {}", self.place, self.told(&error))))
    }
}

impl Smtp {
    fn silent(&self) -> String {
        let advice = match self.mode {
            SmtpTls::Tls => "",
            _ => "; one that waits for TLS from the first byte takes tls = \"tls\"",
        };
        format!("the mail server {}: no answer within {} s{advice}", self.place, self.timeout.as_secs())
    }

    /// An error with what is to be done about it. Nothing was sent to a server that could not be trusted.
    fn told(&self, error: &Error) -> String {
        let cause = error.to_string();
        let is = |word: &str| cause.to_lowercase().contains(word);
        let advice = if self.mode == SmtpTls::Starttls && error.is_client() && is("starttls") {
            "; it offers no STARTTLS, and nothing is said without: is the port right, or does it take tls = \"tls\"?"
        } else if is("certificate") {
            "; its certificate is not trusted, and nothing was said: name its authority by ca_file, and its own name by host"
        } else if is("invalidcontenttype") || is("corrupt message") {
            "; it does not begin with TLS: is the port right, or does it take tls = \"starttls\"?"
        } else if error.status().is_some_and(|code| [530, 534, 535].contains(&u16::from(code))) {
            "; are username and secret those of this server?"
        } else {
            ""
        };
        cause + advice
    }
}
