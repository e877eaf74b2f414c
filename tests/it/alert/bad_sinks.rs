//! Sinks that hang, redirect, break off, babble, refuse or are not there, and configurations with mistakes.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use super::findings::Case;
use super::receiver::{Answer, Receiver};
use super::{config, text};

fn webhook(name: &str, at: &Receiver) -> String {
    format!("[alert.sinks.{name}]\ntype = \"webhook\"\nurl = \"{}\"\n", at.url)
}

#[test]
fn one_bad_sink_holds_up_no_other_and_says_what_is_wrong() {
    let good = Receiver::willing();
    let elsewhere = Receiver::willing();
    let target = elsewhere.url.clone();
    let redirect = Receiver::start(move |_, _| Answer::Redirect(target.clone()));
    let half = Receiver::start(|_, _| Answer::Half);
    let hang = Receiver::start(|_, _| Answer::Hang);
    let endless = Receiver::start(|_, _| Answer::Endless);
    let broken = Receiver::start(|_, _| Answer::Status(500));
    // A port that was free a moment ago: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mail = format!(
        "[alert.sinks.mail]\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n"
    );
    let named = [
        ("good", &good),
        ("redirect", &redirect),
        ("half", &half),
        ("hang", &hang),
        ("endless", &endless),
        ("broken", &broken),
    ];
    let sinks: String = named.iter().map(|(name, at)| webhook(name, at)).collect();
    let limits = "[alert]\ntimeout_seconds = 2\nbackoff_first_ms = 3600000\nbackoff_max_seconds = 3600\n";
    let mut case = Case::new(&format!("{limits}{sinks}{mail}"));
    case.happens("issue", 0..2, |n| format!("u{n}@example.com"));
    let mut sender = case.follow();
    let started = Instant::now();
    while good.requests().len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(10), "the good one waits for the bad ones");
        std::thread::sleep(Duration::from_millis(20));
    }
    while case.rows(&["alert", "list", "--state", "failed"]).len() < 12 {
        assert!(started.elapsed() < Duration::from_secs(30), "the bad ones are not given up");
        std::thread::sleep(Duration::from_millis(200));
    }
    sender.kill().unwrap();
    sender.wait().unwrap();
    assert!(elsewhere.requests().is_empty(), "a redirect was followed");
    let failed = case.rows(&["alert", "list", "--state", "failed"]);
    let refused = format!("the mail server 127.0.0.1:{port}: ");
    for (sink, reason) in [
        ("redirect", "redirects are not followed"),
        ("half", "the answer broke off"),
        ("hang", "took too long"),
        ("endless", "longer than 65536 bytes"),
        ("broken", "it answered 500"),
        ("mail", refused.as_str()),
    ] {
        let said: Vec<&str> = failed.iter().filter(|f| f["sink"] == sink).map(|f| text(f, "/reason")).collect();
        assert_eq!(said.len(), 2, "{sink}: {failed:?}");
        assert!(said.iter().all(|s| s.contains(reason)), "{sink}: {said:?}");
    }
    assert_eq!(case.rows(&["alert", "list", "--state", "sent"]).len(), 2);
    assert_eq!(case.alert()["sent"], 0, "what failed waits for its time");
}

#[test]
fn what_is_given_up_is_listed_and_can_be_sent_again() {
    let receiver = Receiver::start(|_, _| Answer::Status(503));
    let few = "group_window_seconds = 0\nattempts_max = 2\nbackoff_first_ms = 1\nbackoff_max_seconds = 1";
    let mut case = Case::new(&config(&receiver.url, few));
    case.happens("issue", 0..2, |n| format!("u{n}@example.com"));
    while case.rows(&["alert", "dead", "list"]).len() < 2 {
        assert!(receiver.requests().len() <= 4);
        case.run(&["alert", "run"]);
    }
    case.run(&["alert", "run"]);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 4, "two attempts each");
    let dead = case.rows(&["alert", "dead", "list"]);
    assert!(text(&dead[0], "/reason").contains("it answered 503"), "{dead:?}");
    receiver.change(|_, _| Answer::Status(200));
    let unknown = case.run(&["alert", "dead", "retry", "zzz"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no dead letter begins with"));
    assert!(case.run(&["alert", "dead", "retry", &text(&dead[0], "/key")[..10]]).status.success());
    assert_eq!(case.alert()["sent"], 1);
    assert!(case.run(&["alert", "dead", "retry", "--all"]).status.success());
    assert_eq!(case.alert()["sent"], 1);
    assert!(case.rows(&["alert", "dead", "list"]).is_empty());
    let all = receiver.requests();
    let keys = |requests: &[super::receiver::Request]| -> std::collections::BTreeSet<String> {
        requests.iter().map(|r| r.headers["idempotency-key"].clone()).collect()
    };
    assert_eq!(keys(&all[..4]), keys(&all[4..]), "what is sent again has its old key");
}

#[test]
fn a_wrong_configuration_is_told_whole_and_secrets_are_not() {
    let lines = "[alert]\nstorm_findings = 0\n[alert.sinks.a]\ntype = \"webhook\"\ntopic = \"x\"\n\
                 [alert.sinks.b]\ntype = \"smtp\"\nhost = \"mail.example.com\"\ntls = \"none\"\nfrom = \"a@example.com\"\nto = []\n\
                 [alert.sinks.c]\ntype = \"kafka\"\ntopic = \"t\"\nproperties = { \"sasl.password\" = \"hunter2\" }\n\
                 [[alert.routes]]\nseverity = \"hihg\"\nsinks = [\"aa\"]\n\
                 [[alert.silences]]\nowner = \"\"\nreason = \"r\"\nuntil = \"tomorrow\"\n";
    let mut case = Case::new(lines);
    case.happens("issue", 0..1, |_| "ana@example.com".into());
    let output = case.run(&["alert", "run"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    for part in [
        "alert.storm_findings is 0",
        "alert.sinks.a: a webhook sink needs `url`",
        "`topic` means nothing to a webhook sink",
        "alert.sinks.b: tls = \"none\" is for a mail server on this machine only",
        "properties need \"bootstrap.servers\"",
        "\"sasl.password\" is a secret",
        "unknown severity \"hihg\"; did you mean \"high\"?",
        "unknown sink \"aa\"",
        "owner must say something",
        "until is \"tomorrow\"",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    case.configure("[alert.sinks.a]\ntype = \"webhook\"\nulr = \"x\"\n");
    assert!(String::from_utf8_lossy(&case.run(&["alert", "run"]).stderr).contains("unknown field `ulr`"));
    case.configure("[alert.sinks.a]\ntype = \"slack\"\nurl_env = \"NO_SUCH_VARIABLE\"\n");
    let said = case.run(&["alert", "run"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("the environment variable NO_SUCH_VARIABLE is not set"));
    let said = case.run(&["alert", "test", "b"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("there is no sink \"b\"; configured are: a"));
    // A URL that is a secret is not told when it does not work.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(case.path("url"), format!("http://127.0.0.1:{port}/services/T0SECRET\n")).unwrap();
    case.configure(&format!("[alert.sinks.a]\ntype = \"slack\"\nurl_file = {}\n", json!(case.path("url"))));
    let said = String::from_utf8(case.run(&["-v", "alert", "run"]).stderr).unwrap();
    assert!(said.contains("no connection") && !said.contains("T0SECRET"), "{said}");
}
