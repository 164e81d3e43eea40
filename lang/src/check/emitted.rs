//! The streams that a script's blocks emit, as its text says: for lists and documents.

use super::walk;
use crate::ast::{Item, Probe, Script, Stmt, StmtKind};

/// A stream, the fields of its records, and the attach points of the blocks that emit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    pub stream: String,
    pub fields: Vec<String>,
    pub by: Vec<String>,
}

/// In the order of the script, what a block has before what the blocks in it have. All emits of a stream have the same fields; else the checker says so.
pub fn emitted(script: &Script) -> Vec<Emitted> {
    let mut all: Vec<Emitted> = Vec::new();
    for item in &script.items {
        let Item::Probe(probe) = item else { continue };
        for probe in probe.alternatives() {
            walk::stmts(&probe.body, &mut |s| note(s, probe, &mut all));
        }
    }
    all
}

fn note(s: &Stmt, probe: &Probe, all: &mut Vec<Emitted>) {
    let StmtKind::Emit { stream, fields } = &s.kind else { return };
    let at = all.iter().position(|known| known.stream == stream.text).unwrap_or_else(|| {
        let fields = fields.iter().map(|(name, _)| name.text.clone()).collect();
        all.push(Emitted { stream: stream.text.clone(), fields, by: Vec::new() });
        all.len() - 1
    });
    for point in &probe.points {
        let segments = point.segments.iter().map(|segment| format!(":{}", segment.text));
        let text = segments.fold(point.provider.text.clone(), |text, segment| text + &segment);
        if !all[at].by.contains(&text) {
            all[at].by.push(text);
        }
    }
}
