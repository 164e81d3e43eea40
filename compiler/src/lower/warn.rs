//! Run-time warnings: what goes wrong while a probe runs is told with its place.
//!
//! Every place that can warn is a site with a counter per CPU. A record is sent when the count is a power of two, so that a
//! failure on every event costs a few records, not the ring; the counters stay exact.

use super::{
    cx::{Cx, R},
    mem::Mem,
};
use crate::ir::{BinaryOp, Cond, Helper, Size, Value};
use weftrace_artifact::{
    action::{ActionKind, Warning},
    map::{MapId, Role},
    ty::Type,
};
use weftrace_lang::span::Span;

impl Cx<'_, '_> {
    /// Tells a warning that is no helper's.
    pub(crate) fn warn(&mut self, about: Warning, span: Span) {
        let zero = self.iconst(0);
        self.warn_with(about, zero, span);
    }

    /// Tells that a helper failed, with what it returned.
    pub(crate) fn warn_helper(&mut self, helper: &str, result: Value, span: Span) {
        self.warn_with(Warning::Helper(helper.to_owned()), result, span);
    }

    /// With `-k`: tells it where a helper's result is negative.
    pub(crate) fn warn_if_failed(&mut self, helper: Helper, result: Value, span: Span) {
        if !self.m.program.config.helper_warnings {
            return;
        }
        let bad = self.b.icmp_imm(Cond::Slt, result, 0);
        let (told, done) = (self.block(), self.block());
        self.brif(bad, told, done);
        self.start(told);
        self.warn_helper(kernel_name(helper), result, span);
        self.jump(done);
        self.start(done);
    }

    /// With `-k`: an element that was looked up is missing.
    pub(crate) fn warn_missing(&mut self, span: Span) {
        if self.m.program.config.helper_warnings {
            let zero = self.iconst(0);
            self.warn_helper("map_lookup_elem", zero, span);
        }
    }

    /// An array's index that isn't constant is beyond the last element.
    pub(crate) fn warn_beyond(&mut self, index: Value, last: u32, span: Span) {
        let limit = self.iconst(i64::from(last));
        let beyond = self.b.icmp(Cond::Ugt, index, limit);
        let (told, done) = (self.block(), self.block());
        self.brif(beyond, told, done);
        self.start(told);
        self.warn(Warning::ArrayBounds, span);
        self.jump(done);
        self.start(done);
    }

    fn warn_with(&mut self, about: Warning, result: Value, span: Span) {
        let before = self.b.span();
        self.b.set_place(super::place(span));
        // It cannot fail: nothing here depends on the script.
        let _: R<()> = self.with_temps(|cx| {
            cx.tell(about, result, span);
            Ok(())
        });
        self.b.set_span(before);
    }

    fn tell(&mut self, about: Warning, result: Value, span: Span) {
        let (map, site) = self.new_site();
        let key = self.temp(4);
        let index = self.iconst(i64::from(site));
        self.store(4, index, key);
        let done = self.block();
        let counter = self.lookup_or(map, key.ptr, done);
        let one = self.iconst(1);
        self.b.atomic_add(Size::B8, one, counter, 0);
        let count = self.load(8, false, Mem::new(counter, 0));
        let below = self.b.binary_imm(BinaryOp::Iadd, count, -1);
        let seldom = self.b.binary(BinaryOp::Band, count, below);
        let send = self.block();
        self.brif(seldom, done, send);
        self.start(send);
        let action = self.m.action(ActionKind::Warn { about, site }, [Type::I64], span);
        let record = self.reserve_or(action, done);
        self.store(8, result, record);
        self.b.submit(record.ptr);
        self.jump(done);
        self.start(done);
    }

    /// The counters' map and the index of a new one.
    fn new_site(&mut self) -> (MapId, u32) {
        let map = self.m.internal(Role::Warnings, self.kernel);
        let site = self.m.actions.iter().filter(|a| matches!(a.kind, ActionKind::Warn { .. })).count() as u32;
        self.m.maps[map.0 as usize].max_entries = site + 1;
        (map, site)
    }
}

/// A helper's name in the kernel, without `bpf_`.
fn kernel_name(helper: Helper) -> &'static str {
    match helper {
        Helper::ReadKernel => "probe_read_kernel",
        Helper::ReadUser => "probe_read_user",
        Helper::ReadKernelStr => "probe_read_kernel_str",
        Helper::ReadUserStr => "probe_read_user_str",
        Helper::MapUpdate => "map_update_elem",
        Helper::StackId => "get_stackid",
        other => other.row().name,
    }
}
