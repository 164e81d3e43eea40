//! What a run keeps of its privileges, and the helper that has what the rest of it may need.

use super::SessionOptions;
use crate::{maps::Store, names::KernelNames};
use weftrace_artifact::Artifact;
use weftrace_probes::{
    kernel::{
        caps::{CapSet, Capability},
        sys::SyscallError,
    },
    privilege::{Helper, Kinds, Later, Shed, shed},
};

/// What became of the privileges that a run started with.
#[derive(Debug)]
pub struct Privileges {
    pub later: Later,
    /// None: nothing was given up, since [`Privileges::all_kept`] says why not.
    pub shed: Option<Result<Shed, SyscallError>>,
    pub all_kept: Option<&'static str>,
    helper: Option<Helper>,
}

impl Privileges {
    /// Before anything is attached: forks the helper, if the script may need it.
    pub(super) fn prepare(artifact: &Artifact, options: &SessionOptions) -> Self {
        let later = Later::of(artifact);
        let all_kept = if !options.shed_privileges {
            Some("it was not asked for")
        } else if options.by_hand.is_some() {
            Some("tests and benchmarks load programs while they run")
        } else if later.commands && options.allow_unsafe {
            Some("commands of system() run with them")
        } else {
            None
        };
        let kinds = Kinds { processes: later.processes, text: later.files };
        // Without one, names are as far as they can be had: that is told where it happens.
        let helper = if all_kept.is_none() { Helper::start(kinds).ok().flatten() } else { None };
        Self { later, shed: None, all_kept, helper }
    }

    /// Where the kernel's symbols are read later: what is opened now keeps today's privileges.
    pub(super) fn kernel_names(&self) -> KernelNames {
        if self.later.kernel_symbols && self.all_kept.is_none() { KernelNames::open() } else { KernelNames::default() }
    }

    /// Everything is attached: gives up what nothing needs any more.
    pub(super) fn give_up(&mut self, store: &Store, command: bool) {
        if self.all_kept.is_some() {
            return;
        }
        let keep = CapSet::of(&self.later.kept(command));
        self.shed = Some(shed(keep, || can_look_into(store)));
    }

    /// The helper's process and what it holds.
    pub fn helper(&self) -> Option<(u32, CapSet)> {
        self.helper.as_ref().map(|h| (h.pid(), h.capabilities()))
    }

    /// What this process keeps on purpose, and what for.
    pub fn reasons(&self) -> Vec<(Capability, &'static str)> {
        let Some(Ok(shed)) = &self.shed else { return Vec::new() };
        let all = [
            (Capability::DacOverride, "skboutput() and capture() make files while packets come"),
            (Capability::SysPtrace, "to see which sockets other users' processes hold"),
            (Capability::DacReadSearch, "to see which sockets other users' processes hold"),
            (Capability::Kill, "to end the command of -c, whoever it has become"),
            (Capability::Bpf, "this kernel wants it to look into maps"),
            (Capability::SysAdmin, "this kernel wants it to look into maps"),
        ];
        all.into_iter().filter(|(c, _)| shed.kept.0 & 1 << *c as u32 != 0).collect()
    }
}

/// Tried with one of the script's maps; EPERM is the only answer that counts.
fn can_look_into(store: &Store) -> bool {
    store.first_kernel_map().is_none_or(|map| {
        let mut key = vec![0; map.key_size()];
        map.next_key(None, &mut key).err().is_none_or(|e| !e.is_permission())
    })
}
