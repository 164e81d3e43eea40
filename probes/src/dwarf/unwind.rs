//! Unwinding without frame pointers, by `.eh_frame` (System V ABI; DWARF 5, 6.4), over a copy of registers and stack.

use super::sections::{Reader, Sections};
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, Encoding, EvaluationResult, Format, FrameDescriptionEntry,
    ParsedEhFrameHdr, Pointer, Register, RegisterRule, UnwindContext, UnwindExpression, UnwindSection,
};
use std::cell::RefCell;
use std::path::Path;
use weftrace_arch::{Dwarf, THIS};

/// Registers by DWARF's numbers, that of the program counter last.
const DWARF: Dwarf = THIS.dwarf;
const REGISTERS: usize = DWARF.offsets.len();
const SP: usize = DWARF.stack_pointer;
const FP: usize = DWARF.frame_pointer;
const PC: usize = REGISTERS - 1;

/// A process's registers, as far as they are known in a frame.
#[derive(Clone, Debug)]
pub struct Registers([Option<u64>; REGISTERS]);

impl Registers {
    /// From the kernel's struct pt_regs (user_pt_regs on aarch64).
    pub fn from_kernel(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let mut all = [None; REGISTERS];
        for (register, offset) in all.iter_mut().zip(DWARF.offsets) {
            *register = Some(word(usize::from(*offset))?);
        }
        Some(Self(all))
    }

    pub fn pc(&self) -> Option<u64> {
        self.0[PC]
    }

    pub fn sp(&self) -> Option<u64> {
        self.0[SP]
    }

    fn get(&self, register: Register) -> Option<u64> {
        self.0.get(usize::from(register.0)).copied().flatten()
    }

    /// The caller's, where a function keeps the frame pointer: the last resort for code without unwind information.
    pub fn by_frame_pointer(&self, stack: &StackCopy<'_>) -> Option<Self> {
        let frame = self.0[FP].filter(|fp| *fp >= self.0[SP].unwrap_or(0))?;
        let mut caller = Self([None; REGISTERS]);
        // Whatever the program had in that register.
        caller.0[FP] = Some(stack.word(frame)?);
        caller.0[PC] = Some(stack.word(frame.checked_add(8)?)?);
        caller.0[SP] = Some(frame.checked_add(16)?);
        Some(caller)
    }
}

/// A copied piece of a stack.
#[derive(Clone, Copy, Debug)]
pub struct StackCopy<'a> {
    /// Address of the first byte.
    pub start: u64,
    pub bytes: &'a [u8],
}

impl StackCopy<'_> {
    fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.start)?).ok()?;
        Some(u64::from_ne_bytes(self.bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
    }
}

/// What one step up gave.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made and taken apart once per frame, never kept")]
pub enum Step {
    /// The caller; whether the frame that was left is a signal's, so that its return address is that of an instruction.
    Caller(Registers, bool),
    /// The outermost function.
    End,
    /// The stack goes on beyond what was copied.
    Beyond,
    /// Nothing is known about this address.
    Unknown,
}

/// Unwind information of one file.
pub struct UnwindInfo {
    frames: EhFrame<Reader>,
    header: Option<ParsedEhFrameHdr<Reader>>,
    bases: BaseAddresses,
    context: RefCell<UnwindContext<usize>>,
    encoding: Encoding,
}

impl std::fmt::Debug for UnwindInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnwindInfo")
    }
}

impl UnwindInfo {
    /// None: the file has none, or can't be read.
    pub fn open(path: &Path) -> Option<Self> {
        Self::from_sections(&Sections::read(path, is_unwind).ok()?)
    }

    /// Of an image in memory.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::from_sections(&Sections::of(bytes, is_unwind).ok()?)
    }

    pub(super) fn from_sections(sections: &Sections) -> Option<Self> {
        let mut bases = BaseAddresses::default().set_eh_frame(sections.address(".eh_frame")?);
        let mut header = None;
        if let Some(address) = sections.address(".eh_frame_hdr") {
            bases = bases.set_eh_frame_hdr(address);
            let reader = sections.reader(".eh_frame_hdr");
            // A row has four bytes at least: a table that says to have more is none.
            let most = gimli::Reader::len(&reader) / 4;
            let rows = |header: &ParsedEhFrameHdr<Reader>| header.table().map_or(0, |t| t.iter(&bases).size_hint().0);
            header = EhFrameHdr::from(reader).parse(&bases, 8).ok().filter(|header| rows(header) <= most);
        }
        Some(Self {
            frames: EhFrame::from(sections.reader(".eh_frame")),
            header,
            bases,
            context: RefCell::new(UnwindContext::new()),
            encoding: Encoding { format: Format::Dwarf32, version: 4, address_size: 8 },
        })
    }

    /// What is said of the code at an address of the file.
    fn entry(&self, address: u64) -> Option<FrameDescriptionEntry<Reader>> {
        let Some((header, table)) = self.header.as_ref().and_then(|header| Some((header, header.table()?))) else {
            return self.frames.fde_for_address(&self.bases, address, EhFrame::cie_from_offset).ok();
        };
        let at = table.lookup(address, &self.bases).and_then(Pointer::direct).ok()?;
        let offset = usize::try_from(at.checked_sub(header.eh_frame_ptr().direct().ok()?)?).ok()?;
        let entry = self.frames.fde_from_offset(&self.bases, offset.into(), EhFrame::cie_from_offset).ok()?;
        entry.contains(address).then_some(entry)
    }

    /// From a frame whose code is at `address` of the file to its caller.
    pub fn step(&self, address: u64, registers: &Registers, stack: &StackCopy<'_>) -> Step {
        let Some(entry) = self.entry(address) else { return Step::Unknown };
        let mut context = self.context.borrow_mut();
        let Ok(row) = entry.unwind_info_for_address(&self.frames, &self.bases, &mut context, address) else {
            return Step::Unknown;
        };
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                registers.get(*register).map(|base| base.wrapping_add_signed(*offset))
            }
            CfaRule::Expression(expression) => self.evaluate(expression, registers, stack, None),
        };
        let Some(cfa) = cfa else { return Step::Unknown };
        let mut caller = registers.clone();
        caller.0[SP] = Some(cfa);
        caller.0[PC] = None;
        let mut ends = false;
        let mut beyond = false;
        let ret = entry.cie().return_address_register();
        let mut saved = |address: Option<u64>| {
            let found = stack.word(address?);
            beyond |= found.is_none();
            found
        };
        for (register, rule) in row.registers() {
            let value = match rule {
                RegisterRule::Undefined => {
                    ends |= *register == ret;
                    None
                }
                RegisterRule::SameValue => registers.get(*register),
                RegisterRule::Offset(offset) => saved(Some(cfa.wrapping_add_signed(*offset))),
                RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add_signed(*offset)),
                RegisterRule::Register(other) => registers.get(*other),
                RegisterRule::Expression(e) => saved(self.evaluate(e, registers, stack, Some(cfa))),
                RegisterRule::ValExpression(e) => self.evaluate(e, registers, stack, Some(cfa)),
                RegisterRule::Constant(value) => Some(*value),
                RegisterRule::Architectural => None,
            };
            if let Some(slot) = caller.0.get_mut(usize::from(register.0)) {
                *slot = value;
            }
        }
        // On aarch64 the return address is in a register of its own.
        if usize::from(ret.0) != PC && !ends {
            caller.0[PC] = caller.get(ret);
        }
        match caller.0[PC] {
            Some(0) => Step::End,
            _ if ends => Step::End,
            None if beyond => Step::Beyond,
            None => Step::Unknown,
            Some(_) => Step::Caller(caller, entry.is_signal_trampoline()),
        }
    }

    fn evaluate(
        &self,
        expression: &UnwindExpression<usize>,
        registers: &Registers,
        stack: &StackCopy<'_>,
        initial: Option<u64>,
    ) -> Option<u64> {
        let mut evaluation = expression.get(&self.frames).ok()?.evaluation(self.encoding);
        evaluation.set_max_iterations(1000);
        if let Some(value) = initial {
            evaluation.set_initial_value(value);
        }
        let mut state = evaluation.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(gimli::Value::Generic(registers.get(register)?)).ok()?
                }
                EvaluationResult::RequiresMemory { address, size: 8, .. } => {
                    evaluation.resume_with_memory(gimli::Value::Generic(stack.word(address)?)).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.as_result().first()?.location {
            gimli::Location::Address { address } => Some(address),
            _ => None,
        }
    }
}

fn is_unwind(name: &str) -> bool {
    matches!(name, ".eh_frame" | ".eh_frame_hdr")
}
