#![allow(unsafe_code, reason = "calls helpers as generated code does")]

use super::*;
use crate::{maps::Store, native::host::NativeHost};
use weftrace_artifact::{
    Place,
    map::{Home, Kind, MapId, MapSpec, Role, Value},
    ty::Type,
};

fn spec() -> MapSpec {
    MapSpec {
        name: "@m".into(),
        role: Role::Script,
        kind: Kind::Hash,
        home: Home::User,
        key: Some(Type::U32),
        value: Value::Plain(Type::U64),
        key_size: 4,
        value_size: 8,
        max_entries: 2,
        presence: None,
        ring: None,
        ttl: None,
        place: Place::default(),
    }
}

fn env(host: &mut NativeHost) -> HandlerEnv {
    HandlerEnv {
        helpers: TABLE.as_ptr(),
        now: 77,
        probe: 0,
        reserved: 0,
        scalars: host.scalars.as_ptr(),
        host: std::ptr::from_mut(host).cast(),
    }
}

#[test]
fn maps_by_address() {
    let mut host = NativeHost::new(Store::create(&[spec()], None).expect("no kernel asked"), 1, 5);
    let mut made = env(&mut host);
    let env = &raw mut made;
    let (key, value) = (3u32, 41u64);
    let (k, v) = ((&raw const key) as u64, (&raw const value) as u64);
    // SAFETY: live locals of the map's sizes.
    unsafe {
        assert_eq!(map_lookup(env, 0, k), 0);
        assert_eq!(map_update(env, 0, k, v, 0), 0);
        let at = map_lookup(env, 0, k) as *mut u64;
        *at += 1;
        assert_eq!(*(map_lookup(env, 0, k) as *const u64), 42);
        assert_eq!(map_len(env, 0), 1);
        let results = [4u32, 5].map(|key| map_update(env, 0, (&raw const key) as u64, v, 0) as i64);
        assert_eq!(results, [0, -i64::from(libc::E2BIG)], "the third key does not fit");
        count_loss(env, 1);
        count_loss(env, 99);
        assert_eq!(map_delete(env, 0, k), 0);
        assert_eq!(map_delete(env, 0, k) as i64, -i64::from(libc::ENOENT));
        // A map that isn't there does nothing.
        assert_eq!(map_lookup(env, 9, k), 0);
    }
    assert_eq!(host.losses[0], [0, 1, 0, 0, 0, 0, 0]);
}

/// Timers read and write kernel maps by the system call: a look-up is a copy that goes back when the handler ends.
#[test]
fn kernel_maps_by_copy() {
    let kernel = weftrace_probes::kernel::Host::new();
    let percpu = MapSpec { kind: Kind::PercpuArray, home: Home::Kernel, value: Value::Count, max_entries: 1, ..spec() };
    let Ok(store) = Store::create(&[MapSpec { home: Home::Kernel, ..spec() }, percpu], Some(&kernel)) else {
        println!("SKIP CAP_BPF");
        return;
    };
    let mut host = NativeHost::new(store, 1, 5);
    let mut made = env(&mut host);
    let env = &raw mut made;
    let (key, zero, value) = (3u32, 0u32, 41u64);
    let (k, z, v) = ((&raw const key) as u64, (&raw const zero) as u64, (&raw const value) as u64);
    // SAFETY: live locals of the maps' sizes.
    let read = unsafe {
        assert_eq!(map_update(env, 0, k, v, 0), 0);
        let at = map_lookup(env, 0, k) as *mut u64;
        *at += 1;
        assert_eq!(map_lookup(env, 0, k), at as u64, "one copy per element and handler");
        assert_eq!(map_update(env, 1, z, v, 0), 0);
        *(map_lookup(env, 1, z) as *const u64)
    };
    assert_eq!(read, 41, "one CPU has the value, the others 0");
    host.finish();
    // SAFETY: as above; deleting and then writing to the copy must not bring the element back.
    unsafe {
        let at = map_lookup(env, 0, k) as *mut u64;
        assert_eq!(*at, 42);
        *at = 7;
        assert_eq!(map_delete(env, 0, k), 0);
        *at = 8;
    }
    host.finish();
    // SAFETY: as above; what a program deletes while the handler runs stays deleted.
    unsafe {
        assert_eq!(map_lookup(env, 0, k), 0);
        assert_eq!(map_update(env, 0, k, v, 0), 0);
        *(map_lookup(env, 0, k) as *mut u64) += 1;
    }
    let program = host.store.home(MapId(0)).and_then(|home| home.kernel.as_ref());
    assert!(program.is_some_and(|map| map.delete(&key.to_ne_bytes()).is_ok_and(|was| was)));
    host.finish();
    // SAFETY: as above.
    assert_eq!(unsafe { map_lookup(env, 0, k) }, 0);
}

#[test]
fn strings_and_headers() {
    let mut dst = [0xffu8; 8];
    let d = dst.as_mut_ptr() as u64;
    let null = std::ptr::null_mut();
    let mut host = NativeHost::new(Store::create(&[], None).expect("no maps"), 1, 5);
    let mut made = env(&mut host);
    let env = &raw mut made;
    // SAFETY: live locals of the lengths given.
    unsafe {
        let src = b"hello world";
        assert_eq!(copy_str(null, d, 8, src.as_ptr() as u64, 11), 7);
        assert_eq!(&dst, b"hello w\0");
        assert_eq!(copy_str(null, d, 8, src.as_ptr() as u64, 2), 2);
        assert_eq!(&dst, b"he\0\0\0\0\0\0");
        assert_eq!(copy_str(null, d, 8, 0, 5), 0);
        let headers = [4, 2, 0, b'h', b'o', b's', b't', b'a', b'b', 0];
        let name = b"Host";
        assert_eq!(header_get(env, headers.as_ptr() as u64, 10, name.as_ptr() as u64, 4, d, 8), 2);
        assert_eq!(&dst, b"ab\0\0\0\0\0\0");
        assert_eq!(header_get(env, headers.as_ptr() as u64, 10, name.as_ptr() as u64, 3, d, 8), u64::MAX);
        assert_eq!(dst, [0; 8]);
        let secret = [6, 3, 0, b'c', b'o', b'o', b'k', b'i', b'e', b'a', b' ', b'b'];
        for (hides, want) in [(false, b"a b"), (true, b"x x")] {
            (*(*env).host.cast::<NativeHost>()).hides_secrets = hides;
            assert_eq!(header_get(env, secret.as_ptr() as u64, 12, secret[3..].as_ptr() as u64, 6, d, 8), 3);
            assert_eq!(&dst[..3], want);
            assert_eq!(header_get(env, headers.as_ptr() as u64, 10, name.as_ptr() as u64, 4, d, 8), 2);
            assert_eq!(&dst[..2], b"ab", "no secret");
        }
        assert_eq!(comm(null, d, 8), 0);
        assert_ne!(dst[0], 0);
        assert_eq!(dst[7], 0);
    }
}

#[test]
fn records_clock_and_conn() {
    let mut host = NativeHost::new(Store::default(), 1, 5);
    let mut made = env(&mut host);
    let env = &raw mut made;
    let mut key = ConnKey::default();
    let mut view = PacketView::default();
    // SAFETY: the environment above, a view and a key that live here.
    unsafe {
        let record = record_reserve(env, 24);
        *(record as *mut u32) = 9;
        record_submit(env, record);
        record_discard(env, record_reserve(env, 16));
        assert_eq!(record_reserve(env, 1 << 30), 0);
        assert!(clock_gettime(env, libc::CLOCK_BOOTTIME as u64) > 77);
        assert!(clock_gettime(env, libc::CLOCK_REALTIME as u64) > 1 << 60);
        assert_ne!(random(env), random(env));
        assert_eq!(pid_tgid(env) >> 32, u64::from(std::process::id()));
        assert_eq!(packet_conn(env, (&raw mut view) as u64, 0, (&raw mut key) as u64), 0);
        assert_eq!(packet_conn(env, 0, 0, (&raw mut key) as u64), 0);
    }
    assert_eq!(host.losses[0][0], 0, "generated code counts");
    let records = host.records.take();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].len(), records[0][0]), (24, 9));
}
