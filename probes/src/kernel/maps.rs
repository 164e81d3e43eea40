//! Map specifications → maps.

use super::caps::Capability;
use super::host::Host;
use super::sys::{MapFd, MapParams, SyscallError, Update, bpf_map_type, errno_text};
use weftrace_artifact::map::{Kind, MapSpec, Role};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    #[error("{name}: not permitted to create BPF maps{}", match capability { Some(c) => format!(" (it needs {c})"), None => String::new() })]
    NotPermitted { name: String, capability: Option<Capability> },
    #[error(
        "{name}: maps count against the limit of locked memory on this kernel (before Linux 5.11), and it is too low for this one"
    )]
    LockedMemory { name: String },
    #[error("{name}: keys have at most {MOST_KEY_BYTES} bytes on this kernel, and these have {bytes}")]
    LongKeys { name: String, bytes: u32 },
    #[error("{name}: no memory for {entries} entries of {bytes} bytes each")]
    NoMemory { name: String, entries: u32, bytes: u64 },
    #[error(
        "{name}: this kernel has no maps of the kind {kind:?}, or not with {entries} entries of {bytes} bytes: {source}"
    )]
    NotSupported { name: String, kind: Kind, entries: u32, bytes: u64, source: SyscallError },
    #[error("{name}: {}", errno_text(source.errno))]
    Failed { name: String, source: SyscallError },
}

impl MapError {
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::NotPermitted { capability: Some(c), .. } => Some(format!("run as root, or give the process {c}")),
            Self::LockedMemory { .. } => Some("run as root, or raise it: ulimit -l unlimited".into()),
            Self::LongKeys { .. } => Some("say how long a text may be: str(x, 500)".into()),
            Self::NoMemory { .. } => Some("declare the map smaller: let @name = hash(1000)".into()),
            _ => None,
        }
    }
}

/// The most that kernels take whose maps bound keys by a program's stack (5.10).
const MOST_KEY_BYTES: u32 = 512;
/// BPF_F_NO_PREALLOC
const NO_PREALLOC: u32 = 1;
/// BPF_F_STACK_BUILD_ID
const STACK_BUILD_ID: u32 = 1 << 5;
/// Hash tables larger than this get their elements when a key is first stored, smaller ones ahead. Measured with 4096 keys in 0.6 ms:
/// ahead costs 0.15 ms at the start, and a new key 0.2 µs; on demand a new key costs 0.6 µs.
const PREALLOC_LIMIT: u64 = 16 << 20;
/// Per-CPU values on demand cost 25–40 µs a new key, and in a burst of new keys the kernel runs out of ready memory: of 4000 keys of
/// 528 bytes 250 failed, of 8000 bytes half. Ahead (0.5 ms for small values) none fails.
const PERCPU_PREALLOC_LIMIT: u64 = 128 << 20;

/// Creates every map of an artifact, in its order.
pub fn create_maps(specs: &[MapSpec], host: &Host) -> Result<Vec<MapFd>, MapError> {
    specs.iter().map(|spec| create_map(spec, host)).collect()
}

/// Creates one map. Zeros maps need no filling: arrays start as zeros.
pub fn create_map(spec: &MapSpec, host: &Host) -> Result<MapFd, MapError> {
    let params = params(spec);
    MapFd::create(&params).map_err(|source| refused((spec, &params), source, host, a_small_one_is_permitted))
}

/// `small`: whether a map of one element with a key of so many bytes can be made.
fn refused(
    (spec, params): (&MapSpec, &MapParams<'_>),
    source: SyscallError,
    host: &Host,
    small: impl Fn(u32) -> bool,
) -> MapError {
    let name = spec.name.clone();
    let (entries, bytes) = (params.max_entries, u64::from(params.key_size) + u64::from(params.value_size));
    match source.errno {
        libc::EPERM | libc::EACCES => match host.caps().lacks(&[Capability::Bpf.here()]) {
            None if small(4) => MapError::LockedMemory { name },
            capability => MapError::NotPermitted { name, capability },
        },
        libc::E2BIG if params.key_size > MOST_KEY_BYTES && !small(params.key_size) => {
            MapError::LongKeys { name, bytes: params.key_size }
        }
        libc::ENOMEM | libc::E2BIG => MapError::NoMemory { name, entries, bytes },
        libc::EINVAL => MapError::NotSupported { name, kind: spec.kind, entries, bytes, source },
        _ => MapError::Failed { name, source },
    }
}

/// What is refused for its size may be too large for the kernel, or for the limit of locked memory, where maps count against that: then one that finds no room is
/// refused as if none were permitted.
fn a_small_one_is_permitted(key_size: u32) -> bool {
    let kind = bpf_map_type::BPF_MAP_TYPE_HASH;
    MapFd::create(&MapParams { kind, key_size, value_size: 8, max_entries: 1, flags: NO_PREALLOC, name: "try" }).is_ok()
}

fn params(spec: &MapSpec) -> MapParams<'_> {
    let kind = match spec.kind {
        Kind::Hash => bpf_map_type::BPF_MAP_TYPE_HASH,
        Kind::Array => bpf_map_type::BPF_MAP_TYPE_ARRAY,
        Kind::PercpuHash => bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH,
        Kind::PercpuArray => bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY,
        Kind::LruHash => bpf_map_type::BPF_MAP_TYPE_LRU_HASH,
        Kind::LruPercpuHash => bpf_map_type::BPF_MAP_TYPE_LRU_PERCPU_HASH,
        Kind::StackTrace => bpf_map_type::BPF_MAP_TYPE_STACK_TRACE,
        Kind::Ringbuf => bpf_map_type::BPF_MAP_TYPE_RINGBUF,
    };
    let (key_size, value_size, max_entries) = match spec.kind {
        // Neither keys nor values; a power of two of at least a page.
        Kind::Ringbuf => (0, 0, ring_bytes(spec.max_entries)),
        // As many for each CPU, too large for a per-CPU map.
        Kind::Array if spec.role == Role::Scratch => {
            (4, spec.value_size, spec.max_entries.max(1).saturating_mul(super::cpus::possible()))
        }
        Kind::Array | Kind::PercpuArray => (4, spec.value_size, spec.max_entries.max(1)),
        Kind::StackTrace => (4, spec.value_size, spec.max_entries.max(1)),
        Kind::Hash | Kind::PercpuHash | Kind::LruHash | Kind::LruPercpuHash => {
            (spec.key_size, spec.value_size, spec.max_entries.max(1))
        }
    };
    let cpus = if spec.kind.is_percpu() { u64::from(super::cpus::possible()) } else { 1 };
    let bytes = u64::from(max_entries) * (u64::from(key_size) + u64::from(value_size) * cpus);
    let grows = match spec.kind {
        Kind::Hash => bytes > PREALLOC_LIMIT,
        Kind::PercpuHash => bytes > PERCPU_PREALLOC_LIMIT,
        // The kernel refuses the flag on the others.
        _ => false,
    };
    let flags = match spec.role {
        Role::Stacks { build_id: true, .. } => STACK_BUILD_ID,
        _ if grows => NO_PREALLOC,
        _ => 0,
    };
    MapParams { kind, key_size, value_size, max_entries, flags, name: &spec.name }
}

/// The smallest ring that the kernel takes and that holds `bytes`.
pub fn ring_bytes(bytes: u32) -> u32 {
    const PAGE: u32 = 4096;
    /// The kernel's records have 30-bit positions.
    const MAX: u32 = 1 << 30;
    bytes.clamp(PAGE, MAX).next_power_of_two()
}

/// The map of a role, and its place in the artifact's list.
pub fn by_role<'a>(specs: &[MapSpec], maps: &'a [MapFd], role: Role) -> Option<(usize, &'a MapFd)> {
    let at = specs.iter().position(|s| s.role == role)?;
    Some((at, maps.get(at)?))
}

/// Sums the u64 counters of the losses map over all CPUs, by index; by as few calls as there are, since joins ask ten times a second.
pub fn read_losses(map: &MapFd) -> Result<Vec<u64>, SyscallError> {
    let stride = map.percpu_stride().unwrap_or(8);
    let mut out = vec![0; map.max_entries() as usize];
    map.for_each(|index, value| {
        let index = index.first_chunk::<4>().map_or(usize::MAX, |i| u32::from_ne_bytes(*i) as usize);
        let per_cpu = value.chunks(stride.max(8)).filter_map(|c| c.first_chunk::<8>());
        if let Some(sum) = out.get_mut(index) {
            *sum = per_cpu.map(|c| u64::from_ne_bytes(*c)).sum();
        }
    })?;
    Ok(out)
}

/// Makes an element 0 of every CPU again: for array maps that are read as deltas.
pub fn zero_element(map: &MapFd, key: &[u8]) -> Result<(), SyscallError> {
    map.update(key, &vec![0u8; map.value_bytes()], Update::Any)
}

#[cfg(test)]
mod tests;
