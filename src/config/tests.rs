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
    assert_eq!(lines, [3, 4, 7, 8, 10, 10, 16, 16, 18, 21, 22, 24, 28], "{text}");
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
