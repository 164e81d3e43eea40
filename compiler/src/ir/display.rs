//! The text form. [`super::parser`] reads it back.
//!
//! ```text
//! function "kprobe:f" kernel kprobe {
//!     ss0 = slot 8, align 8
//!     data0 = "GET\x00"
//!     path0 = struct "sock" "__sk_common.skc_num"
//!     @1 = 0:17..24
//! block0(v0: ctx):
//!     v1 = load.u32 v0+16 @1
//!     v2 = slot_addr ss0+0
//!     store.b8 v1, v2+0
//!     lookup map0, v2, block1, block2
//! block1(v3: map):
//!     v4 = iconst 1
//!     atomic_add.b8 v4, v3+0
//!     jump block2
//! block2:
//!     v5 = iconst 0
//!     return v5
//! }
//! ```

use super::{Block, Dest, Function, InstData, Op, SpanId, Target, Term, names::Named};
use std::fmt::{self, Formatter, Write as _};
use weftrace_artifact::program::FieldPath;

impl fmt::Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "function {} ", Quoted(self.name.as_bytes()))?;
        match self.target {
            Target::Native => writeln!(f, "native {{")?,
            Target::Kernel(prog_type) => writeln!(f, "kernel {} {{", prog_type.word())?,
        }
        for (i, slot) in self.slots.iter().enumerate() {
            writeln!(f, "    ss{i} = slot {}, align {}", slot.size, slot.align)?;
        }
        for (i, data) in self.data.iter().enumerate() {
            writeln!(f, "    data{i} = {}", Quoted(data))?;
        }
        for (i, path) in self.paths.iter().enumerate() {
            writeln!(f, "    path{i} = {}", PathText(path))?;
        }
        for (i, place) in self.spans.iter().enumerate() {
            // The whole probe's place is left out where nothing is known of it.
            if i > 0 || *place != weftrace_artifact::Place::default() {
                writeln!(f, "    @{i} = {}:{}..{}", place.file, place.start, place.end)?;
            }
        }
        for block in self.blocks() {
            self.fmt_block(f, block)?;
        }
        writeln!(f, "}}")
    }
}

impl Function {
    fn fmt_block(&self, f: &mut Formatter<'_>, block: Block) -> fmt::Result {
        let data = &self.blocks[block.index()];
        write!(f, "{block}")?;
        for (i, &param) in data.params.iter().enumerate() {
            let open = if i == 0 { "(" } else { ", " };
            write!(f, "{open}{param}: {}", self.value_type(param))?;
        }
        writeln!(f, "{}:", if data.params.is_empty() { "" } else { ")" })?;
        for &inst in &data.insts {
            writeln!(f, "    {}", InstText(&self.insts[inst.index()]))?;
        }
        writeln!(f, "    {}{}", data.term, SpanText(data.term_span))
    }
}

/// One instruction as it stands in the text form.
pub(crate) struct InstText<'a>(pub(crate) &'a InstData);

impl fmt::Display for InstText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(v) = self.0.result {
            write!(f, "{v} = ")?;
        }
        write!(f, "{}{}", self.0.op, SpanText(self.0.span))
    }
}

struct SpanText(SpanId);

impl fmt::Display for SpanText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == SpanId(0) { Ok(()) } else { write!(f, " {}", self.0) }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iconst(n) => write!(f, "iconst {n}"),
            Self::Binary { op, a, b } => write!(f, "{} {a}, {b}", op.word()),
            Self::Unary { op, a } => write!(f, "{} {a}", op.word()),
            Self::Icmp { cond, a, b } => write!(f, "icmp {} {a}, {b}", cond.word()),
            Self::Select { cond, a, b } => write!(f, "select {cond}, {a}, {b}"),
            Self::SlotAddr { slot, offset } => write!(f, "slot_addr {slot}+{offset}"),
            Self::PtrInt { ptr } => write!(f, "ptr_int {ptr}"),
            Self::PtrAdd { ptr, offset } => write!(f, "ptr_add {ptr}, {offset}"),
            Self::PtrIndex { ptr, index, max } => write!(f, "ptr_index {ptr}, {index}, max {max}"),
            Self::FieldOff { base, offset, path } => write!(f, "field_off {base}{offset:+}, {path}"),
            Self::Load { mem, ptr, offset, path } => {
                write!(f, "load.{} {ptr}{offset:+}", mem.word())?;
                path.map_or(Ok(()), |p| write!(f, ", {p}"))
            }
            Self::LoadPtr { ptr, offset } => write!(f, "load_ptr {ptr}{offset:+}"),
            Self::Store { size, value, ptr, offset } => write!(f, "store.{} {value}, {ptr}{offset:+}", size.word()),
            Self::StoreData { data, ptr, offset } => write!(f, "store_data {data}, {ptr}{offset:+}"),
            Self::Fill { ptr, offset, len } => write!(f, "fill {ptr}{offset:+}, {len}"),
            Self::Copy { dst, dst_offset, src, src_offset, len } => {
                write!(f, "copy {dst}{dst_offset:+}, {src}{src_offset:+}, {len}")
            }
            Self::AtomicAdd { size, value, ptr, offset } => {
                write!(f, "atomic_add.{} {value}, {ptr}{offset:+}", size.word())
            }
            Self::Call { helper, map, args } => {
                write!(f, "call {}", helper.row().name)?;
                if let Some(map) = map {
                    write!(f, " map{}", map.0)?;
                }
                f.write_char('(')?;
                comma_separated(f, args)?;
                f.write_char(')')
            }
            Self::Submit { record } => write!(f, "submit {record}"),
            Self::Discard { record } => write!(f, "discard {record}"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "unfinished"),
            Self::Jump(dest) => write!(f, "jump {dest}"),
            Self::Brif { cond, then, otherwise } => write!(f, "brif {cond}, {then}, {otherwise}"),
            Self::Lookup { map, key, found, missing } => write!(f, "lookup map{}, {key}, {found}, {missing}", map.0),
            Self::Reserve { action, size, ok, full } => write!(f, "reserve action{}, {size}, {ok}, {full}", action.0),
            Self::Return(v) => write!(f, "return {v}"),
        }
    }
}

impl fmt::Display for Dest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.block)?;
        if self.args.is_empty() {
            return Ok(());
        }
        f.write_char('(')?;
        comma_separated(f, &self.args)?;
        f.write_char(')')
    }
}

fn comma_separated(f: &mut Formatter<'_>, values: &[super::Value]) -> fmt::Result {
    for (i, v) in values.iter().enumerate() {
        write!(f, "{}{v}", if i == 0 { "" } else { ", " })?;
    }
    Ok(())
}

struct PathText<'a>(&'a FieldPath);

impl fmt::Display for PathText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (kind, parts) = match self.0 {
            FieldPath::Struct { name, members } => ("struct", vec![name, members]),
            FieldPath::Tracepoint { category, event, field } => ("tracepoint", vec![category, event, field]),
            FieldPath::LinkKind => ("link", vec![]),
        };
        f.write_str(kind)?;
        parts.into_iter().try_for_each(|part| write!(f, " {}", Quoted(part.as_bytes())))
    }
}

/// Bytes in double quotes; what isn't printable ASCII as `\xNN`.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for &byte in self.0 {
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", byte as char)?,
                b'\n' => f.write_str("\\n")?,
                b' '..=b'~' => f.write_char(byte as char)?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_char('"')
    }
}
