//! Random functions that are well-formed and always have a meaning (every access in bounds, every byte read was written, every loop
//! ends), from a string of bytes: for property tests and fuzzing of passes and back ends.

mod memory;
mod stmt;

use super::builder::FunctionBuilder;
use super::interp::host::MapShape;
use super::{BinaryOp, Function, Slot, Target, Value};
use weftrace_artifact::Place;
use weftrace_artifact::map::Kind;

/// What functions may contain.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Calls whose result the kernel decides (time, pid, random).
    pub host_helpers: bool,
    /// Slots too large for the kernel's frame of 512 bytes.
    pub large_slots: bool,
    /// `reserve`, which needs a ring.
    pub records: bool,
}

/// All of it.
pub const EVERYTHING: Options = Options { host_helpers: true, large_slots: true, records: true };

/// A function and the world it expects.
#[derive(Debug)]
pub struct Generated {
    pub function: Function,
    /// The maps that it uses, by number: a hash map and an array.
    pub maps: Vec<MapShape>,
    /// [`CTX_SIZE`] bytes.
    pub ctx: Vec<u8>,
}

/// Bytes of context that functions read: as many as eight arguments of a raw tracepoint.
pub const CTX_SIZE: usize = 64;

/// The maps of every generated function.
pub const MAPS: [MapShape; 2] = [
    MapShape { kind: Kind::Hash, key_size: 4, value_size: 16, max_entries: 3 },
    MapShape { kind: Kind::Array, key_size: 4, value_size: 8, max_entries: 4 },
];

/// Makes a function for `target` from `bytes`: every string of bytes gives one, equal strings equal ones.
pub fn generate(bytes: &[u8], target: Target, options: Options) -> Generated {
    let (ctx, rest) = bytes.split_at(bytes.len().min(CTX_SIZE));
    let mut ctx = ctx.to_vec();
    ctx.resize(CTX_SIZE, 0);
    let builder = FunctionBuilder::new("generated", target, Place::default());
    let mut generator = Generator {
        b: builder,
        bytes: rest,
        options,
        slots: vec![],
        ints: vec![],
        locked: [false; MAPS.len()],
        depth: 0,
    };
    generator.prologue();
    generator.statements(24);
    let function = generator.epilogue();
    Generated { function, maps: MAPS.to_vec(), ctx }
}

struct Generator<'a> {
    b: FunctionBuilder,
    bytes: &'a [u8],
    options: Options,
    /// With their sizes, which are multiples of 8.
    slots: Vec<(Slot, u32)>,
    /// Integers whose definition dominates the current place.
    ints: Vec<Value>,
    /// Maps to whose values an address is in use.
    locked: [bool; MAPS.len()],
    depth: u32,
}

/// Where arithmetic has its corners.
const CORNERS: [i64; 16] =
    [0, 1, -1, 2, 7, 8, 63, 64, 255, 256, 0xffff, 0x7fff_ffff, 0xffff_ffff, -0x8000_0000, i64::MAX, i64::MIN];

impl Generator<'_> {
    /// The next byte; 0 when they have run out.
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    /// Below `n`.
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    fn constant(&mut self) -> i64 {
        match self.below(4) {
            0 => i64::from(self.byte() as i8),
            1 => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
            _ => CORNERS[self.below(CORNERS.len())],
        }
    }

    /// One of the integers at hand, or a new constant.
    fn int(&mut self) -> Value {
        let choice = self.below(self.ints.len() + 1);
        if let Some(&value) = self.ints.get(choice) {
            return value;
        }
        let constant = self.constant();
        self.b.iconst(constant)
    }

    fn prologue(&mut self) {
        for _ in 0..=self.below(3) {
            let sizes: &[u32] = if self.options.large_slots { &[8, 16, 24, 40, 304] } else { &[8, 16, 24, 40] };
            let size = sizes[self.below(sizes.len())];
            let slot = self.b.slot(size, 8);
            let address = self.b.slot_addr(slot);
            self.b.fill(address, 0, size);
            self.slots.push((slot, size));
        }
        // Keys and values for maps.
        for size in [8, 16] {
            let slot = self.b.slot(size, 8);
            let address = self.b.slot_addr(slot);
            self.b.fill(address, 0, size);
            self.slots.push((slot, size));
        }
        self.load_ctx();
    }

    /// Returns what the last values at hand mix to, and what is in the slots.
    fn epilogue(mut self) -> Function {
        let mut sum = self.b.iconst(0);
        for value in self.ints.clone().into_iter().rev().take(12) {
            sum = self.b.binary_imm(BinaryOp::Imul, sum, 31);
            sum = self.b.iadd(sum, value);
        }
        for (slot, size) in self.slots.clone() {
            let offset = self.below(size as usize / 8) as i32 * 8;
            let address = self.b.slot_addr(slot);
            let word = self.b.load(super::Mem::U64, address, offset);
            sum = self.b.bxor(sum, word);
        }
        self.b.ret(sum);
        self.b.finish()
    }
}
