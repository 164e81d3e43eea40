//! Strings and byte sequences: comparing them.

use super::{
    cx::{Cx, R},
    mem::Mem,
    strings::c_text,
};
use crate::ir::{BinaryOp, Block, Cond, Value};
use weftrace_lang::hir::{Expr, ExprKind as E, Ty};

/// A string or byte sequence to be compared.
pub(super) enum Text {
    Literal(Vec<u8>),
    Memory {
        at: Mem,
        cap: u32,
    },
    /// Bytes elsewhere with a length of their own (packet data).
    Slice {
        ptr: Value,
        len: Value,
    },
}

/// Comparisons up to this many bytes are written out, longer ones loop.
const UNROLLED: u32 = 64;

#[allow(clippy::many_single_char_names, reason = "two sides of a comparison")]
impl Cx<'_, '_> {
    /// What is to be compared, without copying it where that can be avoided.
    pub(super) fn text(&mut self, e: &Expr) -> R<Text> {
        Ok(match &e.kind {
            E::Str(s) => Text::Literal(c_text(s)),
            E::Packet(name) if matches!(e.ty, Ty::Str { .. }) => {
                let (ptr, len) = self.packet_slice(name, e.span)?;
                Text::Slice { ptr, len }
            }
            E::JoinPart(_) | E::LegPart { .. } if matches!(e.ty, Ty::Str { .. }) => {
                let (ptr, len) = self.result_text(e)?;
                Text::Slice { ptr, len }
            }
            E::Cast(inner) if matches!((&e.ty, &inner.ty), (Ty::Str { .. }, Ty::Str { .. })) => {
                return self.text(inner);
            }
            _ => {
                let cap = self.size_of(&e.ty, e.span)?;
                Text::Memory { at: self.memory_of(e)?, cap }
            }
        })
    }

    /// Compares strings (up to a NUL) or byte sequences over at most `len` bytes.
    pub(crate) fn branch_equal(&mut self, left: &Expr, right: &Expr, len: u32, same: Block, differs: Block) -> R<()> {
        let strings = matches!(left.ty, Ty::Str { .. }) || matches!(right.ty, Ty::Str { .. });
        let (l, r) = (self.text(left)?, self.text(right)?);
        match (l, r) {
            (Text::Literal(a), Text::Literal(b)) => {
                let cut = |s: &[u8]| s[..s.len().min(len as usize)].to_vec();
                self.jump(if cut(&a) == cut(&b) { same } else { differs });
                Ok(())
            }
            (Text::Literal(lit), Text::Memory { at, cap }) | (Text::Memory { at, cap }, Text::Literal(lit)) => {
                self.equal_literal(&lit, at, cap, len, same, differs);
                Ok(())
            }
            (Text::Literal(lit), Text::Slice { ptr, len: n }) | (Text::Slice { ptr, len: n }, Text::Literal(lit)) => {
                self.equal_slice(&lit, ptr, n, len, same, differs);
                Ok(())
            }
            (Text::Memory { at: a, cap: n }, Text::Memory { at: b, cap: m }) => {
                self.equal_memory((a, n), (b, m), len, strings, same, differs);
                Ok(())
            }
            (a, b) => {
                let a = self.in_memory(&a, left)?;
                let b = self.in_memory(&b, right)?;
                self.equal_memory(a, b, len, true, same, differs);
                Ok(())
            }
        }
    }

    pub(super) fn in_memory(&mut self, text: &Text, e: &Expr) -> R<(Mem, u32)> {
        Ok(match text {
            Text::Memory { at, cap } => (*at, *cap),
            Text::Literal(_) | Text::Slice { .. } => {
                let cap = self.size_of(&e.ty, e.span)?;
                let m = self.temp(cap);
                self.into(e, m, &e.ty, false)?;
                (m, cap)
            }
        })
    }

    /// Memory against constant bytes: the literal and its NUL, unless `len` cuts before it.
    fn equal_literal(&mut self, lit: &[u8], at: Mem, cap: u32, len: u32, same: Block, differs: Block) {
        let mut bytes = lit.to_vec();
        bytes.push(0);
        bytes.truncate(len.max(1) as usize);
        if lit.len() as u32 == cap {
            // As long as the other can be: that has no NUL then.
            bytes.truncate(lit.len());
        } else if bytes.len() as u32 > cap {
            return self.jump(differs);
        }
        self.equal_bytes(&bytes, at, same, differs);
    }

    /// Compares with constants, a register's width at a time: the differences are collected without branches.
    pub(crate) fn equal_bytes(&mut self, bytes: &[u8], at: Mem, same: Block, differs: Block) {
        let mut difference = None;
        let mut i = 0usize;
        while i < bytes.len() {
            let rest = bytes.len() - i;
            let here = at.at(i as u32);
            let n = [8usize, 4, 2, 1].into_iter().find(|n| *n <= rest && here.align as usize >= *n).unwrap_or(1);
            let mut word = [0u8; 8];
            word[..n].copy_from_slice(&bytes[i..i + n]);
            let loaded = self.load(n as u32, false, here);
            let d = self.b.binary_imm(BinaryOp::Bxor, loaded, i64::from_le_bytes(word));
            difference = Some(match difference {
                None => d,
                Some(all) => self.b.bor(all, d),
            });
            i += n;
            if i.is_multiple_of(32) && i < bytes.len() {
                // Long literals: leave at the first difference.
                if let Some(d) = difference.take() {
                    let next = self.block();
                    self.brif(d, differs, next);
                    self.start(next);
                }
            }
        }
        match difference {
            Some(d) => self.brif(d, differs, same),
            None => self.jump(same),
        }
    }

    /// Bytes with a length against constants: the length first, so that no byte beyond it is loaded.
    fn equal_slice(&mut self, lit: &[u8], ptr: Value, n: Value, len: u32, same: Block, differs: Block) {
        let body = self.block();
        if (len as usize) > lit.len() {
            let fits = self.b.icmp_imm(Cond::Eq, n, lit.len() as i64);
            self.brif(fits, body, differs);
        } else {
            let fits = self.b.icmp_imm(Cond::Uge, n, i64::from(len));
            self.brif(fits, body, differs);
        }
        self.start(body);
        let bytes = &lit[..lit.len().min(len as usize)];
        // Nothing is known of the pointer's alignment; data may be loaded unaligned.
        self.equal_bytes(bytes, Mem { ptr, offset: 0, align: 8 }, same, differs);
    }

    /// Two memories. Strings are zero behind their NUL, so that equal strings are equal bytes.
    fn equal_memory(
        &mut self,
        (a, n): (Mem, u32),
        (b, m): (Mem, u32),
        len: u32,
        strings: bool,
        same: Block,
        differs: Block,
    ) {
        let common = n.min(m).min(len);
        // The longer one must end where the shorter one's room does.
        let after = if strings && n != m && len > common { self.block() } else { same };
        if common <= UNROLLED {
            self.equal_unrolled(a, b, common, after, differs);
        } else {
            self.equal_loop(a, b, common, after, differs);
        }
        if after != same {
            self.start(after);
            let longer = if n > m { a } else { b };
            let next = self.load(1, false, longer.at(common));
            self.brif(next, differs, same);
        }
    }

    fn equal_unrolled(&mut self, a: Mem, b: Mem, len: u32, same: Block, differs: Block) {
        let mut difference = None;
        let mut i = 0;
        while i < len {
            let align = a.at(i).align.min(b.at(i).align);
            let n = [8, 4, 2, 1].into_iter().find(|n| i + n <= len && align >= *n).unwrap_or(1);
            let x = self.load(n, false, a.at(i));
            let y = self.load(n, false, b.at(i));
            let d = self.b.bxor(x, y);
            difference = Some(match difference {
                None => d,
                Some(all) => self.b.bor(all, d),
            });
            i += n;
        }
        match difference {
            Some(d) => self.brif(d, differs, same),
            None => self.jump(same),
        }
    }

    fn equal_loop(&mut self, a: Mem, b: Mem, len: u32, same: Block, differs: Block) {
        let step = if a.align.min(b.align) == 8 { 8 } else { 1 };
        let whole = len / step * step;
        let (pa, pb) = (self.addr(a), self.addr(b));
        let counter = self.new_var();
        let zero = self.iconst(0);
        self.set_var(counter, zero);
        let (header, body, next, tail) = (self.block(), self.block(), self.block(), self.block());
        self.jump(header);
        self.start_loop(header);
        let i = self.read_var(counter);
        let go_on = self.b.icmp_imm(Cond::Ult, i, i64::from(whole));
        self.brif(go_on, body, tail);
        self.start(body);
        let x = self.b.ptr_index(pa, i, whole - step);
        let y = self.b.ptr_index(pb, i, whole - step);
        let x = self.load(step, false, Mem { ptr: x, offset: 0, align: step });
        let y = self.load(step, false, Mem { ptr: y, offset: 0, align: step });
        let unequal = self.b.icmp(Cond::Ne, x, y);
        self.brif(unequal, differs, next);
        self.start(next);
        let i = self.b.binary_imm(BinaryOp::Iadd, i, i64::from(step));
        self.set_var(counter, i);
        self.jump(header);
        self.seal(header);
        self.start(tail);
        self.equal_unrolled(a.at(whole), b.at(whole), len - whole, same, differs);
    }
}
