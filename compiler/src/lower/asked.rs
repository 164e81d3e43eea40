//! What a packet must have for an expression to say something of it.

use super::packet::field;
use weftrace_artifact::packet::{Asked, Read};
use weftrace_lang::hir::{BinOp as Op, Expr, ExprKind as E, ProbeDef, UnOp};

/// For a value: all packet fields in it, except behind `??`, which copes with absence itself.
pub(super) fn value(e: &Expr) -> Asked {
    match &e.kind {
        E::Packet(name) => field(name).map_or(Asked::default(), Asked::by),
        E::Coalesce { .. } | E::Block(_) => Asked::default(),
        _ => crate::place::walk::children(e).into_iter().map(value).fold(Asked::default(), Asked::and),
    }
}

/// For a block's condition to be true.
pub(crate) fn condition(probe: &ProbeDef) -> Asked {
    probe.predicate.as_ref().map_or(Asked::default(), truth)
}

/// The same as code for conditions has it ([`super::cx::Cx::branch`]): a comparison with an absent field is false, and so is the field itself.
fn truth(e: &Expr) -> Asked {
    match &e.kind {
        E::Packet(name) => field(name).map_or(Asked::default(), |row| {
            Asked::by(row).and(match row.read {
                Read::Layer(layers) if layers.is_power_of_two() => Asked { layers, known: 0 },
                Read::Known(known) if known.is_power_of_two() => Asked { layers: 0, known },
                _ => Asked::default(),
            })
        }),
        // What comes before it may do something that is seen, whatever the packet has.
        E::Logical { and: true, left, .. } if !only_reads(left) => truth(left),
        E::Logical { and: true, left, right } => truth(left).and(truth(right)),
        E::Logical { and: false, left, right } => truth(left).or(truth(right)),
        E::Binary { op: Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge, left, right } => {
            value(left).and(value(right))
        }
        E::StrEq { left, right, .. } => value(left).and(value(right)),
        _ => Asked::default(),
    }
}

/// Only packet fields and numbers are looked at, and nothing is divided, which may be told of.
fn only_reads(e: &Expr) -> bool {
    let divides = matches!(e.kind, E::Binary { op: Op::Div | Op::Mod, .. });
    let plain = !divides
        && matches!(
            e.kind,
            E::Packet(_)
                | E::Int(_)
                | E::Binary { .. }
                | E::Logical { .. }
                | E::Unary { op: UnOp::Not, .. }
                | E::Cast(_)
        );
    plain && crate::place::walk::children(e).into_iter().all(only_reads)
}
