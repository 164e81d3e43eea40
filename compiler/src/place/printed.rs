//! `print(@m[k]); delete(@m, k)`: the element is gone when user space comes to the record, so the value must go with it.

use super::{
    Placement, Side,
    walk::{self, Node},
};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{Action, Agg, MapRef, ProbeDef, Program, Stmt, StmtKind as S, Ty},
    span::Span,
};

/// Where a block prints elements of aggregates from which it deletes elements too.
fn both(program: &Program, probe: &ProbeDef) -> Vec<(MapRef, Span)> {
    let (mut printed, mut deleted) = (Vec::new(), Vec::new());
    walk::block(&probe.body, &mut |node| {
        let Node::Stmt(Stmt { kind, span }) = node else { return };
        match kind {
            S::Action { action: Action::PrintMapValue { map }, .. } => printed.push((*map, *span)),
            S::DeleteMap { map, key: Some(_) } => deleted.push(*map),
            _ => {}
        }
    });
    printed.retain(|(map, _)| deleted.contains(map) && agg(program, *map).is_some());
    printed
}

fn agg(program: &Program, map: MapRef) -> Option<&Agg> {
    match &program.maps.get(map.index())?.value {
        Ty::Agg(agg) => Some(agg),
        _ => None,
    }
}

/// Whether programs can put an aggregate's parts together.
fn adds_up(agg: &Agg) -> bool {
    !matches!(agg, Agg::Hist { .. } | Agg::Lhist { .. } | Agg::Series { .. })
}

/// Maps whose elements a block reads to print them.
pub(super) fn read(program: &Program, probe: &ProbeDef) -> Vec<MapRef> {
    let all = both(program, probe).into_iter().map(|(map, _)| map);
    all.filter(|map| agg(program, *map).is_some_and(adds_up)).collect()
}

/// Whether `print(@m[k])` of a block sends the value, too.
pub(crate) fn sends_value(program: &Program, probe: &ProbeDef, map: MapRef) -> bool {
    read(program, probe).contains(&map)
}

/// Whether a block prints a whole map.
pub(crate) fn prints(probe: &ProbeDef, map: MapRef) -> bool {
    let mut found = false;
    walk::block(&probe.body, &mut |node| {
        let Node::Stmt(Stmt { kind: S::Action { action, .. }, .. }) = node else { return };
        found |= matches!(action, Action::PrintMap { map: printed, .. } if *printed == map);
    });
    found
}

/// Drawings that are deleted before they are drawn.
pub(super) fn in_vain(program: &Program, placement: &Placement) -> Vec<Diagnostic> {
    let runs = program.probes.iter().zip(&placement.units);
    let runs = runs.filter(|(_, unit)| matches!(unit.side, Side::Kernel(_) | Side::Native));
    let all = runs.flat_map(|(probe, _)| both(program, probe));
    let vain = all.filter(|(map, _)| agg(program, *map).is_some_and(|agg| !adds_up(agg)));
    vain.map(|(map, span)| {
        let name = &program.maps[map.index()].name;
        Diagnostic::warning(
            "printed-and-deleted",
            span,
            format!("the element of @{name} is deleted before it is drawn"),
        )
        .note("print() is done by user space, later; the block deletes at once")
        .write(format!(
            "interval:10s {{ print(@{name}); clear(@{name}); }} (what is drawn is taken out), without delete()"
        ))
    })
    .collect()
}
