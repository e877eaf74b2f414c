use super::*;

fn rows(text: &[u8], delimiter: u8) -> Vec<Result<Vec<String>, String>> {
    let mut rest = text;
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (row, behind) = rest.split_at(row_length(rest, delimiter, true).unwrap());
        assert!(!row.is_empty());
        rest = behind;
        let read = cells(row, delimiter).map(|cells| cells.into_iter().map(Cow::into_owned).collect());
        rows.push(read.map_err(|rejection| rejection.0));
    }
    rows
}

fn good(text: &str, delimiter: u8) -> Vec<Vec<String>> {
    rows(text.as_bytes(), delimiter).into_iter().map(Result::unwrap).collect()
}

#[test]
fn quotes_hold_delimiters_line_breaks_and_quotes() {
    assert_eq!(
        good("a,b\r\n\"x,1\",\"y\r\nz\"\n\"say \"\"hi\"\"\",\n", b','),
        [vec!["a", "b"], vec!["x,1", "y\r\nz"], vec!["say \"hi\"", ""],]
    );
    assert_eq!(good("a;5\" disk;\"b\"c\n", b';'), [vec!["a", "5\" disk", "bc"]]);
    assert_eq!(good("\t\t", b'\t'), [vec!["", "", ""]]);
}

#[test]
fn a_quote_that_is_never_closed_costs_one_line() {
    let found = rows(b"a,b\n\"c,d\ne,f\n", b',');
    assert_eq!(found.len(), 3);
    assert_eq!(found[1].as_ref().unwrap_err(), "a quote at byte 0 that is never closed");
    assert_eq!(found[2].as_ref().unwrap(), &["e", "f"]);
    // The same when the end is not in sight yet: more is asked for, up to the limit.
    let mut text = b"\"c,d\n".to_vec();
    assert_eq!(row_length(&text, b',', false), None);
    text.resize(QUOTED_ROW_BYTES_MAX, b'\n');
    assert_eq!(row_length(&text, b',', false), Some(5));
    assert_eq!(row_length(b"\"a\"", b',', false), None);
    assert_eq!(row_length(b"\"a\"\n", b',', false), Some(4));
}

#[test]
fn a_row_has_a_cell_for_each_column() {
    let header = Layout::default().header(b"Name; Last Day ;\"E-mail\"\r\n").unwrap();
    assert_eq!(header, Header { delimiter: b';', names: ["Name", "Last Day", "E-mail"].map(str::to_owned).into() });
    assert_eq!(header.row(b"a;b;c\r\n").unwrap(), ["a", "b", "c"]);
    assert_eq!(header.row(b"a;b;c;;\n").unwrap(), ["a", "b", "c"]);
    let cells = ["a;1", "say \"hi\"", "two\r\nlines"];
    assert_eq!(header.row(header.write(cells.into_iter()).as_bytes()).unwrap(), cells);
    for (row, why) in [
        (&b"a;b\n"[..], "a row of 2 cells, where there are 3 columns"),
        (b"a;b;c;d\n", "a row of 4 cells, where there are 3 columns"),
        (b"a;b;c\nd;e;f\n", "more than one row: another begins at byte 6"),
        (b"a;b;\xe9\n", "not UTF-8: bad byte at 4; export the file as UTF-8"),
        (b"a;\"b;c\n", "a quote at byte 2 that is never closed"),
    ] {
        assert_eq!(header.row(row).unwrap_err().0, why);
    }
}

#[test]
fn the_delimiter_is_seen_in_the_first_line_or_stated() {
    for (line, delimiter) in [("a,b;c,d", b','), ("a;b", b';'), ("\"a,b,c\";d", b';'), ("a\tb", b'\t'), ("a", b',')] {
        assert_eq!(Layout::default().delimiter(line.as_bytes()), delimiter, "{line}");
    }
    let stated = Layout { delimiter: Some(b'|'), columns: vec!["x".to_owned(), "y".to_owned()] };
    let header = stated.header(b"1,2|3\n").unwrap();
    assert_eq!((header.names.len(), header.row(b"1,2|3\n").unwrap()), (2, vec!["1,2".into(), "3".into()]));
    assert!(Layout::default().header(b"\xff\xfea\0").unwrap_err().0.contains("UTF-16"));
}

/// What the `csv` crate reads, row by row.
fn theirs(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn says_what_another_reader_says() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut compared = 0;
    for _ in 0..20_000 {
        let parts = ["a", "\"", "\"\"", ",", "\n", "\r\n", "é", " ", ";"];
        let text: String = (0..random.usize(..16)).map(|_| parts[random.usize(..parts.len())]).collect();
        let ours = rows(text.as_bytes(), b',');
        // They let an open quote run on, and pass over empty lines.
        if ours.iter().all(Result::is_ok) {
            let ours: Vec<_> = ours.into_iter().flatten().filter(|row| row != &[""]).collect();
            let theirs: Vec<_> = theirs(&text).into_iter().filter(|row| row != &[""]).collect();
            assert_eq!(ours, theirs, "{text:?}");
            compared += 1;
        }
    }
    assert!(compared > 10_000, "{compared}");
}

#[test]
fn any_bytes_are_rows_and_nothing_is_lost() {
    let mut random = fastrand::Rng::with_seed(8);
    for _ in 0..20_000 {
        let bytes = [b'"', b',', b'\n', b'\r', b'a', 0xff, 0, b';'];
        let text: Vec<u8> = (0..random.usize(..40)).map(|_| bytes[random.usize(..bytes.len())]).collect();
        let layout = Layout::default();
        let _ = layout.header(&text).map(|header| header.row(&text).is_ok());
        for cut in 0..text.len() {
            // What is told of a part holds for the whole.
            let delimiter = layout.delimiter(&text);
            if let Some(length) = row_length(&text[..cut], delimiter, false) {
                assert_eq!(row_length(&text, delimiter, true), Some(length), "{text:?}");
            }
        }
        rows(&text, b',');
    }
}
