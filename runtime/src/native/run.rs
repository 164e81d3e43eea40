//! Calling handlers.
#![allow(unsafe_code, reason = "calls generated code")]

use super::{Code, CodeError, NativeHost, helpers::TABLE};
use crate::{
    maps::{Reads, Store},
    metrics::{Exemplars, Trace},
};
use std::ptr;
use weftrace_artifact::{
    Artifact,
    join::JoinView,
    native::HandlerEnv,
    packet::{PacketView, StrRef, layer},
    telemetry::TelemetryView,
};

/// All handlers of an artifact with the maps they share with the kernel's programs.
#[derive(Debug)]
pub struct Native {
    code: Option<Code>,
    host: Box<NativeHost>,
    /// (runs, ns) by probe; empty unless costs are measured.
    costs: Vec<(u64, u64)>,
    /// By probe, of a run that is recorded: no replay runs it.
    aside: Vec<bool>,
}

impl Native {
    /// `cost`: measure every run.
    pub fn new(artifact: &Artifact, store: Store, cost: bool) -> Result<Self, CodeError> {
        let code = Code::map(&artifact.handlers)?;
        let mut seed = [0u8; 8];
        // SAFETY: a buffer of eight bytes; without entropy it stays zero.
        unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), libc::GRND_NONBLOCK) };
        let host = Box::new(NativeHost::new(store, artifact.probes.len(), u64::from_ne_bytes(seed)));
        let costs = if cost { vec![(0, 0); artifact.probes.len()] } else { Vec::new() };
        Ok(Self { code, host, costs, aside: Vec::new() })
    }

    pub fn host(&self) -> &NativeHost {
        &self.host
    }

    /// What handlers ask of the world from now on a replay can answer too: the time they run for, random numbers by `seed`.
    pub(crate) fn be_recorded(&mut self, seed: u64) {
        self.host.recorded = true;
        self.host.random = seed | 1;
    }

    /// What is read of headers that hold secrets is masked from now on.
    pub(crate) fn hide_secrets(&mut self) {
        self.host.hides_secrets = true;
    }

    /// Where what is in these maps comes from, or is noted.
    pub(crate) fn ask_of(&mut self, maps: &[bool], reads: Reads) {
        self.host.ask_of(maps, reads);
    }

    /// By probe: no replay runs it, so that it asks maps for itself alone.
    pub(crate) fn set_aside(&mut self, probes: Vec<bool>) {
        self.aside = probes;
    }

    pub fn store(&self) -> &Store {
        &self.host.store
    }

    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.host.store
    }

    /// (runs, ns) by probe, if measured.
    pub fn costs(&self) -> &[(u64, u64)] {
        &self.costs
    }

    /// Runs a handler without a subject: BEGIN, END, timers, signals.
    pub fn run(&mut self, entry: u32, probe: u32, now: u64) -> u64 {
        self.call(entry, probe, now, ptr::null())
    }

    /// From now on examples are kept of what is counted by blocks that are about a trace.
    pub(crate) fn keep_exemplars(&mut self) {
        self.host.exemplars = Some(Box::default());
    }

    pub(crate) fn exemplars(&self) -> Option<&Exemplars> {
        self.host.exemplars.as_deref()
    }

    /// Runs a `pcap` handler.
    pub fn run_packet(&mut self, entry: u32, probe: u32, view: &PacketView) -> u64 {
        if self.host.exemplars.is_some() && view.layers & layer::HTTP_EXCHANGE != 0 {
            // SAFETY: the view lives through the call, and the request's texts with it.
            let (id, parent) = unsafe { (text(view.http.trace_id), text(view.http.parent_span_id)) };
            self.host.trace = Trace::of(id, parent);
        }
        let result = self.call(entry, probe, view.boot_ns, ptr::from_ref(view).cast());
        self.host.trace = None;
        result
    }

    /// Runs a `span` or `log` handler; its time is that at which it ended.
    pub fn run_telemetry(&mut self, entry: u32, probe: u32, view: &TelemetryView) -> u64 {
        if self.host.exemplars.is_some() {
            // SAFETY: the view lives through the call, and its texts with it.
            let (id, span) = unsafe { (text(view.trace_id), text(view.span_id)) };
            self.host.trace = Trace::of(id, span);
        }
        let result = self.call(entry, probe, view.end, ptr::from_ref(view).cast());
        self.host.trace = None;
        result
    }

    /// Runs a join's handler.
    pub fn run_join(&mut self, entry: u32, probe: u32, now: u64, view: &JoinView) -> u64 {
        self.call(entry, probe, now, ptr::from_ref(view).cast())
    }

    /// The same of a block at a result that belongs to a trace.
    pub(crate) fn run_join_of(&mut self, trace: Option<Trace>, call: (u32, u32, u64), view: &JoinView) -> u64 {
        self.host.trace = trace;
        let result = self.run_join(call.0, call.1, call.2, view);
        self.host.trace = None;
        result
    }

    fn call(&mut self, entry: u32, probe: u32, now: u64, subject: *const u8) -> u64 {
        let Some(handler) = self.code.as_ref().and_then(|c| c.handler(entry)) else { return 0 };
        self.host.probe = probe;
        let aside = self.aside.get(probe as usize).copied().unwrap_or(false);
        self.host.pass(now, !aside);
        let mut env = HandlerEnv {
            helpers: TABLE.as_ptr(),
            now,
            probe,
            reserved: 0,
            scalars: self.host.scalars.as_ptr(),
            host: ptr::from_mut(&mut *self.host).cast(),
        };
        if aside {
            self.host.store.reads.set_aside(true);
        }
        let started = (!self.costs.is_empty()).then(std::time::Instant::now);
        // SAFETY: the code is mapped and was compiled for this signature; `env` and the subject live through the call; the host is
        // used by nothing else meanwhile.
        let result = unsafe { handler(&raw mut env, subject) };
        if let (Some(started), Some(cost)) = (started, self.costs.get_mut(probe as usize)) {
            cost.0 += 1;
            cost.1 += started.elapsed().as_nanos() as u64;
        }
        if self.host.has_to_finish() {
            self.host.finish();
        }
        if aside {
            self.host.store.reads.set_aside(false);
        }
        result
    }

    /// Whether handlers submitted records that nobody took.
    #[inline]
    pub fn has_records(&self) -> bool {
        !self.host.records.is_empty()
    }

    /// The records that handlers submitted since the last call.
    pub fn take_records(&mut self) -> Vec<Box<[u8]>> {
        self.host.records.take()
    }
}

/// # Safety
/// What it names must live as long as it is used.
unsafe fn text<'a>(of: StrRef) -> &'a [u8] {
    // SAFETY: views name readable bytes, or none; by this function's contract they stay.
    if of.ptr.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(of.ptr, of.len as usize) } }
}
