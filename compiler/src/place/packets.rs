//! Which packet blocks run in the kernel: those that only filter and count plain headers. Beside the program there is the same block in
//! user space for packets that aren't plain, later than the program by as long as the capture's buffer takes. So only what doesn't
//! depend on the order of packets may be done here: adding up, and noting that something was there.

use super::{
    MapUse, Options, Packets, Uses,
    uses::is_aggregate,
    walk::{self, Node},
};
use weftrace_artifact::packet::{self, needs};
use weftrace_lang::hir::{
    Agg, Expr, ExprKind as E, Func, MapKind, MapRef, ProbeDef, Program, Provider, Stmt, StmtKind as S, Ty,
};

/// Why it does.
pub(super) const REASON: &str = "filters and counts headers only: where packets pass, without a copy";

/// Whether a probe is a packet block.
pub(crate) fn is_one(probe: &ProbeDef) -> bool {
    matches!(probe.targets.first().map(|t| &t.provider), Some(Provider::Pcap { .. }))
}

/// Why a packet block stays in user space; None: it runs in the kernel. `all`: every probe's uses.
pub(super) fn stays(program: &Program, at: usize, all: &[Uses], options: &Options) -> Option<String> {
    if options.read_file {
        return Some("packets are read from files".into());
    }
    let asks = asks(program, &program.probes[at]);
    let maps = || (0..program.maps.len() as u32).find_map(|m| map(program, MapRef(m), at, all));
    if let Some(what) = asks.or_else(maps) {
        return Some(format!("packets are analysed in user space: {what}"));
    }
    match &options.packets {
        Packets::Kernel => None,
        Packets::User(why) => Some(format!("packets are counted in user space: {why}")),
    }
}

/// Whether some block would run in the kernel, were it let.
pub fn wants_packets(program: &Program, options: &Options) -> bool {
    if options.read_file || !program.probes.iter().any(is_one) {
        return false;
    }
    let options = Options { packets: Packets::Kernel, ..options.clone() };
    let all: Vec<Uses> = program.probes.iter().map(|p| super::uses::of_probe(program, p)).collect();
    program.probes.iter().enumerate().any(|(at, p)| is_one(p) && stays(program, at, &all, &options).is_none())
}

/// What the body asks that only user space has.
fn asks(program: &Program, probe: &ProbeDef) -> Option<String> {
    let mut found = None;
    let mut look = |node: Node<'_>| {
        if found.is_none() {
            found = match node {
                Node::Stmt(s) => statement(program, s),
                Node::Expr(e) => expression(program, e),
            };
        }
    };
    if let Some(p) = &probe.predicate {
        walk::expr(p, &mut look);
    }
    walk::block(&probe.body, &mut look);
    found
}

fn statement(program: &Program, s: &Stmt) -> Option<String> {
    let name = |map: &MapRef| &program.maps[map.index()].name;
    Some(match &s.kind {
        S::Expr(_) | S::SetVar { .. } | S::If { .. } | S::Unroll { .. } | S::Scope { .. } | S::Leave | S::Return => {
            return None;
        }
        S::Aggregate { map, .. } => match &program.maps[map.index()].value {
            Ty::Agg(Agg::Series { .. }) => format!("@{} goes by the packets' times", name(map)),
            _ => return None,
        },
        S::AddMap { .. } => return None,
        S::SetMap { value, .. } if constant(value).is_some() => return None,
        S::SetMap { map, value, .. } if reads(value, *map) => {
            format!("@{} is read and written packet by packet (sum() isn't)", name(map))
        }
        S::SetMap { map, .. } => format!("what @{} is at last depends on the order of packets", name(map)),
        S::DeleteMap { map, .. } => format!("it deletes from @{}", name(map)),
        S::While { .. } | S::ForRange { .. } | S::ForMap { .. } | S::Break | S::Continue => "it has a loop".into(),
        S::Action { .. } => "it acts on single packets".into(),
        S::Emit { .. } => "it emits records".into(),
    })
}

fn expression(program: &Program, e: &Expr) -> Option<String> {
    Some(match &e.kind {
        E::Int(_)
        | E::Str(_)
        | E::Var(_)
        | E::Unary { .. }
        | E::Binary { .. }
        | E::Logical { .. }
        | E::StrEq { .. }
        | E::Cond { .. }
        | E::Coalesce { .. }
        | E::Cast(_)
        | E::Tuple(_)
        | E::TupleField { .. }
        | E::Record(_)
        | E::Block(_)
        | E::IncVar { .. }
        | E::Bytes(_)
        | E::NetMatch { .. } => return None,
        E::Packet(name) => return field(name),
        E::Call { func: Func::Signed | Func::Bswap | Func::Ncpus, .. } => return None,
        E::Call { .. } => "it calls a function, or asks for more than the packet".into(),
        E::MapGet { map, .. }
        | E::HasKey { map, .. }
        | E::IncMap { map, .. }
        | E::Rate { map, .. }
        | E::MapLen(map) => {
            format!("it reads @{}", program.maps[map.index()].name)
        }
        E::Header { .. } => "it reads a header by name".into(),
        _ => "it uses more than fields and numbers".into(),
    })
}

fn field(name: &str) -> Option<String> {
    let row = packet::field(name)?;
    if row.kernel.is_some() {
        return None;
    }
    /// The first that applies.
    const WHY: [(u32, &str); 5] = [
        (needs::FLOW_VALUE | needs::COMMUNITY_ID | needs::OWNER, "what is made of headers"),
        (needs::PARTS, "messages"),
        (needs::ANALYSIS | needs::FLOW | needs::SEGMENTS, "flows"),
        (needs::OPTIONS, "options"),
        (needs::PAYLOAD, "payload"),
    ];
    let why = WHY.iter().find(|(need, _)| row.needs & need != 0).map_or("the capture", |(_, why)| why);
    Some(format!("{name} is of {why}"))
}

fn reads(e: &Expr, map: MapRef) -> bool {
    walk::any(e, |n| matches!(n, Node::Expr(Expr { kind: E::MapGet { map: m, .. }, .. }) if *m == map))
}

/// A value that is the same each time.
fn constant(e: &Expr) -> Option<i64> {
    match &e.kind {
        E::Int(n) => Some(*n),
        E::Cast(inner) => constant(inner),
        _ => None,
    }
}

/// What a map's other uses have against it.
fn map(program: &Program, map: MapRef, at: usize, all: &[Uses]) -> Option<String> {
    let mine = all[at].maps[map.index()];
    if !mine.any() {
        return None;
    }
    let def = &program.maps[map.index()];
    if matches!(def.kind, Some(MapKind::LruHash | MapKind::LruPercpuHash)) {
        return Some(format!("@{} forgets its oldest keys", def.name));
    }
    let others = || (0..all.len()).filter(|&i| i != at).map(|i| (&program.probes[i], all[i].maps[map.index()]));
    if is_aggregate(program, map) {
        let reads = |i: usize| all[i].maps[map.index()].reads_aggregate();
        // Timers and END read at their own time. Others would see the future of what they handle, or one side alone.
        let late = |i: usize| super::is_neutral(&program.probes[i]) && all[i].kernel_only.is_none();
        let read = (0..all.len()).any(|i| i != at && reads(i) && !late(i));
        return read.then(|| format!("another block reads @{}", def.name));
    }
    let mut everyone = mine;
    others().for_each(|(_, used)| everyone.merge(used));
    if is_counted(everyone) {
        let known = matches!(def.value, Ty::Int { .. }) && def.kind.is_none();
        return (!known).then(|| format!("@{} is no plain number", def.name));
    }
    // Otherwise it is set, always to the same: by this block alone, and read by timers at most.
    let same = others().all(|(probe, used)| !used.any() || super::is_neutral(probe) && !used.write);
    let mut values = Vec::new();
    walk::block(&program.probes[at].body, &mut |node| {
        if let Node::Stmt(Stmt { kind: S::SetMap { map: set, value, .. }, .. }) = node
            && *set == map
        {
            values.push(constant(value));
        }
    });
    values.dedup();
    (!same || mine.count || values.len() > 1)
        .then(|| format!("what @{} is at last depends on the order of packets", def.name))
}

/// A plain map that is only counted up and down: parts of it can be added up.
pub(super) fn is_counted(used: MapUse) -> bool {
    used.count && !used.set && !used.read && !used.whole
}
