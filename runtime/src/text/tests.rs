use super::*;
use crate::{
    json,
    names::{Frame, Names, Stack, Symbol, Unwound},
};
use weftrace_artifact::ty::{StackMode, lay_out};

/// Names of a made-up host.
struct Fake;

impl Names for Fake {
    fn kernel(&mut self, addr: u64) -> Option<Symbol<'_>> {
        (addr >= 0xffff_0000).then(|| Symbol { name: "tcp_sendmsg", offset: addr - 0xffff_0000, module: None })
    }
    fn user(&mut self, pid: u32, addr: u64) -> Option<Symbol<'_>> {
        (pid == 42).then_some(Symbol { name: "main", offset: addr & 0xff, module: Some("/bin/a") })
    }
    fn frames(&mut self, pid: Option<u32>, addr: u64, leaf: bool) -> Vec<Frame> {
        let frame = |name: &str, offset, at: Option<(&str, u32)>, inlined| Frame {
            name: name.into(),
            offset,
            module: Some("/bin/a".into()),
            source: at.map(|(file, line)| (file.into(), line)),
            inlined,
        };
        match (pid, leaf) {
            (Some(42), true) => {
                vec![frame("within", 0, Some(("a.h", 3)), true), frame("main", addr & 0xff, Some(("a.c", 7)), false)]
            }
            _ => self
                .kernel(addr)
                .map(|s| Frame { module: None, ..frame(s.name, s.offset, None, false) })
                .into_iter()
                .collect(),
        }
    }
    fn unwind(&mut self, pid: u32, _: &[u8], stack: &[u8], most: usize) -> Option<Unwound> {
        let beyond = !stack.is_empty() && most == 5;
        (pid == 42).then(|| Unwound { frames: vec![0x111, 0x222], beyond, unknown: !beyond })
    }
    fn stack(&mut self, stack: Stack, id: i64) -> Option<Vec<u8>> {
        if stack.build_id {
            let mut frame = vec![0u8; 64];
            frame[0] = 1;
            frame[4..7].copy_from_slice(&[0xab, 0xcd, 0x01]);
            frame[24..26].copy_from_slice(&[0x26, 0x11]);
            return (id == 7).then_some(frame);
        }
        let frames: [u64; 4] = [0xffff_0010, 0xffff_0020, 0x99, 0];
        (id == 7).then(|| frames.iter().flat_map(|f| f.to_ne_bytes()).collect())
    }
    fn cgroup_path(&mut self, id: u64, _: &str) -> String {
        format!("{id}")
    }
    fn user_name(&mut self, uid: u32) -> Option<String> {
        (uid == 0).then(|| "root".into())
    }
    fn time(&mut self, boot_ns: u64, fmt: &str, out: &mut Vec<u8>) {
        crate::sys::strftime(boot_ns, fmt, true, out);
    }
}

fn both(ty: &Type, bytes: &[u8]) -> (String, String) {
    let (mut plain, mut quoted) = (Vec::new(), Vec::new());
    write_value(&mut plain, ty, bytes, &mut Style::new(&mut Fake));
    json::write_value(&mut quoted, ty, bytes, &mut Style::new(&mut Fake));
    (String::from_utf8(plain).expect("UTF-8"), String::from_utf8(quoted).expect("UTF-8"))
}

fn check(ty: &Type, bytes: &[u8], plain: &str, quoted: &str) {
    assert_eq!(both(ty, bytes), (plain.to_owned(), quoted.to_owned()));
}

fn str_bytes(text: &str, cap: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(cap, 0);
    bytes
}

#[test]
fn plain_types() {
    check(&Type::Bool, &[1], "true", "true");
    check(&Type::Int { bytes: 2, signed: true }, &[0xfe, 0xff], "-2", "-2");
    check(&Type::U64, &u64::MAX.to_ne_bytes(), "18446744073709551615", "\"18446744073709551615\"");
    check(&Type::Ptr, &0x1234u64.to_ne_bytes(), "0x1234", "4660");
    check(&Type::Str { cap: 8 }, b"ab\"\n\0zzz", "ab\"\n", "\"ab\\\"\\n\"");
    check(&Type::Str { cap: 3 }, b"abc", "abc..", "\"abc..\"");
    check(&Type::Buf { cap: 4 }, &[3, 0, 0, 0, b'a', 0, 0xff, 9], "a\\x00\\xff", "[97,0,-1]");
    check(&Type::Mac, &[0, 0x1b, 0x2c, 3, 4, 0xff], "00:1B:2C:03:04:FF", "\"00:1B:2C:03:04:FF\"");
    check(&Type::Username, &[0; 4], "root", "\"root\"");
    check(&Type::Username, &[9, 0, 0, 0], "9", "\"9\"");
    let time = Type::Time { fmt: "%H:%M:%S.%l".into() };
    check(&time, &3_661_005_000_000u64.to_ne_bytes(), "01:01:01.005", "\"01:01:01.005\"");
}

#[test]
fn enums_are_names_for_people_and_numbers_for_machines() {
    let ty =
        Type::Enum { name: "e".into(), bytes: 4, signed: false, variants: vec![("ONE".into(), 1), ("TWO".into(), 2)] };
    check(&ty, &[2, 0, 0, 0], "TWO", "2");
    check(&ty, &[9, 0, 0, 0], "9", "9");
}

#[test]
fn composites() {
    let (fields, size) = lay_out([
        (None, Type::Int { bytes: 4, signed: true }),
        (None, Type::Str { cap: 8 }),
        (None, Type::Tuple { fields: lay_out([(None, Type::U32), (None, Type::U32)]).0, size: 8 }),
    ]);
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend(str_bytes("string", 8));
    bytes.extend([4, 0, 0, 0, 5, 0, 0, 0]);
    check(&Type::Tuple { fields, size }, &bytes, "(1, string, (4, 5))", "[1,\"string\",[4,5]]");

    let (fields, size) = lay_out([(Some("m".into()), Type::U32), (Some("n".into()), Type::U32)]);
    let record = Type::Record { fields: fields.clone(), size };
    check(&record, &[2, 0, 0, 0, 3, 0, 0, 0], "{ .m = 2, .n = 3 }", "{\"m\": 2, \"n\": 3}");
    let array = Type::Array { elem: Box::new(Type::U32), len: 3 };
    check(&array, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0], "[1,2,3]", "[1,2,3]");
    let empty = Type::Struct { name: "s".into(), fields: vec![], size: 0 };
    check(&empty, &[], "{}", "{}");
    let mut bits = fields;
    bits[1].bits = Some((4, 3));
    let ty = Type::Struct { name: "s".into(), fields: bits, size };
    check(&ty, &[2, 0, 0, 0, 0xd5, 0, 0, 0], "{ .m = 2, .n = 5 }", "{\"m\": 2, \"n\": 5}");
}

#[test]
fn addresses_of_the_network() {
    let mut four = vec![2, 0, 0, 0, 127, 0, 0, 1];
    four.resize(20, 0);
    check(&Type::Inet, &four, "127.0.0.1", "\"127.0.0.1\"");
    let mut six = vec![10, 0, 0, 0, 0xfe, 0x80];
    six.resize(19, 0);
    six.push(1);
    check(&Type::Inet, &six, "fe80::1", "\"fe80::1\"");
    check(&Type::Inet, &[0; 20], "", "\"\"");
    let mut conn = vec![0u8; 48];
    conn[4] = 2;
    conn[6] = 6;
    conn[8..12].copy_from_slice(&[10, 0, 0, 1]);
    conn[24..28].copy_from_slice(&[10, 0, 0, 2]);
    conn[40..42].copy_from_slice(&80u16.to_ne_bytes());
    conn[42..44].copy_from_slice(&5000u16.to_ne_bytes());
    check(&Type::Conn, &conn, "10.0.0.1:80 <-> 10.0.0.2:5000", "\"10.0.0.1:80 <-> 10.0.0.2:5000\"");
    // Two of the first end, and five of the second's: the last lies among the first's; one has bytes of others.
    let mut ranges = conn.clone();
    let word = |n: u64| n.to_ne_bytes();
    ranges.resize(56, 0);
    for (from, to) in [(1, 93), (100, 120), (900, 950), (0, 0), (1, 240), (300, 310), (400, 410), (500, 800)] {
        ranges.extend([word(from), word(to)].concat());
    }
    ranges.extend([1_u32 << 7, 1 << 2].map(u32::to_ne_bytes).concat());
    let all =
        "10.0.0.1:80 <-> 10.0.0.2:5000 → 1..93, → 100..120, ← 1..240, ← 300..310, ← 400..410, ← ~500..800, ← 900..950";
    check(&Type::ByteRanges, &ranges, all, &format!("\"{all}\""));
    let headers = [4, 2, 0, b'h', b'o', b's', b't', b'a', b'b', 0];
    check(&Type::Headers, &headers, "host: ab", "{\"host\": \"ab\"}");
}

#[test]
fn stacks_and_symbols() {
    check(&Type::Ksym, &0xffff_0010u64.to_ne_bytes(), "tcp_sendmsg", "\"tcp_sendmsg\"");
    check(&Type::Ksym, &1u64.to_ne_bytes(), "0x1", "\"0x1\"");
    let mut usym = 0x4444u64.to_ne_bytes().to_vec();
    usym.extend([42, 0, 0, 0, 0, 0, 0, 0]);
    check(&Type::Usym, &usym, "main", "\"main\"");
    let stack = |mode, limit| Type::KStack { mode, limit };
    let id = 7i64.to_ne_bytes();
    let text = |ty: &Type, id: &[u8]| both(ty, id).0;
    assert_eq!(
        text(&stack(StackMode::Bpftrace, 127), &id),
        "\n        tcp_sendmsg+16\n        tcp_sendmsg+32\n        0x99\n"
    );
    assert_eq!(text(&stack(StackMode::Bpftrace, 1), &id), "\n        tcp_sendmsg+16\n");
    assert_eq!(
        text(&stack(StackMode::Perf, 2), &id),
        "\n\tffff0010 tcp_sendmsg+16 ([unknown])\n\tffff0020 tcp_sendmsg+32 ([unknown])\n"
    );
    assert_eq!(text(&stack(StackMode::Raw, 2), &id), "\nffff0010\nffff0020\n");
    assert_eq!(text(&stack(StackMode::Raw, 2), &(-14i64).to_ne_bytes()), "\n");
    assert!(text(&stack(StackMode::Raw, 2), &(-17i64).to_ne_bytes()).contains("<stack lost"));
    // The length is in the upper half, if the script asked for it.
    let counted = (3i64 << 32 | 7).to_ne_bytes();
    assert_eq!(text(&stack(StackMode::Raw, 2), &counted), "\nffff0010\nffff0020\n");
}

#[test]
fn stacks_by_build_id_and_with_debug_information() {
    let mut user = 7i64.to_ne_bytes().to_vec();
    user.extend([42, 0, 0, 0, 0, 0, 0, 0]);
    let text = |mode, limit| both(&Type::UStack { mode, limit }, &user).0;
    assert_eq!(text(StackMode::BuildId, 127), "\nabcd01 0x1126\n");
    assert_eq!(text(StackMode::Bpftrace, 1), "\n        [inlined] within@a.h:3\n        main+16@a.c:7\n");
    assert_eq!(text(StackMode::Perf, 1), "\n\tffff0010 within (inlined)\n\tffff0010 main+16 (/bin/a)\n");
}

#[test]
fn samples_say_where_they_end() {
    let sample = Type::Sample { mode: StackMode::Raw, limit: 5 };
    let mut bytes = vec![0u8; sample.size() as usize];
    bytes[..4].copy_from_slice(&42u32.to_ne_bytes());
    assert_eq!(both(&sample, &bytes).0, "\n111\n222\n        <cut: no unwind information for the last frame>\n");
    bytes[4..8].copy_from_slice(&16384u32.to_ne_bytes());
    assert_eq!(both(&sample, &bytes).0, "\n111\n222\n        <cut: only 16384 bytes of the stack were copied>\n");
    bytes[..4].copy_from_slice(&43u32.to_ne_bytes());
    assert_eq!(both(&sample, &bytes).0, "\n");
}

#[test]
fn terminals_get_no_control_characters() {
    let print = |escape, text: &[u8]| {
        let mut out = Vec::new();
        write_lossy(&mut out, text, escape);
        String::from_utf8(out).expect("UTF-8")
    };
    assert_eq!(print(true, b"a\x1b[2J\n\tb\x7f"), "a\\x1b[2J\n\tb\\x7f");
    assert_eq!(print(false, b"a\x1b[2J"), "a\x1b[2J");
    assert_eq!(print(true, "é\u{9b}1m".as_bytes()), "é\\x9b1m");
    assert_eq!(print(true, b"\xff\xfeok\xc3"), "\u{fffd}\u{fffd}ok\u{fffd}");
}

#[test]
fn numbers_are_divided() {
    let mut out = Vec::new();
    let mut names = Fake;
    let mut style = Style::new(&mut names);
    write_value(&mut out, &Type::I64, &(-2500i64).to_ne_bytes(), &mut style.divided(1000));
    assert_eq!(out, b"-2");
}
