//! Lines for the kernel's trace pipe, written by its own helper: one small program that is run by hand.

use super::sys::{self, MapFd, ProgParams, SyscallError, TestRun, Update, bpf_map_type, bpf_prog_type};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The kernel cuts a line at 1024 bytes.
const LINE: usize = 1024;

/// "%s" as the first word of a stack slot.
const FORMAT: i32 = i32::from_le_bytes(*b"%s\0\0");
const TRACE_PRINTK: i32 = 6;
/// BPF_PSEUDO_MAP_VALUE
const MAP_VALUE: u8 = 2;

/// Prints into the trace pipe.
#[derive(Debug)]
pub struct TracePipe {
    text: MapFd,
    program: OwnedFd,
}

impl TracePipe {
    pub fn open() -> Result<Self, SyscallError> {
        let text = MapFd::create(&sys::MapParams {
            kind: bpf_map_type::BPF_MAP_TYPE_ARRAY,
            key_size: 4,
            value_size: LINE as u32,
            max_entries: 1,
            flags: 0,
            name: "debugf",
        })?;
        let insns = program(text.as_fd().as_raw_fd());
        let params = ProgParams::new(bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT, "debugf", &insns);
        let program = sys::prog_load(&params, None)?;
        Ok(Self { text, program })
    }

    /// One line, without the newline at its end.
    pub fn write(&self, line: &[u8]) -> Result<(), SyscallError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut value = [0; LINE];
        let len = line.len().min(LINE - 1);
        value[..len].copy_from_slice(&line[..len]);
        self.text.update(&0u32.to_ne_bytes(), &value, Update::Any)?;
        sys::prog_test_run(self.program.as_fd(), &TestRun::default()).map(drop)
    }
}

/// `bpf_trace_printk("%s", 3, the map's value)`
fn program(map: i32) -> [u64; 9] {
    let insn = |code: u8, dst: u8, src: u8, off: i16, imm: i32| {
        u64::from_le_bytes([
            code,
            dst | src << 4,
            off.to_le_bytes()[0],
            off.to_le_bytes()[1],
            imm.to_le_bytes()[0],
            imm.to_le_bytes()[1],
            imm.to_le_bytes()[2],
            imm.to_le_bytes()[3],
        ])
    };
    [
        // *(u32 *)(r10 - 8) = "%s"; r1 = r10 - 8; r2 = 3
        insn(0x62, 10, 0, -8, FORMAT),
        insn(0xbf, 1, 10, 0, 0),
        insn(0x07, 1, 0, 0, -8),
        insn(0xb7, 2, 0, 0, 3),
        // r3 = address of the text
        insn(0x18, 3, MAP_VALUE, 0, map),
        insn(0, 0, 0, 0, 0),
        insn(0x85, 0, 0, 0, TRACE_PRINTK),
        insn(0xb7, 0, 0, 0, 0),
        insn(0x95, 0, 0, 0, 0),
    ]
}
