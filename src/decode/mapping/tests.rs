use std::collections::BTreeMap;

use super::*;
use crate::event::time;

const EVENT: &str = "[[event]]\nevent_time = \"at\"\naction = { value = \"use\" }\n";

fn mapping(text: &str) -> Mapping {
    Mapping::parse("m.toml", text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// What becomes of a record: the columns that events fill, or why there are none.
fn decoded(mapping: &Mapping, record: &str) -> Vec<Result<BTreeMap<&'static str, String>, String>> {
    let header = mapping.csv().map(|layout| layout.header(b"").unwrap());
    let mut found = Vec::new();
    mapping.each(header.as_ref(), record.as_bytes(), &[0; 32], &mut |one| {
        found.push(match one.verdict {
            Verdict::Event(event) => {
                let texts = crate::event::TEXTS.into_iter().zip(event.texts());
                let mut columns: BTreeMap<_, _> =
                    texts.filter_map(|(name, text)| Some((name, text?.to_owned()))).collect();
                columns.insert("event_time", time::format(event.event_time));
                columns.extend(event.expires_at.map(|at| ("expires_at", time::format(at))));
                columns.extend((!event.scopes.is_empty()).then(|| ("scopes", event.scopes.join(" "))));
                columns.extend(event.asn.map(|asn| ("asn", asn.to_string())));
                Ok(columns)
            }
            Verdict::Rejected(rejection, _) => Err(rejection.0.clone()),
            Verdict::Skipped(why) => Err(format!("skipped: {why}")),
        });
    });
    found
}

/// The value of one column of the only event.
#[track_caller]
fn column(columns: &str, record: &str, name: &str) -> Option<String> {
    let found = decoded(&mapping(&format!("source = \"x\"\n{EVENT}{columns}")), record);
    assert_eq!(found.len(), 1);
    found[0].as_ref().unwrap().get(name).cloned()
}

#[track_caller]
fn reason(mapping: &Mapping, record: &str) -> String {
    let mut found = decoded(mapping, record);
    assert_eq!(found.len(), 1);
    found.remove(0).unwrap_err()
}

#[test]
fn paths_alternatives_constants_and_defaults() {
    let record = r#"{"at":1793534400,"a":{"mail":"-"},"b":[{"t":"x","v":"Bob@Example.com"}],"n":17}"#;
    assert_eq!(column("subject_id = ['a.mail', 'b[t=x].v']", record, "subject_id").unwrap(), "bob@example.com");
    assert_eq!(column("client_id = \"n\"", record, "client_id").unwrap(), "17");
    assert_eq!(column("client_id = { value = \"cli\" }", record, "client_id").unwrap(), "cli");
    assert_eq!(column("client_id = { path = \"c\", default = \"cli\" }", record, "client_id").unwrap(), "cli");
    assert_eq!(column("client_id = \"c\"", record, "client_id"), None);
    assert_eq!(column("scopes = { path = \"s\", default = [\"a\", \"b\"] }", record, "scopes").unwrap(), "a b");
    assert_eq!(column("asn = { value = 64500 }", record, "asn").unwrap(), "64500");
    assert_eq!(
        column("client_id = \"a\"", record, "decode_notes").unwrap(),
        "a: an object where text or a whole number was expected"
    );
}

#[test]
fn words_are_translated() {
    let record = r#"{"at":1793534400,"kind":"Person","ok":false,"no":"-"}"#;
    let of = |spec: &str, name: &str| column(&format!("{name} = {spec}"), record, name);
    assert_eq!(of("{ path = \"kind\", map = { person = \"human\" } }", "subject_kind").unwrap(), "human");
    assert_eq!(of("{ path = \"kind\", map = { bot = \"agent\" } }", "subject_kind"), None);
    assert_eq!(
        of("{ path = \"kind\", map = { bot = \"agent\" }, otherwise = \"unknown\" }", "subject_kind").unwrap(),
        "unknown"
    );
    assert_eq!(of("{ path = \"kind\", map = { bot = \"b\" }, otherwise = \"keep\" }", "client_id").unwrap(), "Person");
    assert_eq!(
        of("{ path = \"ok\", map = { true = \"success\", false = \"failure\" } }", "outcome").unwrap(),
        "failure"
    );
    assert_eq!(of("{ path = \"no\", map = { \"-\" = \"none\" } }", "token_binding").unwrap(), "none");
    assert_eq!(
        of("{ path = \"nix\", map = { \"-\" = \"none\" }, default = \"dpop\" }", "token_binding").unwrap(),
        "dpop"
    );
    assert_eq!(of("\"kind\"", "subject_kind"), None, "a word of no vocabulary");
    let notes = column("subject_kind = \"kind\"", record, "decode_notes").unwrap();
    assert_eq!(notes, "subject_kind: unknown value \"Person\" at \"kind\"");
    let refused = "token_kind = { path = \"kind\", map = { x = \"id\" }, otherwise = \"reject\" }";
    let refused = mapping(&format!("source = \"x\"\n{EVENT}{refused}"));
    assert_eq!(reason(&refused, record), "token_kind: the map has no word for \"Person\" at \"kind\"");
}

#[test]
fn what_an_event_needs_costs_the_record() {
    let text = "source = \"x\"\n[[event]]\nevent_time = ['at', 'then']\naction = 'what'\noutcome = 'end'\nexpires_at = 'until'\n";
    let mapping = mapping(text);
    assert_eq!(reason(&mapping, r#"{"what":"use"}"#), "event_time: no value at \"at\" or \"then\"");
    assert_eq!(
        reason(&mapping, r#"{"at":"soon","what":"use"}"#),
        "event_time: \"soon\" at \"at\" is no time that is known"
    );
    assert_eq!(
        reason(&mapping, r#"{"at":1,"what":"use"}"#),
        "event_time: 1970-01-01T00:00:01Z is not between 2000 and 2100"
    );
    assert_eq!(reason(&mapping, r#"{"at":1793534400}"#), "action: no value at \"what\"");
    let unknown = reason(&mapping, r#"{"at":1793534400,"what":"LOGIN"}"#);
    assert!(unknown.starts_with("action: \"LOGIN\" at \"what\" is none of issue, refresh, use, "), "{unknown}");
    let unknown = reason(&mapping, r#"{"at":1793534400,"what":"USE","end":"partly"}"#);
    assert!(unknown.starts_with("outcome: \"partly\" at \"end\" is none of success, failure; "), "{unknown}");
    let found = decoded(&mapping, r#"{"then":"1793534400","what":"USE","end":"Failure","until":"soon"}"#);
    let event = found[0].as_ref().unwrap();
    assert_eq!((event["action"].as_str(), event["outcome"].as_str()), ("use", "failure"));
    assert_eq!(event["decode_notes"], "expires_at: \"soon\" at \"until\" is no time that is known");
}

#[test]
fn each_event_that_is_about_a_record_is_one() {
    let text = "source = \"x\"\nUNMATCHED\n[defaults]\nevent_time = 'at'\nsubject_id = 'who'\n\
                [[event]]\nwhen = { kind = 'gone' }\naction = { value = 'offboard' }\n\
                [[event]]\nwhen = { kind = ['gone', 'out'], session = '*' }\naction = { value = 'logout' }\nsession_id = 'session'\n";
    let with = |unmatched: &str| mapping(&text.replace("UNMATCHED", unmatched));
    let both = decoded(&with(""), r#"{"at":1793534400,"who":"a","kind":"gone","session":"s"}"#);
    let both: Vec<_> = both.into_iter().map(Result::unwrap).collect();
    assert_eq!(both.iter().map(|event| event["action"].as_str()).collect::<Vec<_>>(), ["offboard", "logout"]);
    assert_eq!(both[1]["event_id"], format!("{}#1", both[0]["event_id"]));
    assert_eq!((both[1]["session_id"].as_str(), both[0].get("session_id")), ("s", None));
    let neither = r#"{"at":1793534400,"who":"a","kind":"out"}"#;
    assert_eq!(
        reason(&with(""), neither),
        "no [[event]] of the mapping is about it: kind = \"out\", session = nothing"
    );
    assert_eq!(reason(&with("unmatched = 'skip'"), neither), "skipped: no [[event]] is about it");
    let other = decoded(&with("unmatched = 'other'"), neither).remove(0).unwrap();
    assert_eq!((other["action"].as_str(), other["subject_id"].as_str()), ("other", "a"));
}

#[test]
fn records_come_alone_in_lists_and_in_pages() {
    let alone = mapping(&format!("source = \"x\"\n{EVENT}"));
    let paged = mapping(&format!("source = \"x\"\nrecords = \"data.items\"\n{EVENT}"));
    let ids = |mapping: &Mapping, record: &str| -> Vec<_> {
        decoded(mapping, record)
            .into_iter()
            .map(|one| one.map_or_else(|why| why, |event| event["event_time"].clone()))
            .collect()
    };
    let item = |second: i64| format!("{{\"at\":{}}}", 1_793_534_400 + second);
    let times = |seconds: &[i64]| -> Vec<_> {
        seconds.iter().map(|second| time::format((1_793_534_400 + second) * time::SECOND)).collect()
    };
    assert_eq!(ids(&alone, &item(0)), times(&[0]));
    assert_eq!(ids(&alone, &format!("[{},{}]", item(0), item(1))), times(&[0, 1]));
    assert_eq!(ids(&alone, "[]"), ["skipped: a list with nothing inside"]);
    assert_eq!(ids(&alone, "[1]"), ["a number where an object was expected"]);
    assert_eq!(ids(&alone, "{\"at\":"), ["not JSON: the text ends before its value at byte 6"]);
    let page = |items: &str| format!("{{\"data\":{{\"items\":{items}}}}}");
    assert_eq!(ids(&paged, &page(&format!("[{},{}]", item(0), item(1)))), times(&[0, 1]));
    assert_eq!(ids(&paged, &format!("[{},{}]", page(&item(0)), page("[]"))), times(&[0]));
    assert_eq!(ids(&paged, "{\"error\":1}"), ["records: nothing at \"data.items\""]);
    assert_eq!(ids(&paged, &page("[]")), ["skipped: a list with nothing inside"]);
}

#[test]
fn each_record_of_a_page_has_its_own_bytes() {
    let paged = mapping(&format!("source = \"x\"\nrecords = \"items\"\n{EVENT}"));
    let item = r#"{"at":1793534400}"#;
    let page = format!("{{ \"items\": [{item}, {item} ] }}");
    let mut found = Vec::new();
    paged.each(None, page.as_bytes(), &crate::decode::hash(page.as_bytes()), &mut |one| {
        found.push((page[one.piece].to_owned(), *one.hash, one.index));
    });
    let hash = crate::decode::hash(item.as_bytes());
    assert_eq!(found, [(item.to_owned(), hash, 0), (item.to_owned(), hash, 0)]);
}

#[test]
fn rows_are_read_under_their_header() {
    let text = "source = \"hr\"\n[csv]\n[[event]]\nevent_time = { path = \"Last day\", format = \"%d.%m.%Y\" }\n\
                action = { value = \"offboard\" }\nsubject_id = [\"E-mail (work).\", \"login\"]\n";
    let mapping = mapping(text);
    let header = mapping.csv().unwrap().header(b"Login;Last Day;E-mail (work).;Last Day 2\r\n").unwrap();
    mapping.check(&header).unwrap();
    let row = b"al;23.10.2026;\"Al@example.com\";x";
    mapping.each(Some(&header), row, &crate::decode::hash(row), &mut |found| {
        let Verdict::Event(event) = found.verdict else { panic!() };
        assert_eq!((event.subject_id.as_deref(), found.piece), (Some("al@example.com"), 0..row.len()));
    });
    let wrong = |header: &str| mapping.check(&mapping.csv().unwrap().header(header.as_bytes()).unwrap()).unwrap_err().0;
    assert_eq!(
        wrong("login,lastday"),
        "the header: no column \"Last day\", which line 4 of the mapping reads; did you mean \"lastday\"?"
    );
    assert_eq!(
        wrong("last day,mail"),
        "the header: no column \"E-mail (work).\", which line 6 of the mapping reads; it has \"last day\", \"mail\""
    );
    assert_eq!(wrong("login,LAST DAY,last day"), "the header: two columns are named \"Last day\"");
    assert!(mapping.check(&mapping.csv().unwrap().header(b"login,LAST DAY,Last day").unwrap()).is_ok());
}

#[track_caller]
fn assert_mistakes(text: &str, expected: &[&str]) {
    let mistakes = Mapping::parse("m.toml", text).unwrap_err().to_string();
    assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn mistakes_are_told_with_line_and_nearest_key() {
    assert_mistakes("", &["m.toml:1: the mapping lacks \"source\"", "m.toml:1: the mapping lacks \"event\""]);
    assert_mistakes(
        "sorce = \"x\"\nsubject_id = \"a\"\n[event]\n",
        &[
            "m.toml:1: unknown key \"sorce\" in the mapping; did you mean \"source\"?",
            "m.toml:1: the mapping lacks \"source\"",
            "m.toml:2: \"subject_id\" stands outside a section; put it under [[event]], or under [defaults] if it is the same for all of them",
            "m.toml:3: \"event\" is a list of tables; write [[event]]",
        ],
    );
    assert_mistakes(
        "source = \"My Source\"\n[[event]]\nsubjectid = \"a\"\ngrant_id = \"b\"\n",
        &[
            "m.toml:1: \"source\" in the mapping must be up to 64 of a-z, 0-9, \"_\", \"-\" and \".\", not \"My Source\"",
            "m.toml:2: [[event]] lacks \"event_time\", and so does [defaults]",
            "m.toml:2: [[event]] lacks \"action\", and so does [defaults]",
            "m.toml:3: unknown column \"subjectid\" in [[event]]; did you mean \"subject_id\"?",
            "m.toml:4: \"grant_id\" is not mapped: it follows from family_id, session_id or token_id; map those",
        ],
    );
}

/// What is said of columns of an event.
fn say(cases: &[(&str, &str)]) {
    for (columns, mistake) in cases {
        let event = format!("source = \"x\"\n[[event]]\nevent_time = \"at\"\n{columns}\n");
        let mistakes = Mapping::parse("m.toml", &event).expect_err(columns);
        let told = mistakes.mistakes.iter().any(|one| one.message.starts_with(mistake) && one.line >= 4);
        assert!(told, "{columns}: {mistakes}");
    }
}

#[test]
fn mistakes_in_words_and_paths() {
    say(&[
        (
            "action = \"issue\"",
            "\"action\" in [[event]] may be a word or a path; for the word write { value = \"issue\" }, for a path { path = \"issue\" }",
        ),
        (
            "action = { value = \"isue\" }",
            "\"value\" in \"action\" of [[event]] must be a word of its vocabulary, not \"isue\"; did you mean \"issue\"?",
        ),
        (
            "action = { pth = \"a\", path = \"a\" }",
            "unknown key \"pth\" in \"action\" of [[event]]; did you mean \"path\"?",
        ),
        (
            "action = { path = \"a\", map = { X = \"issues\" } }",
            "\"X\" in the map of \"action\" of [[event]] must be a word of its vocabulary, not \"issues\"; did you mean \"issue\"?",
        ),
        (
            "action = { path = \"a\", map = { X = \"issue\", x = \"use\" } }",
            "\"x\" is twice in the map of \"action\" of [[event]], where case does not matter",
        ),
        (
            "action = { path = \"a\", otherwise = \"other\" }",
            "\"otherwise\" in \"action\" of [[event]] needs \"map\"; for what is missing write \"default\"",
        ),
        (
            "action = { path = \"a\", map = { X = \"issue\" }, otherwise = \"keep\" }",
            "\"otherwise\" in \"action\" of [[event]] must be a word of its vocabulary, not \"keep\"",
        ),
        ("action = { map = { X = \"issue\" } }", "\"action\" of [[event]] needs \"path\" or \"value\""),
        (
            "action = { value = \"issue\", path = \"a\" }",
            "\"value\" stands alone, and \"action\" of [[event]] says more; beside a path it is \"default\"",
        ),
        ("action = 5", "\"action\" in [[event]] must be a path, a list of paths or a table, not a whole number"),
        (
            "action = \"a..b\"",
            "\"a..b\" in [[event]] is no path: a key is missing; a key with dots or brackets is written in quotes, '\"a.b\"'",
        ),
    ]);
}

#[test]
fn mistakes_in_values_times_and_conditions() {
    say(&[
        (
            "action = \"a\"\nscopes = { path = \"s\", map = { a = \"b\" } }",
            "\"map\" has no meaning in \"scopes\" of [[event]], which holds no time and no single text",
        ),
        (
            "action = \"a\"\nissued_at = { value = \"2026-01-01\" }",
            "\"value\" has no meaning in \"issued_at\" of [[event]], which holds a time",
        ),
        (
            "action = \"a\"\nip = { value = \"localhost\" }",
            "\"value\" in \"ip\" of [[event]] must be an address, not \"localhost\"",
        ),
        (
            "action = \"a\"\nissued_at = { path = \"i\", format = \"epochs\" }",
            "the format in \"issued_at\" of [[event]] must be \"any\" or \"rfc3339\" or \"epoch_s\" or \"epoch_ms\" or a pattern such as \"%d.%m.%Y\", not \"epochs\"; did you mean \"epoch_s\"?",
        ),
        (
            "action = \"a\"\nissued_at = { path = \"i\", format = \"%!\" }",
            "the format \"%!\" in \"issued_at\" of [[event]] cannot be used: ",
        ),
        (
            "action = \"a\"\nissued_at = { path = \"i\", zone = \"Europe/Berln\" }",
            "\"zone\" in \"issued_at\" of [[event]] must be a zone such as \"Europe/Berlin\" or an offset such as \"+02:00\", not \"Europe/Berln\"; did you mean \"Europe/Berlin\"?",
        ),
        (
            "action = \"a\"\nissued_at = { path = \"i\", zone = \"UTC\" }",
            "\"zone\" and \"end_of_day\" in \"issued_at\" of [[event]] need a pattern as \"format\", not \"any\"",
        ),
        (
            "action = \"a\"\nwhen = \"x\"",
            "\"when\" in [[event]] must be a table such as { type = \"login\" }, not text",
        ),
        (
            "action = \"a\"\nwhen = { a = [] }",
            "\"a\" in \"when\" of [[event]] must be one value or up to 1000, not as many",
        ),
        (
            "action = \"a\"\nwhen = { a = 1.5 }",
            "\"a\" in \"when\" of [[event]] must be text, a whole number, true or false, not a fraction",
        ),
    ]);
}

#[test]
fn mistakes_in_sections() {
    let with = |sections: &str| format!("source = \"x\"\n{sections}\n{EVENT}");
    for (sections, mistake) in [
        (
            "unmatched = \"skp\"",
            "\"unmatched\" in the mapping must be \"reject\" or \"skip\" or \"other\", not \"skp\"; did you mean \"skip\"?",
        ),
        ("unmatched = \"other\"", "\"unmatched\" is \"other\", so [defaults] must say where \"event_time\" stands"),
        ("records = \"a\"\n[csv]", "\"records\" is for JSON; each row of a table is one record"),
        ("[csv]\ndelimiter = \":\"", "\"delimiter\" in [csv] must be \",\", \";\", \"|\" or a tab, \"\\t\", not \":\""),
        ("[csv]\ncolumns = []", "\"columns\" in [csv] must be a list of 1 to 4096, not as long"),
        ("[csv]\ndelim = \",\"", "unknown key \"delim\" in [csv]; did you mean \"delimiter\"?"),
        (
            "[time]\nformat = \"rfc339\"",
            "the format in [time] must be \"any\" or \"rfc3339\" or \"epoch_s\" or \"epoch_ms\" or a pattern such as \"%d.%m.%Y\", not \"rfc339\"; did you mean \"rfc3339\"?",
        ),
        (
            "[time]\nformat = \"epoch_s\"\nzone = \"UTC\"",
            "\"zone\" and \"end_of_day\" in [time] need a pattern as \"format\", not \"epoch_s\"",
        ),
        (
            "[time]\nformat = \"%Y-%m-%d %H:%M\"\nend_of_day = true",
            "the format \"%Y-%m-%d %H:%M\" in [time] states a time of day, so \"end_of_day\" has no meaning",
        ),
        ("[defaults]\nwhen = { a = 1 }", "unknown column \"when\" in [defaults]"),
        ("a = [", "unclosed array, expected `]`"),
    ] {
        let mistakes = Mapping::parse("m.toml", &with(sections)).expect_err(sections);
        assert!(mistakes.mistakes.iter().any(|one| one.message.starts_with(mistake)), "{sections}: {mistakes}");
    }
}

#[test]
fn any_text_is_a_mapping_or_has_its_mistakes() {
    let seeds = [
        include_str!("../../../sample-data/mappings/hr-leavers.toml"),
        include_str!("../../../sample-data/mappings/mdm-devices.toml"),
        include_str!("../../../sample-data/mappings/scim-users.toml"),
        include_str!("../../../sample-data/mappings/custom-api.toml"),
    ];
    let record =
        br#"{"id":"a","ts":1793534400000,"type":"token.used","ok":true,"token":{"fingerprint":"b","scopes":["a"]}}"#;
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..10_000 {
        let mut text: Vec<char> = random.choice(seeds).unwrap().chars().collect();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..text.len());
            let end = (at + random.usize(..20)).min(text.len());
            match random.u8(..4) {
                0 => drop(text.drain(at..end)),
                1 => text.insert(
                    at,
                    *random.choice(&['"', '[', ']', '{', '}', '=', '.', '%', '\n', '\0', 'é', '9']).unwrap(),
                ),
                2 => text[at] = random.char(..),
                _ => {
                    let copied = text[at..end].to_vec();
                    let to = random.usize(..text.len());
                    text.splice(to..to, copied);
                }
            }
        }
        let text: String = text.into_iter().collect();
        match Mapping::parse("m.toml", &text) {
            Err(mistakes) => assert!(!mistakes.mistakes.is_empty()),
            Ok(mapping) => {
                let header = mapping.csv().map(|layout| layout.header(b"id,ts,type\n").unwrap());
                let _ = header.as_ref().map(|header| mapping.check(header).is_ok());
                let mut found = 0;
                mapping.each(header.as_ref(), record, &[0; 32], &mut |_| found += 1);
                assert!(found > 0);
            }
        }
    }
}
