use super::*;
use std::collections::BTreeSet;

#[test]
fn numbers_and_names_are_there_once() {
    let numbers: BTreeSet<&str> = KINDS.iter().map(|k| k.number).collect();
    let codes: BTreeSet<&str> = KINDS.iter().map(|k| k.code).collect();
    assert_eq!((numbers.len(), codes.len()), (KINDS.len(), KINDS.len()));
    for kind in KINDS {
        assert!(kind.number.len() == 5 && kind.number.starts_with('E'), "{}", kind.number);
        assert!(kind.doc.ends_with('.') && kind.doc.len() > 20, "{}: {}", kind.number, kind.doc);
    }
}

#[test]
fn they_are_found_as_people_type_them() {
    let kind = by_code("unknown-field").expect("a kind");
    for text in [kind.number, &kind.number.to_lowercase(), "unknown-field", kind.number.trim_start_matches("E0")] {
        assert_eq!(find(text), Some(kind), "{text}");
    }
    assert_eq!(find("E9999"), None);
    assert_eq!(find("E"), None);
}
