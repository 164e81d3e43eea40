use super::*;

fn key(id: u32) -> Key {
    Key { family: 2, proto: 6, id, src: [1; 16], dst: [2; 16] }
}

fn piece(id: u32, offset: usize, more: bool) -> Piece {
    Piece { key: key(id), offset, more, whole: true }
}

#[test]
fn any_order_gives_the_datagram() {
    let whole: Vec<u8> = (0..40).collect();
    let cuts = [(0, 16, true), (16, 32, true), (32, 40, false)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let mut fragments = Fragments::default();
        let done: Vec<bool> = order
            .iter()
            .map(|&i| {
                let (from, to, more) = cuts[i];
                fragments.add(&piece(7, from, more), &whole[from..to], 0)
            })
            .collect();
        assert_eq!(done, [false, false, true]);
        assert_eq!(fragments.completed(), whole);
        assert_eq!(fragments.dropped, 0);
    }
}

#[test]
fn a_hole_is_never_complete() {
    let mut fragments = Fragments::default();
    assert!(!fragments.add(&piece(1, 0, true), &[0; 8], 0));
    assert!(!fragments.add(&piece(1, 16, false), &[0; 8], 0));
    assert!(fragments.add(&piece(1, 8, true), &[9; 8], 0));
    assert_eq!(&fragments.completed()[8..16], &[9; 8]);
}

#[test]
fn bounded_and_counted() {
    let mut fragments = Fragments::new(2);
    for id in 0..5 {
        fragments.add(&piece(id, 0, true), &[0; 8], 0);
    }
    assert_eq!(fragments.open.len(), 2);
    assert_eq!(fragments.dropped, 3);
    // Too old: gone when the next one comes.
    fragments.add(&piece(9, 0, true), &[0; 8], LIFETIME_NS + 1);
    assert_eq!(fragments.open.len(), 1);
    assert_eq!(fragments.dropped, 5);
    assert!(!fragments.add(&piece(9, 65_528, true), &[0; 16], LIFETIME_NS + 1));
    assert_eq!(fragments.dropped, 6);
}
