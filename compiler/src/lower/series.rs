//! `tseries()`: a ring of intervals per element, each {value, meta, interval's number + 1}, as `weftrace_artifact::map::Value::Series`
//! documents.

use super::{
    cx::{Cx, R},
    mem::Mem,
    module::config,
};
use crate::ir::{BinaryOp, Cond, Helper, Value};
use weftrace_artifact::map::{Role, SERIES_BYTES, SeriesHow};
use weftrace_lang::{
    hir::{Expr, ExprKind, MapRef, Ty},
    span::Span,
};

/// What a series collects.
#[derive(Clone, Copy)]
pub(super) struct Series {
    pub(super) interval: u64,
    pub(super) count: u32,
    pub(super) how: SeriesHow,
    pub(super) signed: bool,
}

impl Cx<'_, '_> {
    /// The time that series count by: wall clock ns, so that intervals begin where clocks show round numbers.
    pub(super) fn series_now(&mut self, span: Span) -> R<Value> {
        let settings = &self.m.program.config.entries;
        if let Some((_, name)) = settings.iter().find(|(key, _)| key == "dummy_ts_map") {
            let name = name.trim_start_matches('@').to_owned();
            let found = self.m.program.maps.iter().position(|m| m.name == name && m.key.is_none());
            let Some(index) = found else { return self.not_yet(span, format!("a clock that is not a map: @{name}")) };
            let (map, ty) = (MapRef(index as u32), self.m.program.maps[index].value.clone());
            let read = Expr { kind: ExprKind::MapGet { map, key: None }, ty, span };
            return self.scalar_as(&read, &Ty::U64);
        }
        let boot = self.b.call(Helper::KtimeBoot, &[]);
        let offset = self.config_word(config::WALL_NS);
        Ok(self.b.iadd(boot, offset))
    }

    /// Puts a number into its interval; what an earlier round of the ring left there is forgotten.
    pub(super) fn series_add(&mut self, m: Mem, value: Value, now: Value, s: Series) {
        let interval = self.iconst(s.interval as i64);
        let number = self.b.udiv(now, interval);
        let count = self.iconst(i64::from(s.count));
        let at = self.b.urem(number, count);
        let offset = self.b.binary_imm(BinaryOp::Imul, at, i64::from(SERIES_BYTES));
        let start = self.addr(m);
        let slot = Mem::new(self.b.ptr_index(start, offset, (s.count - 1) * SERIES_BYTES), 0);
        let mark = self.b.binary_imm(BinaryOp::Iadd, number, 1);
        if s.how != SeriesHow::Last {
            self.series_renew(slot, mark);
        }
        match s.how {
            SeriesHow::Last => {
                self.store(8, value, slot);
                self.store(8, now, slot.at(8));
            }
            SeriesHow::Sum | SeriesHow::Avg => {
                let old = self.load(8, false, slot);
                let sum = self.b.iadd(old, value);
                self.store(8, sum, slot);
                let seen = self.load(8, false, slot.at(8));
                let seen = self.b.binary_imm(BinaryOp::Iadd, seen, 1);
                self.store(8, seen, slot.at(8));
            }
            SeriesHow::Min => self.extreme(slot, value, if s.signed { Cond::Slt } else { Cond::Ult }),
            SeriesHow::Max => self.extreme(slot, value, if s.signed { Cond::Sgt } else { Cond::Ugt }),
        }
        self.store(8, mark, slot.at(16));
    }

    /// Empties a slot that holds another interval.
    fn series_renew(&mut self, slot: Mem, mark: Value) {
        let (old, go_on) = (self.block(), self.block());
        let held = self.load(8, false, slot.at(16));
        let same = self.b.icmp(Cond::Eq, held, mark);
        self.brif(same, go_on, old);
        self.start(old);
        let zero = self.iconst(0);
        self.store(8, zero, slot);
        self.store(8, zero, slot.at(8));
        self.jump(go_on);
        self.start(go_on);
    }

    /// A word of the [`Role::Config`] map's entry.
    pub(super) fn config_word(&mut self, offset: i32) -> Value {
        let map = self.m.internal(Role::Config, self.kernel);
        let key = self.temp(4);
        let zero = self.iconst(0);
        self.store(4, zero, key);
        let (missing, done) = (self.block(), self.block_with(&[crate::ir::Ty::I64]));
        let entry = self.lookup_or(map, key.ptr, missing);
        let word = self.b.load(crate::ir::Mem::U64, entry, offset);
        self.jump_with(done, &[word]);
        self.start(missing);
        let zero = self.iconst(0);
        self.jump_with(done, &[zero]);
        self.start(done);
        self.b.param(done, 0)
    }
}
