//! Mail over TLS and with a password, to a real mail server on loopback that makes its own certificates.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::findings::Case;
use super::text;

const USER: &str = "alerts@example.com";
const PASSWORD: &str = "correct horse battery";

/// Three servers: TLS from the first byte, STARTTLS, and one that asks for the password without either.
struct Servers {
    child: Child,
    ready: Value,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Servers {
    fn start(case: &Case) -> Option<Self> {
        let Ok(python) = std::env::var("TOKENTRAIL_PYTHON") else {
            eprintln!("not tested: TOKENTRAIL_PYTHON names no Python with aiosmtpd; `make test` sets it");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/smtp_server.py");
        let mut command = Command::new(python);
        command.arg(script).arg(case.path("")).args([USER, PASSWORD]).stdin(Stdio::null());
        // Handshakes that fail are what is tried here, and it tells each of them at length.
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok).map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let ready = lines.next().expect("the mail servers do not start");
        let told: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = told.clone();
        std::thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push(line)));
        Some(Self { child, ready, told })
    }

    fn sink(&self, server: &str, tls: &str, authority: &str) -> String {
        format!(
            "[alert]\ntimeout_seconds = 3\n[alert.sinks.mail]\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"{tls}\"\n\
             ca_file = {}\nusername = \"{USER}\"\nsecret_env = \"MAIL_PASSWORD\"\n\
             from = \"alerts@example.com\"\nto = [\"soc@example.com\"]\n",
            self.ready["ports"][server], self.ready[authority]
        )
    }

    /// What was told so far, when there is something under this name.
    fn told(&self, name: &str) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let told = self.told.lock().unwrap().clone();
            if told.iter().any(|line| line.get(name).is_some()) {
                return told;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "no {name} in {told:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Sends a sample with this password; what the program said if it failed.
fn sample(case: &Case, password: &str) -> Result<(), String> {
    let output = case.command(&["alert", "test", "mail"]).env("MAIL_PASSWORD", password).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains(password), "the password is told: {said}");
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn mail_goes_over_tls_from_the_first_byte_and_over_starttls_with_a_login() {
    let mut case = Case::new("");
    let Some(servers) = Servers::start(&case) else { return };
    case.happens("issue", 0..1, |_| "ana@example.com".into());
    for (number, way) in ["tls", "starttls"].into_iter().enumerate() {
        case.configure(&servers.sink(way, way, "ca"));
        if number == 0 {
            let sent = case.command(&["alert", "run"]).env("MAIL_PASSWORD", PASSWORD).output().unwrap();
            assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        } else {
            sample(&case, PASSWORD).unwrap();
        }
        let told = servers.told("mail");
        servers.told.lock().unwrap().clear();
        let mail = told.iter().find(|line| line.get("mail").is_some()).unwrap();
        assert!(told.contains(&json!({ "login": USER, "right": true })), "{told:?}");
        assert_eq!((text(mail, "/user"), &mail["to"]), (USER, &json!(["soc@example.com"])));
        assert!(text(mail, "/mail").contains("X-Tokentrail-Key: "), "{mail}");
        assert_eq!(mail["encrypted"], way == "starttls", "only that one is known to the server's protocol: {mail}");
    }
    let key = text(&case.rows(&["alert", "list", "--state", "sent"])[0], "/key").to_owned();
    assert!(!key.is_empty());
}

#[test]
fn a_wrong_password_is_told_and_is_not_in_what_is_told() {
    let case = Case::new("");
    let Some(servers) = Servers::start(&case) else { return };
    for way in ["tls", "starttls"] {
        case.configure(&servers.sink(way, way, "ca"));
        let said = sample(&case, "a wrong one").unwrap_err();
        assert!(said.contains("the mail server 127.0.0.1:") && said.contains("535"), "{said}");
        assert!(said.contains("are username and secret those of this server?"), "{said}");
        let told = servers.told("login");
        servers.told.lock().unwrap().clear();
        assert!(told.contains(&json!({ "login": USER, "right": false })), "{told:?}");
        assert!(!told.iter().any(|line| line.get("mail").is_some()), "{told:?}");
    }
}

#[test]
fn who_cannot_be_trusted_is_not_told_the_password() {
    let case = Case::new("");
    let Some(servers) = Servers::start(&case) else { return };
    // Another authority; and none at all but the system's.
    for way in ["tls", "starttls"] {
        let sink = servers.sink(way, way, "other");
        let without = sink.lines().filter(|line| !line.starts_with("ca_file")).collect::<Vec<_>>().join("\n");
        for sink in [sink, without] {
            case.configure(&sink);
            let said = sample(&case, PASSWORD).unwrap_err();
            assert!(said.contains("its certificate is not trusted") && said.contains("ca_file"), "{said}");
        }
    }
    // No TLS where STARTTLS is asked for, although the server would take the password.
    case.configure(&servers.sink("plain", "starttls", "ca"));
    let said = sample(&case, PASSWORD).unwrap_err();
    assert!(said.contains("offers no STARTTLS"), "{said}");
    let told = servers.told("overheard");
    let overheard: String = told.iter().filter_map(|line| line["overheard"].as_str()).collect();
    assert!(overheard.to_uppercase().starts_with("EHLO"), "{overheard}");
    assert!(!overheard.to_uppercase().contains("AUTH") && !overheard.contains("MAIL FROM"), "{overheard}");
    assert!(!told.iter().any(|line| line.get("login").is_some() || line.get("mail").is_some()), "{told:?}");
    // TLS from the first byte with somebody who begins in the clear, and the other way round.
    case.configure(&servers.sink("plain", "tls", "ca"));
    let said = sample(&case, PASSWORD).unwrap_err();
    assert!(said.contains("does not begin with TLS"), "{said}");
    case.configure(&servers.sink("tls", "starttls", "ca"));
    let said = sample(&case, PASSWORD).unwrap_err();
    assert!(said.contains("no answer within 3 s; one that waits for TLS from the first byte"), "{said}");
    // In the clear there is no login, on this machine either.
    case.configure(&servers.sink("plain", "none", "ca"));
    let said = sample(&case, PASSWORD).unwrap_err();
    assert!(said.contains("a password is not sent in the clear"), "{said}");
    assert!(!servers.told("overheard").iter().any(|line| line.get("login").is_some()));
}
