//! Native handlers: position-independent machine code that calls out only through a table of
//! helpers, so that it needs no relocation.
//!
//! A handler is `extern "C" fn(env: *mut HandlerEnv, subject: *const u8) -> u64`. The subject is what its probe
//! is about: a [`crate::packet::PacketView`], a join's view, nothing (null) for timers and BEGIN/END.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NativeImage {
    /// The architecture it was made for (`x86_64`, `aarch64`).
    pub arch: String,
    pub code: Vec<u8>,
    /// Byte offset of each handler's entry in `code`.
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    pub offset: u32,
}

/// First argument of every handler. The first member is read by generated code, the rest by helpers.
#[repr(C)]
pub struct HandlerEnv {
    /// [`HelperTable`]: one function pointer per [`NativeHelper`], in order.
    pub helpers: *const *const u8,
    /// CLOCK_BOOTTIME ns of the event (packets: converted capture time; replay: recorded time).
    pub now: u64,
    /// Index of the probe being run.
    pub probe: u32,
    pub reserved: u32,
    /// By map: the address of the value of a map without keys, or null (a kernel part, several elements): then
    /// [`NativeHelper::MapLookup`] is asked.
    pub scalars: *const *mut u8,
    /// The runtime's own state; generated code passes it back untouched.
    pub host: *mut u8,
}

/// Functions that handlers may call; the discriminant is the index in the helper table. All arguments and results are 64 bits wide,
/// `env` comes first. Pointers are to the handler's own frame, map values or packet data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum NativeHelper {
    /// (env, map, key) → value pointer or null
    MapLookup = 0,
    /// (env, map, key, value, flags) → 0 or -errno
    MapUpdate,
    /// (env, map, key) → 0 or -errno
    MapDelete,
    /// (env, size) → pointer to a zeroed record or null
    RecordReserve,
    /// (env, record)
    RecordSubmit,
    /// (env, record)
    RecordDiscard,
    /// (env, slot): counts a loss of kind [`crate::abi::LossSlot`]
    CountLoss,
    /// (env) → u32
    Random,
    /// (env) → pid << 32 | tid of weftrace itself (timers)
    PidTgid,
    /// (env) → gid << 32 | uid
    UidGid,
    /// (env) → cpu
    Cpu,
    /// (env, dst, capacity): own comm, NUL-padded
    Comm,
    /// (env, clock id) → ns
    ClockGettime,
    /// (env, dst, capacity, src, len) → length: copies and NUL-terminates, zero-fills the rest
    CopyStr,
    /// (env, dst, capacity, headers, headers length, names, names length) → how many of these names found no room: [`crate::headers::copy`]
    CopyHeaders,
    /// (env, headers, headers length, name, name length, dst, capacity) → length, or -1 if absent
    HeaderGet,
    /// (env, map) → number of elements
    MapLen,
    /// (env, subject, whose: [`crate::packet::PacketEnd`], dst): writes the packet's [`crate::abi::ConnKey`] → 1, or 0 if it has none
    PacketConn,
    /// (env, map, index, key, value) → 1: copies the key and the value of element `index`, in the order of key bytes, or 0 past the
    /// last. Index 0 takes a snapshot that the following calls read; kernel parts of aggregates are merged.
    MapAt,
    /// (env, map, part, key, dst) → 1: copies an aggregate's value over all CPUs and homes, as one CPU's part would be, or 0 if there is no such
    /// element or `part` isn't 0.
    MapWhole,
    /// (env, subject, which: [`crate::packet::PacketBytes`], dst): writes the packet's [`crate::abi::BytesKey`] → 1, or 0 if it has none
    PacketBytes,
    /// (env, map, key, value, signed): the value is counted in a map, for who wants an example of it
    Observe,
    /// (env) → 0, or that the run is to end and loops are to be left: 1 of the first one, which tells it, then 2
    Interrupted,
}

impl NativeHelper {
    pub const COUNT: usize = 23;
}
