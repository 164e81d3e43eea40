//! Imported modules bring probes for every stream they offer; those whose streams nothing reads are not attached.

use super::{
    uses::Uses,
    walk::{self, Node},
};
use weftrace_lang::{
    hir::{ProbeDef, Program, StmtKind, StreamRef},
    span::FileId,
};

/// The script that was named on the command line; imports come after it.
const MAIN: FileId = FileId(0);

/// For each probe: whether it only feeds streams and maps that no other probe and no join reads.
pub(super) fn unread(program: &Program, uses: &[Uses]) -> Vec<bool> {
    let effects: Vec<Effects> = program.probes.iter().map(effects).collect();
    let mut kept: Vec<bool> = program
        .probes
        .iter()
        .zip(&effects)
        .map(|(p, e)| p.span.file == MAIN || e.acts || reads_streams(program, e))
        .collect();
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
                StmtKind::Action { .. } => effects.acts = true,
                StmtKind::Emit { stream, .. } => effects.emits.push(*stream),
                _ => {}
            }
        }
    });
    effects
}

/// Whether a join reads one of the streams.
fn reads_streams(program: &Program, effects: &Effects) -> bool {
    let read =
        |stream| program.joins.iter().any(|j| j.anchor == stream || j.legs.iter().any(|leg| leg.stream == stream));
    effects.emits.iter().any(|s| read(*s))
}
