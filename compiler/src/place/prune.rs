//! Imported modules bring probes for every stream they offer; those whose streams nothing reads are not attached.

use super::{
    bindings,
    uses::Uses,
    walk::{self, Node},
};
use weftrace_artifact::join::is_bound;
use weftrace_lang::{
    check::is_shown,
    hir::{JoinDef, LegDef, ProbeDef, Program, Provider, StmtKind, StreamRef, Ty},
    span::FileId,
};

/// The script that was named on the command line; imports come after it.
const MAIN: FileId = FileId(0);

/// For each probe: whether it only feeds streams and maps that no other probe and no join reads.
pub(super) fn unread(program: &Program, uses: &[Uses]) -> Vec<bool> {
    let effects: Vec<Effects> = program.probes.iter().map(effects).collect();
    let shows = |uses: &Uses| {
        let of = program.maps.iter().zip(&uses.maps);
        of.into_iter().any(|(map, mine)| (mine.write || mine.aggregate) && is_shown(&map.name))
    };
    let mut kept: Vec<bool> = program
        .probes
        .iter()
        .zip(&effects)
        .zip(uses)
        .map(|((p, e), uses)| p.span.file == MAIN || e.acts || shows(uses) || reads_streams(program, e))
        .collect();
    // What sockets carry is told for the blocks that are kept.
    if program.probes.iter().zip(&kept).any(|(p, kept)| *kept && is_exchange(p)) {
        program.probes.iter().zip(&mut kept).filter(|(p, _)| p.hidden).for_each(|(_, kept)| *kept = true);
    }
    // A probe that writes a map which a kept one reads is kept too, and so on.
    loop {
        let more: Vec<usize> = (0..kept.len()).filter(|&i| !kept[i] && feeds_kept(i, uses, &kept)).collect();
        if more.is_empty() {
            return kept.into_iter().map(|k| !k).collect();
        }
        for i in more {
            kept[i] = true;
        }
    }
}

fn is_exchange(probe: &ProbeDef) -> bool {
    matches!(probe.targets.first().map(|t| &t.provider), Some(Provider::Exchange { .. }))
}

fn feeds_kept(probe: usize, uses: &[Uses], kept: &[bool]) -> bool {
    uses[probe].maps.iter().enumerate().any(|(map, mine)| {
        let writes = mine.write || mine.aggregate;
        writes
            && (0..kept.len()).any(|other| kept[other] && (uses[other].maps[map].read || uses[other].maps[map].whole))
    })
}

#[derive(Default)]
struct Effects {
    /// Prints, exits, or does anything else that is seen outside.
    acts: bool,
    emits: Vec<StreamRef>,
}

fn effects(probe: &ProbeDef) -> Effects {
    let mut effects = Effects::default();
    walk::block(&probe.body, &mut |node| {
        if let Node::Stmt(stmt) = node {
            match &stmt.kind {
                // delete(@m) of a whole map is clear(@m).
                StmtKind::Action { .. } | StmtKind::DeleteMap { key: None, .. } => effects.acts = true,
                StmtKind::Emit { stream, .. } => effects.emits.push(*stream),
                _ => {}
            }
        }
    });
    effects
}

/// Whether bindings lead from a join's anchor to what a leg wants.
pub(crate) fn goes_by_bindings(program: &Program, join: &JoinDef, leg: &LegDef) -> bool {
    leg.by.iter().any(|key| is_led_to(program, join, leg, key))
}

/// Whether they lead by one of its keys.
pub(super) fn is_led_to(program: &Program, join: &JoinDef, leg: &LegDef, key: &str) -> bool {
    let field = |stream: StreamRef| program.streams[stream.index()].fields.iter().find(|(name, _)| name == key);
    let of_leg = field(leg.stream);
    let is_id = of_leg.is_some_and(|(_, ty)| matches!(ty, Ty::Str { .. }));
    is_bound(of_leg.is_some(), field(join.anchor).is_some(), is_id)
}

/// Whether a join reads one of the streams: as its anchor, as a leg's, or as a binding that leads from one to the other.
fn reads_streams(program: &Program, effects: &Effects) -> bool {
    let read = |join: &JoinDef, stream: StreamRef| {
        join.anchor == stream
            || join.legs.iter().any(|leg| leg.stream == stream)
            || bindings::leads(program, join, stream)
    };
    effects.emits.iter().any(|stream| program.joins.iter().any(|join| read(join, *stream)))
}
