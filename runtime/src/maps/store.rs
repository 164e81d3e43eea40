//! All maps of an artifact: kernel parts behind descriptors, user parts in memory, and what can be done with a whole map.

use super::{Reads, Snapshot, age, split_cpus};
use crate::{native::UserMap, sys::lookup_and_delete};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use weftrace_artifact::map::{Home, Kind, MapId, MapSpec, Role, Value};
use weftrace_probes::kernel::{
    Host, MapError,
    maps::create_map,
    sys::{MapFd, SyscallError, Update},
};

/// One element as one home holds it: one value per CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub key: Vec<u8>,
    pub values: Vec<Vec<u8>>,
}

/// Where a map's elements are.
#[derive(Debug, Default)]
pub struct Homes {
    pub kernel: Option<MapFd>,
    pub user: Option<UserMap>,
}

/// Maps by [`MapId`].
#[derive(Debug, Default)]
pub struct Store {
    specs: Vec<MapSpec>,
    homes: Vec<Homes>,
    /// Event time so far: what windows hold, and which elements have ended.
    now: u64,
    pub(crate) reads: Reads,
}

impl Store {
    /// Creates every map where its home says. Without `kernel` (capture files: no privileges) a map has a user part only.
    pub fn create(specs: &[MapSpec], kernel: Option<&Host>) -> Result<Self, MapError> {
        let mut homes = Vec::with_capacity(specs.len());
        for spec in specs {
            let in_kernel = kernel.filter(|_| spec.home != Home::User);
            let native = in_kernel.is_none() || spec.home == Home::Both;
            let user = native && !matches!(spec.kind, Kind::Ringbuf | Kind::StackTrace);
            homes.push(Homes {
                kernel: in_kernel.map(|host| create_map(spec, host)).transpose()?,
                user: user.then(|| UserMap::new(spec)),
            });
        }
        Ok(Self { specs: specs.to_vec(), homes, now: 0, reads: Reads::Live })
    }

    /// By map: the address of the only value of a map that is in user space alone, or null. It holds as long as the store does.
    pub(crate) fn scalars(&mut self) -> Vec<*mut u8> {
        let only_value = |home: &mut Homes| home.user.as_mut().and_then(UserMap::only_value);
        self.homes.iter_mut().map(|home| only_value(home).map_or(std::ptr::null_mut(), <*mut u64>::cast)).collect()
    }

    /// Event time has come to this.
    pub(crate) fn pass(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    /// Whether elements of some map end by themselves.
    pub(crate) fn forgets(&self) -> bool {
        self.specs.iter().any(forgets)
    }

    /// Whether elements of this map end by themselves.
    pub(crate) fn ends(&self, map: MapId) -> bool {
        self.spec(map).is_some_and(forgets)
    }

    /// Updates a full map of user space once more, without what has ended at `now`, the time of what is handled: 0 or -errno.
    pub(crate) fn update_swept(&mut self, map: MapId, key: &[u8], value: &[u8], flags: u64, now: u64) -> i64 {
        let (Some(spec), Some(home)) = (self.specs.get(map.0 as usize), self.homes.get_mut(map.0 as usize)) else {
            return -i64::from(libc::EINVAL);
        };
        match &mut home.user {
            Some(user) if forgets(spec) => {
                sweep_user(spec, user, now);
                user.update(key, value, flags)
            }
            _ => -i64::from(libc::E2BIG),
        }
    }

    /// Removes from maps of user space what has ended at `now`, so that it takes no room: nothing older may have to be handled still.
    pub(crate) fn sweep_own(&mut self, now: u64) {
        for (spec, home) in self.specs.iter().zip(&mut self.homes).filter(|(spec, _)| forgets(spec)) {
            if let Some(user) = &mut home.user {
                sweep_user(spec, user, now);
            }
        }
    }

    /// The same of the kernel's. What is written at this moment stays: an element is taken out whole, and put back if it turns out to be new.
    pub(crate) fn sweep_kernel(&mut self, now: u64) {
        for (spec, home) in self.specs.iter().zip(&mut self.homes).filter(|(spec, _)| forgets(spec)) {
            let Some(fd) = &home.kernel else { continue };
            let mut old = Vec::new();
            // A failure is that of the next print.
            let _ = fd.for_each(|key, value| {
                if age::is_old(spec, &split_cpus(spec, value), now) {
                    old.push(key.to_vec());
                }
            });
            let mut value = vec![0; fd.value_bytes()];
            for key in old {
                if matches!(lookup_and_delete(fd, &key, &mut value), Ok(true))
                    && !age::is_old(spec, &split_cpus(spec, &value), now)
                {
                    let _ = fd.update(&key, &value, Update::NoExist);
                }
            }
        }
    }

    pub fn spec(&self, map: MapId) -> Option<&MapSpec> {
        self.specs.get(map.0 as usize)
    }

    pub fn specs(&self) -> &[MapSpec] {
        &self.specs
    }

    pub fn home(&self, map: MapId) -> Option<&Homes> {
        self.homes.get(map.0 as usize)
    }

    pub fn home_mut(&mut self, map: MapId) -> Option<&mut Homes> {
        self.homes.get_mut(map.0 as usize)
    }

    /// The one map of an internal role.
    pub fn by_role(&self, role: Role) -> Option<MapId> {
        self.specs.iter().position(|s| s.role == role).map(|i| MapId(i as u32))
    }

    pub fn kernel_by_role(&self, role: Role) -> Option<&MapFd> {
        self.home(self.by_role(role)?)?.kernel.as_ref()
    }

    /// Any map with keys that is in the kernel.
    pub fn first_kernel_map(&self) -> Option<&MapFd> {
        self.homes.iter().filter_map(|h| h.kernel.as_ref()).find(|map| map.key_size() > 0)
    }

    /// Descriptors in the artifact's order, -1 for maps that are not in the kernel.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.homes.iter().map(|h| h.kernel.as_ref().map_or(-1, |fd| fd.as_fd().as_raw_fd())).collect()
    }

    /// The script's maps by name, as they are printed at the end.
    pub fn script_maps(&self) -> Vec<MapId> {
        let mut maps: Vec<MapId> = (0..self.specs.len() as u32).map(MapId).filter(|m| self.is_shown(*m)).collect();
        maps.sort_by(|a, b| self.specs[a.0 as usize].name.cmp(&self.specs[b.0 as usize].name));
        maps
    }

    /// Whether it is one of the script's own.
    fn is_shown(&self, map: MapId) -> bool {
        let spec = &self.specs[map.0 as usize];
        spec.role == Role::Script && !spec.is_library()
    }

    /// Sets one whole element in every home; for internal maps (the value is repeated for each CPU).
    pub fn set(&mut self, map: MapId, key: &[u8], value: &[u8]) -> Result<(), SyscallError> {
        let Some(home) = self.homes.get_mut(map.0 as usize) else { return Ok(()) };
        if let Some(user) = &mut home.user {
            user.update(key, value, 0);
        }
        if let Some(fd) = &home.kernel {
            let cpus = fd.percpu_stride().map_or(1, |s| fd.value_bytes() / s.max(1));
            let mut bytes = value.to_vec();
            bytes.resize(fd.value_bytes() / cpus.max(1), 0);
            fd.update(key, &bytes.repeat(cpus), Update::Any)?;
        }
        Ok(())
    }

    /// What the map holds now, merged and sorted; of a map that a replay can't fill what it held then.
    pub fn snapshot(&self, map: MapId) -> Result<Snapshot<'_>, SyscallError> {
        if !self.reads.concern(map) {
            return self.peek(map);
        }
        if self.reads.are_recorded() {
            return Ok(self.reads.snapshot(map, &self.specs[map.0 as usize]));
        }
        self.noted(map, self.peek(map))
    }

    /// A snapshot that a replay must have too; one that failed is empty there.
    fn noted<'s>(
        &'s self,
        map: MapId,
        snapshot: Result<Snapshot<'s>, SyscallError>,
    ) -> Result<Snapshot<'s>, SyscallError> {
        let elements = snapshot.as_ref().map_or(&[][..], |snapshot| &snapshot.elements);
        self.reads.note_elements(map, &self.specs[map.0 as usize], elements);
        snapshot
    }

    /// What the map holds now, for who is no part of the run that is recorded.
    pub(crate) fn peek(&self, map: MapId) -> Result<Snapshot<'_>, SyscallError> {
        let spec = &self.specs[map.0 as usize];
        let mut parts = Vec::new();
        let home = &self.homes[map.0 as usize];
        if let Some(fd) = &home.kernel {
            fd.for_each(|key, value| parts.push(Part { key: key.to_vec(), values: split_cpus(spec, value) }))?;
        }
        user_parts(home, &mut parts);
        parts.retain_mut(|part| age::at(spec, part, self.now));
        Ok(Snapshot::new(spec, parts))
    }

    /// Reads and empties in one go, so that what is counted meanwhile is in this snapshot or in the next: hash tables give up each
    /// element atomically, sums without a key are counted from here on. Other scalars (arrays) are read and then zeroed: what comes in the microseconds
    /// between is lost.
    pub fn take(&mut self, map: MapId) -> Result<Snapshot<'_>, SyscallError> {
        let taken = self.take_parts(map);
        let spec = &self.specs[map.0 as usize];
        if self.reads.concern(map) && self.reads.are_recorded() {
            return Ok(self.reads.snapshot(map, spec));
        }
        let snapshot = taken.map(|parts| Snapshot::new(spec, parts));
        if self.reads.concern(map) { self.noted(map, snapshot) } else { snapshot }
    }

    fn take_parts(&mut self, map: MapId) -> Result<Vec<Part>, SyscallError> {
        let spec = &self.specs[map.0 as usize];
        let home = &mut self.homes[map.0 as usize];
        let mut parts = Vec::new();
        if let Some((fd, sums)) = home.kernel.as_mut().and_then(|fd| sums(spec, fd).map(|sums| (fd, sums))) {
            parts.push(Part { key: vec![0; fd.key_size()], values: split_cpus(spec, &fd.count_anew(sums)?) });
        } else if let Some(fd) = &home.kernel {
            let mut value = vec![0; fd.value_bytes()];
            for key in keys(fd)? {
                let found = if is_array(spec.kind) {
                    let found = fd.lookup(&key, &mut value)?;
                    fd.update(&key, &vec![0; fd.value_bytes()], Update::Any)?;
                    found
                } else {
                    lookup_and_delete(fd, &key, &mut value)?
                };
                if found {
                    parts.push(Part { key, values: split_cpus(spec, &value) });
                }
            }
        }
        user_parts(home, &mut parts);
        if let Some(user) = &mut home.user {
            user.clear();
        }
        parts.retain_mut(|part| age::at(spec, part, self.now));
        Ok(parts)
    }

    /// Removes every element (of scalars: the value).
    pub fn clear(&mut self, map: MapId) -> Result<(), SyscallError> {
        let Some(spec) = self.specs.get(map.0 as usize) else { return Ok(()) };
        let home = &mut self.homes[map.0 as usize];
        if let Some(user) = &mut home.user {
            user.clear();
        }
        let Some(fd) = &mut home.kernel else { return Ok(()) };
        if let Some(sums) = sums(spec, fd) {
            return fd.count_anew(sums).map(drop);
        }
        for key in keys(fd)? {
            if is_array(spec.kind) {
                fd.update(&key, &vec![0; fd.value_bytes()], Update::Any)?;
            } else {
                fd.delete(&key)?;
            }
        }
        Ok(())
    }

    /// Sets every value to 0 and keeps the keys.
    pub fn zero(&mut self, map: MapId) -> Result<(), SyscallError> {
        let Some(spec) = self.specs.get(map.0 as usize) else { return Ok(()) };
        let presence = spec.presence.or(spec.ttl.map(|t| t.offset)).map(|p| p as usize);
        let home = &mut self.homes[map.0 as usize];
        if let Some(user) = &mut home.user {
            user.zero(presence);
        }
        let Some(fd) = &mut home.kernel else { return Ok(()) };
        if let Some(sums) = sums(spec, fd) {
            return fd.count_anew(sums).map(drop);
        }
        let mut value = vec![0; fd.value_bytes()];
        let stride = fd.percpu_stride().unwrap_or(value.len()).max(1);
        for key in keys(fd)? {
            if fd.lookup(&key, &mut value)? {
                for cpu in value.chunks_mut(stride) {
                    let keep = presence.unwrap_or(cpu.len()).min(cpu.len());
                    cpu[..keep].fill(0);
                }
                // An element deleted meanwhile must not come back.
                match fd.update(&key, &value, if is_array(spec.kind) { Update::Any } else { Update::Exist }) {
                    Err(e) if e.errno == libc::ENOENT => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Elements in all homes.
    pub fn len(&self, map: MapId) -> Result<usize, SyscallError> {
        Ok(self.peek(map)?.elements.len())
    }
}

fn sweep_user(spec: &MapSpec, user: &mut UserMap, now: u64) {
    let mut old = Vec::new();
    user.for_each(|key, value| {
        if age::is_old(spec, &[value.to_vec()], now) {
            old.push(key.to_vec());
        }
    });
    for key in old {
        user.delete(&key);
    }
}

/// Whether elements of a map with keys end by themselves.
fn forgets(spec: &MapSpec) -> bool {
    spec.key.is_some() && (spec.ttl.is_some() || spec.ring.is_some_and(|r| r.only_ns.is_some()))
}

fn user_parts(home: &Homes, parts: &mut Vec<Part>) {
    if let Some(user) = &home.user {
        user.for_each(|key, value| parts.push(Part { key: key.to_vec(), values: vec![value.to_vec()] }));
    }
}

fn keys(fd: &MapFd) -> Result<Vec<Vec<u8>>, SyscallError> {
    let mut keys = Vec::new();
    fd.for_each(|key, _| keys.push(key.to_vec()))?;
    Ok(keys)
}

/// Of a map of sums alone, which programs only add to and only user space reads: how many words of each CPU are sums. Nobody sees that they are counted
/// from somewhere.
fn sums(spec: &MapSpec, fd: &MapFd) -> Option<usize> {
    let only_sums = matches!(
        spec.value,
        Value::Count
            | Value::Sum { .. }
            | Value::Avg { .. }
            | Value::Stats { .. }
            | Value::Hist { .. }
            | Value::Lhist { .. }
    );
    let end = spec.presence.unwrap_or(spec.value_size) as usize;
    (only_sums && spec.ring.is_none() && spec.ttl.is_none() && fd.can_count_anew()).then_some(end / 8)
}

fn is_array(kind: Kind) -> bool {
    matches!(kind, Kind::Array | Kind::PercpuArray)
}
