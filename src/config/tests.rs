use super::*;

const TWELVE: &str = r#"
[lake]
url = "data"
keep_raw = "yes"

[ingest]
commit_rows = 0
commit_ms = -5

[[ingest.source]]
name = "okta"
format = "okto"
files = ["in"]
mapping = "hr.toml"

[[ingest.source]]
name = "okta"
kafka = { topics = ["t"], bootstrap = "b:9092" }

[detect]
polcy = "policy.toml"
apart_seconds = 1

[maintane]
on = true

[serve]
drain_seconds = 0
"#;

#[test]
fn every_mistake_is_told_with_its_line() {
    let told = Config::parse("t.toml", TWELVE).unwrap_err();
    let lines: Vec<usize> = told.mistakes.iter().map(|mistake| mistake.line).collect();
    let text = told.to_string();
    assert_eq!(lines, [3, 4, 7, 8, 10, 10, 16, 18, 21, 22, 24, 28], "{text}");
    for words in [
        "t.toml:3: unknown key \"url\"; did you mean \"uri\"?",
        "t.toml:21: unknown key \"polcy\"; did you mean \"policy\"?",
        "t.toml:24: unknown key \"maintane\"; did you mean \"maintain\"?",
        "a second source is named \"okta\"",
        "unknown format \"okto\"; did you mean \"okta\"? (there are auto, native, okta",
        "apart_seconds in [detect] must be at least 2",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn text_that_is_no_toml_is_told_by_line() {
    let told = Config::parse("t.toml", "[lake]\nuri = \"a\nx = = 2\n").unwrap_err();
    assert!(told.mistakes.iter().any(|mistake| mistake.line == 2), "{told}");
    assert!(told.mistakes.iter().any(|mistake| mistake.line == 3), "{told}");
}

#[test]
fn paths_are_seen_from_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokentrail.toml");
    let text =
        "[lake]\nuri = \"data\"\n[detect]\npolicy = \"p.toml\"\n[[ingest.source]]\nname = \"a\"\nfiles = [\"in\"]";
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&file, &Overrides::default()).unwrap();
    assert_eq!(config.lake.uri, folder.path().join("data").display().to_string());
    assert_eq!(config.detect.policy, Some(folder.path().join("p.toml")));
    assert_eq!(config.ingest.source[0].files, [folder.path().join("in")]);
    assert_eq!(config.files(), [folder.path().join("p.toml")]);
    let over = Overrides { lake: Some("here".into()), queries: Some("own".into()), ..Overrides::default() };
    let config = Config::load(&file, &over).unwrap();
    assert_eq!((config.lake.uri.as_str(), config.detect.queries), ("here", Some("own".into())));
    assert_eq!(config.detect.policy, Some(folder.path().join("p.toml")), "what is not said stands in the file");
}

#[test]
fn nothing_said_is_a_configuration() {
    let shown = |config: &Config| toml::to_string(config).unwrap();
    let default = shown(&Config::default());
    assert_eq!(shown(&Config::parse("t.toml", "").unwrap()), default);
    assert_eq!(shown(&Config::parse("t.toml", &default).unwrap()), default);
    // What the example says is what holds without it.
    assert_eq!(shown(&Config::parse("example.toml", EXAMPLE).unwrap()), default);
}

#[test]
fn what_may_still_be_needed_is_not_forgotten() {
    let text = "[maintain]\nkeep_alerts_days = 10\nkeep_runs_days = 30\n[alert]\nage_max_hours = 240\n";
    let told = Config::parse("t.toml", text).unwrap_err().to_string();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(
        told,
        [
            "t.toml:2: keep_alerts_days in [maintain] must be at least 12: messages are tried for 240 hours (age_max_hours in [alert])",
            "t.toml:3: keep_runs_days in [maintain] must be at least 59: detectors look back so far",
        ]
    );
    assert!(Config::parse("t.toml", "[maintain]\nkeep_alerts_days = 5\nkeep_runs_days = 59\n").is_ok());
}

fn told(text: &str) -> Vec<String> {
    Config::parse("t.toml", text).unwrap_err().mistakes.iter().map(|m| format!("{}: {}", m.line, m.message)).collect()
}

const ROUTE: &str = "\n[[alert.routes]]\nsinks = [\"oncall\"]\n";

#[test]
fn a_mistyped_type_is_one_problem() {
    for (sink, words) in [
        ("type = \"webhok\"\nurl = \"http://x/\"", "2: unknown value \"webhok\"; did you mean \"webhook\"?"),
        ("type = \"pigeon\"\nurl = \"http://x/\"", "2: unknown value \"pigeon\" (there are stdout, file, webhook"),
        ("tpye = \"webhook\"\nurl = \"http://x/\"", "2: unknown key \"tpye\"; did you mean \"type\"?"),
        ("type = 3\nurl = \"http://x/\"", "2: "),
        ("kind = \"webhook\"\nurl = \"http://x/\"", "2: unknown key \"kind\" (there are type"),
        ("type = \"webhook\"\nurll = \"http://x/\"", "3: unknown key \"urll\"; did you mean \"url\"?"),
        ("type = \"webhook\"\nurl = 3", "3: invalid type: integer"),
        ("url = \"http://x/\"", "missing field `type`"),
    ] {
        let told = told(&format!("[alert.sinks.oncall]\n{sink}{ROUTE}"));
        assert!(told.len() == 1 && told[0].contains(words), "{sink}: {told:#?}");
        let inline = format!("[alert]\nsinks.oncall = {{ {} }}{ROUTE}", sink.replace('\n', ", "));
        let told = self::told(&inline);
        assert_eq!(told.len(), 1, "{inline}: {told:#?}");
    }
    let spread = told(&format!("[alert]\nsinks.oncall.type = \"pigeon\"\nsinks.oncall.url = \"http://x/\"{ROUTE}"));
    assert!(spread.len() == 1 && spread[0].contains("\"pigeon\""), "{spread:#?}");
    // Read on as it was meant, what is wrong beside it is told as well.
    let two = told(&format!("[alert.sinks.oncall]\ntype = \"webhok\"\npath = \"x\"\nurl = \"http://x/\"{ROUTE}"));
    assert_eq!(two.len(), 2, "{two:#?}");
    assert!(two[0].contains("means nothing to a webhook sink") && two[1].contains("\"webhok\""), "{two:#?}");
    // The right key may stand there already.
    let both = told(&format!("[alert.sinks.oncall]\ntype = \"stdout\"\ntypo = \"stdout\"{ROUTE}"));
    assert!(both.len() == 1 && both[0].contains("did you mean \"type\"?"), "{both:#?}");
}

#[test]
fn a_mistake_in_a_source_is_one_problem() {
    for (source, words) in [
        ("kafka = { topics = [\"t\"], bootstrap = \"b:9092\" }", "3: invalid type: string"),
        ("kafka = { topics = [\"t\"], bootstrp = [\"b:9092\"] }", "did you mean \"bootstrap\"?"),
        ("kafka = 3", "3: invalid type: integer"),
        ("flies = [\"in\"]", "did you mean \"files\"?"),
        ("type = \"kafka\"\nfiles = [\"in\"]", "3: unknown key \"type\" (there are name, kafka"),
        ("files = [\"in\"]\nformat = \"oktaa\"", "unknown format \"oktaa\"; did you mean \"okta\"? (there are auto"),
    ] {
        let told = told(&format!("[[ingest.source]]\nname = \"one\"\n{source}\n"));
        assert!(told.len() == 1 && told[0].contains(words), "{source}: {told:#?}");
    }
}
