use super::{FormatError, parse};
use crate::hir::{Piece, Spec};

fn spec(text: &str) -> Spec {
    match parse(text).expect("parses").pop() {
        Some(Piece::Arg { spec, .. }) => spec,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn text_and_places() {
    let pieces = parse("a%d100%%%-16s\n").expect("parses");
    assert_eq!(pieces.len(), 5);
    assert_eq!(pieces[0], Piece::Text("a".into()));
    assert_eq!(pieces[2], Piece::Text("100%".into()));
    assert_eq!(
        pieces[3],
        Piece::Arg { index: 1, spec: Spec { minus: true, width: Some(16), conv: 's', ..Spec::default() } }
    );
    assert_eq!(pieces[4], Piece::Text("\n".into()));
}

#[test]
fn flags_width_precision_length() {
    let s = spec("%+08.3lld");
    assert_eq!((s.plus, s.zero, s.width, s.precision, s.length, s.conv), (true, true, Some(8), Some(3), Some(8), 'd'));
    assert_eq!(spec("%hhx").length, Some(1));
    assert_eq!(spec("%hx").length, Some(2));
    assert_eq!(spec("%i").conv, 'd');
    assert_eq!(spec("%rx").conv, 'R');
    assert_eq!(spec("%rh").conv, 'H');
    assert_eq!(spec("%gr").conv, 'g');
    assert!(spec("%#x").alternate);
}

#[test]
fn what_is_wrong() {
    assert_eq!(parse("x %"), Err(FormatError::Unfinished));
    assert_eq!(parse("%5"), Err(FormatError::Unfinished));
    assert_eq!(parse("%y"), Err(FormatError::Unknown("%y".into())));
    assert_eq!(parse("%12345d"), Err(FormatError::TooWide("%12345".into())));
}
