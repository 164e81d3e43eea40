//! Terminators, and the common shapes around them.

use super::FunctionBuilder;
use crate::ir::{Block, Dest, Space, Term, Ty, Value};
use weftrace_artifact::{action::ActionId, map::MapId};

impl FunctionBuilder {
    pub fn jump(&mut self, block: Block, args: &[Value]) {
        self.terminate(Term::Jump(dest(block, args)));
    }

    /// To `then` where `cond != 0`, else to `otherwise`; for blocks without parameters.
    pub fn brif(&mut self, cond: Value, then: Block, otherwise: Block) {
        self.brif_args(cond, (then, &[]), (otherwise, &[]));
    }

    pub fn brif_args(&mut self, cond: Value, then: (Block, &[Value]), otherwise: (Block, &[Value])) {
        self.terminate(Term::Brif { cond, then: dest(then.0, then.1), otherwise: dest(otherwise.0, otherwise.1) });
    }

    /// Looks up the key at address `key`. `found`'s first parameter (space Map) gets the value's address.
    pub fn lookup(&mut self, map: MapId, key: Value, found: Block, missing: Block) {
        self.lookup_args(map, key, (found, &[]), (missing, &[]));
    }

    /// As [`Self::lookup`] with arguments for `found`'s further parameters and for `missing`'s.
    pub fn lookup_args(&mut self, map: MapId, key: Value, found: (Block, &[Value]), missing: (Block, &[Value])) {
        let (found, missing) = (dest(found.0, found.1), dest(missing.0, missing.1));
        self.terminate(Term::Lookup { map, key, found, missing });
    }

    /// [`Self::lookup`] with a new block for the found value, which becomes current, and `missing` (without parameters) as
    /// the other; gives the value's address.
    pub fn lookup_or(&mut self, map: MapId, key: Value, missing: Block) -> Value {
        let found = self.create_block(&[Ty::Ptr(Space::Map)]);
        self.lookup(map, key, found, missing);
        self.switch_to(found);
        self.param(found, 0)
    }

    /// Reserves a record. `ok` is used by this terminator alone; its first parameter (space Record) gets the address of the
    /// payload: `size` zeroed bytes, so that offset 0 is the first byte after the header. The header is the back end's.
    pub fn reserve(&mut self, action: ActionId, size: u32, ok: Block, full: Block) {
        self.reserve_args(action, size, (ok, &[]), (full, &[]));
    }

    pub fn reserve_args(&mut self, action: ActionId, size: u32, ok: (Block, &[Value]), full: (Block, &[Value])) {
        let (ok, full) = (dest(ok.0, ok.1), dest(full.0, full.1));
        self.terminate(Term::Reserve { action, size, ok, full });
    }

    /// [`Self::reserve`] with a new block for success, which becomes current, and `full` (without parameters) as the other;
    /// gives the payload's address.
    pub fn reserve_or(&mut self, action: ActionId, size: u32, full: Block) -> Value {
        let ok = self.create_block(&[Ty::Ptr(Space::Record)]);
        self.reserve(action, size, ok, full);
        self.switch_to(ok);
        self.param(ok, 0)
    }

    pub fn ret(&mut self, value: Value) {
        self.terminate(Term::Return(value));
    }

    /// `return 0`
    pub fn ret_zero(&mut self) {
        let zero = self.iconst(0);
        self.ret(zero);
    }
}

fn dest(block: Block, args: &[Value]) -> Dest {
    Dest { block, args: args.to_vec() }
}
