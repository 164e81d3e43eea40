//! Kernel and user memory, tracepoint records, registers, connections.

use crate::hir::*;
use crate::run::*;
use weftrace_artifact::{abi::LossSlot, program::FieldPath};
use weftrace_lang::hir::{Expr, ExprKind, Func, Program, Provider, Space, StructDef, StructField, Ty};

fn field(name: &str, ty: Ty, offset: u32) -> StructField {
    StructField { name: name.into(), ty, offset, bits: None }
}

fn structure(name: &str, size: u32, fields: Vec<StructField>) -> StructDef {
    StructDef { name: name.into(), union: false, size, align: 8, fields, go: None }
}

fn member(base: Expr, name: &str, offset: u32, ty: Ty) -> Expr {
    e(ExprKind::Field { base: Box::new(base), name: name.into(), offset, bits: None }, ty)
}

fn ptr(to: &str, space: Space) -> Ty {
    Ty::Ptr { to: Box::new(Ty::Struct(to.into())), space }
}

fn world() -> TestWorld {
    let inner = structure("inner", 8, vec![field("x", Ty::I32, 0), field("y", Ty::I32, 4)]);
    let outer = structure(
        "outer",
        32,
        vec![
            field("a", Ty::U64, 0),
            field("in", Ty::Struct("inner".into()), 8),
            field("next", ptr("outer", Space::Kernel), 16),
            field("arr", Ty::Array { elem: Box::new(Ty::U16), len: 4 }, 24),
        ],
    );
    TestWorld { structs: [inner, outer].into_iter().map(|s| (s.name.clone(), s)).collect(), ..TestWorld::default() }
}

fn run_with(
    exprs: Vec<Expr>,
    world: &TestWorld,
    kernel: Vec<(u64, Vec<u8>)>,
) -> (Vec<u8>, Lowered, [u64; LossSlot::COUNT as usize]) {
    let p = Program {
        structs: world.structs.values().cloned().collect(),
        ..program(vec![], vec![probe(raw_tp(), vec![], vec![printf(exprs)])])
    };
    let lowered = lower_in(&p, world).expect("lowers");
    let mut host = lowered.host();
    host.ctx[..8].copy_from_slice(&0x1000u64.to_le_bytes());
    host.kernel.extend(kernel);
    lowered.run(0, &mut host);
    (host.records[0].payload.clone(), lowered, host.losses)
}

#[test]
fn chains_read_each_pointer_and_carry_relocations() {
    let p = || e(ExprKind::Arg(0), ptr("outer", Space::Kernel));
    let outer = |p| deref(p, Ty::Struct("outer".into()));
    let y = |p| member(member(outer(p), "in", 8, Ty::Struct("inner".into())), "y", 4, Ty::I32);
    let next = member(outer(p()), "next", 16, ptr("outer", Space::Kernel));
    let mut first = vec![0; 32];
    first[16..24].copy_from_slice(&0x2000u64.to_le_bytes());
    let mut second = vec![0; 32];
    second[12..16].copy_from_slice(&(-5i32).to_le_bytes());
    let (payload, lowered, losses) = run_with(vec![y(next)], &world(), vec![(0x1000, first), (0x2000, second)]);
    assert_eq!(payload, (-5i32).to_le_bytes());
    assert_eq!(losses, [0; LossSlot::COUNT as usize]);
    let path = |members: &str| FieldPath::Struct { name: "outer".into(), members: members.into() };
    assert_eq!(lowered.functions[0].paths, [path("next"), path("in.y")]);
}

#[test]
fn elements_and_bit_fields() {
    let outer = || deref(e(ExprKind::Arg(0), ptr("outer", Space::Kernel)), Ty::Struct("outer".into()));
    let arr = || member(outer(), "arr", 24, Ty::Array { elem: Box::new(Ty::U16), len: 4 });
    let at = |i: Expr| e(ExprKind::Index { base: Box::new(arr()), index: Box::new(i) }, Ty::U16);
    let bits = |signed| {
        let ty = Ty::Int { bits: 32, signed };
        e(ExprKind::Field { base: Box::new(outer()), name: "a".into(), offset: 0, bits: Some((3, 5)) }, ty)
    };
    let mut memory = vec![0; 32];
    memory[0] = 0b1010_1111;
    memory[28..30].copy_from_slice(&777u16.to_le_bytes());
    let exprs = vec![
        at(int(2)),
        at(cast(binary(weftrace_lang::hir::BinOp::Add, int(1), int(1), Ty::I64), Ty::I64)),
        bits(false),
        bits(true),
    ];
    let (payload, ..) = run_with(exprs, &world(), vec![(0x1000, memory)]);
    let u16_at = |i: usize| u16::from_le_bytes([payload[i], payload[i + 1]]);
    assert_eq!((u16_at(0), u16_at(2)), (777, 777));
    assert_eq!(u32::from_le_bytes(payload[4..8].try_into().expect("4")), 0b10101);
    // The same bits of a signed number.
    assert_eq!(i32::from_le_bytes(payload[8..12].try_into().expect("4")), 0b10101 - 0b10_0000);
}

#[test]
fn whole_structs_are_copied() {
    let outer = deref(e(ExprKind::Arg(0), ptr("outer", Space::Kernel)), Ty::Struct("outer".into()));
    let memory: Vec<u8> = (0..32).collect();
    let (payload, ..) = run_with(vec![outer.clone()], &world(), vec![(0x1000, memory.clone())]);
    assert_eq!(payload, memory);
    let (payload, _, losses) = run_with(vec![outer], &world(), vec![]);
    assert_eq!((payload, losses), (vec![0; 32], [0, 0, 1, 0, 0, 0, 0]));
}

#[test]
fn tracepoint_records() {
    let arg = |field: &str, offset, data_loc, ty| e(ExprKind::TraceArg { field: field.into(), offset, data_loc }, ty);
    let p = program(
        vec![],
        vec![probe(
            tracepoint(),
            vec![],
            vec![printf(vec![
                arg("pid", 8, false, Ty::I32),
                arg("name", 12, true, Ty::Str { cap: 16 }),
                arg("comm", 16, false, STR16),
                call(Func::Ntop, vec![arg("saddr", 32, false, Ty::Array { elem: Box::new(Ty::U8), len: 4 })], Ty::Inet),
            ])],
        )],
    );
    let lowered = lower(&p);
    let mut host = lowered.host();
    host.ctx[8..12].copy_from_slice(&(-2i32).to_le_bytes());
    host.ctx[12..16].copy_from_slice(&((6u32 << 16) | 0x64).to_le_bytes());
    host.ctx[16..20].copy_from_slice(b"init");
    host.ctx[32..36].copy_from_slice(&[10, 0, 0, 7]);
    host.ctx[100..106].copy_from_slice(b"hello\0");
    lowered.run(0, &mut host);
    let payload = &host.records[0].payload;
    assert_eq!(payload[..4], (-2i32).to_le_bytes());
    assert_eq!(&payload[4..20], b"hello\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(&payload[20..36], b"init\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(&payload[36..44], [2, 0, 0, 0, 10, 0, 0, 7]);
}

#[test]
fn calling_convention() {
    let kprobe = Provider::Kprobe { function: "f".into(), module: None, offset: 0, ret: false };
    let arg = |n| e(ExprKind::Arg(n), Ty::I32);
    let p =
        program(vec![], vec![probe(kprobe, vec![], vec![printf(vec![arg(0), arg(3), e(ExprKind::Retval, Ty::I64)])])]);
    let lowered = lower(&p);
    let mut host = lowered.host();
    let (a0, a3, ret) = if cfg!(target_arch = "aarch64") { (0, 24, 0) } else { (112, 88, 80) };
    host.ctx[a3..a3 + 8].copy_from_slice(&0xffff_ffff_ffff_fffeu64.to_le_bytes());
    host.ctx[a0..a0 + 8].copy_from_slice(&0x1_0000_0005u64.to_le_bytes());
    let want = word(&host.ctx[ret..]);
    lowered.run(0, &mut host);
    let payload = &host.records[0].payload;
    assert_eq!(payload[..4], 5i32.to_le_bytes(), "cut to an int");
    assert_eq!(payload[4..8], (-2i32).to_le_bytes());
    assert_eq!(word(&payload[8..]), want);
}

fn sock_world() -> TestWorld {
    let common = structure(
        "sock_common",
        136,
        vec![
            field("", Ty::Struct("addr_pair".into()), 0),
            field("", Ty::Struct("port_pair".into()), 12),
            field("skc_family", Ty::U16, 16),
            field("skc_state", Ty::U8, 18),
            field("skc_net", Ty::Struct("possible_net_t".into()), 48),
            field("skc_v6_daddr", Ty::Struct("in6_addr".into()), 56),
            field("skc_v6_rcv_saddr", Ty::Struct("in6_addr".into()), 72),
        ],
    );
    let structs = [
        structure("addr_pair", 8, vec![field("skc_daddr", Ty::U32, 0), field("skc_rcv_saddr", Ty::U32, 4)]),
        structure("port_pair", 4, vec![field("skc_dport", Ty::U16, 0), field("skc_num", Ty::U16, 2)]),
        structure("possible_net_t", 8, vec![field("net", ptr("net", Space::Kernel), 0)]),
        structure("net", 64, vec![field("ns", Ty::Struct("ns_common".into()), 16)]),
        structure("ns_common", 24, vec![field("inum", Ty::U32, 8)]),
        structure(
            "sock",
            200,
            vec![field("__sk_common", Ty::Struct("sock_common".into()), 0), field("sk_protocol", Ty::U16, 140)],
        ),
        structure(
            "tcp_sock",
            400,
            vec![
                field("snd_una", Ty::U32, 200),
                field("bytes_acked", Ty::U64, 208),
                field("rcv_nxt", Ty::U32, 216),
                field("bytes_received", Ty::U64, 224),
            ],
        ),
        structure("tcp_request_sock", 320, vec![field("rcv_isn", Ty::U32, 284), field("snt_isn", Ty::U32, 288)]),
        common,
    ];
    TestWorld { structs: structs.into_iter().map(|s| (s.name.clone(), s)).collect(), ..TestWorld::default() }
}

fn conn_key(sock: Vec<u8>) -> Vec<u8> {
    let conn = call(Func::Conn, vec![e(ExprKind::Arg(0), ptr("sock", Space::Kernel))], Ty::Conn);
    let mut net = vec![0; 64];
    net[24..28].copy_from_slice(&0xf000_0000_u32.to_le_bytes());
    run_with(vec![conn], &sock_world(), vec![(0x1000, sock), (0x8000, net)]).0
}

fn sock(family: u16, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut s = vec![0; 400];
    s[16..18].copy_from_slice(&family.to_le_bytes());
    s[48..56].copy_from_slice(&0x8000u64.to_le_bytes());
    s[140..142].copy_from_slice(&6u16.to_le_bytes());
    fill(&mut s);
    s
}

#[test]
fn both_directions_of_a_connection_have_one_key() {
    let end = |s: &mut [u8], daddr: [u8; 4], dport: u16, saddr: [u8; 4], num: u16| {
        s[0..4].copy_from_slice(&daddr);
        s[4..8].copy_from_slice(&saddr);
        s[12..14].copy_from_slice(&dport.to_be_bytes());
        s[14..16].copy_from_slice(&num.to_le_bytes());
    };
    let client = conn_key(sock(2, |s| end(s, [10, 0, 0, 9], 80, [10, 0, 0, 200], 40000)));
    let server = conn_key(sock(2, |s| end(s, [10, 0, 0, 200], 40000, [10, 0, 0, 9], 80)));
    // But for who says it: the end whose socket it is.
    let identity = weftrace_artifact::abi::CONN_IDENTITY as usize;
    assert_eq!(client[..identity], server[..identity]);
    assert_ne!(client[identity], server[identity]);
    assert_eq!(client[..4], 0xf000_0000_u32.to_le_bytes());
    assert_eq!(client[4..8], [2, 0, 6, 0]);
    assert_eq!((&client[8..12], &client[24..28]), (&[10, 0, 0, 9][..], &[10, 0, 0, 200][..]));
    assert_eq!((&client[40..42], &client[42..44]), (&80u16.to_le_bytes()[..], &40000u16.to_le_bytes()[..]));
    // One host talking to itself: the port decides.
    let a = conn_key(sock(2, |s| end(s, [127, 0, 0, 1], 80, [127, 0, 0, 1], 40000)));
    assert_eq!(a[40..42], 80u16.to_le_bytes());
}

#[test]
fn sequence_numbers_go_with_their_ends() {
    let key = |daddr: u8, saddr: u8, received: u64| {
        conn_key(sock(2, |s| {
            s[0..4].copy_from_slice(&[10, 0, 0, daddr]);
            s[4..8].copy_from_slice(&[10, 0, 0, saddr]);
            s[200..204].copy_from_slice(&1u32.to_le_bytes());
            s[208..216].copy_from_slice(&((7u64 << 32) + 3).to_le_bytes());
            s[216..220].copy_from_slice(&(received as u32).to_le_bytes());
            s[224..232].copy_from_slice(&received.saturating_sub(100).to_le_bytes());
        }))
    };
    let isns = |k: &[u8]| [44, 48].map(|i| u32::from_le_bytes(k[i..i + 4].try_into().expect("4")));
    let own = 1u32.wrapping_sub(3);
    assert_eq!(isns(&key(2, 1, 5000)), [own, 99], "own end first");
    assert_eq!(isns(&key(1, 2, 5000)), [99, own]);
    assert_eq!(isns(&key(2, 1, 0)), [own, 0], "nothing received yet");
}

/// A request to be answered, and what waits after its end, are smaller than a socket: where that has its protocol lies something else.
#[test]
fn what_is_no_whole_socket_is_of_tcp() {
    let key = |state: u8| {
        conn_key(sock(2, |s| {
            s[0..4].copy_from_slice(&[10, 0, 0, 2]);
            s[4..8].copy_from_slice(&[10, 0, 0, 1]);
            s[18] = state;
            s[140..142].copy_from_slice(&0x4141u16.to_le_bytes());
            s[200..400].fill(0x41);
            s[284..288].copy_from_slice(&55u32.to_le_bytes());
            s[288..292].copy_from_slice(&44u32.to_le_bytes());
        }))
    };
    let isns = |k: &[u8]| [44, 48].map(|i| u32::from_le_bytes(k[i..i + 4].try_into().expect("4")));
    let (new_syn_recv, time_wait) = (key(12), key(6));
    assert_eq!((&new_syn_recv[4..8], isns(&new_syn_recv)), (&[2, 0, 6, 0][..], [44, 55]));
    assert_eq!((&time_wait[4..8], isns(&time_wait)), (&[2, 0, 6, 0][..], [0, 0]));
}

#[test]
fn mapped_addresses_are_ipv4() {
    let mapped = |last: u8| {
        let mut a = [0u8; 16];
        a[10] = 0xff;
        a[11] = 0xff;
        a[12..].copy_from_slice(&[10, 0, 0, last]);
        a
    };
    let key = conn_key(sock(10, |s| {
        s[0..4].copy_from_slice(&[10, 0, 0, 9]);
        s[4..8].copy_from_slice(&[10, 0, 0, 8]);
        s[56..72].copy_from_slice(&mapped(9));
        s[72..88].copy_from_slice(&mapped(8));
    }));
    assert_eq!((key[4], &key[8..12]), (2, &[10, 0, 0, 8][..]));
    let key = conn_key(sock(10, |s| {
        s[56] = 0xfe;
        s[72] = 0xfd;
    }));
    assert_eq!((key[4], key[8], key[24]), (10, 0xfd, 0xfe));
}

#[test]
fn variables_read_through_a_pointer() {
    let bits = |first, n| {
        let own = e(ExprKind::AddrOf(Box::new(var(0, Ty::U64))), Ty::Ptr { to: Box::new(Ty::U64), space: Space::Bpf });
        let place = deref(cast(own, ptr("outer", Space::Bpf)), Ty::Struct("outer".into()));
        e(ExprKind::Field { base: Box::new(place), name: "a".into(), offset: 0, bits: Some((first, n)) }, Ty::U64)
    };
    let inc = e(ExprKind::IncVar { var: weftrace_lang::hir::VarRef(0), delta: 1, prefix: true }, Ty::U64);
    let body = vec![
        set_var(0, cast(int(0x1d), Ty::U64)),
        s(weftrace_lang::hir::StmtKind::Expr(inc)),
        printf(vec![bits(0, 1), bits(1, 1), bits(2, 2)]),
    ];
    let world = world();
    let p = Program {
        structs: world.structs.values().cloned().collect(),
        ..program(vec![], vec![probe(Provider::Begin, vec![Ty::U64], body)])
    };
    let lowered = lower_in(&p, &world).expect("lowers");
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    let words: Vec<u64> = host.records[0].payload.chunks(8).map(word).collect();
    assert_eq!(words, [0, 1, 3]);
}
