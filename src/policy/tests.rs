//! The policy as its users meet it: what is read, what is refused and how, and when the hash changes.

use super::*;

const FULL: &str = r#"# A policy
[defaults]
max_age = "30d"
max_idle = "2w"
storage = ["vault", "keychain"]

[[rule]]
name = "pipelines"
match = { client_id = ["ci-*", "deploy"], subject_kind = "service" }
max_age = "7d"
rate = true

[[rule]]
match = { host_kind = "jump_host" }
shared_host = "allow"
shared_host_window = "0s"

[[exception]]
detector = "token_older_than_policy"
match = { grant_id = "fm-*", reason = "age" }
reason = "migration"
owner = "alice@example.com"
until = 2026-12-31

[break_glass]
match = [{ subject_id = "Break-Glass-*@Example.com" }, { scopes = ["admin:*", "root"] }]
max_age = "30m"
"#;

fn errors(text: &str) -> Vec<String> {
    match Policy::parse("p.toml", text) {
        Err(error @ PolicyError::Invalid { .. }) => error.to_string().lines().map(str::to_owned).collect(),
        other => panic!("expected mistakes: {other:?}"),
    }
}

fn hash(text: &str) -> String {
    Policy::parse("p.toml", text).unwrap().hash()
}

#[test]
fn reads_a_full_policy() {
    let policy = Policy::parse("p.toml", FULL).unwrap();
    assert_eq!(policy.text(), FULL);
    let rules: Vec<_> = policy.rules().iter().map(|rule| (rule.number, rule.line, rule.label())).collect();
    assert_eq!(rules, [(1, 7, "rule 1 \"pipelines\"".to_owned()), (2, 13, "rule 2 (p.toml:13)".to_owned())]);
    assert_eq!(policy.rules()[0].value("max_age"), Some(&Value::Duration(7 * duration::DAY)));
    assert_eq!(policy.rules()[0].host_sql(), None);
    assert_eq!(policy.rules()[1].host_sql().as_deref(), Some(r#"coalesce(("host_kind" = 'jump_host'), false)"#));
    let exception = &policy.exceptions()[0];
    assert_eq!((exception.line, exception.owner.as_str()), (18, "alice@example.com"));
    assert_eq!(exception.until, 1_798_675_200_000_000);
    assert!(exception.holds_at(exception.until - 1) && !exception.holds_at(exception.until));
    let glass = policy.break_glass().unwrap();
    assert_eq!((glass.line, glass.max_age), (25, 30 * duration::MINUTE));
    assert!(glass.event_sql().contains("'break-glass-%@example.com'"), "{}", glass.event_sql());
    assert!(glass.event_sql().contains(r#"array_has("scopes", 'root')"#), "{}", glass.event_sql());
}

#[test]
fn an_exception_is_for_its_detector_and_its_findings() {
    let policy = Policy::parse("p.toml", FULL).unwrap();
    let row = serde_json::json!({ "grant_id": "fm-1", "reason": "age", "age": 5 });
    let matches = |detector: &str, row: &Json| policy.exceptions()[0].matches(detector, row.as_object().unwrap());
    assert!(matches("token_older_than_policy", &row));
    assert!(!matches("refresh_token_replay", &row));
    assert!(!matches("token_older_than_policy", &serde_json::json!({ "grant_id": "fm-1" })));
    assert_eq!(policy.exceptions()[0].columns().collect::<Vec<_>>(), ["grant_id", "reason"]);
}

#[test]
fn empty_is_the_built_in_policy() {
    assert_eq!(hash(""), Policy::default().hash());
    assert!(Policy::default().break_glass().is_none());
    let without = Policy::parse("p.toml", "[break_glass]").unwrap();
    assert_eq!(without.break_glass().map(BreakGlass::event_sql).as_deref(), Some("FALSE"));
    assert_eq!(
        without.break_glass().map(BreakGlass::max_age_sql).as_deref(),
        Some("INTERVAL '3600000000 microseconds'")
    );
}

#[test]
fn every_default_can_be_written_as_it_is_shown() {
    let shown = Policy::KEYS.iter().filter(|key| key.default != Value::Unset);
    let text: String = shown.map(|key| format!("{} = {}\n", key.name, key.default)).collect();
    assert_eq!(hash(&format!("[defaults]\n{text}")), Policy::default().hash());
}

/// A policy with a mistake, and what is said about it.
const MISTAKES: &[(&str, &str)] = &[
    ("[default]", "1: unknown section \"default\" in the policy; did you mean \"defaults\"?"),
    ("max_age = \"1d\"", "1: \"max_age\" stands outside a section; put it under [defaults]"),
    ("\n[rule]\nmax_age = \"1d\"", "2: \"rule\" is a list of tables; write [[rule]]"),
    ("rule = [1]", "1: \"rule\" is a list of tables; write [[rule]]"),
    ("[[defaults]]", "1: \"defaults\" is a table; write [defaults]"),
    ("[[break_glass]]", "1: \"break_glass\" is a table; write [break_glass]"),
    ("[defaults]\n\nmax_agee = \"1d\"", "3: unknown key \"max_agee\" in [defaults]; did you mean \"max_age\"?"),
    ("[defaults]\nfrequency = 1", "2: unknown key \"frequency\" in [defaults]; the nearest is \"refresh\""),
    ("[defaults]\nmax_age = 30", "2: \"max_age\" in [defaults] must be a duration such as \"30d\", not a whole number"),
    ("[defaults]\nmax_age = \"-1d\"", "2: \"max_age\" in [defaults]: a duration cannot be negative"),
    ("[defaults]\nmax_hosts = 0", "2: \"max_hosts\" in [defaults] must be a whole number from 1 to 10000, not 0"),
    (
        "[defaults]\nmax_hosts = 99999999999999999999",
        "2: \"max_hosts\" in [defaults] must be a whole number from 1 to 10000, not 99999999999999999999",
    ),
    (
        "[defaults]\nmax_hosts = \"1\"",
        "2: \"max_hosts\" in [defaults] must be a whole number from 1 to 10000, not text",
    ),
    ("[defaults]\nrotation = \"yes\"", "2: \"rotation\" in [defaults] must be true or false, not text"),
    (
        "[defaults]\nrefresh = \"nevr\"",
        "2: \"refresh\" in [defaults] must be \"allow\" or \"never\", not \"nevr\"; did you mean \"never\"?",
    ),
    ("[defaults]\nallowed_scopes = \"repo\"", "2: \"allowed_scopes\" in [defaults] must be a list of text, not text"),
    (
        "[defaults]\nallowed_scopes = [\n\"repo\",\n1]",
        "4: \"allowed_scopes\" in [defaults] must be a list of text, not a whole number",
    ),
    (
        "[defaults]\nrate_factor = nan",
        "2: \"rate_factor\" in [defaults] must be a number from 1 to 1000, not a number outside that",
    ),
    (
        "[defaults]\negress_asns = [-1]",
        "2: \"egress_asns\" in [defaults] must be a whole number from 0 to 4294967295, not -1",
    ),
    (
        "[defaults]\nclient_families = [\"a\"]",
        "2: \"client_families\" in [defaults] must be a list of lists of text, not text",
    ),
    ("[[rule]]\nmax_age = \"1d\"", "1: [[rule]] lacks \"match\""),
    ("[[rule]]\nmatch = { host_id = \"a\" }\n", "1: [[rule]] sets no value"),
    (
        "[[rule]]\nmax_age = \"1d\"\nmatch = {}",
        "3: the match of [[rule]] names no column, so it would match everything",
    ),
    (
        "[[rule]]\nmax_age = \"1d\"\nmatch = \"x\"",
        "3: \"match\" in [[rule]] must be a table such as { client_id = \"ci-*\" }, not text",
    ),
    (
        "[[rule]]\nmax_age = \"1d\"\nmatch = { host = \"x\" }",
        "3: unknown column \"host\" in the match of [[rule]]; did you mean \"host_id\"?",
    ),
    (
        "[[rule]]\nmax_age = \"1d\"\nmatch = { event_time = \"x\" }",
        "3: column \"event_time\" in the match of [[rule]] holds neither text nor a number",
    ),
    (
        "[[rule]]\nmax_age = \"1d\"\n[rule.match]\nhost_id = []",
        "4: \"host_id\" in the match of [[rule]] must be a list with something in it, not empty",
    ),
    (
        "[[rule]]\nmax_age = \"1d\"\nmatch = { host_id = 1 }",
        "3: \"host_id\" in the match of [[rule]] must be text, not a whole number",
    ),
    (
        "[[rule]]\nmax_age = \"1d\"\nmatch = { asn = \"64500\" }",
        "3: \"asn\" in the match of [[rule]] must be a whole number from 0 to 4294967295, not text",
    ),
    (
        "[[rule]]\nmax_age = \"1d\"\nmatch = { asn = 4294967296 }",
        "3: \"asn\" in the match of [[rule]] must be a whole number from 0 to 4294967295, not 4294967296",
    ),
    ("[break_glass]\nmax_agee = \"1h\"", "2: unknown key \"max_agee\" in [break_glass]; did you mean \"max_age\"?"),
    (
        "[break_glass]\nmatch = [{ subject = \"x\" }]",
        "2: unknown column \"subject\" in the match of [break_glass]; did you mean \"subject_id\"?",
    ),
];

#[test]
fn mistakes_name_line_key_and_nearest() {
    for (text, want) in MISTAKES {
        assert_eq!(errors(text), [format!("p.toml:{want}")], "{text}");
    }
}

#[test]
fn an_exception_needs_an_owner_a_reason_and_an_end() {
    assert_eq!(
        errors("\n[[exception]]\nuntl = \"2026-12-31\""),
        [
            "p.toml:2: [[exception]] lacks \"detector\"",
            "p.toml:2: [[exception]] lacks \"reason\"",
            "p.toml:2: [[exception]] lacks \"owner\"",
            "p.toml:2: [[exception]] lacks \"until\"",
            "p.toml:2: [[exception]] lacks \"match\"",
            "p.toml:3: unknown key \"untl\" in [[exception]]; did you mean \"until\"?",
        ]
    );
    let exception = |until: &str, owner: &str| {
        format!(
            "[[exception]]\ndetector = 'd'\nmatch = {{ asn = 1 }}\nreason = 'r'\nowner = '{owner}'\nuntil = {until}"
        )
    };
    assert_eq!(errors(&exception("2026-12-31", " ")), ["p.toml:5: \"owner\" in [[exception]] must be text, not empty"]);
    for until in ["\"tomorrow\"", "\"2026-13-01\"", "\"20261231\"", "2026-12-31T00:00:00", "12:00:00", "5", "\"\""] {
        let errors = errors(&exception(until, "o"));
        assert!(
            errors.len() == 1 && errors[0].starts_with("p.toml:6: \"until\" in [[exception]] must be a date"),
            "{errors:?}"
        );
    }
    let spellings = [
        "2026-12-31",
        "\"2026-12-31\"",
        "2026-12-31T00:00:00Z",
        "\"2026-12-31T01:00:00+01:00\"",
        "2026-12-31 00:00:00Z",
    ];
    for until in spellings {
        assert_eq!(hash(&exception(until, "o")), hash(&exception(spellings[0], "o")), "{until}");
    }
}

#[test]
fn all_mistakes_are_reported_by_line() {
    let text =
        "[defaults]\nmax_age = 1\nmax_idle = \"x\"\n[[rule]]\nmatch = { hst_id = 1, asn = true }\nrotation = 1\n";
    let lines: Vec<String> = errors(text).iter().map(|error| error[..9].to_owned()).collect();
    assert_eq!(lines, ["p.toml:2:", "p.toml:3:", "p.toml:5:", "p.toml:5:", "p.toml:6:"]);
}

#[test]
fn a_hostile_file_is_refused_in_time() {
    let keys: String = (0..60_000).map(|i| format!("k{i} = {i}\n")).collect();
    let errors = errors(&format!("[defaults]\n{keys}"));
    assert_eq!((errors.len(), errors[100].as_str()), (101, "p.toml:60002: 59900 more mistakes"));
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    for (text, line) in [
        ("a = ", 1),
        ("[defaults]\nmax_age = \"30d\n", 2),
        ("[defaults]\nmax_age=\"1d\"\nmax_age=\"2d\"", 3),
        ("\n\n[[rule]\n", 3),
    ] {
        let errors = errors(text);
        assert!(errors[0].starts_with(&format!("p.toml:{line}: ")), "{text}: {errors:?}");
    }
    errors(&"[".repeat(100_000));
    errors(&format!("a={}", "[".repeat(100_000)));
}

#[test]
fn the_hash_is_of_the_meaning() {
    let same = FULL
        .replace("# A policy", "")
        .replace("max_idle = \"2w\"", "clock_skew = \"1m\" # the default\nmax_idle = \"14d\"")
        .replace("[\"vault\", \"keychain\"]", "[\"keychain\", \"vault\", \"vault\"]")
        .replace("max_age = \"7d\"\nrate = true", "rate = true\nmax_age = \"1w\"")
        .replace(
            "{ client_id = [\"ci-*\", \"deploy\"], subject_kind = \"service\" }",
            "{ subject_kind = [\"service\"], client_id = [\"deploy\", \"ci-*\"] }",
        );
    assert_eq!(hash(&same), hash(FULL));
    assert_eq!(hash(FULL).len(), 64);
    let a = "[[rule]]\nmatch = { host_id = \"a\" }\nmax_age = \"1d\"\n";
    let b = a.replace("\"a\"", "\"b\"");
    assert_ne!(hash(&format!("{a}{b}")), hash(&format!("{b}{a}")), "the order of rules decides");
    let change = [
        ("\"7d\"", "\"8d\""),
        ("pipelines", "pipes"),
        ("deploy", "deplou"),
        ("fm-*", "fm-"),
        ("30m", "31m"),
        ("migration", "m"),
        ("2026-12-31", "2026-12-30"),
        ("rate = true", "rate = false"),
    ];
    for (from, to) in change {
        assert_ne!(hash(&FULL.replace(from, to)), hash(FULL), "{from}");
    }
}

#[test]
fn files_that_cannot_be_policies() {
    let error = Policy::load(Path::new("/nonexistent/policy.toml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the policy /nonexistent/policy.toml");
    let large = format!("#{}", " ".repeat(POLICY_BYTES_MAX as usize));
    assert_eq!(errors(&large), ["p.toml:1: larger than 1048576 bytes, the largest accepted"]);
    let path = std::env::temp_dir().join(format!("tokentrail-policy-{}.toml", std::process::id()));
    std::fs::write(&path, b"[defaults]\n# \xff").unwrap();
    let error = Policy::load(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(error, format!("{}:2: not UTF-8", path.display()));
}
