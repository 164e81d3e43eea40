//! The bpf(2) calls that tests need, and nothing more.

#![allow(unsafe_code, clippy::cast_ptr_alignment, reason = "system calls; ring pages and records are aligned")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use weftrace_artifact::map::{Kind, MapSpec};
use weftrace_artifact::program::{ProgType, ProgramImage};

/// union bpf_attr, filled by offset.
struct Attr([u8; 152]);

impl Attr {
    fn new() -> Self {
        Self([0; 152])
    }

    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn ptr<T>(self, at: usize, value: &[T]) -> Self {
        self.u64(at, value.as_ptr() as u64)
    }

    fn fd(self, at: usize, fd: &OwnedFd) -> Self {
        self.u32(at, fd.as_raw_fd() as u32)
    }

    fn call(&mut self, command: i32) -> io::Result<i32> {
        // SAFETY: the attribute is larger than any the kernel knows, and its pointers are to slices that live through the call.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), self.0.len()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
    }

    fn call_fd(&mut self, command: i32) -> io::Result<OwnedFd> {
        // SAFETY: these commands return a new file descriptor.
        self.call(command).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP: i32 = 1;
const MAP_UPDATE: i32 = 2;
const MAP_NEXT_KEY: i32 = 4;
const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const BTF_LOAD: i32 = 18;

/// Whether this process may load programs here.
pub fn available() -> bool {
    Attr::new().u32(0, 2).u32(4, 4).u32(8, 8).u32(12, 1).call_fd(MAP_CREATE).is_ok()
}

pub fn possible_cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let last = text.trim().rsplit(['-', ',']).next().unwrap();
    last.parse::<usize>().unwrap() + 1
}

pub struct Map {
    pub fd: OwnedFd,
    key_size: usize,
    value_size: usize,
    percpu: bool,
}

impl Map {
    pub fn create(spec: &MapSpec) -> io::Result<Self> {
        let kind = match spec.kind {
            Kind::Hash => 1,
            Kind::Array => 2,
            Kind::PercpuHash => 5,
            Kind::PercpuArray => 6,
            Kind::StackTrace => 7,
            Kind::LruHash => 9,
            Kind::LruPercpuHash => 10,
            Kind::Ringbuf => 27,
        };
        let fd = Attr::new()
            .u32(0, kind)
            .u32(4, spec.key_size)
            .u32(8, spec.value_size)
            .u32(12, spec.max_entries)
            .call_fd(MAP_CREATE)?;
        let percpu = spec.kind.is_percpu();
        Ok(Self { fd, key_size: spec.key_size as usize, value_size: spec.value_size as usize, percpu })
    }

    fn stride(&self) -> usize {
        self.value_size.next_multiple_of(8)
    }

    fn buffer(&self) -> Vec<u8> {
        vec![0; if self.percpu { self.stride() * possible_cpus() } else { self.value_size }]
    }

    /// Sets an element; per-CPU ones on CPU 0 only.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let mut all = self.buffer();
        all[..value.len()].copy_from_slice(value);
        Attr::new().fd(0, &self.fd).ptr(8, key).ptr(16, &all).call(MAP_UPDATE).map(drop)
    }

    /// An element's value (on CPU 0).
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut all = self.buffer();
        let mut attr = Attr::new().fd(0, &self.fd).ptr(8, key).u64(16, all.as_mut_ptr() as u64);
        attr.call(MAP_LOOKUP).ok()?;
        all.truncate(self.value_size);
        Some(all)
    }

    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = vec![];
        loop {
            let mut next = vec![0u8; self.key_size];
            let before = keys.last().map_or(0, |k| k.as_ptr() as u64);
            let mut attr = Attr::new().fd(0, &self.fd).u64(8, before).u64(16, next.as_mut_ptr() as u64);
            if attr.call(MAP_NEXT_KEY).is_err() {
                return keys;
            }
            keys.push(next);
        }
    }
}

pub fn prog_type_number(prog_type: ProgType) -> u32 {
    match prog_type {
        ProgType::SocketFilter => 1,
        ProgType::Kprobe => 2,
        ProgType::Tracepoint => 5,
        ProgType::Xdp => 6,
        ProgType::PerfEvent => 7,
        ProgType::RawTracepoint => 17,
        ProgType::TracingRawTp | ProgType::Fentry | ProgType::Fexit | ProgType::Iter => 26,
    }
}

pub struct Program(OwnedFd);

/// Loads a program, with its BTF if it has one; the verifier's log if the kernel refuses. `btf_id` is the target of a tracing
/// program.
pub fn load(image: &ProgramImage, maps: &[Map], btf_id: u32) -> Result<(Program, String), String> {
    load_with(image, maps, btf_id, 1 | 4)
}

/// As [`load`]; with a log only if the kernel refuses, which is faster.
pub fn load_quietly(image: &ProgramImage, maps: &[Map]) -> Result<Program, String> {
    load_with(image, maps, 0, 0).or_else(|_| load_with(image, maps, 0, 1 | 4)).map(|(program, _)| program)
}

fn load_with(image: &ProgramImage, maps: &[Map], btf_id: u32, level: u32) -> Result<(Program, String), String> {
    let mut insns = image.insns.clone();
    for reloc in &image.map_relocs {
        let fd = maps[reloc.map.0 as usize].fd.as_raw_fd() as u64;
        let at = reloc.insn as usize;
        insns[at] = insns[at] & 0xfff | 1 << 12 | fd << 32;
    }
    let mut log = vec![0u8; if level == 0 { 0 } else { 1 << 20 }];
    let expected = if image.prog_type == ProgType::TracingRawTp { 23 } else { 0 };
    let mut attr = Attr::new()
        .u32(0, prog_type_number(image.prog_type))
        .u32(4, insns.len() as u32)
        .ptr(8, &insns)
        .ptr(16, b"GPL\0")
        .u32(24, level)
        .u32(28, log.len() as u32)
        .u64(32, if level == 0 { 0 } else { log.as_mut_ptr() as u64 })
        .u32(68, expected)
        .u32(108, btf_id);
    let name: Vec<u8> = image.name.bytes().filter(u8::is_ascii_alphanumeric).take(15).collect();
    attr.0[48..48 + name.len()].copy_from_slice(&name);
    let btf = if image.btf.is_empty() { None } else { Some(load_btf(&image.btf)?) };
    if let Some(btf) = &btf {
        attr = attr
            .fd(72, btf)
            .u32(76, 8)
            .ptr(80, &image.func_info)
            .u32(88, image.func_info.len() as u32 / 8)
            .u32(92, 16)
            .ptr(96, &image.line_info)
            .u32(104, image.line_info.len() as u32 / 16);
    }
    let result = attr.call_fd(PROG_LOAD);
    let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(&log[..end]).into_owned();
    match result {
        Ok(fd) => Ok((Program(fd), text)),
        Err(error) => Err(format!("{error}\n{text}")),
    }
}

fn load_btf(btf: &[u8]) -> Result<OwnedFd, String> {
    let mut log = vec![0u8; 1 << 16];
    let mut attr = Attr::new()
        .ptr(0, btf)
        .u64(8, log.as_mut_ptr() as u64)
        .u32(16, btf.len() as u32)
        .u32(20, log.len() as u32)
        .u32(24, 1);
    attr.call_fd(BTF_LOAD).map_err(|e| format!("BTF: {e}\n{}", String::from_utf8_lossy(&log)))
}

impl Program {
    /// Instructions that the verifier walked (struct bpf_prog_info).
    pub fn walked(&self) -> u64 {
        let mut info = [0u8; 232];
        let mut attr = Attr::new().fd(0, &self.0).u32(4, info.len() as u32).u64(8, info.as_mut_ptr() as u64);
        attr.call(OBJ_GET_INFO_BY_FD).map_or(0, |_| u32::from_le_bytes(info[216..220].try_into().unwrap()).into())
    }

    /// Runs a raw tracepoint's program once on CPU 0 with these arguments; the low 32 bits of its result.
    pub fn test_run(&self, args: &[u8]) -> io::Result<u32> {
        let mut attr = Attr::new().fd(0, &self.0).u32(40, args.len() as u32).ptr(48, args).u32(64, 1).u32(68, 0);
        attr.call(PROG_TEST_RUN)?;
        Ok(u32::from_le_bytes(attr.0[4..8].try_into().unwrap()))
    }
}

/// All records in a ring, in order.
pub fn drain(ring: &Map, bytes: usize) -> Vec<Vec<u8>> {
    let page = 4096;
    // SAFETY: maps the consumer page, then the producer page and the data twice, as the kernel lays them out.
    let (consumer, producer) = unsafe {
        let fd = ring.fd.as_raw_fd();
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        let consumer = libc::mmap(std::ptr::null_mut(), page, rw, libc::MAP_SHARED, fd, 0);
        let len = page + 2 * bytes;
        let producer = libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, fd, page as i64);
        assert!(consumer != libc::MAP_FAILED && producer != libc::MAP_FAILED);
        (consumer.cast::<u64>(), producer.cast::<u8>())
    };
    let mut records = vec![];
    // SAFETY: both mappings are live until the end; positions stay below the producer's.
    unsafe {
        let mut at = consumer.read_volatile();
        let end = producer.cast::<u64>().read_volatile();
        while at < end {
            let header = producer.add(page + (at as usize & (bytes - 1)));
            let word = header.cast::<u32>().read_volatile();
            let (busy, discarded, len) = (word >> 31, word >> 30 & 1, (word & 0x3fff_ffff) as usize);
            assert_eq!(busy, 0, "a record is still open");
            if discarded == 0 {
                records.push(std::slice::from_raw_parts(header.add(8), len).to_vec());
            }
            at += (len as u64 + 8).next_multiple_of(8);
        }
        consumer.write_volatile(at);
        libc::munmap(consumer.cast(), page);
        libc::munmap(producer.cast(), page + 2 * bytes);
    }
    records
}
