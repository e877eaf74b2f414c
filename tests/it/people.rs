//! One person under several names: who left at the HR system is who refreshes at GitHub.

use std::fs;

use serde_json::Value;

use crate::harness::{TempLake, ingest_files, tokentrail};

/// The findings of a run; `more` comes before the command.
fn found(uri: &str, more: &[&str], how: &[&str]) -> Vec<(String, String)> {
    let arguments =
        [&["--lake", uri, "-o", "ndjson"][..], more, &["detect", "refresh_after_offboarding"], how].concat();
    let output = tokentrail(&arguments);
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let findings = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let open = findings.filter(|finding| finding["state"] == "open");
    open.map(|f| {
        (f["key"]["subject_id"].as_str().unwrap().to_owned(), f["key"]["grant_id"].as_str().unwrap().to_owned())
    })
    .collect()
}

fn filled() -> TempLake {
    let temp = TempLake::new();
    let event = |minute: u32, rest: &str| format!("{{\"event_time\":\"2026-10-01T08:{minute:02}:00Z\",{rest}}}\n");
    let token = |subject: &str, family: &str| {
        format!(
            r#""action":"refresh","subject":{{"id":"{subject}"}},"token":{{"family":"{family}"}},"client":{{"id":"gh"}}"#
        )
    };
    let records = [
        event(0, &token("mona-gh", "g-1")),
        event(0, &token("2f1c-guid", "g-2")),
        event(0, &token("kofi-gh", "g-3")),
        event(5, r#""action":"offboard","subject":{"id":"mona@example.com"}"#),
        event(9, &token("mona-gh", "g-1")),
        event(9, &token("2f1c-guid", "g-2")),
        event(9, &token("kofi-gh", "g-3")),
    ];
    let file = temp.path("events.ndjson");
    fs::write(&file, records.concat()).unwrap();
    ingest_files(&temp, &[&file]);
    temp
}

#[test]
fn an_offboarding_reaches_every_name_of_a_person() {
    let temp = filled();
    let (uri, people) = (temp.uri(), temp.path("people.csv"));
    let people = people.to_str().unwrap();
    let at = ["--as-of", "2026-10-02T00:00:00Z"];
    assert!(found(&uri, &[], &at).is_empty());
    fs::write(people, "alias,subject_id\nmona-gh,mona@example.com\n").unwrap();
    let mona = |grant: &str| ("mona@example.com".to_owned(), grant.to_owned());
    assert_eq!(found(&uri, &["--identities", people], &at), [mona("g-1")]);
    // A name learnt later counts for what happened before, from folds and from all events alike.
    fs::write(people, "alias,subject_id\nmona-gh,mona@example.com\n2f1c-guid,mona@example.com\n").unwrap();
    let mut both = found(&uri, &["--identities", people], &at);
    both.sort();
    assert_eq!(both, [mona("g-1"), mona("g-2")]);
    let mut full = found(&uri, &["--identities", people], &[&at[..], &["--full"]].concat());
    full.sort();
    assert_eq!(full, both);
    // What nobody says any more is taken back.
    assert!(found(&uri, &[], &at).is_empty());
}

#[test]
fn rules_and_queries_know_people_by_the_id_that_counts() {
    let temp = filled();
    let uri = temp.uri();
    let (people, policy) = (temp.path("people.ndjson"), temp.path("policy.toml"));
    fs::write(&people, "{\"alias\":\"mona-gh\",\"subject_id\":\"mona@example.com\"}\n").unwrap();
    fs::write(&policy, "[[rule]]\nname = \"mona\"\nmatch = { subject_id = \"mona@example.com\" }\nmax_age = \"1d\"\n")
        .unwrap();
    let with = ["--lake", &uri, "-o", "csv", "--policy", policy.to_str().unwrap()];
    let ask = |more: &[&str], sql: &str| {
        let output = tokentrail(&[&with[..], more, &["query", sql]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let known = ["--identities", people.to_str().unwrap()];
    let ruled = "SELECT max_age_rule IS NOT NULL AND max_age_rule <> 'default' AS ruled FROM grants ORDER BY grant_id";
    assert_eq!(ask(&[], ruled), "ruled\nfalse\nfalse\nfalse\n");
    assert_eq!(ask(&known, ruled), "ruled\ntrue\nfalse\nfalse\n");
    let count = "SELECT COUNT(*) AS n FROM token_events WHERE subject_id = 'mona@example.com'";
    assert_eq!((ask(&[], count).as_str(), ask(&known, count).as_str()), ("n\n0\n", "n\n2\n"));
    let stored = "SELECT COUNT(*) AS n FROM events WHERE subject_id = 'mona-gh'";
    assert_eq!(ask(&known, stored), "n\n2\n", "what is stored stays as it came");
}
