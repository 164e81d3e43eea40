//! A socket filter in the kernel's classic instructions (linux/filter.h) → eBPF that goes on where the filter accepts and ends the program
//! where it refuses. The kernel itself runs such filters by a translation of this kind: r0 is the accumulator, r7 the index register, the
//! memory words lie in the frame, and r6 holds the context, as loads from the packet want it.

use crate::kernel::sys::Classic;

/// Classic instructions: class, then what it does.
mod op {
    pub(super) const CLASS: u16 = 0x07;
    pub(super) const LD: u16 = 0x00;
    pub(super) const LDX: u16 = 0x01;
    pub(super) const ST: u16 = 0x02;
    pub(super) const STX: u16 = 0x03;
    pub(super) const ALU: u16 = 0x04;
    pub(super) const JMP: u16 = 0x05;
    pub(super) const RET: u16 = 0x06;
    pub(super) const MISC: u16 = 0x07;
    pub(super) const MODE: u16 = 0xe0;
    pub(super) const ABS: u16 = 0x20;
    pub(super) const IND: u16 = 0x40;
    pub(super) const MEM: u16 = 0x60;
    pub(super) const LEN: u16 = 0x80;
    pub(super) const MSH: u16 = 0xa0;
    pub(super) const X: u16 = 0x08;
    pub(super) const DIV: u16 = 0x30;
    pub(super) const MOD: u16 = 0x90;
    pub(super) const JA: u16 = 0x00;
    pub(super) const TXA: u16 = 0x80;
}

/// Loads from there on are of what the kernel knows besides the packet's bytes (SKF_AD_OFF).
const ANCILLARY: i32 = -0x1000;
const RETURN_A: u16 = 0x10;

const A: u8 = 0;
const CTX: u8 = 6;
const X: u8 = 7;
const SAVED: u8 = 8;
const FRAME: u8 = 10;

/// Keeps all of the packet.
const LEFT: i32 = 0x4_0000;
/// `vlan_present` in struct __sk_buff
const VLAN_PRESENT: i16 = 20;

const fn insn(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    opcode as u64 | (dst as u64) << 8 | (src as u64) << 12 | (off as u16 as u64) << 16 | (imm as u32 as u64) << 32
}

/// dst = imm (32 bits)
const fn number(dst: u8, imm: i32) -> u64 {
    insn(0xb4, dst, 0, 0, imm)
}

/// dst = src (32 bits, upper half 0)
const fn copy(dst: u8, src: u8) -> u64 {
    insn(0xbc, dst, src, 0, 0)
}

const fn load_ctx(dst: u8, offset: i16) -> u64 {
    insn(0x61, dst, CTX, offset, 0)
}

const EXIT: u64 = insn(0x95, 0, 0, 0, 0);

/// Where a jump goes.
#[derive(Clone, Copy)]
enum Label {
    /// The classic instruction of that number.
    At(usize),
    Accept,
    Refuse,
}

#[derive(Default)]
struct Translation {
    insns: Vec<u64>,
    /// Jumps whose distance isn't known yet.
    jumps: Vec<(usize, Label)>,
    /// Where each classic instruction begins; None: nothing reaches it.
    starts: Vec<Option<usize>>,
}

/// `Err`: what can't be said in eBPF, in words.
pub(super) fn translate(filter: &[Classic]) -> Result<Vec<u64>, String> {
    let reached = reached(filter)?;
    let mut t = Translation::default();
    // r6 = context; A = X = 0
    t.insns.extend([insn(0xbf, CTX, 1, 0, 0), number(A, 0), number(X, 0)]);
    for (at, (one, reached)) in filter.iter().copied().zip(reached).enumerate() {
        t.starts.push(reached.then_some(t.insns.len()));
        if reached {
            t.one(at, one)?;
        }
    }
    let used = |label: fn(&Label) -> bool| t.jumps.iter().any(|(_, to)| label(to));
    if !used(|l| matches!(l, Label::Accept)) {
        return Err("the filter lets no packet pass".into());
    }
    let refuse = t.insns.len();
    if used(|l| matches!(l, Label::Refuse)) {
        t.insns.extend([number(A, 0), EXIT]);
    }
    let accept = t.insns.len();
    // A tag beside the frame: for libpcap's filters in user space it is in the frame, which user space sees to. Else on to the program.
    t.insns.extend([
        load_ctx(A, VLAN_PRESENT),
        insn(0x15, A, 0, 2, 0),
        number(A, LEFT),
        EXIT,
        insn(0xbf, 1, CTX, 0, 0),
    ]);
    for (from, label) in std::mem::take(&mut t.jumps) {
        let to = match label {
            Label::At(at) => t.starts.get(at).copied().flatten().ok_or_else(malformed)?,
            Label::Accept => accept,
            Label::Refuse => refuse,
        };
        let distance = i16::try_from(to as i64 - from as i64 - 1).map_err(|_| "the filter is too long".to_owned())?;
        t.insns[from] |= u64::from(distance as u16) << 16;
    }
    Ok(t.insns)
}

fn malformed() -> String {
    "the filter jumps beyond its end".into()
}

/// Which instructions can run: the verifier refuses programs with others.
fn reached(filter: &[Classic]) -> Result<Vec<bool>, String> {
    let mut reached = vec![false; filter.len()];
    let mut next = vec![0];
    while let Some(at) = next.pop() {
        if std::mem::replace(reached.get_mut(at).ok_or_else(malformed)?, true) {
            continue;
        }
        let one = &filter[at];
        match one.code & op::CLASS {
            op::RET => {}
            op::JMP if one.code & 0xf0 == op::JA => next.push(at + 1 + one.k as usize),
            op::JMP => next.extend([at + 1 + usize::from(one.jt), at + 1 + usize::from(one.jf)]),
            _ => next.push(at + 1),
        }
    }
    Ok(reached)
}

impl Translation {
    fn push(&mut self, insns: impl IntoIterator<Item = u64>) {
        self.insns.extend(insns);
    }

    /// A jump to be completed.
    fn jump(&mut self, insn: u64, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.insns.push(insn);
    }

    fn goto(&mut self, to: Label) {
        self.jump(insn(0x05, 0, 0, 0, 0), to);
    }

    fn one(&mut self, at: usize, one: Classic) -> Result<(), String> {
        let k = one.k as i32;
        match one.code & op::CLASS {
            op::LD => self.load(one.code, k)?,
            op::LDX => match one.code & op::MODE {
                0 => self.push([number(X, k)]),
                op::MEM => self.push([insn(0x61, X, FRAME, word(one.k)?, 0)]),
                op::LEN => self.push([load_ctx(X, 0)]),
                // Four times the low half of a byte: an IPv4 header's length.
                op::MSH => self.push([
                    copy(SAVED, A),
                    insn(0x30, 0, 0, 0, k),
                    insn(0x54, A, 0, 0, 0x0f),
                    insn(0x64, A, 0, 0, 2),
                    copy(X, A),
                    copy(A, SAVED),
                ]),
                _ => return Err(unknown(one)),
            },
            op::ST => self.push([insn(0x63, FRAME, A, word(one.k)?, 0)]),
            op::STX => self.push([insn(0x63, FRAME, X, word(one.k)?, 0)]),
            op::ALU => {
                let by_x = one.code & op::X != 0;
                if by_x && matches!(one.code & 0xf0, op::DIV | op::MOD) {
                    // if X == 0 (32 bits)
                    self.jump(insn(0x16, X, 0, 0, 0), Label::Refuse);
                }
                let (src, imm) = if by_x { (X, 0) } else { (0, k) };
                self.push([insn(one.code as u8, A, src, 0, imm)]);
            }
            op::JMP => self.branch(at, one)?,
            op::RET if one.code & 0x18 == RETURN_A => {
                self.jump(insn(0x16, A, 0, 0, 0), Label::Refuse);
                self.goto(Label::Accept);
            }
            op::RET => self.goto(if one.k == 0 { Label::Refuse } else { Label::Accept }),
            op::MISC if one.code & 0xf8 == op::TXA => self.push([copy(A, X)]),
            _ => self.push([copy(X, A)]),
        }
        Ok(())
    }

    fn load(&mut self, code: u16, k: i32) -> Result<(), String> {
        match code & op::MODE {
            0 => self.push([number(A, k)]),
            op::MEM => self.push([insn(0x61, A, FRAME, word(k as u32)?, 0)]),
            op::LEN => self.push([load_ctx(A, 0)]),
            op::ABS if (ANCILLARY..0).contains(&k) => self.ancillary(k - ANCILLARY)?,
            // The same instructions; beyond the packet's end they end the program with 0.
            op::ABS => self.push([insn(code as u8, 0, 0, 0, k)]),
            op::IND => self.push([insn(code as u8, 0, X, 0, k)]),
            _ => return Err(format!("the filter has an instruction ({code:#x}) that isn't known here")),
        }
        Ok(())
    }

    /// What the kernel knows besides the bytes (SKF_AD_*), in struct __sk_buff.
    fn ancillary(&mut self, what: i32) -> Result<(), String> {
        /// Value as it lies there, or 16 bits in network order.
        const FROM_NETWORK: u64 = insn(0xdc, A, 0, 0, 16);
        match what {
            0 => self.push([load_ctx(A, 16), FROM_NETWORK]),
            4 => self.push([load_ctx(A, 4)]),
            8 => self.push([load_ctx(A, 40)]),
            20 => self.push([load_ctx(A, 8)]),
            24 => self.push([load_ctx(A, 12)]),
            44 => self.push([load_ctx(A, 24)]),
            48 => self.push([load_ctx(A, VLAN_PRESENT)]),
            60 => self.push([load_ctx(A, 28), FROM_NETWORK]),
            _ => return Err("the filter asks for what a program on a socket can't know".into()),
        }
        Ok(())
    }

    fn branch(&mut self, at: usize, one: Classic) -> Result<(), String> {
        let label = |distance: usize| Label::At(at + 1 + distance);
        if one.code & 0xf0 == op::JA {
            self.goto(label(one.k as usize));
            return Ok(());
        }
        // The same comparisons, of 32 bits.
        let opcode = (one.code as u8 & 0xf8) | 0x06;
        let (src, imm) = if one.code & op::X != 0 { (X, 0) } else { (0, one.k as i32) };
        if !matches!(one.code & 0xf0, 0x10 | 0x20 | 0x30 | 0x40) {
            return Err(unknown(one));
        }
        self.jump(insn(opcode, A, src, 0, imm), label(one.jt.into()));
        self.goto(label(one.jf.into()));
        Ok(())
    }
}

/// Offset of one of the sixteen memory words in the frame.
fn word(k: u32) -> Result<i16, String> {
    if k < 16 { Ok(-4 * (16 - k as i16)) } else { Err("the filter uses memory beyond its end".into()) }
}

fn unknown(one: Classic) -> String {
    format!("the filter has an instruction ({:#x}) that isn't known here", one.code)
}
