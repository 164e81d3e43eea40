//! What instructions and terminators use and define: one place that knows every operand.

use super::{Arg, Function, Helper, Op, Space, Term, Ty, Value};

impl Op {
    /// The type of the result; None for operations without one.
    pub fn result_type(&self, func: &Function) -> Option<Ty> {
        Some(match self {
            Self::Iconst(_)
            | Self::Binary { .. }
            | Self::Unary { .. }
            | Self::Icmp { .. }
            | Self::FieldOff { .. }
            | Self::PtrInt { .. }
            | Self::Load { .. }
            | Self::Call { .. } => Ty::I64,
            Self::Select { a, .. } => func.value_type(*a),
            Self::SlotAddr { .. } => Ty::Ptr(Space::Stack),
            Self::PtrAdd { ptr, .. } | Self::PtrIndex { ptr, .. } => func.value_type(*ptr),
            Self::LoadPtr { .. } => Ty::Ptr(Space::Data),
            Self::Store { .. }
            | Self::StoreData { .. }
            | Self::Fill { .. }
            | Self::Copy { .. }
            | Self::AtomicAdd { .. }
            | Self::Submit { .. }
            | Self::Discard { .. } => return None,
        })
    }

    /// Whether there is a result.
    pub fn has_result(&self) -> bool {
        match self {
            Self::Call { .. } => true,
            _ => !self.has_effect(),
        }
    }

    /// The operands, in the order of the text form.
    pub fn for_each_use(&self, mut f: impl FnMut(Value)) {
        self.clone().for_each_use_mut(|v| f(*v));
    }

    /// As [`Self::for_each_use`], to replace them.
    pub fn for_each_use_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Self::Iconst(_) | Self::SlotAddr { .. } => {}
            Self::Binary { a, b, .. } | Self::Icmp { a, b, .. } => {
                f(a);
                f(b);
            }
            Self::Unary { a, .. } => f(a),
            Self::Select { cond, a, b } => {
                f(cond);
                f(a);
                f(b);
            }
            Self::PtrIndex { ptr, index, .. } => {
                f(ptr);
                f(index);
            }
            Self::FieldOff { base, .. } => f(base),
            Self::PtrAdd { ptr, .. }
            | Self::PtrInt { ptr }
            | Self::Load { ptr, .. }
            | Self::LoadPtr { ptr, .. }
            | Self::StoreData { ptr, .. }
            | Self::Fill { ptr, .. } => f(ptr),
            Self::Store { value, ptr, .. } | Self::AtomicAdd { value, ptr, .. } => {
                f(value);
                f(ptr);
            }
            Self::Copy { dst, src, .. } => {
                f(dst);
                f(src);
            }
            Self::Call { args, .. } => args.iter_mut().for_each(f),
            Self::Submit { record } | Self::Discard { record } => f(record),
        }
    }

    /// Removing the instruction when nothing uses its result changes nothing. True of loads: they cannot fault.
    pub fn is_removable(&self) -> bool {
        match self {
            Self::Call { helper, .. } => helper.row().pure,
            _ => !self.has_effect(),
        }
    }

    /// Writes memory, ends a record or calls out.
    pub fn has_effect(&self) -> bool {
        matches!(
            self,
            Self::Store { .. }
                | Self::StoreData { .. }
                | Self::Fill { .. }
                | Self::Copy { .. }
                | Self::AtomicAdd { .. }
                | Self::Call { .. }
                | Self::Submit { .. }
                | Self::Discard { .. }
        )
    }
}

impl Term {
    /// The operands, in the order of the text form; not the parameters that the terminator itself supplies.
    pub fn for_each_use(&self, mut f: impl FnMut(Value)) {
        match self {
            Self::None | Self::Jump(_) | Self::Reserve { .. } => {}
            Self::Brif { cond, .. } => f(*cond),
            Self::Lookup { key, .. } => f(*key),
            Self::Return(v) => f(*v),
        }
        for (dest, _) in self.targets() {
            dest.args.iter().for_each(|&v| f(v));
        }
    }

    /// As [`Self::for_each_use`], to replace them.
    pub fn for_each_use_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Self::None | Self::Jump(_) | Self::Reserve { .. } => {}
            Self::Brif { cond, .. } => f(cond),
            Self::Lookup { key, .. } => f(key),
            Self::Return(v) => f(v),
        }
        for dest in self.targets_mut() {
            dest.args.iter_mut().for_each(&mut f);
        }
    }
}

impl Helper {
    /// The arguments that are addresses, counted without the map: (index, `In` or `Out`, index of the length if one follows).
    pub fn buffers(self) -> Vec<(usize, Arg, Option<usize>)> {
        let args: Vec<Arg> = self.row().args.iter().copied().filter(|a| *a != Arg::Map).collect();
        // What follows an update's value is the flags; map values have the map's sizes.
        let sized = self != Self::MapUpdate;
        let len = |i: usize| (sized && args.get(i + 1) == Some(&Arg::Int)).then_some(i + 1);
        let buffers = args.iter().enumerate().filter(|(_, arg)| matches!(arg, Arg::In | Arg::Out));
        buffers.map(|(i, &arg)| (i, arg, len(i))).collect()
    }
}
