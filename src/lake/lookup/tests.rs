use super::list::{Entry, Place};
use super::*;

fn entry(offset: u64) -> Entry {
    let columns = columns::ids().count();
    let mut places = vec![None; columns];
    places[0] = Some(Place { offset, blocks: 32 });
    Entry { groups: vec![places.clone(), places], has_grantless: offset == 7, has_lone_tokens: offset != 7 }
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
