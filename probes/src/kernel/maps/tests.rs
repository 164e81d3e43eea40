use super::{params, refused, ring_bytes};
use crate::kernel::Host;
use crate::kernel::sys::{SyscallError, bpf_map_type};
use weftrace_artifact::Place;
use weftrace_artifact::map::{Home, Kind, MapSpec, Role, Value};

fn spec(kind: Kind, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec {
        name: "@m".into(),
        role: Role::Script,
        kind,
        home: Home::Kernel,
        key: None,
        value: Value::Count,
        key_size: 8,
        value_size,
        max_entries,
        presence: None,
        ring: None,
        ttl: None,
        place: Place::default(),
    }
}

#[test]
fn rings_are_powers_of_two_of_at_least_a_page() {
    assert_eq!(ring_bytes(0), 4096);
    assert_eq!(ring_bytes(4097), 8192);
    assert_eq!(ring_bytes(256 << 10), 256 << 10);
    assert_eq!(ring_bytes(u32::MAX), 1 << 30);
    let made = spec(Kind::Ringbuf, 8, 5000);
    let made = params(&made);
    assert_eq!((made.key_size, made.value_size, made.max_entries), (0, 0, 8192));
}

#[test]
fn only_huge_hashes_are_not_allocated_ahead() {
    assert_eq!(params(&spec(Kind::PercpuHash, 528, 4096)).flags, 0);
    assert_eq!(params(&spec(Kind::Hash, 8, 100)).flags, 0);
    assert_eq!(params(&spec(Kind::Hash, 8000, 4096)).flags, 1);
    // The kernel refuses the flag on LRU maps.
    assert_eq!(params(&spec(Kind::LruHash, 8000, 4096)).flags, 0);
}

#[test]
fn arrays_have_u32_keys() {
    let scalar = spec(Kind::PercpuArray, 16, 0);
    let made = params(&scalar);
    assert_eq!(
        (made.kind as u32, made.key_size, made.max_entries),
        (bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32, 4, 1)
    );
}

/// On older kernels keys had to fit a program's stack.
#[test]
fn keys_that_are_too_long_are_no_lack_of_memory() {
    let source = SyscallError { call: "bpf(BPF_MAP_CREATE)", errno: libc::E2BIG };
    let error = |key_size, most: u32| {
        let spec = MapSpec { key_size, ..spec(Kind::PercpuHash, 8, 4096) };
        refused((&spec, &params(&spec)), source, &Host::new(), |key_size| key_size <= most)
    };
    let (old, new) = (512, 1 << 20);
    assert_eq!(error(1024, old).to_string(), "@m: keys have at most 512 bytes on this kernel, and these have 1024");
    assert_eq!(error(1024, old).remedy().as_deref(), Some("say how long a text may be: str(x, 500)"));
    assert_eq!(error(8, old).to_string(), "@m: no memory for 4096 entries of 16 bytes each");
    assert_eq!(error(1024, new).to_string(), "@m: no memory for 4096 entries of 1032 bytes each");
}
