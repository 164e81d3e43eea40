//! The runtime's side of a running handler: its maps, records and counters.

use super::records::Records;
use crate::{
    maps::{Merged, Reads, Store, age, cpu_stride, is_set, split_cpus},
    metrics::{Exemplars, Trace},
};
use weftrace_artifact::{
    abi::{LossSlot, RecordHeader},
    map::{MapId, Value},
};
use weftrace_probes::kernel::sys::{MapFd, Update};

/// An element of a kernel map that a handler looked up: a copy, written back after the handler if it changed.
#[derive(Debug)]
struct Copy {
    map: MapId,
    key: Vec<u8>,
    /// Empty: not written back (a merged per-CPU value, or deleted).
    before: Vec<u64>,
    now: Box<[u64]>,
}

/// What has ended is removed so often, and only what has ended so long ago: events of several sources come that much out of order at most.
const SWEEP_EVERY_NS: u64 = 1_000_000_000;

/// A map's elements (key, value) while a handler walks them.
type Walk = (MapId, Vec<(Vec<u8>, Vec<u8>)>);

/// What [`weftrace_artifact::native::HandlerEnv::host`] points to.
#[derive(Debug)]
pub struct NativeHost {
    pub store: Store,
    /// By map, for [`weftrace_artifact::native::HandlerEnv::scalars`].
    pub(super) scalars: Vec<*mut u8>,
    pub(crate) records: Records,
    /// By [`LossSlot`], then by probe.
    pub(crate) losses: Vec<[u64; LossSlot::COUNT as usize]>,
    copies: Vec<Copy>,
    /// Maps that the handler walks: keys and values in its layout, by key.
    walks: Vec<Walk>,
    /// xorshift64*
    pub(crate) random: u64,
    /// The clock is the time that a handler runs for.
    pub(crate) recorded: bool,
    /// Handlers read headers that nobody is to read in a recording masked.
    pub(crate) hides_secrets: bool,
    pub(crate) probe: u32,
    pub(crate) now: u64,
    /// Elements of some map end by themselves; when they are removed next.
    forgets: bool,
    sweep_at: u64,
    /// If metrics are offered or sent.
    pub(super) exemplars: Option<Box<Exemplars>>,
    /// What the running handler is about, if that is known and exemplars are kept.
    pub(super) trace: Option<Trace>,
}

impl NativeHost {
    pub(super) fn new(mut store: Store, probes: usize, seed: u64) -> Self {
        Self {
            scalars: store.scalars(),
            forgets: store.forgets(),
            sweep_at: 0,
            store,
            records: Records::default(),
            losses: vec![[0; LossSlot::COUNT as usize]; probes.max(1)],
            copies: Vec::new(),
            walks: Vec::new(),
            random: seed | 1,
            recorded: false,
            hides_secrets: false,
            probe: 0,
            now: 0,
            exemplars: None,
            trace: None,
        }
    }

    /// A handler is about to run, at `now`: what has ended goes now and then, by the events' own time. So a replay, which has the same events, removes the same. `sweeps`:
    /// a replay runs it too.
    pub(super) fn pass(&mut self, now: u64, sweeps: bool) {
        self.now = now;
        self.store.pass(now);
        if sweeps && self.forgets && now >= self.sweep_at {
            self.sweep_at = now + SWEEP_EVERY_NS;
            self.store.sweep_own(now.saturating_sub(SWEEP_EVERY_NS));
        }
    }

    /// A value is counted in a map.
    pub(super) fn observe(&mut self, map: MapId, key: &[u8], value: i128) {
        if let (Some(exemplars), Some(trace), Some(spec)) = (&mut self.exemplars, self.trace, self.store.spec(map)) {
            exemplars.note((map, spec), key, trace, value, self.now);
        }
    }

    /// Maps (by number) whose values handlers may not reach without asking, and where answers come from.
    pub(super) fn ask_of(&mut self, maps: &[bool], reads: Reads) {
        self.store.reads = reads;
        for (scalar, _) in self.scalars.iter_mut().zip(maps).filter(|(_, asked)| **asked) {
            *scalar = std::ptr::null_mut();
        }
    }

    pub(super) fn key_size(&self, map: MapId) -> usize {
        self.store.spec(map).map_or(0, |s| s.key_size as usize)
    }

    pub(super) fn value_size(&self, map: MapId) -> usize {
        self.store.spec(map).map_or(0, |s| s.value_size as usize)
    }

    pub(super) fn lookup(&mut self, map: MapId, key: &[u8]) -> Option<*mut u64> {
        let noted = self.concerns_elements(map);
        if noted && self.store.reads.are_recorded() {
            let size = self.value_size(map);
            let value = self.store.reads.value(map, size)?;
            return self.copy(map, key, to_words(&value));
        }
        let found = self.find(map, key);
        if noted {
            let value = self.held(map, key);
            self.store.reads.note_value(map, value.as_deref());
        }
        found
    }

    /// Whether what handlers do with a map's elements is noted, or answered from a recording.
    fn concerns_elements(&self, map: MapId) -> bool {
        // Mostly nothing is noted, and this is asked for every packet.
        let reads = &self.store.reads;
        reads.concern(map) && self.store.spec(map).is_some_and(|spec| reads.concern_elements(spec, map))
    }

    /// What a handler finds at an element.
    fn held(&self, map: MapId, key: &[u8]) -> Option<Vec<u8>> {
        if let Some(user) = &self.store.home(map)?.user {
            return user.value_of(key);
        }
        let copy = self.copies.iter().rev().find(|c| c.map == map && c.key == key)?;
        Some(copy.now.iter().flat_map(|w| w.to_ne_bytes()).collect())
    }

    /// A value that is written back nowhere.
    fn copy(&mut self, map: MapId, key: &[u8], words: Vec<u64>) -> Option<*mut u64> {
        // A handler sees what it wrote before: that is in the recording too.
        self.copies.push(Copy { map, key: key.to_vec(), before: Vec::new(), now: words.into() });
        Some(self.copies.last_mut()?.now.as_mut_ptr())
    }

    fn find(&mut self, map: MapId, key: &[u8]) -> Option<*mut u64> {
        let home = self.store.home_mut(map)?;
        if let Some(user) = &mut home.user {
            return user.lookup(key);
        }
        if let Some(copy) = self.copies.iter_mut().rev().find(|c| c.map == map && c.key == key) {
            return Some(copy.now.as_mut_ptr());
        }
        let spec = self.store.spec(map)?;
        let fd = self.store.home(map)?.kernel.as_ref()?;
        let mut bytes = vec![0; fd.value_bytes()];
        if !matches!(fd.lookup(key, &mut bytes), Ok(true)) {
            return None;
        }
        let percpu = spec.kind.is_percpu();
        let before = match &spec.ring {
            Some(ring) if percpu => to_words(&age::merged(ring, &split_cpus(spec, &bytes), spec.value_size as usize)),
            _ if percpu => sum_cpus(&spec.value, &bytes, cpu_stride(spec)),
            _ => to_words(&bytes),
        };
        let now: Box<[u64]> = before.clone().into();
        self.copies.push(Copy { map, key: key.to_vec(), before, now });
        let copy = self.copies.last_mut()?;
        if percpu {
            // What the handler changes in it is not written back: equal before and after.
            copy.before.clear();
        }
        Some(copy.now.as_mut_ptr())
    }

    pub(super) fn update(&mut self, map: MapId, key: &[u8], value: &[u8], flags: u64) -> i64 {
        let noted = self.concerns_elements(map);
        if noted && self.store.reads.are_recorded() {
            let result = self.store.reads.result(map);
            if result == 0 {
                self.forget(map, key);
            }
            return result;
        }
        let result = match self.store.home_mut(map) {
            None => -i64::from(libc::EINVAL),
            Some(home) => match (&mut home.user, &home.kernel) {
                (Some(user), _) => match user.update(key, value, flags) {
                    // Full: of what has ended, perhaps.
                    full if full == -i64::from(libc::E2BIG) => {
                        self.store.update_swept(map, key, value, flags, self.now)
                    }
                    result => result,
                },
                (None, Some(fd)) => update_kernel(fd, key, value, flags),
                (None, None) => -i64::from(libc::EINVAL),
            },
        };
        if noted {
            self.store.reads.note_result(map, result);
        }
        // A failure is counted by generated code.
        if result == 0 {
            self.forget(map, key);
        }
        result
    }

    pub(super) fn delete(&mut self, map: MapId, key: &[u8]) -> i64 {
        self.forget(map, key);
        if !self.store.reads.concern(map) {
            return self.remove(map, key);
        }
        if self.store.reads.are_recorded() {
            // Of a map with a part here that part goes, too.
            self.remove(map, key);
            return self.store.reads.result(map);
        }
        let result = self.remove(map, key);
        self.store.reads.note_result(map, result);
        result
    }

    fn remove(&mut self, map: MapId, key: &[u8]) -> i64 {
        let Some(home) = self.store.home_mut(map) else { return -i64::from(libc::EINVAL) };
        match (&mut home.user, &home.kernel) {
            (Some(user), Some(fd)) => {
                let ours = user.delete(key);
                if matches!(fd.delete(key), Ok(true)) { 0 } else { ours }
            }
            (Some(user), None) => user.delete(key),
            (None, Some(fd)) => match fd.delete(key) {
                Ok(true) => 0,
                Ok(false) => -i64::from(libc::ENOENT),
                Err(e) => -i64::from(e.errno),
            },
            (None, None) => -i64::from(libc::EINVAL),
        }
    }

    /// The copy stays in memory, as the handler may hold its address, but no longer stands for the element.
    fn forget(&mut self, map: MapId, key: &[u8]) {
        for copy in self.copies.iter_mut().filter(|c| c.map == map && c.key == key) {
            copy.key.clear();
            copy.before.clear();
        }
    }

    pub(super) fn len(&mut self, map: MapId) -> u64 {
        let noted = self.store.reads.concern(map);
        if noted && self.store.reads.are_recorded() {
            return self.store.reads.result(map) as u64;
        }
        let n = self.elements(map);
        if noted {
            self.store.reads.note_result(map, n as i64);
        }
        n
    }

    fn elements(&self, map: MapId) -> u64 {
        match self.store.home(map) {
            Some(home) if home.kernel.is_none() && !self.store.ends(map) => {
                home.user.as_ref().map_or(0, |m| m.len() as u64)
            }
            Some(_) => self.store.len(map).unwrap_or(0) as u64,
            None => 0,
        }
    }

    pub(super) fn reserve(&mut self, size: usize) -> Option<*mut u64> {
        let header = RecordHeader { action: 0, probe: self.probe, time: self.now };
        // Generated code counts a record that it could not have.
        self.records.reserve(size, header)
    }

    pub(super) fn count_loss(&mut self, slot: u64) {
        let probe = (self.probe as usize).min(self.losses.len() - 1);
        if let Some(count) = self.losses[probe].get_mut(slot as usize) {
            *count += 1;
        }
    }

    pub(super) fn next_random(&mut self) -> u32 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// Copies element `index` of a walk to `key` and `value`; whether there is one. Index 0 begins a new walk.
    pub(super) fn element(&mut self, map: MapId, index: usize, key: &mut [u8], value: &mut [u8]) -> bool {
        if index == 0 {
            self.walks.retain(|(m, _)| *m != map);
            let size = self.value_size(map);
            let Ok(snapshot) = self.store.snapshot(map) else { return false };
            let mut all: Vec<_> = snapshot.elements.into_iter().map(|e| (e.key, e.value.bytes(size))).collect();
            all.sort();
            self.walks.push((map, all));
        }
        let found = self.walks.iter().find(|(m, _)| *m == map).and_then(|(_, all)| all.get(index));
        let Some((k, v)) = found.filter(|(k, v)| k.len() == key.len() && v.len() == value.len()) else { return false };
        key.copy_from_slice(k);
        value.copy_from_slice(v);
        true
    }

    /// Copies an aggregate's value over all CPUs and homes to `dst`; whether it is anywhere.
    pub(super) fn whole(&mut self, map: MapId, key: &[u8], dst: &mut [u8]) -> bool {
        let noted = self.store.reads.concern(map);
        if noted && self.store.reads.are_recorded() {
            let value = self.store.reads.value(map, dst.len());
            dst.fill(0);
            return value.inspect(|value| dst.copy_from_slice(value)).is_some();
        }
        let found = self.add_up(map, key, dst);
        if noted {
            self.store.reads.note_value(map, found.then_some(&*dst));
        }
        found
    }

    fn add_up(&self, map: MapId, key: &[u8], dst: &mut [u8]) -> bool {
        let (Some(spec), Some(home)) = (self.store.spec(map).cloned(), self.store.home(map)) else { return false };
        let mut parts = Vec::new();
        if let Some(fd) = &home.kernel {
            let mut bytes = vec![0; fd.value_bytes()];
            if matches!(fd.lookup(key, &mut bytes), Ok(true)) {
                parts = split_cpus(&spec, &bytes);
            }
        }
        parts.extend(home.user.as_ref().and_then(|user| user.value_of(key)));
        if let Some(ring) = &spec.ring {
            dst.copy_from_slice(&age::merged(ring, &parts, dst.len()));
            return !parts.is_empty();
        }
        let mut merged = Merged::empty(&spec.value);
        for part in &parts {
            merged.add(&spec.value, part);
        }
        dst.copy_from_slice(&merged.bytes(dst.len()));
        is_set(&spec, &parts)
    }

    /// Whether a handler left anything for [`Self::finish`].
    #[inline]
    pub(super) fn has_to_finish(&self) -> bool {
        !self.walks.is_empty() || !self.copies.is_empty()
    }

    /// After a handler: changed copies of kernel elements go back.
    pub(super) fn finish(&mut self) {
        self.walks.clear();
        for copy in std::mem::take(&mut self.copies) {
            if copy.before.is_empty() || copy.before[..] == copy.now[..] {
                continue;
            }
            if let Some(fd) = self.store.home(copy.map).and_then(|h| h.kernel.as_ref()) {
                let bytes: Vec<u8> = copy.now.iter().flat_map(|w| w.to_ne_bytes()).take(fd.value_bytes()).collect();
                // ENOENT: a program deleted it meanwhile, and that stands.
                let _ = fd.update(&copy.key, &bytes, Update::Exist);
            }
        }
    }
}

fn to_words(bytes: &[u8]) -> Vec<u64> {
    bytes
        .chunks(8)
        .map(|c| {
            let mut word = [0; 8];
            word[..c.len()].copy_from_slice(c);
            u64::from_ne_bytes(word)
        })
        .collect()
}

/// One value that stands for all CPUs', in a value's own layout.
fn sum_cpus(value: &Value, bytes: &[u8], stride: usize) -> Vec<u64> {
    let mut sum = vec![0u64; stride / 8];
    for cpu in bytes.chunks(stride.max(8)) {
        for (total, word) in sum.iter_mut().zip(to_words(cpu)) {
            *total = total.wrapping_add(word);
        }
    }
    if let Value::Min { .. } | Value::Max { .. } = value {
        let mut merged = Merged::empty(value);
        bytes.chunks(stride.max(8)).for_each(|cpu| merged.add(value, cpu));
        if let (Merged::Extreme(Some(best)), Some(first)) = (merged, sum.first_mut()) {
            *first = best.bits();
        }
    }
    sum
}

fn update_kernel(fd: &MapFd, key: &[u8], value: &[u8], flags: u64) -> i64 {
    let how = match flags {
        1 => Update::NoExist,
        2 => Update::Exist,
        _ => Update::Any,
    };
    // Of a per-CPU element the first CPU gets the value, the others 0: they are partial sums.
    let mut bytes = value.to_vec();
    bytes.resize(fd.value_bytes(), 0);
    match fd.update(key, &bytes, how) {
        Ok(()) => 0,
        Err(e) => -i64::from(e.errno),
    }
}
