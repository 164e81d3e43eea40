//! What a script asks for after it was attached.

use crate::kernel::caps::Capability;
use weftrace_artifact::{
    Artifact,
    action::{ActionKind, LogLevel},
    map::Value,
    nat,
    packet::needs,
    plan::{ProbePlan, Way},
    ty::{Field, StackMode, Type},
};

/// What may be needed once events come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Later {
    /// Names of addresses in processes, whoever's they are.
    pub processes: bool,
    /// Which connections the kernel translates; what tells is opened before the privileges go.
    pub translations: bool,
    /// `pkt.owner.*`: sockets of processes, whoever's they are.
    pub owners: bool,
    /// Names of the kernel's addresses.
    pub kernel_symbols: bool,
    /// `cat()`
    pub files: bool,
    /// `skboutput()`, `capture()`: files are made where the script or the command line says.
    pub captures: bool,
    /// `system()`
    pub commands: bool,
    /// `debugf()` of what runs in user space.
    pub trace_pipe: bool,
}

/// Whether a probe asks whose packets are; whose calls on sockets are, the calls tell.
fn asks_owners(probe: &ProbePlan) -> bool {
    probe.packet_needs & needs::OWNER != 0 && probe.ways().any(|way| matches!(way.way, Way::Pcap { .. }))
}

impl Later {
    pub fn of(artifact: &Artifact) -> Self {
        let mut later = Self {
            owners: artifact.probes.iter().any(asks_owners),
            translations: artifact.streams.iter().any(|stream| stream.name == nat::STREAM),
            ..Self::default()
        };
        for action in &artifact.actions {
            match &action.kind {
                ActionKind::Cat(_) => later.files = true,
                ActionKind::Packet { .. } | ActionKind::Capture { .. } => later.captures = true,
                ActionKind::System(_) => later.commands = true,
                ActionKind::Log { level: LogLevel::Debug, .. } => later.trace_pipe = true,
                _ => {}
            }
            later.fields(&action.args);
        }
        for map in &artifact.maps {
            if let Some(key) = &map.key {
                later.ty(key);
            }
            if let Value::Plain(ty) = &map.value {
                later.ty(ty);
            }
        }
        for stream in &artifact.streams {
            later.fields(&stream.fields);
        }
        later
    }

    fn fields(&mut self, fields: &[Field]) {
        for field in fields {
            self.ty(&field.ty);
        }
    }

    fn ty(&mut self, ty: &Type) {
        match ty {
            Type::Usym | Type::Sample { .. } => self.processes = true,
            Type::UStack { mode, .. } => self.processes |= has_names(*mode),
            Type::Ksym => self.kernel_symbols = true,
            Type::KStack { mode, .. } => self.kernel_symbols |= has_names(*mode),
            Type::Array { elem, .. } => self.ty(elem),
            Type::Tuple { fields, .. } | Type::Record { fields, .. } | Type::Struct { fields, .. } => {
                self.fields(fields);
            }
            _ => {}
        }
    }

    /// What this process itself must keep for it; the helper has the rest.
    pub fn kept(&self, command: bool) -> Vec<Capability> {
        let mut kept = Vec::new();
        if self.captures {
            kept.push(Capability::DacOverride);
        }
        if self.owners {
            kept.extend([Capability::SysPtrace, Capability::DacReadSearch]);
        }
        if command {
            kept.push(Capability::Kill);
        }
        kept
    }
}

fn has_names(mode: StackMode) -> bool {
    matches!(mode, StackMode::Bpftrace | StackMode::Perf)
}
