//! Statements: arithmetic, calls, control flow.

use super::Generator;
use crate::ir::names::Named;
use crate::ir::{BinaryOp, Cond, Helper, Size, Target, Ty, UnaryOp};

/// How deep conditions and loops nest.
const MAX_DEPTH: u32 = 3;

impl Generator<'_> {
    pub(super) fn statements(&mut self, most: usize) {
        for _ in 0..most {
            if self.bytes.is_empty() {
                return;
            }
            self.statement();
        }
    }

    /// A few statements one level deeper, without new integers for those after.
    pub(super) fn nested(&mut self, most: usize) {
        let count = self.below(most + 1);
        let scope = self.ints.len();
        self.depth += 1;
        self.statements(count);
        self.depth -= 1;
        self.ints.truncate(scope.max(self.ints.len().min(scope + 2)));
    }

    fn statement(&mut self) {
        match self.below(24) {
            0..=5 => self.binary(),
            6 => self.unary(),
            7 | 8 => self.icmp(),
            9 => self.select(),
            10 => self.load(),
            11 | 12 => self.store(),
            13 => self.fill(),
            14 => self.copy(),
            15 => self.store_data(),
            16 => self.atomic_add(),
            17 => self.map_update(),
            18 => self.map_delete(),
            19 => self.call(),
            20 => self.load_ctx(),
            _ if self.depth >= MAX_DEPTH => self.binary(),
            21 => self.lookup(),
            22 => match self.below(3) {
                0 => self.record(),
                1 => self.loop_(),
                _ => self.early_return(),
            },
            _ => self.branch(),
        }
    }

    fn binary(&mut self) {
        let (op, _) = BinaryOp::WORDS[self.below(BinaryOp::WORDS.len())];
        let (a, b) = (self.int(), self.int());
        let value = self.b.binary(op, a, b);
        self.ints.push(value);
    }

    fn unary(&mut self) {
        let (op, _) = UnaryOp::WORDS[self.below(UnaryOp::WORDS.len())];
        let a = self.int();
        let value = self.b.unary(op, a);
        self.ints.push(value);
    }

    fn icmp(&mut self) {
        let (cond, _) = Cond::WORDS[self.below(Cond::WORDS.len())];
        let (a, b) = (self.int(), self.int());
        let value = self.b.icmp(cond, a, b);
        self.ints.push(value);
    }

    fn select(&mut self) {
        let (cond, a, b) = (self.int(), self.int(), self.int());
        let value = self.b.select(cond, a, b);
        self.ints.push(value);
    }

    fn call(&mut self) {
        if !self.options.host_helpers {
            return self.binary();
        }
        let value = match self.below(6) {
            0 => self.b.call(Helper::KtimeBoot, &[]),
            1 => self.b.call(Helper::PidTgid, &[]),
            2 => self.b.call(Helper::UidGid, &[]),
            3 => self.b.call(Helper::Random, &[]),
            4 => self.b.call(Helper::Cpu, &[]),
            _ => {
                let slot = self.below(4) as i64;
                let slot = self.b.iconst(slot);
                self.b.call(Helper::CountLoss, &[slot])
            }
        };
        self.ints.push(value);
    }

    fn branch(&mut self) {
        let (then, otherwise) = (self.b.create_block(&[]), self.b.create_block(&[]));
        let merge = self.b.create_block(&[Ty::I64]);
        let cond = self.int();
        self.b.brif(cond, then, otherwise);
        let scope = self.ints.len();
        for block in [then, otherwise] {
            self.b.switch_to(block);
            self.nested(5);
            let value = self.int();
            self.b.jump(merge, &[value]);
            self.ints.truncate(scope);
        }
        self.b.switch_to(merge);
        self.ints.push(self.b.param(merge, 0));
    }

    /// A counted loop with one more value that goes round.
    fn loop_(&mut self) {
        let (header, after) = (self.b.create_block(&[Ty::I64, Ty::I64]), self.b.create_block(&[Ty::I64]));
        let (zero, first) = (self.b.iconst(0), self.int());
        let rounds = 1 + self.below(5) as i64;
        self.b.jump(header, &[zero, first]);
        self.b.switch_to(header);
        let scope = self.ints.len();
        let (count, carried) = (self.b.param(header, 0), self.b.param(header, 1));
        self.ints.extend([count, carried]);
        self.nested(4);
        let next = self.int();
        let count = self.b.binary_imm(BinaryOp::Iadd, count, 1);
        let more = self.b.icmp_imm(Cond::Ult, count, rounds);
        self.b.brif_args(more, (header, &[count, next]), (after, &[next]));
        self.ints.truncate(scope);
        self.b.switch_to(after);
        self.ints.push(self.b.param(after, 0));
    }

    fn early_return(&mut self) {
        let (out, on) = (self.b.create_block(&[]), self.b.create_block(&[]));
        let cond = self.int();
        let cond = self.b.icmp_imm(Cond::Ugt, cond, 1 << 40);
        self.b.brif(cond, out, on);
        self.b.switch_to(out);
        let value = self.int();
        if self.b.func().target == Target::Native && self.below(2) == 0 {
            let address = self.b.slot_addr(self.slots[0].0);
            self.b.store(Size::B8, value, address, 0);
        }
        self.b.ret(value);
        self.b.switch_to(on);
    }
}
