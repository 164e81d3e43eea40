//! What bpftrace's `--info` tells, asked of the kernel by trying.

use super::{EXIT, KPROBE, NOTHING, Readiness, TRACE, helper, insn, ret, try_feature};
use crate::kernel::Host;
use crate::kernel::sys::{self, AttachType, ProgParams};
use weftrace_lang::world::Feature;

/// Whether the kernel has something; in bpftrace's names.
pub type Line = (&'static str, bool);

/// What `--info` lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub helpers: Vec<Line>,
    /// Instructions that the verifier looks at, at most.
    pub instructions: u32,
    pub btf: bool,
    pub module_btf: bool,
    pub probes: Vec<Line>,
}

/// Tries everything.
pub fn report(host: &Host) -> Report {
    let ready = |r: Readiness| r == Readiness::Ready;
    let can = |feature| ready(try_feature(feature, host));
    Report {
        helpers: vec![
            ("dpath", can(Feature::Fentry) && ready(helper(host, 147))),
            ("get_tai_ns", ready(helper_without_arguments(host, 208))),
            ("get_func_ip", ready(helper(host, 173))),
            ("lookup_percpu_elem", ready(helper(host, 195))),
            ("loop", can(Feature::BpfLoop)),
        ],
        instructions: instructions(host),
        btf: host.btf().is_ok(),
        module_btf: !host.module_btf().is_empty(),
        probes: vec![
            ("kprobe_multi", can(Feature::KprobeMulti)),
            ("uprobe_multi", can(Feature::UprobeMulti)),
            ("kprobe_session", can(Feature::KprobeMulti) && session(host)),
            ("iter", iterator(host)),
        ],
    }
}

/// A helper that takes nothing is refused if it isn't known, and accepted if it is.
fn helper_without_arguments(host: &Host, number: i32) -> Readiness {
    let insns = [insn(0x85, 0, 0, 0, number), ret(0), EXIT];
    super::program(host, KPROBE, &insns)
}

/// Programs of more than 4096 instructions are of kernels that look at a million.
fn instructions(host: &Host) -> u32 {
    let mut insns = vec![ret(0); 4097];
    insns.push(EXIT);
    if super::program(host, KPROBE, &insns) == Readiness::Ready { 1_000_000 } else { 4096 }
}

/// One program for the entry and return of functions (Linux 6.10).
fn session(host: &Host) -> bool {
    host.btf().is_ok_and(|btf| btf.enumerator("BPF_TRACE_KPROBE_SESSION").is_some())
}

fn iterator(host: &Host) -> bool {
    let Some(id) = host.btf().ok().and_then(|btf| btf.function_id("bpf_iter_task")) else { return false };
    let mut params = ProgParams::new(TRACE, "try", &NOTHING);
    params.expected_attach_type = Some(AttachType::BPF_TRACE_ITER);
    params.attach_btf_id = id;
    sys::prog_load(&params, None).is_ok()
}
