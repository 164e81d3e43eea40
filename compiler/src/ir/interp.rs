//! The reference interpreter: it defines what the IR means. The eBPF and native back ends must agree with it on results, maps,
//! records and losses.
//!
//! Values are integers or (object, offset) pairs, so that every access is checked: bounds, bytes that were never written, records
//! and map values that are gone. A function that stops with an [`InterpError`] other than [`InterpError::OutOfFuel`]
//! has no meaning: whoever made it (or a pass) is wrong, and back ends may do anything with it.

pub mod eval;
mod helpers;
pub mod host;
mod memory;

use super::{Block, Dest, Function, Op, SpanId, Term, Value};
use host::Host;
use memory::{Memory, Object};

/// What an access or an instruction did wrong, with the span it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpError {
    #[error("the fuel ran out")]
    OutOfFuel,
    #[error("{what} at bytes {start}..{end} of {object}")]
    Memory { what: Fault, object: String, start: i64, end: i64, span: SpanId },
    #[error("index {index} is over the promised maximum of {max}")]
    Index { index: u64, max: u32, span: SpanId },
    #[error("map{0} does not exist")]
    NoMap(u32),
    #[error("the function is malformed: {0}")]
    Malformed(&'static str),
}

/// Why memory refused an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("access out of bounds")]
    OutOfBounds,
    #[error("read of bytes that were never written")]
    Uninitialised,
    #[error("write to read-only memory")]
    ReadOnly,
    #[error("use of a record that was submitted or discarded")]
    DeadRecord,
    #[error("use of a map value that was replaced or deleted")]
    StaleValue,
    #[error("access through a null or wild address")]
    Wild,
}

/// Runs `func` with the context (native: the subject) `host.ctx`; at most `fuel` instructions and terminators.
/// `func` must have passed [`super::verify`].
pub fn run(func: &Function, host: &mut Host, fuel: u64) -> Result<u64, InterpError> {
    let mut machine =
        Machine { func, memory: Memory::new(func), host, values: vec![None; func.values.len()], span: SpanId(0) };
    machine.run(fuel)
}

/// A value at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Val {
    Int(u64),
    Ptr(Object, i64),
}

struct Machine<'a> {
    func: &'a Function,
    host: &'a mut Host,
    memory: Memory,
    values: Vec<Option<Val>>,
    span: SpanId,
}

impl Machine<'_> {
    fn run(&mut self, mut fuel: u64) -> Result<u64, InterpError> {
        let func = self.func;
        let mut block = Block(0);
        self.set(func.blocks[0].params[0], Val::Ptr(Object::Ctx, 0));
        loop {
            let data = &func.blocks[block.index()];
            fuel = fuel.checked_sub(data.insts.len() as u64 + 1).ok_or(InterpError::OutOfFuel)?;
            for &inst in &data.insts {
                let inst = &func.insts[inst.index()];
                self.span = inst.span;
                let result = self.op(&inst.op)?;
                match (inst.result, result) {
                    (Some(value), Some(result)) => self.set(value, result),
                    (None, _) => {}
                    (Some(_), None) => return Err(InterpError::Malformed("an instruction without a result has one")),
                }
            }
            self.span = data.term_span;
            block = match &data.term {
                Term::None => return Err(InterpError::Malformed("a block has no terminator")),
                Term::Return(value) => return self.int(*value),
                Term::Jump(dest) => self.enter(dest, None)?,
                Term::Brif { cond, then, otherwise } => {
                    let dest = if self.int(*cond)? != 0 { then } else { otherwise };
                    self.enter(dest, None)?
                }
                Term::Lookup { map, key, found, missing } => {
                    let size = self.map(map.0)?.key_size();
                    let key = self.read(*key, 0, i64::from(size))?;
                    match self.map(map.0)?.lookup(&key) {
                        Some(element) => self.enter(found, Some(Val::Ptr(Object::Map(map.0, element), 0)))?,
                        None => self.enter(missing, None)?,
                    }
                }
                Term::Reserve { action, size, ok, full } => match self.host.reserve(*action, *size) {
                    Some(record) => self.enter(ok, Some(Val::Ptr(Object::Record(record), 0)))?,
                    None => self.enter(full, None)?,
                },
            };
        }
    }

    /// Passes arguments: all are read before any parameter is set.
    fn enter(&mut self, dest: &Dest, given: Option<Val>) -> Result<Block, InterpError> {
        let mut args: Vec<Val> = given.into_iter().collect();
        for &arg in &dest.args {
            args.push(self.get(arg)?);
        }
        let func = self.func;
        for (&param, arg) in func.blocks[dest.block.index()].params.iter().zip(args) {
            self.set(param, arg);
        }
        Ok(dest.block)
    }

    fn op(&mut self, op: &Op) -> Result<Option<Val>, InterpError> {
        let int = |n: u64| Ok(Some(Val::Int(n)));
        match *op {
            Op::Iconst(n) => int(n as u64),
            Op::Binary { op, a, b } => int(eval::binary(op, self.int(a)?, self.int(b)?)),
            Op::Unary { op, a } => int(eval::unary(op, self.int(a)?)),
            Op::Icmp { cond, a, b } => int(eval::icmp(cond, self.int(a)?, self.int(b)?).into()),
            Op::Select { cond, a, b } => self.get(if self.int(cond)? != 0 { a } else { b }).map(Some),
            Op::FieldOff { base, offset, .. } => int(self.int(base)?.wrapping_add(offset as u64)),
            Op::SlotAddr { slot, offset } => Ok(Some(Val::Ptr(Object::Slot(slot), i64::from(offset)))),
            Op::PtrInt { ptr } => {
                let (object, offset) = self.ptr(ptr)?;
                int(memory::address(object, offset))
            }
            Op::PtrAdd { ptr, offset } => self.moved(ptr, i64::from(offset)),
            Op::PtrIndex { ptr, index, max } => {
                let index = self.int(index)?;
                if index > u64::from(max) {
                    return Err(InterpError::Index { index, max, span: self.span });
                }
                self.moved(ptr, index as i64)
            }
            Op::Call { helper, map, ref args } => self.call(helper, map, args).map(|n| Some(Val::Int(n))),
            _ => self.memory_op(op),
        }
    }

    fn memory_op(&mut self, op: &Op) -> Result<Option<Val>, InterpError> {
        match *op {
            Op::Load { mem, ptr, offset, .. } => {
                let bytes = self.read(ptr, offset, i64::from(mem.bytes()))?;
                return Ok(Some(Val::Int(eval::extend(mem, &bytes))));
            }
            Op::LoadPtr { ptr, offset } => {
                let address = eval::little_endian(&self.read(ptr, offset, 8)?);
                return Ok(Some(match self.host.region_at(address) {
                    Some((region, at)) => Val::Ptr(Object::Data(region), at),
                    None => Val::Ptr(Object::Wild, address as i64),
                }));
            }
            Op::Store { size, value, ptr, offset } => {
                let bytes = self.int(value)?.to_le_bytes();
                self.write(ptr, offset, &bytes[..size.bytes() as usize])?;
            }
            Op::StoreData { data, ptr, offset } => {
                let func = self.func;
                self.write(ptr, offset, &func.data[data.index()])?;
            }
            Op::Fill { ptr, offset, len } => self.write(ptr, offset, &vec![0; len as usize])?,
            Op::Copy { dst, dst_offset, src, src_offset, len } => {
                let bytes = self.read(src, src_offset, i64::from(len))?;
                self.write(dst, dst_offset, &bytes)?;
            }
            Op::AtomicAdd { size, value, ptr, offset } => {
                let old = eval::little_endian(&self.read(ptr, offset, i64::from(size.bytes()))?);
                let bytes = old.wrapping_add(self.int(value)?).to_le_bytes();
                self.write(ptr, offset, &bytes[..size.bytes() as usize])?;
            }
            Op::Submit { record } => {
                let record = self.record(record)?;
                self.host.submit(record);
            }
            Op::Discard { record } => {
                let record = self.record(record)?;
                self.host.discard(record);
            }
            _ => return Err(InterpError::Malformed("not a memory operation")),
        }
        Ok(None)
    }

    fn moved(&self, ptr: Value, by: i64) -> Result<Option<Val>, InterpError> {
        let (object, offset) = self.ptr(ptr)?;
        Ok(Some(Val::Ptr(object, offset.wrapping_add(by))))
    }

    fn record(&mut self, value: Value) -> Result<usize, InterpError> {
        match self.ptr(value)? {
            (Object::Record(record), 0) => {
                self.read(value, 0, 0)?;
                Ok(record)
            }
            _ => Err(InterpError::Malformed("not a record")),
        }
    }

    fn set(&mut self, value: Value, to: Val) {
        self.values[value.index()] = Some(to);
    }

    fn get(&self, value: Value) -> Result<Val, InterpError> {
        self.values[value.index()].ok_or(InterpError::Malformed("a value is used before its definition"))
    }

    fn int(&self, value: Value) -> Result<u64, InterpError> {
        match self.get(value)? {
            Val::Int(n) => Ok(n),
            Val::Ptr(..) => Err(InterpError::Malformed("a pointer where an integer is wanted")),
        }
    }

    fn ptr(&self, value: Value) -> Result<(Object, i64), InterpError> {
        match self.get(value)? {
            Val::Ptr(object, offset) => Ok((object, offset)),
            Val::Int(_) => Err(InterpError::Malformed("an integer where a pointer is wanted")),
        }
    }

    fn map(&mut self, map: u32) -> Result<&mut host::Map, InterpError> {
        self.host.maps.get_mut(map as usize).ok_or(InterpError::NoMap(map))
    }
}

#[cfg(test)]
mod tests;
