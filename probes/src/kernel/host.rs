//! Facts of the running kernel that attaching, loading and checking share. Each is read when first asked for, and kept.

use super::btf::{Btf, BtfError};
use super::caps::{CapSet, Capability};
use super::cpus;
use super::feature::{self, Readiness};
use super::sys;
use super::tracefs::{Access, Tracefs, TracefsError};
use crate::catalog::KernelFunctions;
use crate::privilege;
use crate::symbols::kallsyms::KallsymsError;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use weftrace_lang::world::Feature;

/// Shared by threads that attach in parallel.
#[derive(Debug, Default)]
pub struct Host {
    tracefs: OnceLock<Result<Tracefs, TracefsError>>,
    btf: OnceLock<Result<Arc<Btf>, Arc<BtfError>>>,
    modules: OnceLock<Vec<Arc<Btf>>>,
    kprobe_pmu: OnceLock<Option<u32>>,
    uprobe_pmu: OnceLock<Option<u32>>,
    online: OnceLock<Vec<u32>>,
    caps: OnceLock<CapSet>,
    tracefs_access: OnceLock<Access>,
    uprobe_multi: OnceLock<bool>,
    perf_needs_admin: OnceLock<bool>,
    traceable: OnceLock<Option<KernelFunctions>>,
    /// The user's list of traceable functions.
    traceable_file: OnceLock<PathBuf>,
    functions: OnceLock<Result<KernelFunctions, KallsymsError>>,
}

/// The PMUs that carry probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pmu {
    Kprobe,
    Uprobe,
}

impl Host {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn tracefs(&self) -> Result<&Tracefs, TracefsError> {
        self.tracefs.get_or_init(Tracefs::find).as_ref().map_err(Clone::clone)
    }

    /// Who may read the mounted tracefs.
    pub fn tracefs_access(&self) -> Access {
        *self.tracefs_access.get_or_init(Access::now)
    }

    /// Whether perf events need CAP_SYS_ADMIN (Debian's and Android's kernels, where kernel.perf_event_paranoid is 3): tried with CAP_PERFMON
    /// alone.
    pub fn perf_events_need_admin(&self) -> bool {
        let cpu = self.online()[0] as i32;
        let refused = move || {
            let event = sys::PerfEvent::CpuClock(sys::Period::Ns(1_000_000_000));
            sys::perf_event_open(&event, -1, cpu).is_err_and(sys::SyscallError::is_permission)
        };
        let told = || {
            let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
            paranoid.trim().parse::<i32>().is_ok_and(|level| level > 2)
        };
        let alone = CapSet::of(&[Capability::Perfmon]);
        *self.perf_needs_admin.get_or_init(|| privilege::with_only(alone, refused).unwrap_or_else(told))
    }

    /// Whether one link can tie uprobes, for which CAP_PERFMON is enough. Where we may not try: whether the kernel's types say so.
    pub fn has_uprobe_multi(&self) -> bool {
        let try_it = || match feature::try_feature(Feature::UprobeMulti, self) {
            Readiness::Ready => true,
            Readiness::Unsupported(_) => false,
            Readiness::NotPermitted { .. } | Readiness::CouldNotTell(_) => {
                self.btf().is_ok_and(|btf| btf.enumerator("BPF_TRACE_UPROBE_MULTI").is_some())
            }
        };
        *self.uprobe_multi.get_or_init(try_it)
    }

    /// vmlinux's types.
    pub fn btf(&self) -> Result<&Arc<Btf>, Arc<BtfError>> {
        self.btf.get_or_init(|| Btf::vmlinux().map(Arc::new).map_err(Arc::new)).as_ref().map_err(Clone::clone)
    }

    /// Whether somebody has asked for vmlinux's types.
    pub fn btf_was_read(&self) -> bool {
        self.btf.get().is_some()
    }

    /// Types of the loaded modules, by name; those that can't be read are left out.
    pub fn module_btf(&self) -> &[Arc<Btf>] {
        self.modules.get_or_init(|| {
            let Ok(vmlinux) = self.btf() else { return Vec::new() };
            let Ok(dir) = std::fs::read_dir("/sys/kernel/btf") else { return Vec::new() };
            let mut names: Vec<String> = dir.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
            names.retain(|name| name != "vmlinux");
            names.sort_unstable();
            names.iter().filter_map(|name| Btf::module(name, vmlinux).ok()).map(Arc::new).collect()
        })
    }

    /// The number of a PMU; None: this kernel hasn't got it.
    pub fn pmu(&self, pmu: Pmu) -> Option<u32> {
        let (cell, name) = match pmu {
            Pmu::Kprobe => (&self.kprobe_pmu, "kprobe"),
            Pmu::Uprobe => (&self.uprobe_pmu, "uprobe"),
        };
        *cell.get_or_init(|| {
            std::fs::read_to_string(format!("/sys/bus/event_source/devices/{name}/type")).ok()?.trim().parse().ok()
        })
    }

    /// Takes the list of traceable functions from a file instead of the kernel's; before the list is asked for.
    pub fn set_traceable_file(&self, path: PathBuf) {
        let _ = self.traceable_file.set(path);
    }

    /// Whether the user named a list of traceable functions.
    pub fn has_traceable_file(&self) -> bool {
        self.traceable_file.get().is_some()
    }

    /// What tracefs says can be traced, where it may be read.
    pub fn traceable(&self) -> Option<&KernelFunctions> {
        self.traceable.get_or_init(|| self.tracefs().ok().and_then(KernelFunctions::traceable)).as_ref()
    }

    /// Functions that may be probed: of the user's file, else what tracefs says can be traced, else all that there are.
    pub fn functions(&self) -> Result<&KernelFunctions, KallsymsError> {
        let read = || match self.traceable_file.get() {
            Some(path) => {
                KernelFunctions::from_file(path).map_err(|e| KallsymsError::List(format!("{}: {e}", path.display())))
            }
            None => match self.tracefs().ok().and_then(KernelFunctions::traceable) {
                Some(found) => Ok(found),
                None => KernelFunctions::symbols(),
            },
        };
        self.functions.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    /// At least one CPU.
    pub fn online(&self) -> &[u32] {
        self.online.get_or_init(cpus::online)
    }

    /// Effective capabilities when first asked.
    pub fn caps(&self) -> CapSet {
        *self.caps.get_or_init(CapSet::effective)
    }
}
