use super::*;

#[track_caller]
fn names(text: &str) -> Vec<(String, String)> {
    let identities = Identities::parse("who.csv", text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    identities.aliases().map(|(alias, subject)| (alias.to_owned(), subject.to_owned())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(alias, subject)| ((*alias).to_owned(), (*subject).to_owned())).collect()
}

#[test]
fn a_table_or_objects_say_the_same() {
    let expected = pairs(&[("4711", "alice@example.com"), ("al,gh", "alice@example.com")]);
    let table = "\u{feff}Team;Subject_ID;Alias\r\nblue;Alice@Example.com;\"al,gh\"\r\n\r\n;alice@example.com;4711\r\n";
    assert_eq!(names(table), expected);
    let objects = "{\"alias\":\"al,gh\",\"subject_id\":\"ALICE@example.com\"}\n\n\
                   {\"alias\":4711,\"subject_id\":\"alice@example.com\",\"team\":\"blue\"}\n";
    assert_eq!(names(objects), expected);
    let hash = |text: &str| Identities::parse("who", text).unwrap().hash();
    assert_eq!(hash(table), hash(objects));
    assert_ne!(hash(table), hash("alias,subject_id\n4711,alice@example.com\n"));
    assert_eq!(hash("alias,subject_id\n"), Identities::default().hash());
}

#[test]
fn aliases_lead_to_their_end() {
    let text = "alias,subject_id\na,b\nb,c\nc,c\nd,c\na,b\nBob@example.com,bob@EXAMPLE.com\n";
    assert_eq!(names(text), pairs(&[("a", "c"), ("b", "c"), ("d", "c")]));
    let identities = Identities::parse("who.csv", text).unwrap();
    assert_eq!((identities.subject_of("a"), identities.subject_of("x")), ("c", "x"));
    assert_eq!(identities.text(), text);
}

#[track_caller]
fn assert_mistakes(text: &str, expected: &[&str]) {
    let mistakes = Identities::parse("w", text).unwrap_err().to_string();
    assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn mistakes_have_their_line() {
    assert_mistakes("", &["w:1: no header: the columns \"alias\" and \"subject_id\" are needed"]);
    assert_mistakes("\nalias,subjectid\n", &["w:2: the column \"subject_id\" is missing; is \"subjectid\" meant?"]);
    assert_mistakes(
        "alias,subject_id\na,b\n\"a\n1\",\na,c\nx\n\"y,z\nq,r\n",
        &[
            "w:3: \"subject_id\" must be 1 to 4096 bytes long",
            "w:5: \"a\" is \"c\" here and \"b\" in line 2",
            "w:6: a row of 1 cells, where there are 2 columns",
            "w:7: a quote at byte 0 that is never closed",
        ],
    );
    assert_mistakes(
        "{\"alias\":\"a\"}\n{\"alias\":[],\"subject_id\":\"b\"}\n[]\n{\n",
        &[
            "w:1: the key \"subject_id\" is missing",
            "w:2: \"alias\" must be text",
            "w:3: not an object",
            "w:4: not JSON: EOF while parsing an object at line 1 column 1",
        ],
    );
    assert_mistakes("alias,subject_id\nx,a\na,b\nb,a\n", &["w:3: \"a\" is an alias of itself, by others"]);
}

#[test]
fn a_file_is_read_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("who.csv");
    let missing = Identities::load(&path).unwrap_err();
    assert!(matches!(missing, IdentitiesError::Unreadable { .. }), "{missing}");
    std::fs::write(&path, b"alias,subject_id\na,\xff\n").unwrap();
    assert!(Identities::load(&path).unwrap_err().to_string().ends_with("who.csv:2: not UTF-8"));
    std::fs::write(&path, "alias,subject_id\na,b\n").unwrap();
    assert_eq!(Identities::load(&path).unwrap().subject_of("a"), "b");
}

#[test]
fn long_chains_and_circles_are_followed_in_time() {
    let mut chain = "alias,subject_id\n".to_owned();
    for n in 0..50_000 {
        chain += &format!("{n},{}\n", n + 1);
    }
    assert!(names(&chain).iter().all(|(_, subject)| subject == "50000"));
    for n in 0..50_000 {
        chain += &format!("x{n},y{n}\ny{n},x{n}\n");
    }
    assert_eq!(Identities::parse("w", &chain).unwrap_err().mistakes.len(), MISTAKES_MAX);
}

#[test]
fn any_text_is_read_or_refused() {
    let mut random = fastrand::Rng::with_seed(5);
    let parts = [
        "alias",
        "subject_id",
        ",",
        ";",
        "\n",
        "\"",
        "{",
        "}",
        ":",
        "a",
        "b",
        "\u{feff}",
        "é",
        "\0",
        "\"alias\":\"a\"",
        "\r",
    ];
    for _ in 0..20_000 {
        let text: String = (0..random.usize(..30)).map(|_| parts[random.usize(..parts.len())]).collect();
        for text in [text.clone(), format!("alias,subject_id\n{text}"), format!("{{\"alias\":\"a\",{text}")] {
            if let Ok(identities) = Identities::parse("w", &text) {
                for (alias, subject) in identities.aliases() {
                    assert!(alias != subject && identities.subject_of(subject) == subject, "{text:?}");
                }
            }
        }
    }
}
