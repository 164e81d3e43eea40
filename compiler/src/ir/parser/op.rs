//! Instructions and terminators.

use super::line::Line;
use crate::ir::names::{Named, helper_from_word};
use crate::ir::{BinaryOp, Block, Data, Dest, Op, Path, Slot, Term, UnaryOp, Value};
use std::collections::HashMap;
use weftrace_artifact::{action::ActionId, map::MapId};

pub(super) enum Statement {
    Op(Op),
    Term(Term),
}

/// The names that a statement can use.
pub(super) struct Scope<'a> {
    pub(super) values: &'a HashMap<u32, Value>,
    pub(super) blocks: &'a HashMap<u32, Block>,
}

impl Scope<'_> {
    pub(super) fn statement(&self, line: &mut Line<'_>) -> Result<Statement, String> {
        let word = line.word()?;
        if let Some(term) = self.term(word, line)? {
            return Ok(Statement::Term(term));
        }
        let op = match word.split_once('.') {
            Some((name, width)) => self.sized(name, width, line)?,
            None => match self.pure(word, line)? {
                Some(op) => Some(op),
                None => self.memory(word, line)?,
            },
        };
        op.map(Statement::Op).ok_or_else(|| format!("unknown instruction `{word}`"))
    }

    fn term(&self, word: &str, line: &mut Line<'_>) -> Result<Option<Term>, String> {
        Ok(Some(match word {
            "unfinished" => Term::None,
            "jump" => Term::Jump(self.dest(line)?),
            "brif" => {
                let cond = self.value_then_comma(line)?;
                let then = self.dest(line)?;
                line.expect(',')?;
                Term::Brif { cond, then, otherwise: self.dest(line)? }
            }
            "lookup" => {
                let map = MapId(line.entity("map")?);
                line.expect(',')?;
                let key = self.value_then_comma(line)?;
                let found = self.dest(line)?;
                line.expect(',')?;
                Term::Lookup { map, key, found, missing: self.dest(line)? }
            }
            "reserve" => {
                let action = ActionId(line.entity("action")?);
                line.expect(',')?;
                let size = line.int()?;
                line.expect(',')?;
                let ok = self.dest(line)?;
                line.expect(',')?;
                Term::Reserve { action, size, ok, full: self.dest(line)? }
            }
            "return" => Term::Return(self.value(line)?),
            _ => return Ok(None),
        }))
    }

    /// Arithmetic and addresses.
    fn pure(&self, word: &str, line: &mut Line<'_>) -> Result<Option<Op>, String> {
        if let Some(op) = BinaryOp::from_word(word) {
            return Ok(Some(Op::Binary { op, a: self.value_then_comma(line)?, b: self.value(line)? }));
        }
        if let Some(op) = UnaryOp::from_word(word) {
            return Ok(Some(Op::Unary { op, a: self.value(line)? }));
        }
        Ok(Some(match word {
            "iconst" => Op::Iconst(line.constant()?),
            "icmp" => {
                let cond = line.named("condition")?;
                Op::Icmp { cond, a: self.value_then_comma(line)?, b: self.value(line)? }
            }
            "select" => {
                let cond = self.value_then_comma(line)?;
                Op::Select { cond, a: self.value_then_comma(line)?, b: self.value(line)? }
            }
            "slot_addr" => Op::SlotAddr { slot: Slot(line.entity("ss")?), offset: line.offset()? },
            "ptr_add" => Op::PtrAdd { ptr: self.value_then_comma(line)?, offset: line.int()? },
            "ptr_int" => Op::PtrInt { ptr: self.value(line)? },
            "ptr_index" => {
                let (ptr, index) = (self.value_then_comma(line)?, self.value_then_comma(line)?);
                line.keyword("max")?;
                Op::PtrIndex { ptr, index, max: line.int()? }
            }
            "field_off" => {
                let (base, offset) = (self.value(line)?, line.offset()?);
                line.expect(',')?;
                Op::FieldOff { base, offset, path: Path(line.entity("path")?) }
            }
            _ => return Ok(None),
        }))
    }

    /// Memory and calls without a width in their name.
    fn memory(&self, word: &str, line: &mut Line<'_>) -> Result<Option<Op>, String> {
        Ok(Some(match word {
            "load_ptr" => {
                let (ptr, offset) = self.address(line)?;
                Op::LoadPtr { ptr, offset }
            }
            "store_data" => {
                let data = Data(line.entity("data")?);
                line.expect(',')?;
                let (ptr, offset) = self.address(line)?;
                Op::StoreData { data, ptr, offset }
            }
            "fill" => {
                let (ptr, offset) = self.address(line)?;
                line.expect(',')?;
                Op::Fill { ptr, offset, len: line.int()? }
            }
            "copy" => {
                let (dst, dst_offset) = self.address(line)?;
                line.expect(',')?;
                let (src, src_offset) = self.address(line)?;
                line.expect(',')?;
                Op::Copy { dst, dst_offset, src, src_offset, len: line.int()? }
            }
            "call" => {
                let name = line.word()?;
                let helper = helper_from_word(name).ok_or_else(|| format!("unknown helper `{name}`"))?;
                let map = if line.at_entity("map") { Some(MapId(line.entity("map")?)) } else { None };
                Op::Call { helper, map, args: self.arguments(line)? }
            }
            "submit" => Op::Submit { record: self.value(line)? },
            "discard" => Op::Discard { record: self.value(line)? },
            _ => return Ok(None),
        }))
    }

    /// `load.u32`, `store.b8`, `atomic_add.b4`
    fn sized(&self, name: &str, width: &str, line: &mut Line<'_>) -> Result<Option<Op>, String> {
        let unknown = || format!("`{width}` is not a width of {name}");
        Ok(Some(match name {
            "load" => {
                let mem = Named::from_word(width).ok_or_else(unknown)?;
                let (ptr, offset) = self.address(line)?;
                let path = if line.take(',') { Some(Path(line.entity("path")?)) } else { None };
                Op::Load { mem, ptr, offset, path }
            }
            "store" | "atomic_add" => {
                let size = Named::from_word(width).ok_or_else(unknown)?;
                let value = self.value_then_comma(line)?;
                let (ptr, offset) = self.address(line)?;
                if name == "store" {
                    Op::Store { size, value, ptr, offset }
                } else {
                    Op::AtomicAdd { size, value, ptr, offset }
                }
            }
            _ => return Ok(None),
        }))
    }

    fn value(&self, line: &mut Line<'_>) -> Result<Value, String> {
        let number = line.entity("v")?;
        self.values.get(&number).copied().ok_or_else(|| format!("v{number} is not defined"))
    }

    fn value_then_comma(&self, line: &mut Line<'_>) -> Result<Value, String> {
        let value = self.value(line)?;
        line.expect(',')?;
        Ok(value)
    }

    /// `v1+8`
    fn address(&self, line: &mut Line<'_>) -> Result<(Value, i32), String> {
        Ok((self.value(line)?, line.offset()?))
    }

    /// `(v1, v2)`
    fn arguments(&self, line: &mut Line<'_>) -> Result<Vec<Value>, String> {
        line.expect('(')?;
        let mut args = vec![];
        if line.take(')') {
            return Ok(args);
        }
        loop {
            args.push(self.value(line)?);
            if line.take(')') {
                return Ok(args);
            }
            line.expect(',')?;
        }
    }

    fn dest(&self, line: &mut Line<'_>) -> Result<Dest, String> {
        let number = line.entity("block")?;
        let block = *self.blocks.get(&number).ok_or_else(|| format!("block{number} is not defined"))?;
        let args = if line.at_punct('(') { self.arguments(line)? } else { vec![] };
        Ok(Dest { block, args })
    }
}
