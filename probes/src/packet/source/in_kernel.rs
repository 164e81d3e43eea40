//! A block's program on the packet socket itself: what it takes isn't copied, what it leaves arrives as without it.
//!
//! The block's program is made before the device is open. Here it learns what the device's packets begin with, and gets the block's filter in
//! front of it: the instructions that libpcap gave the kernel, read back from the socket.

mod guard;

use super::{BlockFilter, live::LiveSource};
use crate::kernel::sys::{self, SyscallError};
use crate::packet::LinkType;
use std::os::fd::{AsFd, BorrowedFd};
use weftrace_artifact::{
    packet::kernel::LinkKind,
    program::{FieldPath, ProgramImage},
};

/// The snapshot length from which on all headers of a plain packet are captured.
const HEADERS: u32 = 256;
/// The loopback device's index in every network namespace, by which programs know it.
const LOOPBACK: u32 = 1;

/// The program for the packets of this source, ready to load. `Err`: why they must be handled in user space.
pub fn program_for(source: &LiveSource, image: &ProgramImage) -> Result<ProgramImage, String> {
    let kind = match source.link() {
        LinkType::ETHERNET => LinkKind::Ethernet,
        LinkType::LINUX_SLL2 => LinkKind::Cooked,
        LinkType::RAW => LinkKind::RawIp,
        LinkType(other) => {
            return Err(format!("this device's packets begin with a header of another kind (link type {other})"));
        }
    };
    if source.loopback() != LOOPBACK {
        return Err("the loopback device isn't called lo".into());
    }
    // 0: all
    if (1..HEADERS).contains(&source.snaplen()) {
        return Err(format!("only the first {} bytes of each packet are wanted", source.snaplen()));
    }
    let guard = if source.filter().is_empty() { Vec::new() } else { filter_of(source)? };
    Ok(behind(image, &guard, kind))
}

/// Runs the loaded program on all packets of the source from now on.
pub fn attach(source: &LiveSource, program: BorrowedFd<'_>) -> Result<(), SyscallError> {
    sys::packet_filter(source.as_fd(), program)
}

fn filter_of(source: &LiveSource) -> Result<Vec<u64>, String> {
    // What the program leaves passes it once more, as packets: directions (`inbound`) aren't known of those.
    BlockFilter::new(source.filter(), &[source.link()]).map_err(|e| e.to_string())?;
    let filter = sys::socket_filter(source.as_fd()).map_err(|e| format!("the filter can't be read back: {e}"))?;
    if filter.is_empty() {
        return Err("libpcap runs this filter in user space".into());
    }
    guard::translate(&filter)
}

/// The program with these instructions in front of it.
fn behind(image: &ProgramImage, front: &[u64], kind: LinkKind) -> ProgramImage {
    let by = front.len() as u32;
    let mut made = image.clone();
    for reloc in image.field_relocs.iter().filter(|r| r.path == FieldPath::LinkKind) {
        if let Some(insn) = made.insns.get_mut(reloc.insn as usize) {
            let imm = i64::from((*insn >> 32) as u32 as i32) + kind as i64 - reloc.compiled;
            *insn = (*insn & 0xffff_ffff) | u64::from(imm as u32) << 32;
        }
    }
    made.insns.splice(0..0, front.iter().copied());
    made.map_relocs.iter_mut().for_each(|r| r.insn += by);
    made.field_relocs.iter_mut().for_each(|r| r.insn += by);
    made.spans.iter_mut().filter(|(at, _)| *at > 0).for_each(|(at, _)| *at += by);
    // struct bpf_func_info and bpf_line_info begin with the instruction. What is at 0 speaks for the filter too.
    for (records, size) in [(&mut made.func_info, 8), (&mut made.line_info, 16)] {
        for record in records.chunks_exact_mut(size) {
            if let Some(word) = record.first_chunk_mut::<4>()
                && *word != [0; 4]
            {
                *word = (u32::from_ne_bytes(*word) + by).to_ne_bytes();
            }
        }
    }
    made
}

#[cfg(test)]
mod tests;
