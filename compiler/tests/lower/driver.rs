//! Whole artifacts: units, tables, joins, the plan's text.

use crate::hir::*;
use crate::run::*;
use std::mem::offset_of;
use weftrace_artifact::{
    Artifact,
    abi::LossSlot,
    join::{IdSource, IntAt, JoinView, KeyKind, LegView},
    map::{Home, Role},
    packet::{known, layer},
    plan::{Unit, Way},
};
use weftrace_compiler::{
    driver::{self, Options, Stage},
    ir::interp::{self, host::Host},
};
use weftrace_lang::{
    diag::Severity,
    hir::{
        Agg, BinOp, Expr, ExprKind, Func, JoinDef, JoinEvent, JoinPart, JoinRef, Keep, LegAgg, LegDef, Program,
        Provider, Rate, Side, StmtKind, StreamRef, Ty, UnOp,
    },
    span::SourceMap,
};

fn compile(p: &Program, options: Options) -> (Artifact, Vec<String>) {
    let (artifact, findings) = driver::compile(p, &SourceMap::default(), &TestWorld::default(), &options);
    assert!(findings.iter().all(|d| d.severity == Severity::Warning), "{findings:?}");
    (artifact, findings.into_iter().map(|d| d.message).collect())
}

fn mixed() -> Program {
    let emit = s(StmtKind::Emit { stream: StreamRef(0), fields: vec![cast(pid(), Ty::U64)] });
    let mut named = probe(raw_tp(), vec![], vec![printf(vec![call(Func::ProbeName, vec![], Ty::Str { cap: 32 })])]);
    named.targets = vec![target("rawtracepoint:a", raw_tp()), target("rawtracepoint:b", raw_tp())];
    let mut shared = probe(tracepoint(), vec![], vec![aggregate(0, Some(pid()), None), emit]);
    shared.targets = vec![target("tracepoint:c:ev", tracepoint()), target("tracepoint:c:other", tracepoint())];
    let timer = Provider::Interval { ns: 2_000_000_000 };
    let mut tick = probe(timer, vec![], vec![printf(vec![int(1)])]);
    tick.targets[0].name = "interval:2s".into();
    let mut packets = probe(pcap(), vec![], vec![aggregate(1, None, None)]);
    packets.targets[0].name = "pcap:any".into();
    let profile = probe(Provider::Profile { rate: Rate::Hz(99) }, vec![], vec![]);
    Program {
        streams: vec![stream("a.b", vec![("n", Ty::U64)])],
        ..program(
            vec![agg("pids", Some(Ty::U32), Agg::Count), agg("n", None, Agg::Count)],
            vec![named, shared, tick, packets, profile],
        )
    }
}

/// A block need not run for packets that lack what its condition asks for. (That it would do nothing then is held in packets.rs.)
#[test]
fn conditions_ask_for_what_a_packet_must_have() {
    let asks = |predicate: Expr| {
        let mut block = probe(pcap(), vec![], vec![printf(vec![int(1)])]);
        block.predicate = Some(predicate);
        compile(&program(vec![map("n", None, Ty::U64)], vec![block]), Options::default()).0.probes[0].asks
    };
    let exchange = || packet("http.exchange", Ty::Bool);
    let logical = |and, l, r| e(ExprKind::Logical { and, left: Box::new(l), right: Box::new(r) }, Ty::Bool);
    let not = |inner| e(ExprKind::Unary { op: UnOp::Not, expr: Box::new(inner) }, Ty::Bool);
    let port = || binary(BinOp::Eq, packet("tcp.dstport", Ty::U16), cast(int(80), Ty::U16), Ty::Bool);
    let counted = || binary(BinOp::Lt, get(0, None, Ty::U64), cast(int(5), Ty::U64), Ty::Bool);
    let layers = |predicate| asks(predicate).layers & !layer::FRAME;
    assert_eq!(layers(exchange()), layer::HTTP_EXCHANGE);
    assert_eq!(layers(port()), layer::TCP);
    assert_eq!(layers(logical(true, exchange(), port())), layer::HTTP_EXCHANGE | layer::TCP);
    assert_eq!(layers(logical(false, logical(true, exchange(), port()), port())), layer::TCP);
    assert_eq!(asks(packet("tcp.flow.end", Ty::Bool)).known, known::FLOW_END);
    // What is absent is no reason where it makes the condition true, or where something was done before.
    assert_eq!(layers(not(exchange())), 0);
    assert_eq!(layers(not(port())), 0);
    assert_eq!(layers(logical(false, exchange(), counted())), 0);
    assert_eq!(layers(logical(true, counted(), exchange())), 0);
    assert_eq!(layers(logical(true, exchange(), counted())), layer::HTTP_EXCHANGE);
    let or =
        ExprKind::Coalesce { left: Box::new(packet("tcp.dstport", Ty::U16)), right: Box::new(cast(int(7), Ty::U16)) };
    assert_eq!(layers(binary(BinOp::Gt, e(or, Ty::U16), cast(int(5), Ty::U16), Ty::Bool)), 0);
}

/// What is counted is told to who offers metrics, where a trace may be known: here by the packets' block alone.
#[test]
fn exemplars_cost_nothing_where_nobody_wants_them() {
    let told = |exemplars: bool| {
        let options = Options { read_file: true, exemplars, ..Options::default() };
        let (ir, _) = driver::dump(&mixed(), &SourceMap::default(), &TestWorld::default(), &options, Stage::Ir);
        ir.matches("observe").count()
    };
    assert_eq!((told(false), told(true)), (0, 1));
}

#[test]
fn the_license_that_is_set_reaches_the_artifact() {
    let mut p = mixed();
    assert_eq!(compile(&p, Options::default()).0.options.license, "GPL");
    p.config.entries.push(("license".into(), "Dual MIT/GPL".into()));
    assert_eq!(compile(&p, Options::default()).0.options.license, "Dual MIT/GPL");
}

#[test]
fn one_program_for_many_targets_unless_their_name_is_asked_for() {
    let (artifact, _) = compile(&mixed(), Options::default());
    let units: Vec<Unit> = artifact.probes.iter().map(|p| p.best.unit).collect();
    let want = [
        Unit::Kernel(0),
        Unit::Kernel(1),
        Unit::Kernel(2),
        Unit::Kernel(2),
        Unit::Native(0),
        Unit::Native(1),
        Unit::Kernel(3),
    ];
    assert_eq!(units, want);
    assert_eq!((artifact.programs.len(), artifact.handlers.entries.len()), (4, 2));
    assert_eq!(artifact.probes[2].emits.len(), 1);
    assert!(artifact.probes[5].packet_needs == 0 && artifact.probes[0].emits.is_empty());
    let losses = artifact.maps.iter().find(|m| m.role == Role::Losses).expect("kernel programs count losses");
    assert_eq!(losses.max_entries, 4 * LossSlot::COUNT);
    assert_eq!((artifact.maps[0].home, artifact.maps[1].home), (Home::Kernel, Home::User));
    assert!(matches!(artifact.probes[4].best.way, Way::Interval { ns: 2_000_000_000 }));
}

#[test]
fn the_plan_says_what_runs_where() {
    let (text, _) =
        driver::dump(&mixed(), &SourceMap::default(), &TestWorld::default(), &Options::default(), Stage::Plan);
    assert_eq!(
        text,
        "\
kernel  rawtracepoint:a     raw tracepoint                 kernel event
kernel  rawtracepoint:b     raw tracepoint                 kernel event
kernel  tracepoint:c:ev     perf tracepoint                kernel event; emits a.b
kernel  tracepoint:c:other  perf tracepoint                kernel event; emits a.b
user    interval:2s         timer, every 2 s               needs nothing of the kernel
user    pcap:any            packets                        packets are counted in user space: this kernel runs no programs on packet sockets
kernel  a:probe             cpu-clock on every CPU, 99 Hz  kernel event
maps    @pids kernel, 4 entries  ·  @n user
"
    );
}

#[test]
fn every_stage_prints() {
    for (stage, want) in [(Stage::Ir, "function \"p0_a\""), (Stage::Bpf, "program p0_a"), (Stage::Clif, "function")] {
        let (text, _) =
            driver::dump(&mixed(), &SourceMap::default(), &TestWorld::default(), &Options::default(), stage);
        assert!(text.contains(want), "{stage:?}: {text}");
    }
}

#[test]
fn files_are_read_without_the_kernel() {
    let (artifact, findings) = compile(&mixed(), Options { read_file: true, ..Options::default() });
    assert!(artifact.programs.is_empty());
    assert_eq!(artifact.probes.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["interval:2s", "pcap:any"]);
    assert_eq!(findings.len(), 5);
    assert_eq!(findings[0], "rawtracepoint:a is not running: --read has no kernel events");
}

fn anchor(field: &str, ty: Ty) -> Expr {
    e(ExprKind::Anchor { field: field.into() }, ty)
}

fn joined() -> Program {
    let request = vec![("start", Ty::U64), ("end", Ty::U64), ("conn", Ty::Conn), ("id", STR16), ("port", Ty::U16)];
    let leg = LegDef {
        name: "syn".into(),
        stream: StreamRef(1),
        field: Some("dur".into()),
        agg: LegAgg::Last,
        duration: false,
        by: vec!["conn".into()],
        since_ns: Some(10),
        side: Side::Any,
        off: false,
        ty: Ty::U64,
        span: SP,
    };
    let def = JoinDef {
        name: "slow".into(),
        anchor: StreamRef(0),
        filter: Some(binary(BinOp::Eq, anchor("port", Ty::U16), cast(int(8080), Ty::U16), Ty::Bool)),
        total: vec![(anchor("start", Ty::U64), None)],
        ids: vec![anchor("id", STR16)],
        legs: vec![leg],
        blame: vec![0],
        keep: Keep::If(binary(
            BinOp::Gt,
            e(
                ExprKind::Coalesce {
                    left: Box::new(e(ExprKind::LegValue { leg: 0 }, Ty::U64)),
                    right: Box::new(cast(int(0), Ty::U64)),
                },
                Ty::U64,
            ),
            cast(int(5), Ty::U64),
            Ty::Bool,
        )),
        max_anchors: 100,
        max_bytes: 1 << 20,
        timeout_ns: 30,
        span: SP,
    };
    let body = vec![printf(vec![
        e(ExprKind::JoinPart(JoinPart::Total), Ty::U64),
        e(ExprKind::JoinPart(JoinPart::Verdict), STR16),
        anchor("id", STR16),
    ])];
    let result = Provider::Join { join: JoinRef(0), on: JoinEvent::Result };
    Program {
        streams: vec![
            stream("http.request", request),
            stream("tcp.connect", vec![("dur", Ty::U64), ("conn", Ty::Conn)]),
        ],
        joins: vec![def],
        ..program(vec![], vec![probe(result, vec![], body)])
    }
}

#[test]
fn joins_become_data_and_handlers() {
    let (artifact, _) = compile(&joined(), Options::default());
    let join = &artifact.joins[0];
    assert_eq!((join.start_offset, join.end_offset), (0, 8));
    assert_eq!((join.filter, join.total.clone()), (Some(1), vec![(2, None)]), "handler 0 is the block");
    assert_eq!(join.ids, [IdSource::Field { name: "id".into(), offset: 72, cap: 16 }]);
    let leg = &join.legs[0];
    let value = IntAt { offset: 0, size: 8, signed: false };
    assert_eq!((leg.value, leg.duration, leg.interval), (Some(value), true, None));
    assert_eq!(
        (leg.keys[0].kind, leg.keys[0].leg.map(|at| at.offset), leg.keys[0].anchor.map(|at| at.offset)),
        (KeyKind::Conn, Some(8), Some(16))
    );
    assert_eq!(artifact.handlers.entries.len(), 4);
}

/// A JoinView of one anchor record and one leg.
fn join_host(port: u16, leg: LegView) -> Host {
    let mut record = vec![0u8; 96];
    record[..8].copy_from_slice(&1234u64.to_le_bytes());
    record[72..77].copy_from_slice(b"abc-1");
    record[88..90].copy_from_slice(&port.to_le_bytes());
    let mut legs = leg.value.to_le_bytes().to_vec();
    legs.extend(leg.state.to_le_bytes());
    legs.extend(leg.count.to_le_bytes());
    legs.extend(leg.charged_ns.to_le_bytes());
    let mut ctx = vec![0; size_of::<JoinView>()];
    let mut put = |at: usize, v: u64| ctx[at..at + 8].copy_from_slice(&v.to_le_bytes());
    put(offset_of!(JoinView, anchor), Host::region_address(0));
    put(offset_of!(JoinView, legs), Host::region_address(1));
    put(offset_of!(JoinView, verdict), Host::region_address(2));
    put(offset_of!(JoinView, verdict) + 8, 3);
    put(offset_of!(JoinView, total_ns), 77);
    Host { ctx, regions: vec![record, legs, b"syn".to_vec()], ring_capacity: 9, ..Host::default() }
}

#[test]
fn join_handlers_read_the_view() {
    let p = joined();
    let world = TestWorld::default();
    let (text, _) = driver::dump(&p, &SourceMap::default(), &world, &Options::default(), Stage::Ir);
    let functions: Vec<_> = text
        .split_inclusive("\n}\n")
        .map(|f| weftrace_compiler::ir::parser::parse(f).unwrap_or_else(|e| panic!("{e}\n{f}")))
        .collect();
    let known = LegView { value: 6, ..LegView::default() };
    let run = |i: usize, port, leg| {
        let mut host = join_host(port, leg);
        (interp::run(&functions[i], &mut host, 1000).expect("runs"), host.records)
    };
    assert_eq!(run(1, 8080, known).0, 1);
    assert_eq!(run(1, 80, known).0, 0);
    assert_eq!(run(2, 80, known).0, 1234, "the total begins at r.start");
    assert_eq!(run(3, 80, known).0, 1, "6 > 5");
    assert_eq!(run(3, 80, LegView { state: 1, ..known }).0, 0, "a leg without a value is 0 here");
    let (_, records) = run(0, 80, known);
    assert_eq!(word(&records[0].payload), 77);
    assert_eq!((&records[0].payload[8..12], &records[0].payload[24..30]), (&b"syn\0"[..], &b"abc-1\0"[..]));
}
