//! Stacks as text.

use super::{pad, push};
use crate::{
    decode::{slice, u32_at, u64_at},
    names::{Cut, Frame, Stack},
    style::Style,
};
use std::io::Write;
use weftrace_artifact::{abi::StackSample, ty::StackMode};

/// Bytes of struct bpf_stack_build_id, and its members: s32 status, u8[20] build id, u64 offset.
const BUILD_ID_FRAME: usize = 32;
const BUILD_ID_VALID: u8 = 1;

/// A newline, then one line per frame. A stack that is not there prints as the newline alone if there was none to take
/// (-EFAULT: no user stack), and says so if it was lost.
pub(super) fn write_stack(
    out: &mut Vec<u8>,
    bytes: &[u8],
    pid: Option<u32>,
    (mode, limit): (StackMode, u32),
    style: &mut Style<'_>,
) {
    // The upper half may hold the stack's length.
    let id = i64::from(u64_at(bytes, 0) as i32);
    push(out, "\n");
    let stack = Stack { frames: limit, build_id: mode == StackMode::BuildId };
    let found = if id < 0 { None } else { style.names.stack(stack, id) };
    let Some(found) = found else {
        if id != -i64::from(libc::EFAULT) && id != 0 {
            pad(out, style.indent);
            let why = if id == -i64::from(libc::EEXIST) { "another stack took its place" } else { "not stored" };
            let _ = writeln!(out, "<stack lost: {why}>");
        }
        return;
    };
    if mode == StackMode::BuildId {
        for frame in found.chunks_exact(BUILD_ID_FRAME).take(limit as usize).take_while(|f| f[0] != 0) {
            write_build_id(out, frame);
        }
        return;
    }
    let addresses = found.chunks_exact(8).map(|c| u64_at(c, 0)).take_while(|a| *a != 0).take(limit as usize);
    write_frames(out, addresses, pid, mode, style);
    let whole = found.len() / 8 <= limit as usize;
    let why = style.names.cut(id).filter(|_| whole);
    write_cut(out, why, style);
}

/// A stack that is unwound here.
pub(super) fn write_sample(out: &mut Vec<u8>, bytes: &[u8], (mode, limit): (StackMode, u32), style: &mut Style<'_>) {
    push(out, "\n");
    let pid = u32_at(bytes, 0);
    let used = u32_at(bytes, StackSample::USED as usize) as usize;
    let registers = slice(bytes, StackSample::REGISTERS as usize, StackSample::REGISTERS_SIZE as usize);
    let stack = slice(bytes, StackSample::STACK as usize, used);
    let Some(found) = style.names.unwind(pid, registers, stack, limit as usize) else { return };
    write_frames(out, found.frames.iter().copied(), Some(pid), mode, style);
    write_cut(out, Cut::of(&found, used).why(), style);
}

fn write_cut(out: &mut Vec<u8>, why: Option<&str>, style: &Style<'_>) {
    if let Some(why) = why {
        pad(out, style.indent);
        let _ = writeln!(out, "<cut: {why}>");
    }
}

/// Addresses, leaf first, a line each; more where functions were inlined.
pub(super) fn write_frames(
    out: &mut Vec<u8>,
    addresses: impl Iterator<Item = u64>,
    pid: Option<u32>,
    mode: StackMode,
    style: &mut Style<'_>,
) {
    for (i, addr) in addresses.enumerate() {
        if mode == StackMode::Raw {
            let _ = writeln!(out, "{addr:x}");
            continue;
        }
        let frames = style.names.frames(pid, addr, i == 0);
        if frames.is_empty() {
            if mode == StackMode::Perf {
                let _ = writeln!(out, "\t{addr:x} {addr:#x} ([unknown])");
            } else {
                pad(out, style.indent);
                let _ = writeln!(out, "{addr:#x}");
            }
        }
        for frame in &frames {
            if mode == StackMode::Perf {
                write_perf(out, addr, frame);
            } else {
                pad(out, style.indent);
                write_bpftrace(out, addr, frame);
            }
        }
    }
}

fn write_perf(out: &mut Vec<u8>, addr: u64, frame: &Frame) {
    if frame.name.is_empty() {
        let _ = writeln!(out, "\t{addr:x} [unknown] ({})", frame.module.as_deref().unwrap_or("[unknown]"));
        return;
    }
    let _ = write!(out, "\t{addr:x} {}", frame.name);
    let _ = match (frame.inlined, &frame.module) {
        (true, _) => writeln!(out, " (inlined)"),
        (false, module) => writeln!(out, "+{} ({})", frame.offset, module.as_deref().unwrap_or("[unknown]")),
    };
}

fn write_bpftrace(out: &mut Vec<u8>, addr: u64, frame: &Frame) {
    if frame.name.is_empty() {
        let _ = write!(out, "{addr:#x} [{}+{:#x}]", frame.module.as_deref().unwrap_or_default(), frame.offset);
    } else if frame.inlined {
        let _ = write!(out, "[inlined] {}", frame.name);
    } else {
        let _ = write!(out, "{}+{}", frame.name, frame.offset);
    }
    if let Some((file, line)) = &frame.source {
        let _ = write!(out, "@{file}:{line}");
    }
    push(out, "\n");
}

/// The build id and the offset in the file; an address where the file has no build id.
fn write_build_id(out: &mut Vec<u8>, frame: &[u8]) {
    if frame[0] == BUILD_ID_VALID {
        // Shorter ids end in zeros.
        let id = &frame[4..24];
        let end = id.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        for byte in &id[..end.max(1)] {
            let _ = write!(out, "{byte:02x}");
        }
        push(out, " ");
    }
    let _ = writeln!(out, "{:#x}", u64_at(frame, 24));
}
