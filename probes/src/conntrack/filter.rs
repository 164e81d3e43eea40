//! The program at the socket: what isn't translated never wakes or fills it.

use super::message::{ATTRIBUTES, CTA_STATUS, TRANSLATED};
use crate::kernel::sys::Classic;

/// Instructions of the classic filter: linux/bpf_common.h and linux/filter.h.
const LD_IMM: u16 = 0x00;
const LDX_IMM: u16 = 0x01;
const LD_ABS: u16 = 0x20;
const LD_IND: u16 = 0x40;
const AND: u16 = 0x54;
const JEQ: u16 = 0x15;
const TAX: u16 = 0x07;
const RET: u16 = 0x06;
/// SKF_AD_OFF + SKF_AD_NLATTR: A is where the attributes begin, X a type; then A is where that attribute is, or 0.
const NLATTR: u32 = (-0x1000_i32 + 12) as u32;

const fn op(code: u16, k: u32) -> Classic {
    Classic { code, jt: 0, jf: 0, k }
}

/// Lets messages through whose status says that the connection is translated, and those that have none.
pub(super) fn translated() -> [Classic; 10] {
    [
        op(LDX_IMM, CTA_STATUS.into()),
        op(LD_IMM, ATTRIBUTES as u32),
        op(LD_ABS, NLATTR),
        Classic { jt: 4, ..op(JEQ, 0) },
        op(TAX, 0),
        // Behind the attribute's header, in network order as this instruction has it.
        op(LD_IND, 4),
        op(AND, TRANSLATED),
        Classic { jt: 1, ..op(JEQ, 0) },
        op(RET, u32::MAX),
        op(RET, 0),
    ]
}
