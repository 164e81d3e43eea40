//! What programs do to the current task, and names of numbers.

use crate::hir::*;
use crate::run::*;
use weftrace_artifact::names::NameTable;
use weftrace_lang::hir::{Expr, ExprKind, Func, Names, Provider, Space, StmtKind, StructDef, StructField, Ty};

fn one(expr: Expr) -> Vec<u8> {
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vec![], vec![printf(vec![expr])])]));
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    host.records[0].payload.clone()
}

fn cut(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[test]
fn names_of_numbers() {
    let name = |names, n| call(Func::NameOf(names), vec![n], Ty::Str { cap: 64 });
    assert_eq!(cut(&one(name(Names::Errors, int(22)))), "Invalid argument");
    let lowered = lower(&program(
        vec![],
        vec![probe(raw_tp(), vec![], vec![printf(vec![name(Names::Errors, arg(0)), name(Names::Signals, arg(0))])])],
    ));
    for (n, error, signal) in [
        (2i64, "No such file or directory", "Interrupt"),
        (-2, "No such file or directory", "N/A"),
        (0, "Success", "Unknown signal 0"),
        (i64::MIN, "Unknown error", "N/A"),
        (1 << 40, "Unknown error", "N/A"),
    ] {
        let mut host = lowered.host();
        host.ctx[..8].copy_from_slice(&n.to_le_bytes());
        for (map, table) in [NameTable::Errors, NameTable::Signals].into_iter().enumerate() {
            for (i, name) in (0u32..).zip(table.names()) {
                let mut bytes = name.as_bytes().to_vec();
                bytes.resize(64, 0);
                host.maps[map].update(&i.to_le_bytes(), &bytes, 0);
            }
        }
        lowered.run(0, &mut host);
        let payload = &host.records[0].payload;
        assert_eq!((cut(&payload[..64]).as_str(), cut(&payload[64..]).as_str()), (error, signal), "{n}");
    }
}

#[test]
fn strings_are_joined_within_their_room() {
    let concat = |a, b, cap| call(Func::StrConcat, vec![a, b], Ty::Str { cap });
    assert_eq!(cut(&one(concat(comm(), text("-server"), 23))), "sshd-server");
    assert_eq!(cut(&one(concat(comm(), comm(), 31))), "sshdsshd");
    assert_eq!(cut(&one(concat(text("abc"), text("defg"), 6))), "abcde", "the last byte is the NUL's");
    assert_eq!(cut(&one(concat(text(""), text(""), 1))), "");
}

#[test]
fn where_a_string_begins_in_another() {
    let strstr = |a, b| word(&one(call(Func::Strstr, vec![a, b], Ty::I64))) as i64;
    assert_eq!(strstr(comm(), text("hd")), 2);
    assert_eq!(strstr(comm(), text("sshd")), 0);
    assert_eq!(strstr(comm(), text("")), 0);
    assert_eq!(strstr(comm(), text("sshd2")), -1);
    assert_eq!(strstr(text("a sshd"), comm()), 2);
}

#[test]
fn bytes_of_values_are_compared() {
    let memcmp = |a, b, n| {
        word(&{
            let mut bytes = one(call(Func::Memcmp, vec![a, b, n], Ty::I64));
            bytes.resize(8, 0);
            bytes
        }) as i64
    };
    assert_eq!(memcmp(comm(), text("sshx"), int(3)), 0);
    assert_eq!(memcmp(comm(), text("sshx"), int(4)), i64::from(b'd') - i64::from(b'x'));
    assert_eq!(memcmp(int(1), int(2), int(8)), -1);
    assert_eq!(memcmp(int(1), int(2), int(0)), 0);
}

#[test]
fn signals_are_sent_and_failures_told() {
    let send = |thread| s(StmtKind::Expr(call(Func::Signal { thread }, vec![arg(0)], Ty::I64)));
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vec![], vec![send(false), send(true)])]));
    let mut host = lowered.host();
    host.ctx[0] = 19;
    lowered.run(0, &mut host);
    assert_eq!((host.signals.as_slice(), host.records.len()), ([(19, false), (19, true)].as_slice(), 0));
    let mut host = lowered.host();
    host.ctx[0] = 99;
    lowered.run(0, &mut host);
    assert_eq!(host.records.len(), 2, "two warnings");
}

#[test]
fn numbers_in_our_own_pid_namespace() {
    let pids = [Func::Pid, Func::Tid, Func::InitPid, Func::InitTid].map(|f| call(f, vec![], Ty::U32));
    let world = TestWorld { pid_namespace: Some((4, 99)), ..TestWorld::default() };
    let lowered =
        lower_in(&program(vec![], vec![probe(raw_tp(), vec![], vec![printf(pids.to_vec())])]), &world).expect("lowers");
    let mut host = lowered.host();
    host.pid_namespace = Some(((4, 99), (1 << 32) | 2));
    lowered.run(0, &mut host);
    let numbers: Vec<u32> =
        host.records[0].payload.chunks(4).map(|c| u32::from_le_bytes(c.try_into().expect("four bytes"))).collect();
    assert_eq!(numbers, [1, 2, 7, 8]);
}

/// Values in memory, and what pointers into it say.
#[test]
fn user_memory_is_written() {
    let to = e(ExprKind::Arg(0), Ty::Ptr { to: Box::new(Ty::U8), space: Space::User });
    let write = call(Func::WriteUser, vec![to, text("new"), int(4)], Ty::Bool);
    let p = program(vec![], vec![probe(raw_tp(), vec![], vec![printf(vec![write])])]);
    // Kernels in lockdown have no such helper: only lowered and interpreted.
    let lowered = lower_unloaded(&p);
    for (at, done) in [(0x1000u64, 1), (0x9000, 0)] {
        let mut host = lowered.host();
        host.user.insert(0x1000, b"old memory".to_vec());
        host.ctx[..8].copy_from_slice(&at.to_le_bytes());
        lowered.run(0, &mut host);
        assert_eq!(host.records[0].payload[0], done);
        let wanted: &[u8] = if done == 1 { b"new\0memory" } else { b"old memory" };
        assert_eq!(host.user[&0x1000], wanted);
    }
}

#[test]
fn names_of_other_tasks() {
    let world = TestWorld {
        structs: [weftrace_lang::hir::StructDef {
            name: "task_struct".into(),
            union: false,
            size: 64,
            align: 8,
            fields: vec![weftrace_lang::hir::StructField {
                name: "comm".into(),
                ty: Ty::Array { elem: Box::new(Ty::Int { bits: 8, signed: true }), len: 16 },
                offset: 32,
                bits: None,
            }],
            go: None,
        }]
        .into_iter()
        .map(|s| (s.name.clone(), s))
        .collect(),
        ..TestWorld::default()
    };
    let comm_of = call(Func::CommOf, vec![arg(0), int(1), int(2)], Ty::Str { cap: 16 });
    let p = program(vec![], vec![probe(raw_tp(), vec![], vec![printf(vec![comm_of])])]);
    // The ids are made up: no kernel has these.
    let lowered = lower_only(&p, &world).expect("lowers");
    for (pid, name) in [(42u64, "sshd"), (43, "N/A")] {
        let mut host = lowered.host();
        host.tasks.insert(42, 0x1000);
        let mut task = vec![0; 64];
        task[32..36].copy_from_slice(b"sshd");
        host.kernel.insert(0x1000, task);
        host.ctx[..8].copy_from_slice(&pid.to_le_bytes());
        lowered.run(0, &mut host);
        assert_eq!(cut(&host.records.last().expect("it printed").payload[..16]), name);
        assert_eq!(host.held_tasks, 0, "what was taken is released");
    }
}

/// `path(args.file.f_path)` at a function's entry, where the struct path lies 64 bytes into what the argument points to.
fn path_probe(pointer: Expr) -> Lowered {
    let path = Ty::Struct("path".into());
    let file = Ty::Ptr { to: Box::new(Ty::Struct("file".into())), space: Space::Kernel };
    let place = deref(Expr { ty: file, ..pointer }, Ty::Struct("file".into()));
    let member = ExprKind::Field { base: Box::new(place), name: "f_path".into(), offset: 64, bits: None };
    let address = ExprKind::AddrOf(Box::new(e(member, path.clone())));
    let address = e(address, Ty::Ptr { to: Box::new(path), space: Space::Kernel });
    let at = Provider::Fentry { function: "filp_close".into(), module: None, ret: false, bpf: None, slots: 2 };
    let body = vec![printf(vec![call(Func::Path, vec![address], Ty::Str { cap: 12 })])];
    let mut script = program(vec![], vec![probe(at, vec![], body)]);
    let world = file_world();
    script.structs = world.structs.values().cloned().collect();
    lower_only(&script, &world).expect("lowers")
}

fn file_world() -> TestWorld {
    let f_path = StructField { name: "f_path".into(), ty: Ty::Struct("path".into()), offset: 64, bits: None };
    let file = StructDef { name: "file".into(), union: false, size: 128, align: 8, fields: vec![f_path], go: None };
    TestWorld { structs: [("file".to_owned(), file)].into(), ..TestWorld::default() }
}

#[test]
fn paths() {
    let lowered = path_probe(arg(0));
    // With what a path before it left behind its NUL; cut to its end; none to be had.
    for (path, shown) in [("/etc/passwd", "/etc/passwd"), ("/a", "/a"), ("/var/log/messages", "og/messages"), ("", "")]
    {
        let mut host = lowered.host();
        if !path.is_empty() {
            host.paths.insert(0x1040, path.as_bytes().to_vec());
        }
        host.ctx[..8].copy_from_slice(&0x1000u64.to_le_bytes());
        lowered.run(0, &mut host);
        let payload = &host.records.last().expect("it printed").payload;
        let mut whole = shown.as_bytes().to_vec();
        whole.resize(12, 0);
        assert_eq!(payload[..12], whole[..], "{path}");
    }
}
