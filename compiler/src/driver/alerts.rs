//! Alerts: what becomes of what their blocks tell, as data.

use weftrace_artifact::alert::{AlertSpec, SinkKind, SinkSpec, ValueFrom};
use weftrace_lang::hir::{self, Program};

/// All alerts of a program, in its order.
pub(super) fn specs(program: &Program) -> Vec<AlertSpec> {
    let sink = |s: &hir::SinkDef| {
        let kind = SinkKind::named(s.kind)?;
        Some(SinkSpec {
            kind,
            at: s.at.as_ref().map(value),
            secret: s.secret.as_ref().map(value),
            place: crate::lower::place(s.span),
        })
    };
    let spec = |a: &hir::AlertDef| AlertSpec {
        name: a.name.clone(),
        condition: a.condition.clone(),
        group: a.group.clone(),
        labels: a.labels.clone(),
        for_ns: a.for_ns,
        every_ns: a.every_ns,
        on_events: a.on_events,
        sinks: a.sinks.iter().filter_map(sink).collect(),
        place: crate::lower::place(a.span),
    };
    program.alerts.iter().map(spec).collect()
}

fn value(from: &hir::ValueFrom) -> ValueFrom {
    match from {
        hir::ValueFrom::Script(text) => ValueFrom::Script(text.clone()),
        hir::ValueFrom::Env(name) => ValueFrom::Env(name.clone()),
        hir::ValueFrom::File(path) => ValueFrom::File(path.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each sink of the language is one that the runtime knows, and both agree on whose address is a secret.
    #[test]
    fn every_sink_has_a_kind() {
        use weftrace_lang::builtins::sinks::{At, SINKS};
        for row in SINKS {
            let secret = SinkKind::named(row.name).map(SinkKind::has_secret_address);
            assert_eq!(secret, Some(matches!(row.at, At::SecretUrl(_))), "{}", row.name);
        }
    }
}
