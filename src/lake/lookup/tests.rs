use super::list::{Entry, Place};
use super::*;

fn entry(offset: u64) -> Entry {
    let columns = columns::ids().count();
    let mut places = vec![None; columns];
    let copy = (offset == 7).then_some(copies::Copied { book: 5, offset: 9 });
    places[0] = Some(Place { offset, blocks: 32 });
    Entry { groups: vec![places.clone(), places], has_grantless: offset == 7, has_lone_tokens: offset != 7, copy }
}

#[test]
fn the_list_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/filters");
    assert!(list::read(&path).is_empty());
    let known = HashMap::from([("class=token/one.parquet".to_owned(), entry(7)), ("two".to_owned(), entry(u64::MAX))]);
    list::write(&path, &known).unwrap();
    assert_eq!(list::read(&path), known);
}

#[test]
fn a_broken_list_is_none_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("filters");
    list::write(&path, &HashMap::from([("one".to_owned(), entry(7))])).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for end in [0, 5, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..end]).unwrap();
        assert!(list::read(&path).is_empty(), "cut at {end}");
    }
    let mut longer = whole;
    longer.push(0);
    std::fs::write(&path, &longer).unwrap();
    assert!(list::read(&path).is_empty());
}

/// So many data files of one group, each with two filters of its own, and what is known of them.
fn files(root: &Path, names: impl Iterator<Item = usize>) -> Known {
    let mut known = Known::new();
    for number in names {
        let bits: Vec<u8> = (0..32 * 3 + 5).map(|at| (at * 7 + number) as u8).collect();
        std::fs::write(root.join(number.to_string()), bits).unwrap();
        let mut entry = Entry { groups: vec![vec![None; columns::ids().count()]], copy: None, ..entry(0) };
        entry.groups[0][1] = Some(Place { offset: 1, blocks: 1 });
        entry.groups[0][3] = Some(Place { offset: 1 + 32, blocks: 2 });
        known.insert(number.to_string(), entry);
    }
    known
}

/// How many blocks the copies have, each of which must be as in the data file.
fn right(root: &Path, folder: &Path, known: &Known) -> usize {
    let books = Books::open(folder, known);
    let block = |name: &str, before: u64| {
        let bits = std::fs::read(root.join(name)).unwrap();
        let found = books.block(name, known[name].copy, before)?;
        let from = 1 + 32 * before as usize;
        assert_eq!(found, bits[from..from + 32], "{name} {before}");
        Some(())
    };
    known.keys().map(|name| (0..3).filter_map(|before| block(name, before)).count()).sum()
}

#[test]
fn copies_are_made_of_many_files_and_are_right_or_none() {
    let temp = tempfile::tempdir().unwrap();
    let (root, folder) = (temp.path(), temp.path().join("lookup"));
    let mut few = files(root, 0..100);
    copies::bring_up_to_date(&folder, root, &mut few, |_| true).unwrap();
    assert_eq!(right(root, &folder, &few), 0, "100 files are asked one by one");

    let mut known = files(root, 0..200);
    copies::bring_up_to_date(&folder, root, &mut known, |_| true).unwrap();
    assert_eq!(right(root, &folder, &known), 600);
    // A block is no answer for another file, nor at another place.
    let books = Books::open(&folder, &known);
    assert_eq!(books.block("1", known["0"].copy, 0), None);
    assert_eq!(books.block("0", known["0"].copy, 3), None);

    // What left the table is blotted out; the rest stays.
    let gone = known["7"].copy;
    copies::bring_up_to_date(&folder, root, &mut known, |path| path != "7").unwrap();
    assert!((0..3).all(|before| Books::open(&folder, &known).block("7", gone, before).is_none()));
    known.remove("7");
    assert_eq!(right(root, &folder, &known), 597);

    // Cut, overwritten, empty, away: fewer answers, and no wrong one.
    let book = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&book).unwrap();
    std::fs::write(&book, &whole[..whole.len() / 2 + 3]).unwrap();
    assert!((250..350).contains(&right(root, &folder, &known)));
    let turned: Vec<u8> = whole.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at % 500 == 0)).collect();
    std::fs::write(&book, turned).unwrap();
    assert!((450..597).contains(&right(root, &folder, &known)));
    std::fs::write(&book, "").unwrap();
    assert_eq!(right(root, &folder, &known), 0);
    std::fs::remove_file(&book).unwrap();
    assert_eq!(right(root, &folder, &known), 0);

    // Whose book is away is copied again, and books that no list names are taken away.
    std::fs::write(&book, whole).unwrap();
    let mut anew = files(root, 0..200);
    copies::bring_up_to_date(&folder, root, &mut anew, |_| true).unwrap();
    copies::tidy(&folder, &anew);
    assert_eq!((right(root, &folder, &anew), std::fs::read_dir(&folder).unwrap().count()), (600, 1));
}
