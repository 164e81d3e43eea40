use super::*;
use std::io::Cursor;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).expect("not empty")
}

fn sealed(bytes: &[u8], end: bool) -> Vec<u8> {
    let (mut seal, mut out) = Seal::new(&passphrase("wool")).expect("random bytes");
    bytes.chunks(1000).for_each(|some| seal.add(some, &mut out));
    if end {
        seal.end(&mut out);
    }
    out
}

fn open(sealed: &[u8], by: &str) -> Result<(Vec<u8>, Option<io::ErrorKind>), SealError> {
    let mut unseal = Unseal::new(Cursor::new(sealed), Some(&passphrase(by)))?;
    let mut bytes = Vec::new();
    let error = unseal.read_to_end(&mut bytes).err().map(|error| error.kind());
    Ok((bytes, error))
}

#[test]
fn what_is_sealed_is_opened() {
    for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 5] {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 7) as u8).collect();
        assert_eq!(open(&sealed(&bytes, true), "wool").expect("opens"), (bytes, None), "{size}");
    }
}

#[test]
fn what_is_wrong_is_told_apart() {
    let bytes = vec![7; 2 * PIECE + 100];
    let whole = sealed(&bytes, true);
    assert!(matches!(open(&whole, "silk"), Err(SealError::Wrong)));
    assert!(matches!(Unseal::new(Cursor::new(&whole), None), Err(SealError::NoPassphrase)));
    // Cut within a piece, behind one, and never ended.
    let head = whole.len() - (bytes.len() + 3 * TAG);
    for (end, readable) in [(head + PIECE + TAG + 9, PIECE), (head + PIECE + TAG, PIECE), (head + 5, 0)] {
        let (read, error) = open(&whole[..end], "wool").expect("opens");
        assert_eq!((read.len(), error), (readable, Some(io::ErrorKind::UnexpectedEof)), "{end}");
    }
    assert_eq!(open(&sealed(&bytes, false), "wool").expect("opens").0.len(), 2 * PIECE);
    // Changed: nothing of the piece is shown.
    let mut changed = whole.clone();
    changed[head + PIECE + TAG + 3] ^= 1;
    assert_eq!(open(&changed, "wool").expect("opens"), (bytes[..PIECE].to_vec(), Some(io::ErrorKind::InvalidData)));
    // Pieces in another order.
    let mut swapped = whole[..head].to_vec();
    swapped.extend(&whole[head + PIECE + TAG..head + 2 * (PIECE + TAG)]);
    swapped.extend(&whole[head..head + PIECE + TAG]);
    assert_eq!(open(&swapped, "wool").expect("opens"), (vec![], Some(io::ErrorKind::InvalidData)));
}

#[test]
fn headers_that_are_none_are_errors() {
    let whole = sealed(b"bytes", true);
    let text = String::from_utf8_lossy(&whole).into_owned();
    let dear = text.replacen(" 4\n", " 30\n", 1);
    assert!(matches!(open(dear.as_bytes(), "wool"), Err(SealError::TooDear(30))));
    let other = [MAGIC, b"-> X25519 abc\nabc\n--- abc\n"].concat();
    assert!(matches!(open(&other, "wool"), Err(SealError::ForAKey)));
    for at in MAGIC.len()..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x11;
        let opened = open(&changed, "wool");
        assert!(!matches!(opened, Ok((_, None))), "a change at {at} was not seen");
        let _ = open(&whole[..at], "wool");
    }
    assert!(matches!(open(&[MAGIC, &vec![b'a'; 100_000]].concat(), "wool"), Err(SealError::Header)));
}

#[test]
fn base64_is_one_way_only() {
    assert_eq!(decode(b"Zm9vYmE").as_deref(), Some(&b"fooba"[..]));
    assert_eq!((decode(b"Zm9vYmE="), decode(b"Zm9vYmF"), decode(b"Zh")), (None, None, None));
}
