//! Where maps live.

use super::{MapPlace, MapUse, Placement, Side, packets, uses::is_aggregate};
use crate::lower::may_have_twin;
use weftrace_artifact::{map::Home, program::ProgType};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{MapRef, ProbeDef, Program, Provider, Target},
    span::Span,
};

/// Gives every map a home; reports plain maps that both sides use.
pub(super) fn place_maps(program: &Program, placement: &mut Placement) {
    for index in 0..program.maps.len() {
        let (mut kernel, mut native) = (MapUse::default(), MapUse::default());
        let mut kernel_writers = 0;
        for (probe, unit) in program.probes.iter().zip(&placement.units) {
            let used = unit.uses.maps[index];
            match unit.side {
                Side::Kernel(ProgType::SocketFilter) if packets::is_one(probe) => {
                    kernel.merge(used);
                    // What isn't plain is added in user space; what is only ever set to one value is set where it is.
                    if used.aggregate || used.count {
                        native.merge(used);
                    }
                    kernel_writers += u32::from(used.write || used.aggregate);
                }
                Side::Kernel(_) => {
                    kernel.merge(used);
                    if used.sent {
                        // As if a handler did it.
                        let aggregate = is_aggregate(program, MapRef(index as u32));
                        native.merge(MapUse { aggregate, write: !aggregate, sent: true, ..MapUse::default() });
                    }
                    if used.write || used.aggregate {
                        kernel_writers += writers(probe, unit.uses.names);
                    }
                }
                Side::Native => native.merge(used),
                Side::Not | Side::Unread => {}
            }
        }
        let map = MapRef(index as u32);
        let (home, finding) = home(program, placement, map, kernel, native);
        placement.maps.push(MapPlace { home, kernel_writers, kernel_reads: kernel.whole });
        placement.diagnostics.extend(finding);
    }
}

/// Whether a program may begin on a processor where it has not ended: a uprobe's thread may be taken off the processor within it, and the next one hit the same
/// probe there. The kernel runs those with preemption on, and keeps no count of who is in them.
pub(crate) fn runs_within_itself(provider: &Provider) -> bool {
    matches!(provider, Provider::Uprobe { .. } | Provider::Usdt { .. })
}

/// How many runs of a probe may be in its body at the same time on one processor.
fn writers(probe: &ProbeDef, named: bool) -> u32 {
    // By type information each target has a program of its own, which the kernel keeps from running within itself alone.
    let by_type = |t: &Target| match &t.provider {
        Provider::Fentry { .. } | Provider::RawTracepoint { .. } => true,
        Provider::Tracepoint { category, .. } => category != "syscalls",
        _ => false,
    };
    let each = named || probe.targets.iter().all(by_type);
    let programs = if each { probe.targets.len() as u32 } else { 1 };
    // Two where one has a second copy.
    programs + u32::from(probe.targets.iter().any(|t| runs_within_itself(&t.provider) || may_have_twin(t)))
}

fn home(
    program: &Program,
    placement: &Placement,
    map: MapRef,
    kernel: MapUse,
    native: MapUse,
) -> (Home, Option<Diagnostic>) {
    if native.sent && (kernel.read || kernel.write || kernel.whole) {
        return (Home::User, Some(kept_in_user_space(program, map)));
    }
    if is_aggregate(program, map) {
        // A kernel program that reads needs a map there: of what user space alone counts it is empty, and that is told.
        let here = kernel.aggregate || kernel.reads_aggregate() && native.add;
        let home = match (here, native.aggregate) {
            (true, true) => Home::Both,
            (true, false) => Home::Kernel,
            (false, true) => Home::User,
            // Only read or printed: empty wherever it is.
            (false, false) if kernel.any() => Home::Kernel,
            (false, false) => Home::User,
        };
        return (home, unseen(program, placement, map, (kernel, native)));
    }
    match (kernel.any(), native.any()) {
        (false, _) => (Home::User, None),
        (true, false) => (Home::Kernel, None),
        // Timers and END go through the system call, at their own time: nothing to warn of.
        (true, true) if native_is_timer_only(program, placement, map) => (Home::Kernel, None),
        (true, true) if counted_by_packets(program, placement, map) => (Home::Both, None),
        (true, true) => (Home::Kernel, Some(shared_map(program, placement, map, (kernel, native)))),
    }
}

/// Kernel programs read an aggregate, or delete from it, that user space adds to: its part they don't see.
fn unseen(
    program: &Program,
    placement: &Placement,
    map: MapRef,
    (kernel, native): (MapUse, MapUse),
) -> Option<Diagnostic> {
    if !kernel.reads_aggregate() || !native.add {
        return None;
    }
    let name = &program.maps[map.index()].name;
    let first = |wanted: &dyn Fn(Side, MapUse) -> bool| {
        let mut probes = program.probes.iter().zip(&placement.units);
        probes.find(|(_, unit)| wanted(unit.side, unit.uses.maps[map.index()]))?.0.targets.first().map(|t| t.span)
    };
    let text = format!("@{name} is counted in user space too, and kernel programs see the kernel's part of it alone");
    let mut d = Diagnostic::warning("map-read-across", program.maps[map.index()].span, text);
    if let Some(span) = first(&|side, used| matches!(side, Side::Kernel(_)) && used.reads_aggregate()) {
        d = d.other(span, if kernel.delete { "read, or deleted from, in the kernel" } else { "read in the kernel" });
    }
    if let Some(span) = first(&|side, used| side == Side::Native && used.add) {
        d = d.other(span, "counted in user space");
    }
    if kernel.delete {
        d = d.note("what the kernel deletes stays in user space, for the next one with that key");
    }
    Some(d.write("read it and delete from it in interval or END blocks, which see both parts; or use two maps"))
}

fn kept_in_user_space(program: &Program, map: MapRef) -> Diagnostic {
    let def = &program.maps[map.index()];
    Diagnostic::error(
        "map-in-user-space",
        def.span,
        format!("@{} is kept in user space, and a kernel probe reads it", def.name),
    )
    .note("its keys are stacks of dw_ustack, which user space unwinds after the program has gone on")
    .write("read and print it in interval or END blocks; or use ustack as the key")
}

/// Whether only BEGIN, END, timers and signals would use the map outside the kernel.
fn native_is_timer_only(program: &Program, placement: &Placement, map: MapRef) -> bool {
    use weftrace_lang::hir::Provider as P;
    program.probes.iter().zip(&placement.units).all(|(probe, unit)| {
        let event = probe.targets.first().is_some_and(|t| {
            matches!(t.provider, P::Pcap { .. } | P::Exchange { .. } | P::Telemetry { .. } | P::Join { .. })
        });
        let used = unit.uses.maps[map.index()];
        !event || !used.any() || unit.side == Side::Kernel(ProgType::SocketFilter) && !used.count
    })
}

/// Whether packet blocks in the kernel count the map, and all that is done with it is counting: the parts add up.
fn counted_by_packets(program: &Program, placement: &Placement, map: MapRef) -> bool {
    let mut all = MapUse::default();
    placement.units.iter().for_each(|unit| all.merge(unit.uses.maps[map.index()]));
    packets::is_counted(all)
        && program.probes.iter().zip(&placement.units).any(|(probe, unit)| {
            packets::is_one(probe)
                && unit.side == Side::Kernel(ProgType::SocketFilter)
                && unit.uses.maps[map.index()].any()
        })
}

/// The first attach point of a side at which a map is used so.
fn user(program: &Program, placement: &Placement, map: MapRef, kernel: bool, write: bool) -> Option<Span> {
    let mut probes = program.probes.iter().zip(&placement.units);
    let found = probes.find(|(_, unit)| {
        let used = unit.uses.maps[map.index()];
        matches!(unit.side, Side::Kernel(_)) == kernel && if write { used.write } else { used.any() }
    });
    found?.0.targets.first().map(|t| t.span)
}

fn shared_map(program: &Program, placement: &Placement, map: MapRef, (kernel, native): (MapUse, MapUse)) -> Diagnostic {
    let def = &program.maps[map.index()];
    let places = |mut d: Diagnostic, writes: [bool; 2]| {
        for (in_kernel, write) in [true, false].into_iter().zip(writes) {
            let what = if write { "written" } else { "read" };
            let space = if in_kernel { "the kernel" } else { "user space" };
            if let Some(span) = user(program, placement, map, in_kernel, write) {
                d = d.other(span, format!("{what} in {space}"));
            }
        }
        d
    };
    if kernel.write && native.write {
        let d = Diagnostic::error(
            "map-written-on-both-sides",
            def.span,
            format!("@{} is written by kernel probes and by handlers in user space", def.name),
        );
        return places(d, [true, true])
            .note("packet and join handlers run later than kernel programs: the last write would not be the latest")
            .write("use two maps, or emit a stream from one side");
    }
    let d = Diagnostic::warning(
        "map-read-across",
        def.span,
        format!("@{} is written on one side of the kernel boundary and read on the other", def.name),
    );
    places(d, [kernel.write, native.write])
        .note("handlers in user space run later than kernel programs, so they would see the map's future")
        .write("emit the value as a stream and join it")
}
