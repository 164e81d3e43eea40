//! Whether a probe can be attached as the script says. Asked only where something could stand in for it.

use super::Ask;
use weftrace_arch::HOST;
use weftrace_lang::{
    hir::Provider,
    world::{Answer, Feature},
};

/// The feature that a provider attaches by, where the kernel is worth asking: it may lack it.
fn feature(provider: &Provider) -> Option<Feature> {
    match provider {
        Provider::Kprobe { .. } => Some(Feature::Kprobe),
        Provider::Fentry { .. } => Some(Feature::Fentry),
        _ => None,
    }
}

/// As the plan and messages name it.
pub(super) fn name(provider: &Provider) -> &'static str {
    match provider {
        Provider::Kprobe { ret: false, .. } => "kprobe",
        Provider::Kprobe { ret: true, .. } => "kretprobe",
        Provider::Fentry { ret: false, .. } => "fentry",
        Provider::Fentry { ret: true, .. } => "fexit",
        Provider::Tracepoint { .. } => "perf tracepoint",
        Provider::RawTracepoint { .. } => "raw tracepoint",
        _ => "as written",
    }
}

/// Why not. What the kernel wouldn't tell is tried when the script starts.
pub(super) fn works(ask: &Ask<'_>) -> Result<(), String> {
    let stacked = |n: &u32| *n as usize >= HOST.args.len();
    if matches!(ask.target.provider, Provider::Kprobe { .. }) && ask.uses.args.iter().any(stacked) {
        return Err("an argument that the body asks for is not in a register".into());
    }
    feature(&ask.target.provider).map_or(Ok(()), |feature| has(ask, feature))
}

/// Whether the kernel has a feature, as far as it says.
pub(super) fn has(ask: &Ask<'_>, feature: Feature) -> Result<(), String> {
    match ask.world.feature(feature) {
        Answer::Found(()) | Answer::CouldNotTell(_) => Ok(()),
        Answer::NotThere => Err("this kernel has none".into()),
        Answer::NotPermitted(why) => Err(format!("this kernel refuses it: {why}")),
    }
}
