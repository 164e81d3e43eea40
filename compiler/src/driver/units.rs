//! All functions of a script, lowered and optimised, before code generation.

use super::ways;
use crate::{
    ir::Function,
    lower::{Module, lower_probe, place},
    place::{
        Side, Unit as Placed,
        walk::{self, Node},
    },
};
use std::collections::BTreeSet;
use weftrace_artifact::{
    action::StreamId,
    plan::{ProbePlan, Unit},
};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{ProbeDef, Stmt, StmtKind, Target},
    span::Span,
};

/// A kernel program to be compiled.
#[derive(Clone, Debug)]
pub struct KernelUnit {
    pub function: Function,
    /// The first probe that it serves.
    pub probe: u32,
}

/// A probe that does not run, and why.
#[derive(Clone, Debug)]
pub struct LeftOut {
    pub name: String,
    pub reason: String,
    /// Its attach point.
    pub span: Span,
}

/// What lowering made.
#[derive(Clone, Debug, Default)]
pub struct Units {
    pub kernel: Vec<KernelUnit>,
    pub native: Vec<Function>,
    pub probes: Vec<ProbePlan>,
    /// Probes that the placement left out.
    pub left_out: Vec<LeftOut>,
    /// Probes of imported modules that nothing needs: nothing to warn about.
    pub unread: Vec<LeftOut>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Lowers every probe: one function, or one per target where the body asks for the probe's name.
pub(super) fn lower_probes(module: &mut Module<'_>, units: &mut Units) {
    let (program, placement) = (module.program, module.placement);
    for (probe, placed) in program.probes.iter().zip(&placement.units) {
        if matches!(placed.side, Side::Not | Side::Unread) {
            let names = probe.targets.iter().map(|t| LeftOut {
                name: t.name.clone(),
                reason: placed.reason.clone(),
                span: t.span,
            });
            if placed.side == Side::Unread {
                units.unread.extend(names);
            } else {
                units.left_out.extend(names);
            }
            continue;
        }
        let mut shared = None;
        let before = std::mem::take(&mut module.packet_needs);
        let mut needs = 0;
        for target in &probe.targets {
            let unit = match shared {
                Some(unit) if !placed.uses.names => unit,
                _ => match lower_target(module, units, probe, target, placed) {
                    Ok(unit) => {
                        needs = module.packet_needs;
                        unit
                    }
                    Err(d) => {
                        units.diagnostics.push(*d);
                        break;
                    }
                },
            };
            shared = Some(unit);
            let about = About { packet_needs: needs, emits: streams(probe) };
            units.probes.push(plan(target, unit, placed, about));
        }
        module.packet_needs |= before;
    }
}

fn lower_target<'a>(
    module: &mut Module<'a>,
    units: &mut Units,
    probe: &'a ProbeDef,
    target: &'a Target,
    placed: &Placed,
) -> Result<Unit, Box<Diagnostic>> {
    let index = units.probes.len();
    let function = lower_probe(module, probe, target, placed.side, &function_name(index, &target.name))?;
    Ok(if let Side::Kernel(_) = placed.side {
        units.kernel.push(KernelUnit { function, probe: index as u32 });
        Unit::Kernel(units.kernel.len() as u32 - 1)
    } else {
        units.native.push(function);
        Unit::Native(units.native.len() as u32 - 1)
    })
}

/// What the plan tells of a probe's body.
struct About {
    packet_needs: u32,
    emits: Vec<StreamId>,
}

/// The streams that a probe emits to, in order.
fn streams(probe: &ProbeDef) -> Vec<StreamId> {
    let mut all = BTreeSet::new();
    walk::block(&probe.body, &mut |n| {
        if let Node::Stmt(Stmt { kind: StmtKind::Emit { stream, .. }, .. }) = n {
            all.insert(StreamId(stream.0));
        }
    });
    all.into_iter().collect()
}

/// Unique by its number; the kernel shows the first 15 bytes.
fn function_name(index: usize, target: &str) -> String {
    let last = target.rsplit(':').next().unwrap_or(target);
    let clean: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("p{index}_{clean}")
}

fn plan(target: &Target, unit: Unit, placed: &Placed, about: About) -> ProbePlan {
    ProbePlan {
        name: target.name.clone(),
        unit,
        reason: placed.reason.clone(),
        ways: ways::ways(&target.provider, placed.side),
        place: place(target.span),
        wildcard: target.wildcard,
        packet_needs: about.packet_needs,
        emits: about.emits,
    }
}
