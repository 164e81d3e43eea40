//! Aggregations: updates of the layouts that `weftrace_artifact::map::Value` documents, and their values as numbers.

use super::{
    cx::{Cx, R, Subject},
    layout::{series_how, width},
    maps::map_id,
    mem::Mem,
    series::Series,
    ssa::Variable,
};
use crate::ir::{BinaryOp, Cond, Helper, Value};
use weftrace_artifact::map::{Home, hist_buckets, lhist_buckets, lhist_end};
use weftrace_lang::{
    hir::{Agg, Expr, MapRef, Ty},
    span::Span,
};

/// CPUs that a per-CPU map is asked for at most; asking ends at the first that doesn't exist.
pub(super) const MOST_CPUS: u32 = 8192;

impl Cx<'_, '_> {
    /// `@m[k] = count()` and the like.
    pub(crate) fn aggregate(&mut self, map: MapRef, key: Option<&Expr>, arg: Option<&Expr>, span: Span) -> R<()> {
        let Ty::Agg(agg) = self.m.program.maps[map.index()].value.clone() else {
            return self.not_yet(span, "an aggregation into a map of plain values");
        };
        // The argument first: it may read this map.
        let (value, signed) = match arg {
            Some(e) => (self.scalar(e)?, width(&e.ty).1),
            None => (self.iconst(1), false),
        };
        let by_sample = key.is_some_and(|k| k.ty.holds_sample());
        if matches!(agg, Agg::Series { .. }) && by_sample {
            return self.not_yet(span, "a time series by stacks of dw_ustack");
        }
        let now = match agg {
            Agg::Series { .. } => Some(self.series_now(span)?),
            _ => None,
        };
        let forgets = self.ring_of(map).is_some() || self.m.maps[map.index()].ttl.is_some();
        if forgets && by_sample {
            return self.not_yet(span, "a window or time to live by stacks of dw_ustack");
        }
        let add = |cx: &mut Self, m: Mem| {
            if let Some(ring) = cx.ring_of(map) {
                cx.ring_enter(m, ring);
            }
            match agg {
                // Of a count the value is 1.
                Agg::Count | Agg::Sum { .. } => cx.add_to(map, m, value, 8),
                Agg::Min { signed } => cx.extreme(m, value, if signed { Cond::Slt } else { Cond::Ult }),
                Agg::Max { signed } => cx.extreme(m, value, if signed { Cond::Sgt } else { Cond::Ugt }),
                Agg::Avg { .. } | Agg::Stats { .. } => {
                    cx.add_to(map, m, value, 8);
                    let one = cx.iconst(1);
                    cx.add_to(map, m.at(8), one, 8);
                }
                Agg::Hist { bits } => {
                    let bucket = cx.hist_bucket(value, signed, bits);
                    cx.count_bucket(map, m, bucket, hist_buckets(bits));
                }
                Agg::Series { interval, count, how, signed } => {
                    let series = Series { interval, count, how: series_how(how), signed };
                    cx.series_add(m, value, now.unwrap_or(value), series);
                }
                Agg::Lhist { min, max, step } => {
                    let bucket = cx.lhist_bucket(value, signed, (min, max, step));
                    cx.count_bucket(map, m, bucket, lhist_buckets(min, max, step));
                }
            }
            Ok(())
        };
        match key.filter(|k| k.ty.holds_sample()) {
            Some(key) => self.send_aggregate(map, key, span, add),
            None if self.is_observed(&agg) => {
                let key = self.key(map, key, span)?;
                self.element_of(map, key, span, |cx, m| {
                    add(cx, m)?;
                    cx.observe(map, key, (value, signed));
                    Ok(())
                })
            }
            None => self.element(map, key, span, add),
        }
    }

    fn observe(&mut self, map: MapRef, key: Value, (value, signed): (Value, bool)) {
        let signed = self.iconst(i64::from(signed));
        self.b.call_map(Helper::Observe, map_id(map), &[key, value, signed]);
    }

    /// Whether examples are wanted of what is counted, with a trace: in blocks that may know one.
    fn is_observed(&self, agg: &Agg) -> bool {
        let counted = matches!(agg, Agg::Count | Agg::Sum { signed: false } | Agg::Hist { .. } | Agg::Lhist { .. });
        counted && self.m.exemplars && !self.kernel && matches!(self.subject, Subject::Packet | Subject::Join(_))
    }

    /// {value, set}: stores the value if none is set or it is beyond the one there.
    pub(super) fn extreme(&mut self, m: Mem, value: Value, beyond: Cond) {
        let (compare, store, done) = (self.block(), self.block(), self.block());
        let set = self.load(8, false, m.at(8));
        self.brif(set, compare, store);
        self.start(compare);
        let old = self.load(8, false, m);
        let better = self.b.icmp(beyond, value, old);
        self.brif(better, store, done);
        self.start(store);
        self.store(8, value, m);
        let one = self.iconst(1);
        self.store(8, one, m.at(8));
        self.jump(done);
        self.start(done);
    }

    /// Adds 1 to a bucket. The index is compared with the number of buckets, so that the verifier knows its bound.
    fn count_bucket(&mut self, map: MapRef, m: Mem, bucket: Value, buckets: u32) {
        let (inside, done) = (self.block(), self.block());
        let last = self.iconst(i64::from(buckets) - 1);
        let beyond = self.b.icmp(Cond::Ugt, bucket, last);
        self.brif(beyond, done, inside);
        self.start(inside);
        let offset = self.b.binary_imm(BinaryOp::Shl, bucket, 3);
        let start = self.addr(m);
        let ptr = self.b.ptr_index(start, offset, (buckets - 1) * 8);
        let one = self.iconst(1);
        self.add_to(map, Mem::new(ptr, 0), one, 8);
        self.jump(done);
        self.start(done);
    }

    /// The bucket of `hist(value, bits)`, as [`hist_buckets`] describes.
    pub(crate) fn hist_bucket(&mut self, value: Value, signed: bool, bits: u8) -> Value {
        let done = self.block_with(&[crate::ir::Ty::I64]);
        if signed {
            let (negative, go_on) = (self.block(), self.block());
            let below = self.is_negative(value);
            self.brif(below, negative, go_on);
            self.start(negative);
            let zero = self.iconst(0);
            self.jump_with(done, &[zero]);
            self.start(go_on);
        }
        let (small, large) = (self.block(), self.block());
        let is_small = self.b.icmp_imm(Cond::Ult, value, 1 << bits);
        self.brif(is_small, small, large);
        self.start(small);
        let bucket = self.b.binary_imm(BinaryOp::Iadd, value, 1);
        self.jump_with(done, &[bucket]);
        self.start(large);
        let log = self.log2(value);
        let bits = i64::from(bits);
        // ((log - bits + 1) << bits) + ((value >> (log - bits)) & mask) + 1
        let above = self.b.binary_imm(BinaryOp::Isub, log, bits);
        let power = self.b.binary_imm(BinaryOp::Iadd, above, 1);
        let mut bucket = self.b.binary_imm(BinaryOp::Shl, power, bits);
        if bits > 0 {
            let part = self.b.lshr(value, above);
            let part = self.b.binary_imm(BinaryOp::Band, part, (1 << bits) - 1);
            bucket = self.b.iadd(bucket, part);
        }
        let bucket = self.b.binary_imm(BinaryOp::Iadd, bucket, 1);
        self.jump_with(done, &[bucket]);
        self.start(done);
        self.b.param(done, 0)
    }

    /// floor(log2(value)) of a value other than 0: halves the range six times, without branches.
    fn log2(&mut self, value: Value) -> Value {
        let mut rest = value;
        let mut log = None;
        for step in [5, 4, 3, 2, 1, 0] {
            let width = 1i64 << step;
            let high = if width == 32 {
                let top = self.b.binary_imm(BinaryOp::Lshr, rest, 32);
                self.b.icmp_imm(Cond::Ne, top, 0)
            } else {
                self.b.icmp_imm(Cond::Ugt, rest, (1 << width) - 1)
            };
            let shift = if step > 0 { self.b.binary_imm(BinaryOp::Shl, high, step) } else { high };
            if step > 0 {
                rest = self.b.lshr(rest, shift);
            }
            log = Some(match log {
                Some(l) => self.b.bor(l, shift),
                None => shift,
            });
        }
        log.unwrap_or(value)
    }

    /// The bucket of `lhist(value, min, max, step)`, as [`lhist_buckets`] describes.
    pub(crate) fn lhist_bucket(&mut self, value: Value, signed: bool, (min, max, step): (i64, i64, i64)) -> Value {
        let signed = signed || min < 0;
        let (less, not_less) = if signed { (Cond::Slt, Cond::Sge) } else { (Cond::Ult, Cond::Uge) };
        let done = self.block_with(&[crate::ir::Ty::I64]);
        let (below, not_below, above, inside) = (self.block(), self.block(), self.block(), self.block());
        let is_below = self.b.icmp_imm(less, value, min);
        self.brif(is_below, below, not_below);
        self.start(below);
        let zero = self.iconst(0);
        self.jump_with(done, &[zero]);
        self.start(not_below);
        let is_above = self.b.icmp_imm(not_less, value, lhist_end(min, max, step));
        self.brif(is_above, above, inside);
        self.start(above);
        let last = self.iconst(i64::from(lhist_buckets(min, max, step)) - 1);
        self.jump_with(done, &[last]);
        self.start(inside);
        let from_min = self.b.binary_imm(BinaryOp::Isub, value, min);
        let bucket = self.b.binary_imm(BinaryOp::Udiv, from_min, step.max(1));
        let bucket = self.b.binary_imm(BinaryOp::Iadd, bucket, 1);
        self.jump_with(done, &[bucket]);
        self.start(done);
        self.b.param(done, 0)
    }

    /// Whether an aggregate's value is in parts that must be put together: one per CPU, or on both sides of the kernel boundary (user space
    /// sees those of one side as one).
    pub(crate) fn in_parts(&self, map: MapRef) -> bool {
        let spec = &self.m.maps[map.index()];
        if self.kernel { spec.kind.is_percpu() } else { spec.home == Home::Both }
    }

    /// An aggregate's parts on all CPUs as one value in its layout, and whether the element is there.
    pub(crate) fn over_cpus(&mut self, map: MapRef, key: Value, agg: &Agg, span: Span) -> R<(Mem, Value)> {
        if !matches!(
            agg,
            Agg::Count | Agg::Sum { .. } | Agg::Min { .. } | Agg::Max { .. } | Agg::Avg { .. } | Agg::Stats { .. }
        ) {
            return self.not_yet(span, "a histogram as a number");
        }
        let part = self.temp(self.m.maps[map.index()].value_size);
        let whole = self.temp(16);
        let (first, second, there) = (self.new_var(), self.new_var(), self.new_var());
        let zero = self.iconst(0);
        for var in [first, second, there] {
            self.set_var(var, zero);
        }
        let done = self.block();
        self.count_up(MOST_CPUS, done, |cx, cpu, next| {
            let found = cx.b.call_map(Helper::MapCpu, map_id(map), &[cpu, key, part.ptr]);
            let inside = cx.block();
            cx.brif(found, inside, done);
            cx.start(inside);
            let one = cx.iconst(1);
            cx.set_var(there, one);
            match agg {
                Agg::Min { signed } => {
                    cx.more_extreme(part, (first, second), if *signed { Cond::Slt } else { Cond::Ult });
                }
                Agg::Max { signed } => {
                    cx.more_extreme(part, (first, second), if *signed { Cond::Sgt } else { Cond::Ugt });
                }
                Agg::Avg { .. } | Agg::Stats { .. } => {
                    cx.add_word(part, first);
                    cx.add_word(part.at(8), second);
                }
                _ => cx.add_word(part, first),
            }
            cx.jump(next);
        });
        self.start(done);
        for (var, at) in [(first, 0), (second, 8)] {
            let v = self.read_var(var);
            self.store(8, v, whole.at(at));
        }
        let found = self.read_var(there);
        Ok((whole, found))
    }

    fn add_word(&mut self, m: Mem, to: Variable) {
        let (old, more) = (self.read_var(to), self.load(8, false, m));
        let sum = self.b.iadd(old, more);
        self.set_var(to, sum);
    }

    /// Takes a part's {value, set} over if it is beyond what there is.
    fn more_extreme(&mut self, part: Mem, (value, set): (Variable, Variable), beyond: Cond) {
        let (look, compare, take, done) = (self.block(), self.block(), self.block(), self.block());
        let is_set = self.load(8, false, part.at(8));
        self.brif(is_set, look, done);
        self.start(look);
        let new = self.load(8, false, part);
        let had = self.read_var(set);
        self.brif(had, compare, take);
        self.start(compare);
        let old = self.read_var(value);
        let better = self.b.icmp(beyond, new, old);
        self.brif(better, take, done);
        self.start(take);
        self.set_var(value, new);
        let one = self.iconst(1);
        self.set_var(set, one);
        self.jump(done);
        self.start(done);
    }

    /// An aggregate as a number, where the whole value is known.
    pub(crate) fn aggregate_value(&mut self, agg: &Agg, m: Mem, span: Span) -> R<Value> {
        match agg {
            Agg::Count | Agg::Sum { .. } | Agg::Min { .. } | Agg::Max { .. } => Ok(self.load(8, false, m)),
            Agg::Avg { signed } | Agg::Stats { signed } => {
                let total = self.load(8, false, m);
                let count = self.load(8, false, m.at(8));
                // Nothing counted: 0, as the IR divides.
                Ok(if *signed { self.b.sdiv(total, count) } else { self.b.udiv(total, count) })
            }
            Agg::Hist { .. } | Agg::Lhist { .. } | Agg::Series { .. } => self.not_yet(span, "this as a number"),
        }
    }

    // What is asked of whole maps.

    pub(crate) fn map_has(&mut self, map: MapRef, key: &Expr) -> R<Value> {
        let key = self.key(map, Some(key), key.span)?;
        if let Some((_, there)) = self.windowed(map, key) {
            return Ok(there);
        }
        if !self.kernel && self.in_parts(map) {
            let (whole, first) = (self.temp(self.m.maps[map.index()].value_size), self.iconst(0));
            return Ok(self.b.call_map(Helper::MapCpu, map_id(map), &[first, key, whole.ptr]));
        }
        Ok(self.of_element(map, key, |cx, _| cx.iconst(1)))
    }

    pub(crate) fn map_len(&mut self, map: MapRef) -> Value {
        self.b.call_map(Helper::MapLen, map_id(map), &[])
    }
}
