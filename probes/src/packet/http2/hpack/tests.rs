//! RFC 7541's examples, and listeners that come late.

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut fields = Fields::default();
    fields.reset(1 << 16);
    decoder.decode(block, &mut fields)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all: Vec<_> = fields.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect();
    all.extend((0..fields.unknown).map(|_| "?".to_owned()));
    Ok(all)
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

const FIRST: &str = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const RESPONSES: [&[&str]; 3] = [
    &[":status: 302", "cache-control: private", FIRST, "location: https://www.example.com"],
    &[":status: 307", "cache-control: private", FIRST, "location: https://www.example.com"],
    &[
        ":status: 200",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
        "location: https://www.example.com",
        "content-encoding: gzip",
        COOKIE,
    ],
];

#[test]
fn requests_of_appendix_c() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let coded = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::default();
        for ((block, want), size) in blocks.iter().zip(REQUESTS).zip([57, 110, 164]) {
            assert_eq!(decode(&mut decoder, &bytes(block)).expect("a block"), want);
            assert_eq!(decoder.size, size);
        }
    }
}

/// With a table of 256 bytes, so that entries are evicted.
#[test]
fn responses_of_appendix_c() {
    let plain = [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e17\
         68747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d41\
         53444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b207665727369\
         6f6e3d31",
    ];
    let coded = [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97\
         c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd\
         5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::default();
        assert_eq!(decode(&mut decoder, &bytes("3fe101")), Ok(Vec::new()), "a table of 256 bytes");
        for ((block, want), size) in blocks.iter().zip(RESPONSES).zip([222, 222, 215]) {
            assert_eq!(decode(&mut decoder, &bytes(block)).expect("a block"), want);
            assert_eq!(decoder.size, size);
        }
    }
}

#[test]
fn what_was_missed_is_unknown() {
    let mut late = Decoder::default();
    late.lose();
    // The second request of C.3: its authority was inserted by the first.
    let mut second = REQUESTS[1].to_vec();
    second.retain(|field| !field.starts_with(":authority"));
    second.push("?");
    assert_eq!(
        decode(&mut late, &bytes("828684be58086e6f2d6361636865")),
        Ok(second.iter().map(|s| (*s).to_owned()).collect())
    );
    // Inserted since: 62 is known. A name that is unknown leaves an entry that counts but can't be told.
    assert_eq!(decode(&mut late, &bytes("be")), Ok(vec!["cache-control: no-cache".into()]));
    assert_eq!(decode(&mut late, &bytes("7f810003616263")), Ok(vec!["?".into()]));
    assert_eq!(decode(&mut late, &bytes("bebf")), Ok(vec!["cache-control: no-cache".into(), "?".into()]));
    // Emptied by the encoder: now everything is known, and other indexes are wrong.
    assert_eq!(decode(&mut late, &bytes("203fe11f")), Ok(Vec::new()));
    assert_eq!(decode(&mut late, &bytes("be")), Err(Malformed));
}

#[test]
fn malformed_blocks() {
    let wrong = [
        "80",                 // index 0
        "be",                 // beyond the table
        "ffffffffffff7f",     // an integer of 40 bits
        "ff8080808080808000", // one of many zeros
        "4005616263",         // a string longer than the block
        "40",
        "4001",
        "4081ff0161",       // padding of eight ones: longer than padding may be
        "408100016161",     // padding of zeros
        "4084ffffffff0161", // the end of string within it
    ];
    for block in wrong {
        assert_eq!(decode(&mut Decoder::default(), &bytes(block)), Err(Malformed), "{block}");
    }
}

/// One byte may stand for a large entry: what a block can unpack to is bounded, and the state stays right.
#[test]
fn bombs_are_bounded() {
    let mut block = vec![0x40, 1, b'a', 0x7f, 0x80 | 0x51, 0x1e];
    block.extend(vec![b'x'; 127 + 0xf51]);
    block.extend([0xbe; 10_000]);
    let mut decoder = Decoder::default();
    let mut fields = Fields::default();
    fields.reset(1 << 14);
    decoder.decode(&block, &mut fields).expect("well-formed");
    let kept = fields.iter().count();
    assert!((1..8).contains(&kept), "{kept}");
    assert_eq!(fields.cut as usize + kept, 10_001);
    assert!(fields.bytes.len() <= 1 << 14);
    assert_eq!(decode(&mut decoder, &[0xbe]).expect("still known").len(), 1);
}

/// What an encoder of this test does: inserts, refers, resizes.
struct Encoder {
    table: VecDeque<(String, String)>,
    limit: usize,
    out: Vec<u8>,
}

impl Encoder {
    fn number(&mut self, prefix: u32, first: u8, value: usize) {
        let most = (1 << prefix) - 1;
        if value < most {
            self.out.push(first | value as u8);
            return;
        }
        self.out.push(first | most as u8);
        let mut rest = value - most;
        while rest >= 128 {
            self.out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    fn evict(&mut self) {
        let size = |table: &VecDeque<(String, String)>| -> usize {
            table.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD).sum()
        };
        while size(&self.table) > self.limit {
            self.table.pop_back();
        }
    }

    fn field(&mut self, name: &str, value: &str, insert: bool) {
        if let Some(at) = self.table.iter().position(|(n, v)| n == name && v == value) {
            return self.number(7, 0x80, 62 + at);
        }
        let (prefix, first) = if insert { (6, 0x40) } else { (4, 0) };
        if let Some(at) = self.table.iter().position(|(n, _)| n == name) {
            self.number(prefix, first, 62 + at);
        } else {
            self.number(prefix, first, 0);
            self.number(7, 0, name.len());
            self.out.extend(name.bytes());
        }
        self.number(7, 0, value.len());
        self.out.extend(value.bytes());
        if insert {
            self.table.push_front((name.to_owned(), value.to_owned()));
            self.evict();
        }
    }
}

proptest::proptest! {
    /// A listener that misses blocks says nothing wrong: each field is right or unknown, and a listener that misses nothing knows all.
    #[test]
    fn late_listeners_are_right_or_silent(
        blocks in proptest::collection::vec(
            (proptest::option::of(0..3_usize), proptest::collection::vec((0..6_u8, 0..90_usize, proptest::prelude::any::<bool>()), 1..6), proptest::prelude::any::<bool>()),
            1..40,
        ),
    ) {
        let mut encoder = Encoder { table: VecDeque::new(), limit: DEFAULT_TABLE, out: Vec::new() };
        let (mut whole, mut late) = (Decoder::default(), Decoder::default());
        let mut missed = false;
        for (resize, list, missing) in blocks {
            if let Some(size) = resize {
                encoder.limit = [0, 150, 4096][size];
                encoder.number(5, 0x20, encoder.limit);
                encoder.evict();
            }
            let mut want = Vec::new();
            for (name, value, insert) in list {
                let (name, value) = (format!("x-{name}"), "v".repeat(value));
                encoder.field(&name, &value, insert);
                want.push(format!("{name}: {value}"));
            }
            let block = std::mem::take(&mut encoder.out);
            proptest::prop_assert_eq!(decode(&mut whole, &block).expect("well-formed"), want.clone());
            if missing {
                if !missed {
                    late.lose();
                }
                missed = true;
                continue;
            }
            if std::mem::take(&mut missed) {
                late.lose();
            }
            let got = decode(&mut late, &block).expect("well-formed");
            proptest::prop_assert_eq!(got.len(), want.len());
            let mut rest = want.iter();
            for field in got.iter().filter(|field| *field != "?") {
                proptest::prop_assert!(rest.any(|have| have == field), "{} is not in {:?}", field, want);
            }
        }
    }
}
