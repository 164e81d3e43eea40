//! Where maps live.

use super::{MapPlace, MapUse, Placement, Side, uses::is_aggregate};
use weftrace_artifact::map::Home;
use weftrace_lang::{
    diag::Diagnostic,
    hir::{MapRef, Program},
};

/// Gives every map a home; reports plain maps that both sides use.
pub(super) fn place_maps(program: &Program, placement: &mut Placement) {
    for index in 0..program.maps.len() {
        let (mut kernel, mut native) = (MapUse::default(), MapUse::default());
        let mut kernel_writers = 0;
        for (probe, unit) in program.probes.iter().zip(&placement.units) {
            let used = unit.uses.maps[index];
            match unit.side {
                Side::Kernel(_) => {
                    kernel.merge(used);
                    if used.write || used.aggregate {
                        // One function per target where the probe's name matters.
                        kernel_writers += if unit.uses.names { probe.targets.len() as u32 } else { 1 };
                    }
                }
                Side::Native => native.merge(used),
                Side::Not | Side::Unread => {}
            }
        }
        let map = MapRef(index as u32);
        let (home, finding) = home(program, map, kernel, native);
        placement.maps.push(MapPlace { home, kernel_writers, kernel_reads: kernel.whole });
        placement.diagnostics.extend(finding);
    }
}

fn home(program: &Program, map: MapRef, kernel: MapUse, native: MapUse) -> (Home, Option<Diagnostic>) {
    if is_aggregate(program, map) {
        let home = match (kernel.aggregate, native.aggregate) {
            (true, true) => Home::Both,
            (true, false) => Home::Kernel,
            (false, true) => Home::User,
            // Only read or printed: empty wherever it is.
            (false, false) if kernel.any() => Home::Kernel,
            (false, false) => Home::User,
        };
        return (home, None);
    }
    match (kernel.any(), native.any()) {
        (false, _) => (Home::User, None),
        (true, false) => (Home::Kernel, None),
        // Timers and END go through the system call, at their own time: nothing to warn of.
        (true, true) if native_is_timer_only(program, map) => (Home::Kernel, None),
        (true, true) => (Home::Kernel, Some(shared_map(program, map, kernel, native))),
    }
}

/// Whether only BEGIN, END, timers and signals would use the map outside the kernel.
fn native_is_timer_only(program: &Program, map: MapRef) -> bool {
    use weftrace_lang::hir::Provider as P;
    program.probes.iter().all(|probe| {
        let event = probe.targets.first().is_some_and(|t| matches!(t.provider, P::Pcap { .. } | P::Join { .. }));
        !event || !super::uses::of_probe(program, probe).maps[map.index()].any()
    })
}

fn shared_map(program: &Program, map: MapRef, kernel: MapUse, native: MapUse) -> Diagnostic {
    let def = &program.maps[map.index()];
    if kernel.write && native.write {
        return Diagnostic::error(
            "map-written-on-both-sides",
            def.span,
            format!("@{} is written by kernel probes and by handlers in user space", def.name),
        )
        .note("packet and join handlers run later than kernel programs: the last write would not be the latest")
        .write("use two maps, or emit a stream from one side");
    }
    Diagnostic::warning(
        "map-read-across",
        def.span,
        format!("@{} is written on one side of the kernel boundary and read on the other", def.name),
    )
    .note("handlers in user space run later than kernel programs, so they would see the map's future")
    .write("emit the value as a stream and join it")
}
