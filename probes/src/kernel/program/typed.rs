//! What typed programs are loaded for: a place in the kernel's, a module's or another program's type information.

use super::{LoadError, Sources};
use crate::kernel::btf::Btf;
use crate::kernel::sys::{self, AttachObject, SyscallError};
use std::os::fd::{AsFd, OwnedFd};
use weftrace_artifact::plan::Way;
use weftrace_artifact::program::ProgramImage;

/// The place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TypedTarget {
    RawTracepoint(String),
    /// `module` None: wherever it is.
    Function {
        module: Option<String>,
        name: String,
    },
    /// Another BPF program's main function.
    Program(u32),
    Iter(String),
}

impl TypedTarget {
    /// Of a way to attach; None for ways whose programs aren't typed.
    pub fn of(way: &Way) -> Option<Self> {
        match way {
            Way::TracepointBtf { event } => Some(Self::RawTracepoint(event.clone())),
            Way::Syscall { ret, .. } => Some(Self::RawTracepoint(Way::syscalls(*ret).to_owned())),
            Way::Fentry { bpf: Some(id), .. } => Some(Self::Program(*id)),
            Way::Fentry { function, module, .. } => {
                Some(Self::Function { module: module.clone(), name: function.clone() })
            }
            Way::Iter { kind, .. } => Some(Self::Iter(kind.clone())),
            _ => None,
        }
    }
}

/// What BPF_PROG_LOAD wants.
pub(super) struct Resolved {
    pub(super) id: u32,
    module: Option<OwnedFd>,
    program: Option<OwnedFd>,
}

impl Resolved {
    fn vmlinux(id: u32) -> Self {
        Self { id, module: None, program: None }
    }

    pub(super) fn object(&self) -> AttachObject<'_> {
        match (&self.module, &self.program) {
            (Some(module), _) => AttachObject::Module(module.as_fd()),
            (None, Some(program)) => AttachObject::Program(program.as_fd()),
            (None, None) => AttachObject::Vmlinux,
        }
    }
}

pub(super) fn resolve(image: &ProgramImage, from: &Sources<'_>) -> Result<Resolved, LoadError> {
    let unsupported = |what: String| LoadError::NotSupported { program: image.name.clone(), what };
    let failed = |source: SyscallError| LoadError::Failed { program: image.name.clone(), source };
    let target = from.target.ok_or_else(|| LoadError::Relocation {
        program: image.name.clone(),
        what: "nothing was named that a typed program is for".into(),
    })?;
    if let TypedTarget::Program(id) = target {
        let program = sys::program_by_id(*id).map_err(failed)?;
        let main = sys::prog_info(program.as_fd()).map_err(failed)?.main_type;
        if main == 0 {
            return Err(unsupported(format!("type information of BPF program {id}")));
        }
        return Ok(Resolved { id: main, module: None, program: Some(program) });
    }
    let btf = from.host.btf().map_err(|e| unsupported(format!("type information to attach by: {e}")))?;
    match target {
        TypedTarget::RawTracepoint(event) => btf
            .raw_tracepoint_id(event)
            .map(Resolved::vmlinux)
            .ok_or_else(|| unsupported(format!("raw tracepoint {event} in its type information"))),
        TypedTarget::Iter(kind) => btf
            .function_id(&format!("bpf_iter_{kind}"))
            .map(Resolved::vmlinux)
            .ok_or_else(|| unsupported(format!("iterator {kind} in its type information"))),
        TypedTarget::Function { module, name } => {
            let own = module.as_deref().is_none_or(|m| m == btf.module_name());
            if let Some(id) = btf.function_id(name).filter(|_| own) {
                return Ok(Resolved::vmlinux(id));
            }
            let wanted = |m: &Btf| module.as_deref().is_none_or(|name| name == m.module_name());
            let mut found = from.host.module_btf().iter().filter(|m| wanted(m));
            let Some((module, id)) = found.find_map(|m| Some((m.module_name(), m.function_id(name)?))) else {
                return Err(unsupported(format!("function {name} in its type information")));
            };
            let Some(fd) = module_btf(module).map_err(failed)? else {
                return Err(unsupported(format!("type information of the module {module}")));
            };
            Ok(Resolved { id, module: Some(fd), program: None })
        }
        TypedTarget::Program(_) => Err(unsupported("such a program".into())),
    }
}

/// The kernel's own copy of a module's type information.
fn module_btf(name: &str) -> Result<Option<OwnedFd>, SyscallError> {
    for id in sys::object_ids(sys::ObjectKind::Btf)? {
        // It may have gone meanwhile.
        let Ok(fd) = sys::btf_by_id(id) else { continue };
        if sys::btf_info(fd.as_fd(), false).is_ok_and(|info| info.kernel && info.name == name) {
            return Ok(Some(fd));
        }
    }
    Ok(None)
}

/// Programs that are loaded now and have type information: (number, name of the main function).
pub fn loaded_programs() -> Result<Vec<(u32, String)>, SyscallError> {
    let mut out = Vec::new();
    for id in sys::object_ids(sys::ObjectKind::Program)? {
        let Ok(program) = sys::program_by_id(id) else { continue };
        let Ok(info) = sys::prog_info(program.as_fd()) else { continue };
        if info.btf_id == 0 || info.main_type == 0 {
            continue;
        }
        let types = sys::btf_by_id(info.btf_id).and_then(|fd| sys::btf_info(fd.as_fd(), true));
        let Some(btf) = types.ok().and_then(|t| Btf::from_bytes(t.bytes, "", None).ok()) else { continue };
        if let Some(name) = btf.function_name(info.main_type) {
            out.push((id, name));
        }
    }
    Ok(out)
}
