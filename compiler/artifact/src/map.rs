//! Map specifications: what to create, and how to read what programs leave in it.

use crate::{Place, names::NameTable, ty::Type};
use serde::{Deserialize, Serialize};

/// Index into [`crate::Artifact::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MapId(pub u32);

/// Where a script's map lives: updated by kernel programs, by native handlers, or partial sums in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Home {
    Kernel,
    User,
    Both,
}

/// What the map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// One of the script's `@maps`.
    Script,
    /// The event ring.
    Events,
    /// Per-CPU array of u64 counters of what was lost, indexed by [`crate::abi::LossSlot`] × programs.
    Losses,
    /// Slots too large for the 512-byte frame: a per-CPU array, one entry per program; or, since per-CPU elements end at 32 KB, an array
    /// with so many entries for each possible CPU (the loader multiplies), CPU by CPU.
    Scratch,
    /// Array with one all-zero entry: the initial value of new elements.
    Zeros,
    /// BPF_MAP_TYPE_STACK_TRACE: stacks of at most so many frames, so that those that print alike are one. With build ids each frame
    /// is a struct bpf_stack_build_id. The second such map has the stacks whose places in the first were taken (the kernel puts a
    /// stack where its hash says or nowhere): their ids have [`crate::abi::SECOND_STACKS`] set.
    Stacks { frames: u32, build_id: bool, second: bool },
    /// Array with one entry {u64 start of the script in CLOCK_BOOTTIME ns, i64 wall clock minus CLOCK_BOOTTIME in ns}: the runtime
    /// writes it before anything runs.
    Config,
    /// Per-CPU array of u64: how often each place that can warn did.
    Warnings,
    /// Array of names by number, each of [`crate::names::NAME_CAP`] bytes: the runtime fills it before anything runs.
    Names(NameTable),
    /// Array by number of a system call: 1 + the index of the probe that is for it, or 0. The runtime fills the one that a program uses
    /// before the program is attached; `table` tells several apart.
    Syscalls { table: u32 },
    /// Hash by {u64 × 3: arguments of an event, u64: which program} of what first copies of programs saw and their second copies have
    /// yet to pass over ([`crate::program::ProgramImage::twin`]).
    Twins,
    /// Array by index of the probe: its full name in so many bytes, then that of its function. The runtime fills it before anything
    /// runs.
    Probes { name_cap: u32 },
}

/// The kernel's map types that we use (names as in enum bpf_map_type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Hash,
    Array,
    PercpuHash,
    PercpuArray,
    LruHash,
    LruPercpuHash,
    StackTrace,
    Ringbuf,
}

impl Kind {
    pub fn is_percpu(self) -> bool {
        matches!(self, Self::PercpuHash | Self::PercpuArray | Self::LruPercpuHash)
    }
}

/// The meaning of a map's value bytes. Aggregates are merged over CPUs (and over kernel and user parts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    Plain(Type),
    /// u64
    Count,
    /// i64 or u64 total
    Sum {
        signed: bool,
    },
    /// {i64 or u64 value, u64 set}: set is 0 until the first value
    Min {
        signed: bool,
    },
    Max {
        signed: bool,
    },
    /// {i64 or u64 total, u64 count}
    Avg {
        signed: bool,
    },
    Stats {
        signed: bool,
    },
    /// u64 × [`hist_buckets`]
    Hist {
        bits: u8,
    },
    /// u64 × [`lhist_buckets`]: below, the steps, above
    Lhist {
        min: i64,
        max: i64,
        step: i64,
    },
    /// `count` intervals of `interval` ns, the one with number n (counted from the epoch) at n % count:
    /// {i64 or u64 value, u64 meta, u64 n + 1 or 0: never used}. Meta is how many values sum and avg have added up, when
    /// (wall clock ns) the last one came, whether min and max have one.
    Series {
        interval: u64,
        count: u32,
        how: SeriesHow,
        signed: bool,
    },
}

/// Bytes of one interval of [`Value::Series`].
pub const SERIES_BYTES: u32 = 24;

/// What a time series keeps of several values in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SeriesHow {
    Last,
    Avg,
    Max,
    Min,
    Sum,
}

impl Value {
    /// Bytes of one (per-CPU) value, without the presence word.
    pub fn size(&self) -> u32 {
        match self {
            Self::Plain(ty) => ty.size(),
            Self::Count | Self::Sum { .. } => 8,
            Self::Min { .. } | Self::Max { .. } | Self::Avg { .. } | Self::Stats { .. } => 16,
            Self::Hist { bits } => 8 * hist_buckets(*bits),
            Self::Lhist { min, max, step } => 8 * lhist_buckets(*min, *max, *step),
            Self::Series { count, .. } => SERIES_BYTES * count,
        }
    }

    pub fn is_aggregate(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

/// Buckets of `hist(n, bits)`. Bucket 0 holds negative numbers; n < 2^bits has bucket n + 1; above that every power of two
/// has 2^bits buckets: with l = floor(log2 n), bucket ((l - bits + 1) << bits) + ((n >> (l - bits)) & (2^bits - 1)) + 1.
pub fn hist_buckets(bits: u8) -> u32 {
    ((65 - u32::from(bits)) << bits) + 1
}

/// Buckets of `lhist(n, min, max, step)`: n < min, then [`lhist_steps`] steps, then all above them.
pub fn lhist_buckets(min: i64, max: i64, step: i64) -> u32 {
    (lhist_steps(min, max, step) + 2) as u32
}

/// Whole steps between the bounds of a linear histogram: what is left at the upper end counts as above.
pub fn lhist_steps(min: i64, max: i64, step: i64) -> i64 {
    let span = (max as i128 - min as i128).max(0);
    (span / i128::from(step.max(1))) as i64
}

/// The number from which on a linear histogram's last bucket counts.
pub fn lhist_end(min: i64, max: i64, step: i64) -> i64 {
    min + lhist_steps(min, max, step) * step.max(1)
}

/// What a count or sum was when each of the last buckets of time began: behind the total, for each slot {u64 the total before the
/// bucket's first event, u64 the bucket's number + 1 or 0: never used}; the bucket with number n (event time / bucket) has slot n %
/// slots. The total alone is counted, so that no event is lost where CPUs enter a bucket at once; what a window holds is the total less
/// that before the window's first bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Where the slots begin in the value.
    pub offset: u32,
    pub bucket_ns: u64,
    pub slots: u32,
    /// Of a map that is a window: what it shows is the last so many ns, and an element without any is gone.
    pub only_ns: Option<u64>,
}

/// Bytes of one slot of a [`Ring`].
pub const RING_SLOT_BYTES: u32 = 16;

/// When an element was last written: a u64 of event time at an offset of the value. After `ns` it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ttl {
    pub offset: u32,
    pub ns: u64,
}

/// Maps of modules whose names begin so are the library's and the socket source's own ([`MapSpec::is_library`]): they are not printed at the end.
pub const LIBRARY_MAPS: &str = "@__";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MapSpec {
    /// As written, with the `@`; internal maps have names without one.
    pub name: String,
    pub role: Role,
    pub kind: Kind,
    pub home: Home,
    /// The declared key; None for scalar maps (whose kernel key is a u32 0 in an array of one).
    pub key: Option<Type>,
    pub value: Value,
    /// What a key takes: its type's bytes and zeroes behind them.
    pub key_size: u32,
    /// Bytes of one value including the presence word.
    pub value_size: u32,
    pub max_entries: u32,
    /// Scalar maps are arrays of one element, which always exists: the offset of a u64 that is not 0 once the script has
    /// set the value.
    pub presence: Option<u32>,
    /// Of a count or sum that is asked for its last seconds.
    pub ring: Option<Ring>,
    /// Elements that were not written for a time are gone.
    pub ttl: Option<Ttl>,
    /// Where the script first uses it.
    pub place: Place,
}

impl MapSpec {
    /// Whether a module keeps it for itself.
    pub fn is_library(&self) -> bool {
        self.place.file != 0 && self.name.starts_with(LIBRARY_MAPS)
    }
}
