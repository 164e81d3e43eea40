//! Arguments of static markers: `-4@-20(%rbp)`, `8@$5`, `1@%al`, `8@(%rax,%rbx,8)`, `4@[sp, 12]`.
//!
//! `N@` is the size in bytes, negative if signed; what follows is an operand as the assembler writes it. A register is told by its
//! offset in struct pt_regs of the *kernel's* word size: 32-bit programs' registers are the lower halves.

use object::elf::{EM_386, EM_AARCH64, EM_X86_64};
use weftrace_arch::{AARCH64, X86_64};
use weftrace_lang::world::{UsdtArg, UsdtPlace};

/// Arguments kept of a marker: <sys/sdt.h> makes at most 12.
const MOST_ARGS: usize = 32;
/// Size where none is written.
const WORD: u8 = 8;

/// How one file writes its arguments.
pub(super) struct Parser<'a> {
    /// e_machine
    pub(super) machine: u16,
    /// Address of a symbol of the file.
    pub(super) symbol: &'a dyn Fn(&str) -> Option<u64>,
}

impl Parser<'_> {
    /// All arguments of a marker at an address.
    pub(super) fn all(&self, text: &str, location: u64) -> Vec<UsdtArg> {
        split(text).into_iter().take(MOST_ARGS).map(|arg| self.one(arg, location)).collect()
    }

    fn one(&self, text: &str, location: u64) -> UsdtArg {
        let unreadable = |size| UsdtArg { size, signed: false, place: UsdtPlace::Unreadable(text.to_owned()) };
        let (size, operand) = text.split_once('@').unwrap_or(("", text));
        // `8f@%xmm0`: floating point, in a register that a program doesn't get.
        let (signed, size) = match size.strip_prefix('-') {
            Some(size) => (true, size),
            None => (false, size),
        };
        let size = match size {
            "" => WORD,
            "1" => 1,
            "2" => 2,
            "4" => 4,
            "8" => 8,
            _ => return unreadable(WORD),
        };
        let place = match self.machine {
            EM_X86_64 | EM_386 => self.x86(operand, location),
            EM_AARCH64 => self.aarch64(operand),
            _ => None,
        };
        match place {
            Some(place) => UsdtArg { size, signed, place },
            None => unreadable(size),
        }
    }

    /// AT&T syntax.
    fn x86(&self, operand: &str, location: u64) -> Option<UsdtPlace> {
        let operand = operand.trim_start_matches('*');
        if let Some(constant) = operand.strip_prefix('$') {
            return self.sum(constant).map(UsdtPlace::Constant);
        }
        if let Some(name) = operand.strip_prefix('%').filter(|name| !name.contains([':', '('])) {
            let (register, shift) = (X86_64.assembler)(name)?;
            return Some(UsdtPlace::Register { register, shift });
        }
        // What a segment register points to is not among the registers.
        if operand.starts_with('%') {
            return None;
        }
        let Some((offset, parts)) = operand.strip_suffix(')').and_then(|o| o.split_once('(')) else {
            // Without registers: an absolute address, which only a program at a fixed address has.
            return Some(memory(None, self.sum(operand)?));
        };
        let offset = if offset.is_empty() { 0 } else { self.sum(offset)? };
        let mut parts = parts.split(',').map(str::trim);
        let whole = |name: &str| match name.strip_prefix('%').and_then(X86_64.assembler) {
            Some((register, 0)) => Some(register),
            _ => None,
        };
        let base = match parts.next()? {
            "" => None,
            // An address of the file, relative to the instruction: the program sees where that is now.
            "%rip" | "%eip" => {
                return Some(memory(Some(X86_64.instruction_pointer), offset.wrapping_sub(location as i64)));
            }
            name => Some(whole(name)?),
        };
        let index = match parts.next() {
            None | Some("") => None,
            Some(name) => Some(whole(name)?),
        };
        let scale = match parts.next() {
            None | Some("") => 1,
            Some(n) => n.parse().ok().filter(|n| matches!(n, 1 | 2 | 4 | 8))?,
        };
        Some(UsdtPlace::Memory { base, index, scale, offset })
    }

    /// `x0`, `w1`, `sp`, `5`, `[x0]`, `[sp, 12]`, `[x1, x2]`, `[x1, x2, lsl 3]`.
    fn aarch64(&self, operand: &str) -> Option<UsdtPlace> {
        let Some(inside) = operand.strip_prefix('[').and_then(|o| o.strip_suffix(']')) else {
            return match aarch64(operand) {
                Some(register) => Some(UsdtPlace::Register { register, shift: 0 }),
                None => self.sum(operand.trim_start_matches('#')).map(UsdtPlace::Constant),
            };
        };
        let mut parts = inside.split(',').map(str::trim);
        let base = Some(aarch64(parts.next()?)?);
        let (mut index, mut offset, mut scale) = (None, 0, 1);
        if let Some(second) = parts.next() {
            match aarch64(second) {
                Some(register) => index = Some(register),
                None => offset = self.sum(second.trim_start_matches('#'))?,
            }
        }
        if let Some(shift) = parts.next() {
            let by: u8 = shift.strip_prefix("lsl")?.trim().trim_start_matches('#').parse().ok().filter(|n| *n <= 3)?;
            scale = 1 << by;
        }
        Some(UsdtPlace::Memory { base, index, scale, offset })
    }

    /// `-4`, `0x10`, `table+8`, `8+table-4`
    fn sum(&self, text: &str) -> Option<i64> {
        let mut total = 0i64;
        let mut rest = text.trim();
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let negative = rest.starts_with('-');
            rest = rest.trim_start_matches(['+', '-']).trim_start();
            let end = rest.find(['+', '-']).unwrap_or(rest.len());
            let (term, after) = rest.split_at(end);
            let value = number(term.trim()).or_else(|| (self.symbol)(term.trim()).map(|a| a as i64))?;
            total = if negative { total.wrapping_sub(value) } else { total.wrapping_add(value) };
            rest = after;
        }
        Some(total)
    }
}

fn aarch64(name: &str) -> Option<u16> {
    (AARCH64.assembler)(name).map(|r| r.0)
}

fn memory(base: Option<u16>, offset: i64) -> UsdtPlace {
    UsdtPlace::Memory { base, index: None, scale: 1, offset }
}

/// Decimal or hexadecimal, up to all 64 bits; None: no number.
fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|n| n as i64),
        None => text.parse::<u64>().ok().map(|n| n as i64),
    }
}

/// At blanks, but those in brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut out, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            ' ' if depth <= 0 => {
                out.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out.retain(|arg| !arg.is_empty());
    out
}
