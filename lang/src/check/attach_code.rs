//! Whether a probe within a function is where an instruction begins.

use super::attach::{Fault, Point, bad};
use super::cx::Checker;
use super::providers::ProviderKind;
use crate::diag::Diagnostic;
use crate::world::{UserPlace, UserSymbol};

impl Checker<'_> {
    /// A probe beyond a function's end is in another one, or in the middle of an instruction.
    pub(super) fn bounds(&self, p: &Point<'_>, s: &UserSymbol, offset: u64) -> Result<(), Fault> {
        let span = p.segment_span(p.segments.len() - 1);
        if s.size == 0 && offset == 0 {
            if self.opts.unsafe_ok {
                return Ok(());
            }
            let d = Diagnostic::error("bad-attach-point", span, format!("{} has size 0 in {}", s.name, s.file()))
                .label("it may be no function at all")
                .note("--unsafe attaches all the same: where no instruction begins that breaks the program")
                .bpftrace(format!("ERROR: Could not determine boundary for {} (symbol has size 0).\nUse --unsafe to force attachment. WARNING: This option could lead to data corruption in the target process.", s.name));
            return Err(bad(d));
        }
        if offset >= s.size && offset != 0 {
            let (name, size) = (&s.name, s.size);
            let d =
                Diagnostic::error("bad-attach-point", span, format!("{name} has {size} bytes: +{offset} is beyond"))
                    .bpftrace(format!("Offset outside the function bounds ('{name}' size is {size})"));
            return Err(bad(d));
        }
        let name = |offset| if offset == 0 { s.name.clone() } else { format!("{}+{offset}", s.name) };
        self.whole_instruction(p, s.file(), (&s.path, s.file_offset, offset), name)
    }

    /// A probe in the middle of an instruction breaks the traced program. `code`: file, where its function begins there, the offset in that.
    fn whole_instruction(
        &self,
        p: &Point<'_>,
        file: &str,
        (path, start, offset): (&str, u64, u64),
        name: impl Fn(u64) -> String,
    ) -> Result<(), Fault> {
        /// No instruction is longer.
        const LONGEST: u64 = 15;
        let begins = |offset| self.world.user_instruction(path, start, start.saturating_add(offset)).found();
        // What can't be told is the user's to know.
        if offset == 0 || self.opts.unsafe_ok || begins(offset) != Some(false) {
            return Ok(());
        }
        let is_start = |offset: &u64| begins(*offset) == Some(true);
        let before = (offset.saturating_sub(LONGEST)..offset).rev().find(is_start);
        let after = (offset + 1..=offset.saturating_add(LONGEST)).find(is_start);
        let near: Vec<String> = before.into_iter().chain(after).map(|at| p.named(&[file, &name(at)])).collect();
        let span = p.segment_span(p.segments.len() - 1);
        let what = name(offset);
        let d = Diagnostic::error("bad-attach-point", span, format!("{what} is in the middle of an instruction"))
            .note("a probe there would break the program; --unsafe attaches all the same")
            .write(near.join(" or "))
            .bpftrace(format!("ERROR: Could not add uprobe into middle of instruction: {file}:{what}\nUse --unsafe to force attachment. WARNING: This option could lead to data corruption in the target process."));
        Err(bad(d))
    }

    /// Whether a probe at an address is safe as far as the file says.
    pub(super) fn address_of_code(
        &self,
        p: &Point<'_>,
        binary: &str,
        address: u64,
        place: &UserPlace,
    ) -> Result<(), Fault> {
        let span = p.segment_span(p.segments.len() - 1);
        let refused = |message: String| {
            let d = Diagnostic::error("bad-attach-point", span, message)
                .note("--unsafe attaches all the same: where no instruction begins that breaks the program")
                .bpftrace(format!("ERROR: Could not resolve address: {binary}:{address:#x}"));
            Err(bad(d))
        };
        match &place.function {
            Some(f) if p.row.kind == ProviderKind::Uretprobe && address != f.address => {
                let message = format!("{address:#x} is within {}: a return has no offset", f.name);
                Err(bad(Diagnostic::error("bad-attach-point", span, message).write(p.named(&[binary, &f.name]))))
            }
            Some(f) => {
                let offset = address.saturating_sub(f.address);
                let start = place.file_offset.saturating_sub(offset);
                let named = |offset| format!("{:#x}", f.address.saturating_add(offset));
                self.whole_instruction(p, binary, (&place.path, start, offset), named)
            }
            None if self.opts.unsafe_ok => Ok(()),
            None if place.flat => refused(format!("{binary} is neither a program nor a library")),
            None => refused(format!("{binary} names no function at {address:#x}")),
        }
    }
}
