#![allow(unsafe_code, reason = "reads a union that the kernel filled")]
//! Maps: creation and element operations, with buffer sizes checked here.

use super::SyscallError;
use super::attr::{bpf, bpf_fd, object_name, zeroed};
use crate::kernel::cpus;
use aya_obj::generated::{bpf_cmd, bpf_map_info, bpf_map_type};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What to create.
#[derive(Clone, Copy, Debug)]
pub struct MapParams<'a> {
    pub kind: bpf_map_type,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    /// BPF_F_*
    pub flags: u32,
    pub name: &'a str,
}

/// How [`MapFd::update`] treats existing elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    Any = 0,
    /// Fails with EEXIST.
    NoExist = 1,
    /// Fails with ENOENT.
    Exist = 2,
}

/// A map's descriptor with the sizes that user space must give: the kernel reads and writes that many bytes.
#[derive(Debug)]
pub struct MapFd {
    fd: OwnedFd,
    kind: u32,
    key_size: usize,
    /// Bytes of one value as user space sees it: per-CPU maps give each possible CPU's, each padded to 8.
    value_bytes: usize,
    /// Distance between two CPUs' values; 0 if the map isn't per CPU.
    stride: usize,
    max_entries: u32,
    base: Option<Base>,
}

/// From where the sums in a per-CPU array's only element are counted.
#[derive(Debug)]
struct Base {
    /// What it had then.
    words: Box<[u64]>,
    /// Of each CPU's value: how many words are sums. A further one says whether the value was set.
    sums: usize,
}

/// Where a batch goes on.
#[derive(Clone, Debug, Default)]
pub struct BatchCursor {
    token: Option<Vec<u8>>,
}

/// What [`MapFd::lookup_batch`] read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub count: usize,
    pub done: bool,
}

const fn is_percpu(kind: u32) -> bool {
    kind == bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH as u32
        || kind == bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32
        || kind == bpf_map_type::BPF_MAP_TYPE_LRU_PERCPU_HASH as u32
}

impl MapFd {
    /// BPF_MAP_CREATE
    pub fn create(params: &MapParams<'_>) -> Result<Self, SyscallError> {
        let mut attr = zeroed();
        attr.__bindgen_anon_1.map_type = params.kind as u32;
        attr.__bindgen_anon_1.key_size = params.key_size;
        attr.__bindgen_anon_1.value_size = params.value_size;
        attr.__bindgen_anon_1.max_entries = params.max_entries;
        attr.__bindgen_anon_1.map_flags = params.flags;
        attr.__bindgen_anon_1.map_name = object_name(params.name);
        let fd = bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr, "bpf(BPF_MAP_CREATE)")?;
        Ok(Self::sized(fd, params.kind as u32, params.key_size, params.value_size, params.max_entries))
    }

    /// Takes over a map that something else created; asks the kernel for its sizes.
    pub fn adopt(fd: OwnedFd) -> Result<Self, SyscallError> {
        let mut attr = zeroed();
        // SAFETY: bpf_map_info is plain integers: all-zero is a value of it.
        let mut info: bpf_map_info = unsafe { std::mem::zeroed() };
        attr.info.bpf_fd = fd.as_raw_fd() as u32;
        attr.info.info_len = size_of::<bpf_map_info>() as u32;
        attr.info.info = std::ptr::from_mut(&mut info) as u64;
        bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr, "bpf(BPF_OBJ_GET_INFO_BY_FD)")?;
        Ok(Self::sized(fd, info.type_, info.key_size, info.value_size, info.max_entries))
    }

    fn sized(fd: OwnedFd, kind: u32, key_size: u32, value_size: u32, max_entries: u32) -> Self {
        let stride = if is_percpu(kind) { (value_size as usize).next_multiple_of(8) } else { 0 };
        let value_bytes = if stride > 0 { stride * cpus::possible() as usize } else { value_size as usize };
        Self { fd, kind, key_size: key_size as usize, value_bytes, stride, max_entries, base: None }
    }

    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Bytes that [`Self::lookup`] fills.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Bytes from one CPU's value to the next, if this is a per-CPU map.
    pub fn percpu_stride(&self) -> Option<usize> {
        (self.stride > 0).then_some(self.stride)
    }

    /// As created.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    fn check(&self, key: Option<&[u8]>, value: Option<usize>, call: &'static str) -> Result<(), SyscallError> {
        let ok = key.is_none_or(|k| k.len() == self.key_size) && value.is_none_or(|v| v == self.value_bytes);
        if ok { Ok(()) } else { Err(SyscallError { call, errno: libc::EINVAL }) }
    }

    fn element(&self, key: &[u8], value: u64, flags: u64) -> aya_obj::generated::bpf_attr {
        let mut attr = zeroed();
        attr.__bindgen_anon_2.map_fd = self.fd.as_raw_fd() as u32;
        attr.__bindgen_anon_2.key = key.as_ptr() as u64;
        attr.__bindgen_anon_2.__bindgen_anon_1.value = value;
        attr.__bindgen_anon_2.flags = flags;
        attr
    }

    /// Fills `value`; false: there is no such key.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> Result<bool, SyscallError> {
        let found = self.lookup_whole(key, value)?;
        self.since_base(value);
        Ok(found)
    }

    /// Whether [`Self::count_anew`] is for a map like this one: per CPU, of one element.
    pub fn can_count_anew(&self) -> bool {
        self.kind == bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32 && self.max_entries == 1
    }

    /// Of a value of sums, one for each CPU, so many words: gives what they have come to, and counts them from there on. Nothing is written, so that a
    /// program which has read its sum, and adds to it meanwhile, neither loses that nor brings back what was given. (A further word, which programs set with
    /// the first that they add, is 0 until a sum changes.)
    pub fn count_anew(&mut self, sums: usize) -> Result<Vec<u8>, SyscallError> {
        let mut now = vec![0; self.value_bytes];
        self.lookup_whole(&vec![0; self.key_size], &mut now)?;
        let (words, _) = now.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        self.since_base(&mut now);
        self.base = Some(Base { words, sums });
        Ok(now)
    }

    fn since_base(&self, value: &mut [u8]) {
        let Some(Base { words, sums }) = &self.base else { return };
        let each = (self.stride / 8).max(1);
        let (now, _) = value.as_chunks_mut::<8>();
        for (now, base) in now.chunks_mut(each).zip(words.chunks(each)) {
            let mut changed = 0;
            for (now, base) in now.iter_mut().zip(base).take(*sums) {
                let since = u64::from_ne_bytes(*now).wrapping_sub(*base);
                changed |= since;
                *now = since.to_ne_bytes();
            }
            now.iter_mut().skip(*sums).for_each(|set| *set = u64::from(changed != 0).to_ne_bytes());
        }
    }

    fn lookup_whole(&self, key: &[u8], value: &mut [u8]) -> Result<bool, SyscallError> {
        let call = "bpf(BPF_MAP_LOOKUP_ELEM)";
        self.check(Some(key), Some(value.len()), call)?;
        let mut attr = self.element(key, value.as_mut_ptr() as u64, 0);
        absent(bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr, call))
    }

    pub fn update(&self, key: &[u8], value: &[u8], how: Update) -> Result<(), SyscallError> {
        let call = "bpf(BPF_MAP_UPDATE_ELEM)";
        self.check(Some(key), Some(value.len()), call)?;
        let mut attr = self.element(key, value.as_ptr() as u64, how as u64);
        bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr, call).map(drop)
    }

    /// False: there was no such key.
    pub fn delete(&self, key: &[u8]) -> Result<bool, SyscallError> {
        let call = "bpf(BPF_MAP_DELETE_ELEM)";
        self.check(Some(key), None, call)?;
        let mut attr = self.element(key, 0, 0);
        absent(bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr, call))
    }

    /// The key after `key` (None: the first) into `next`; false: that was the last. If `key` has been deleted meanwhile the
    /// kernel starts over.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool, SyscallError> {
        let call = "bpf(BPF_MAP_GET_NEXT_KEY)";
        self.check(key, None, call)?;
        self.check(Some(next), None, call)?;
        let mut attr = self.element(&[], next.as_mut_ptr() as u64, 0);
        attr.__bindgen_anon_2.key = key.map_or(0, |k| k.as_ptr() as u64);
        absent(bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr, call))
    }

    /// BPF_MAP_LOOKUP_BATCH: as many elements as both buffers hold. ENOSPC: a bucket of the hash table has more; come again
    /// with larger buffers and the same cursor.
    pub fn lookup_batch(
        &self,
        cursor: &mut BatchCursor,
        keys: &mut [u8],
        values: &mut [u8],
    ) -> Result<Batch, SyscallError> {
        let call = "bpf(BPF_MAP_LOOKUP_BATCH)";
        let room = (keys.len() / self.key_size.max(1)).min(values.len() / self.value_bytes.max(1));
        if room == 0 || self.key_size == 0 {
            return Err(SyscallError { call, errno: libc::EINVAL });
        }
        // The token is a u32 for hash tables and a key for arrays: room for either.
        let mut token = vec![0u8; self.key_size.max(8)];
        let mut attr = zeroed();
        attr.batch.in_batch = cursor.token.as_ref().map_or(0, |t| t.as_ptr() as u64);
        attr.batch.out_batch = token.as_mut_ptr() as u64;
        attr.batch.keys = keys.as_mut_ptr() as u64;
        attr.batch.values = values.as_mut_ptr() as u64;
        attr.batch.count = room as u32;
        attr.batch.map_fd = self.fd.as_raw_fd() as u32;
        let more = absent(bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr, call))?;
        // SAFETY: `batch` is the member that was written above; the kernel updates `count` in it.
        let count = unsafe { attr.batch.count } as usize;
        // Of one element, if there is a base.
        self.since_base(values);
        cursor.token = Some(token);
        Ok(Batch { count: count.min(room), done: !more })
    }

    /// Every element as (key, value) bytes: by batches where the map has them, else key by key. An element that changes
    /// meanwhile may be seen in either state; the walk is bounded by twice `max_entries`.
    pub fn for_each(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<(), SyscallError> {
        let mut room = 256usize.min(self.max_entries.max(1) as usize);
        let mut cursor = BatchCursor::default();
        let mut seen = 0u64;
        loop {
            let mut keys = vec![0u8; room * self.key_size];
            let mut values = vec![0u8; room * self.value_bytes];
            match self.lookup_batch(&mut cursor, &mut keys, &mut values) {
                Ok(batch) => {
                    for i in 0..batch.count {
                        see(
                            &keys[i * self.key_size..][..self.key_size],
                            &values[i * self.value_bytes..][..self.value_bytes],
                        );
                    }
                    seen += batch.count as u64;
                    if batch.done || seen > 2 * u64::from(self.max_entries) {
                        return Ok(());
                    }
                }
                Err(e) if e.errno == libc::ENOSPC && room < self.max_entries as usize => {
                    room = (room * 2).min(self.max_entries as usize);
                }
                // Before 5.6, and map types without batches.
                Err(e) if cursor.token.is_none() && matches!(e.errno, libc::EINVAL | 524 | libc::EOPNOTSUPP) => {
                    return self.for_each_key(see);
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn for_each_key(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<(), SyscallError> {
        let (mut key, mut next) = (vec![0u8; self.key_size], vec![0u8; self.key_size]);
        let mut value = vec![0u8; self.value_bytes];
        let mut more = self.next_key(None, &mut next)?;
        for _ in 0..2 * u64::from(self.max_entries) {
            if !more {
                break;
            }
            std::mem::swap(&mut key, &mut next);
            if self.lookup(&key, &mut value)? {
                see(&key, &value);
            }
            more = self.next_key(Some(&key), &mut next)?;
        }
        Ok(())
    }

    /// enum bpf_map_type
    pub fn kind(&self) -> u32 {
        self.kind
    }
}

impl AsFd for MapFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<MapFd> for OwnedFd {
    fn from(map: MapFd) -> Self {
        map.fd
    }
}

/// ENOENT is an answer, not a failure.
fn absent(result: Result<u32, SyscallError>) -> Result<bool, SyscallError> {
    match result {
        Ok(_) => Ok(true),
        Err(e) if e.errno == libc::ENOENT => Ok(false),
        Err(e) => Err(e),
    }
}
