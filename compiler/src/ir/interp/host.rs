//! The world of one run, as plain data: what helpers answer, and what the function leaves behind. Executors of the back ends use
//! the same [`Host`], so that answers cannot differ.

mod map;

pub use map::{Map, MapShape};

use std::collections::BTreeMap;
use weftrace_artifact::{abi::LossSlot, action::ActionId};

/// Errors as the kernel's helpers give them (asm-generic/errno-base.h), negated.
pub mod errno {
    pub const ENOENT: i64 = -2;
    pub const E2BIG: i64 = -7;
    pub const EFAULT: i64 = -14;
    pub const ENAMETOOLONG: i64 = -36;
    pub const EEXIST: i64 = -17;
    pub const EINVAL: i64 = -22;
}

/// Everything outside the function.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Bytes of the context (native: of the subject). Addresses in it (for `load_ptr`) are [`Self::region_address`]es.
    pub ctx: Vec<u8>,
    /// Native: what the subject points to.
    pub regions: Vec<Vec<u8>>,
    /// Indexed by map number.
    pub maps: Vec<Map>,
    /// Kernel and user memory: pieces by start address.
    pub kernel: BTreeMap<u64, Vec<u8>>,
    pub user: BTreeMap<u64, Vec<u8>>,
    /// CLOCK_BOOTTIME ns of the event.
    pub now: u64,
    /// By clock id, for `clock_gettime`; 1 is also `ktime_mono`, 11 `ktime_tai`.
    pub clocks: BTreeMap<u64, u64>,
    pub pid_tgid: u64,
    pub uid_gid: u64,
    pub comm: Vec<u8>,
    pub cpu: u32,
    /// State of the generator behind `random`.
    pub seed: u64,
    pub current_task: u64,
    pub cgroup_id: u64,
    /// Index of the probe that fired.
    pub probe: u32,
    pub func_ip: u64,
    pub jiffies: u64,
    pub numa_id: u64,
    /// What `interrupted` answers.
    pub interrupted: u64,
    /// (device, inode) of the pid namespace that `ns_pid_tgid` knows, and its answer.
    pub pid_namespace: Option<((u64, u64), u64)>,
    /// Tasks by number, for `task_from_pid`: their addresses.
    pub tasks: BTreeMap<u64, u64>,
    /// Tasks taken and not released: 0 after a correct run.
    pub held_tasks: i64,
    /// Signals sent: (number, to the thread alone).
    pub signals: Vec<(u64, bool)>,
    /// What `override_return` was given.
    pub overridden: Option<u64>,
    /// What `stack_id` answers.
    pub stack_id: i64,
    /// Address of the current task's user registers.
    pub task_registers: u64,
    /// What `get_stack` writes: addresses, leaf first.
    pub stack: Vec<u64>,
    /// Address of a socket → its cookie.
    pub cookies: BTreeMap<u64, u64>,
    /// Paths by the address of their struct path
    pub paths: BTreeMap<u64, Vec<u8>>,
    /// The packet's connection.
    pub conn: Option<[u8; weftrace_artifact::abi::CONN_KEY_SIZE as usize]>,
    /// What a packet socket's program reads.
    pub packet: Vec<u8>,
    /// Records that can be reserved in all; the rest is lost.
    pub ring_capacity: u32,
    /// What was submitted, in order.
    pub records: Vec<Record>,
    pub losses: [u64; LossSlot::COUNT as usize],
    /// Through [`Self::reserve`] and the like only.
    pub reservations: Vec<Reservation>,
}

/// A submitted record, without its header's time and probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub action: ActionId,
    pub payload: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Reservation {
    action: ActionId,
    /// None once submitted or discarded.
    payload: Option<Vec<u8>>,
}

/// Distance of the addresses of regions.
const REGION_STRIDE: u64 = 1 << 32;

impl Host {
    /// The address that stands for the start of region `region` in context bytes.
    pub fn region_address(region: usize) -> u64 {
        (region as u64 + 1) * REGION_STRIDE
    }

    /// The region that an address lies in (or ends), and the offset in it.
    pub fn region_at(&self, address: u64) -> Option<(usize, i64)> {
        let region = (address / REGION_STRIDE).checked_sub(1)? as usize;
        let offset = address % REGION_STRIDE;
        (offset <= self.regions.get(region)?.len() as u64).then_some((region, offset as i64))
    }

    /// A zeroed record, or None (and a loss) if the ring is full.
    pub fn reserve(&mut self, action: ActionId, size: u32) -> Option<usize> {
        if self.reservations.len() >= self.ring_capacity as usize {
            self.count_loss(LossSlot::Ring as u64);
            return None;
        }
        self.reservations.push(Reservation { action, payload: Some(vec![0; size as usize]) });
        Some(self.reservations.len() - 1)
    }

    pub fn submit(&mut self, record: usize) {
        if let Some(reservation) = self.reservations.get_mut(record)
            && let Some(payload) = reservation.payload.take()
        {
            self.records.push(Record { action: reservation.action, payload });
        }
    }

    pub fn discard(&mut self, record: usize) {
        if let Some(reservation) = self.reservations.get_mut(record) {
            reservation.payload = None;
        }
    }

    /// The payload of a record that was neither submitted nor discarded yet.
    pub fn live_record(&self, record: usize) -> Option<&[u8]> {
        self.reservations.get(record)?.payload.as_deref()
    }

    pub fn live_record_mut(&mut self, record: usize) -> Option<&mut [u8]> {
        self.reservations.get_mut(record)?.payload.as_deref_mut()
    }

    /// Records reserved and still neither submitted nor discarded: 0 after a correct run.
    pub fn open_records(&self) -> usize {
        self.reservations.iter().filter(|r| r.payload.is_some()).count()
    }

    /// Slots that do not exist count nothing.
    pub fn count_loss(&mut self, slot: u64) {
        if let Some(count) = self.losses.get_mut(slot as usize) {
            *count += 1;
        }
    }

    /// 32 pseudo-random bits (xorshift64*).
    pub fn random(&mut self) -> u64 {
        self.seed |= u64::from(self.seed == 0);
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    pub fn clock(&self, id: u64) -> u64 {
        self.clocks.get(&id).copied().unwrap_or(0)
    }

    /// The task's name in `capacity` bytes: cut, NUL-terminated, the rest zero.
    pub fn comm(&self, capacity: usize) -> Vec<u8> {
        copy_str(capacity, &self.comm).0
    }

    /// Writes to user memory: 0, or -EFAULT where any byte is missing.
    pub fn poke_user(&mut self, address: u64, bytes: &[u8]) -> i64 {
        let Some((start, piece)) = self.user.range_mut(..=address).next_back() else { return errno::EFAULT };
        let at = (address - start) as usize;
        match at.checked_add(bytes.len()).and_then(|end| piece.get_mut(at..end)) {
            Some(place) => {
                place.copy_from_slice(bytes);
                0
            }
            None => errno::EFAULT,
        }
    }

    /// `len` bytes of kernel or user memory; None where any is missing.
    pub fn peek(memory: &BTreeMap<u64, Vec<u8>>, address: u64, len: usize) -> Option<Vec<u8>> {
        let (start, piece) = memory.range(..=address).next_back()?;
        let at = usize::try_from(address - start).ok()?;
        piece.get(at..at.checked_add(len)?).map(<[u8]>::to_vec)
    }

    /// The string at `address`, with its NUL, cut to `capacity` bytes; None where memory ends before.
    pub fn peek_str(memory: &BTreeMap<u64, Vec<u8>>, address: u64, capacity: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![];
        while bytes.len() < capacity {
            let byte = Self::peek(memory, address.wrapping_add(bytes.len() as u64), 1)?[0];
            bytes.push(byte);
            if byte == 0 {
                return Some(bytes);
            }
        }
        if let Some(last) = bytes.last_mut() {
            *last = 0;
        }
        Some(bytes)
    }
}

/// `src` as a string in `capacity` bytes: cut, NUL-terminated, the rest zero; and its length without the NUL.
pub fn copy_str(capacity: usize, src: &[u8]) -> (Vec<u8>, usize) {
    let len = src.len().min(capacity.saturating_sub(1));
    let mut out = vec![0; capacity];
    out[..len].copy_from_slice(&src[..len]);
    (out, len)
}
