use super::*;

/// TLS 1.3 after the server's hello.
fn crypt(session: Option<Session>) -> Crypt {
    Crypt {
        client_random: Some([1; 32]),
        version: 0x0304,
        suite: Suite::of(0x1301),
        session: session.map(Box::new),
        ..Crypt::default()
    }
}

fn header() -> Header {
    Header::parse([content::DATA, 3, 3, 0, 0]).expect("a header")
}

/// Empty records come to be opened even where no more are wanted.
#[test]
fn any_number_of_records_may_fail() {
    let mut crypt = crypt(None);
    crypt.dirs[0].reader = crypt.reader_13(Epoch::Traffic, Secret::new(&[7; 32]).expect("a secret"));
    assert!(crypt.dirs[0].reader.is_some());
    for _ in 0..1000 {
        assert!(crypt.open(0, true, &header(), &[], &mut TlsShared::default()).is_none());
    }
    assert!(!crypt.wants(0, &TlsShared::default()));
}

/// With secrets that fit no record, trying ends, whether or not a key was ever in use.
#[test]
fn trying_the_next_numbers_ends() {
    let secret = || Secret::new(&[7; 32]);
    let session = Session { handshake: [secret(), secret()], traffic: [secret(), secret()], ..Session::default() };
    let mut crypt = crypt(Some(session));
    crypt.slipped(0);
    let mut shared = TlsShared::default();
    for _ in 0..MAX_FAILURES {
        assert!(crypt.wants(0, &shared));
        assert!(crypt.open(0, true, &header(), &[0; 40], &mut shared).is_none());
    }
    assert!(!crypt.wants(0, &shared));
}

/// TLS 1.0 chains records, and how many were missed is not known: the one after them can't be opened, those after that can.
#[test]
fn a_chain_goes_on_after_missing_records() {
    let records = crate::packet::tls::open::tests::chained(12);
    let opener = crate::packet::tls::open::tests::opener();
    let mut direction = Direction {
        reader: Some(Reader { opener, seq: 0, epoch: Epoch::Traffic, secret: None }),
        ..Direction::default()
    };
    let mut opened = Vec::new();
    for (i, (header, body)) in records.iter().enumerate() {
        if (3..7).contains(&i) {
            direction.slipped = true;
            continue;
        }
        if let Some(plain) = direction.open(header, body) {
            assert_eq!(plain, [i as u8; 20]);
            opened.push(i);
        }
    }
    assert_eq!(opened, [0, 1, 2, 8, 9, 10, 11]);
}

/// How much content a record has is known before it is opened, but for padding.
#[test]
fn content_without_what_protects_it() {
    let header = Header::parse([content::DATA, 3, 3, 0x01, 0x00]).expect("a header");
    let len = |version, suite| {
        let suite = Suite::of(suite);
        Crypt { version, suite, ..Crypt::default() }.content_len(&header)
    };
    assert_eq!(len(0x0304, 0x1301), (256 - 17, false), "TLS 1.3, GCM");
    assert_eq!(len(0x0304, 0x1305), (256 - 9, false), "TLS 1.3, CCM with a short tag");
    assert_eq!(len(0x0303, 0xc02f), (256 - 24, true), "TLS 1.2, GCM");
    assert_eq!(len(0x0303, 0xcca8), (256 - 16, true), "TLS 1.2, ChaCha20");
    assert_eq!(len(0x0303, 0x002f), (256, false), "CBC");
    assert_eq!(len(0x0303, 0xffff), (256, false), "an unknown suite");
}
