//! The text of instructions, as the kernel's verifier log prints them (kernel/bpf/disasm.c).

use super::{AluOp, Imm64, Insn, JumpCond, MemSize, Reg, Src, Swap, Width};
use std::fmt;

/// Kernel names of the helpers that we emit (include/uapi/linux/bpf.h).
const HELPER_NAMES: &[(u32, &str)] = &[
    (1, "map_lookup_elem"),
    (2, "map_update_elem"),
    (3, "map_delete_elem"),
    (5, "ktime_get_ns"),
    (7, "get_prandom_u32"),
    (8, "get_smp_processor_id"),
    (14, "get_current_pid_tgid"),
    (15, "get_current_uid_gid"),
    (16, "get_current_comm"),
    (26, "skb_load_bytes"),
    (27, "get_stackid"),
    (35, "get_current_task"),
    (46, "get_socket_cookie"),
    (67, "get_stack"),
    (80, "get_current_cgroup_id"),
    (112, "probe_read_user"),
    (113, "probe_read_kernel"),
    (114, "probe_read_user_str"),
    (115, "probe_read_kernel_str"),
    (125, "ktime_get_boot_ns"),
    (131, "ringbuf_reserve"),
    (132, "ringbuf_submit"),
    (133, "ringbuf_discard"),
    (173, "get_func_ip"),
    (158, "get_current_task_btf"),
    (174, "get_attach_cookie"),
    (208, "ktime_get_tai_ns"),
];

/// The kernel's name of a helper without `bpf_`, or `unknown`.
pub fn helper_name(number: u32) -> &'static str {
    HELPER_NAMES.iter().find(|(n, _)| *n == number).map_or("unknown", |(_, name)| name)
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

fn c_type(size: MemSize, signed: bool) -> &'static str {
    match (size, signed) {
        (MemSize::B1, false) => "u8",
        (MemSize::B2, false) => "u16",
        (MemSize::B4, false) => "u32",
        (MemSize::B8, false) => "u64",
        (MemSize::B1, true) => "s8",
        (MemSize::B2, true) => "s16",
        (MemSize::B4, true) => "s32",
        (MemSize::B8, true) => "s64",
    }
}

fn alu_sign(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div => "/=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Neg => "neg",
        AluOp::Mod => "%=",
        AluOp::Xor => "^=",
        AluOp::Mov => "=",
        AluOp::Arsh => "s>>=",
        AluOp::Sdiv => "s/=",
        AluOp::Smod => "s%=",
    }
}

fn cond_sign(cond: JumpCond) -> &'static str {
    match cond {
        JumpCond::Eq => "==",
        JumpCond::Ne => "!=",
        JumpCond::Gt => ">",
        JumpCond::Ge => ">=",
        JumpCond::Lt => "<",
        JumpCond::Le => "<=",
        JumpCond::Sgt => "s>",
        JumpCond::Sge => "s>=",
        JumpCond::Slt => "s<",
        JumpCond::Sle => "s<=",
        JumpCond::Set => "&",
    }
}

fn letter(width: Width) -> char {
    if width == Width::W64 { 'r' } else { 'w' }
}

fn operand(width: Width, src: Src, hex: bool) -> String {
    match src {
        Src::Reg(r) => format!("{}{}", letter(width), r.0),
        Src::Imm(i) if hex => format!("{i:#x}"),
        Src::Imm(i) => i.to_string(),
    }
}

impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Alu { width, op: AluOp::Neg, dst, .. } => {
                let w = letter(width);
                write!(f, "{w}{} = -{w}{}", dst.0, dst.0)
            }
            Self::Alu { width, op, dst, src } => {
                write!(f, "{}{} {} {}", letter(width), dst.0, alu_sign(op), operand(width, src, false))
            }
            Self::MovSx { width, bits, dst, src } => {
                let w = letter(width);
                write!(f, "{w}{} = (s{bits}){w}{}", dst.0, src.0)
            }
            Self::Swap { order, bits, dst } => {
                let name = match order {
                    Swap::ToLe => "le",
                    Swap::ToBe => "be",
                    Swap::Always => "bswap",
                };
                write!(f, "{dst} = {name}{bits} {dst}")
            }
            Self::LoadImm64 { kind: Imm64::Number, dst, imm } => write!(f, "{dst} = {imm:#x}"),
            Self::LoadImm64 { kind: Imm64::MapFd, dst, imm } => write!(f, "{dst} = map[{imm}]"),
            Self::LoadImm64 { kind: Imm64::MapValue, dst, imm } => {
                write!(f, "{dst} = map[{}][0]+{}", imm as i32, imm >> 32)
            }
            Self::LoadImm64 { kind: Imm64::Func, dst, imm } => write!(f, "{dst} = func {:+}", imm as i32),
            Self::Load { size, signed, dst, src, off } => {
                write!(f, "{dst} = *({} *)({src} {off:+})", c_type(size, signed))
            }
            Self::Store { size, dst, off, src } => {
                write!(f, "*({} *)({dst} {off:+}) = {}", c_type(size, false), operand(Width::W64, src, false))
            }
            Self::AtomicAdd { size, dst, off, src } => {
                write!(f, "lock *({} *)({dst} {off:+}) += {src}", c_type(size, false))
            }
            Self::AtomicExchange { size, dst, off, src } => {
                write!(f, "{src} = xchg_{}({dst} {off:+}, {src})", size.bytes() * 8)
            }
            Self::Jump { off } => write!(f, "goto pc{off:+}"),
            Self::JumpLong { off } => write!(f, "gotol pc{off:+}"),
            Self::Branch { width, cond, dst, src, off } => {
                let (w, sign, right) = (letter(width), cond_sign(cond), operand(width, src, true));
                write!(f, "if {w}{} {sign} {right} goto pc{off:+}", dst.0)
            }
            Self::Kfunc { id } => write!(f, "call kernel-function#{id}"),
            Self::Call { helper } => write!(f, "call {}#{helper}", helper_name(helper)),
            Self::Exit => f.write_str("exit"),
        }
    }
}
