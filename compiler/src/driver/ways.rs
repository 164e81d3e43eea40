//! From attach points to the plan's words for how they are attached.

use crate::lower::place;
use weftrace_artifact::{
    plan::{self, JoinEvent, Rate, Site, Way},
    program::ProgType,
    telemetry::Signal,
};
use weftrace_lang::hir::{self, Access, Provider};

use crate::place::Side;

/// How a target is attached with a program of that kind.
pub(super) fn way(provider: &Provider, side: Side) -> Way {
    match provider {
        Provider::Begin => Way::Begin,
        Provider::End => Way::End,
        Provider::Interval { ns } => Way::Interval { ns: *ns },
        Provider::Profile { rate } => Way::Profile { rate: convert_rate(*rate) },
        Provider::Tracepoint { category, event } => {
            Way::Tracepoint { category: category.clone(), event: event.clone() }
        }
        Provider::RawTracepoint { event } if side == Side::Kernel(ProgType::TracingRawTp) => {
            Way::TracepointBtf { event: event.clone() }
        }
        Provider::RawTracepoint { event } => Way::RawTracepoint { event: event.clone() },
        Provider::Syscall { number, ret } => Way::Syscall { number: *number, ret: *ret },
        Provider::Kprobe { function, module, offset, ret } => {
            Way::Kprobe { function: function.clone(), module: module.clone(), offset: *offset, ret: *ret }
        }
        Provider::Uprobe { path, symbol, offset, ret, pid, go } => {
            // At the instructions that return: the kernel's own return probes break Go's stacks.
            let places = go.as_ref().map_or(&[][..], |go| &go.places);
            Way::Uprobe {
                path: path.clone(),
                offset: places.first().copied().unwrap_or(*offset),
                more: places.iter().skip(1).copied().collect(),
                symbol: symbol.clone(),
                ret: *ret && go.is_none(),
                pid: *pid,
                semaphore: 0,
            }
        }
        Provider::Counter { counter, period } => Way::Counter { counter: convert_counter(*counter), period: *period },
        Provider::Watchpoint { address, len, access } => {
            let Access { read, write, execute } = *access;
            Way::Watchpoint { address: *address, len: *len, access: plan::Access { read, write, execute } }
        }
        Provider::Fentry { function, module, ret, bpf, .. } => {
            Way::Fentry { function: function.clone(), module: module.clone(), ret: *ret, bpf: *bpf }
        }
        Provider::Iter { kind, pid } => Way::Iter { kind: kind.clone(), pid: *pid },
        Provider::Test { name } => Way::Test { name: name.clone() },
        Provider::Bench { name } => Way::Bench { name: name.clone() },
        Provider::Usdt { path, namespace, name, sites, pid } => Way::Usdt {
            path: path.clone(),
            marker: format!("{namespace}:{name}"),
            sites: sites.iter().map(|s| Site { offset: s.file_offset, semaphore: s.semaphore }).collect(),
            pid: *pid,
        },
        Provider::Pcap { interface, filter } => Way::Pcap {
            interface: interface.clone(),
            filter: filter.as_ref().map(|(text, span)| (text.clone(), place(*span))),
        },
        Provider::Exchange { side, port } => Way::Exchange { side: convert_side(*side), port: *port },
        Provider::Telemetry { signal, service, name } => {
            Way::Telemetry { signal: convert_signal(*signal), service: service.clone(), name: name.clone() }
        }
        Provider::Join { join, on } => Way::Join { join: join.0, on: convert_event(*on) },
        Provider::Signal { number, .. } => Way::Signal { number: *number },
    }
}

fn convert_rate(rate: hir::Rate) -> Rate {
    match rate {
        hir::Rate::PeriodNs(ns) => Rate::PeriodNs(ns),
        hir::Rate::Hz(hz) => Rate::Hz(hz),
    }
}

fn convert_counter(counter: hir::Counter) -> plan::Counter {
    match counter {
        hir::Counter::Software(number) => plan::Counter::Software(number),
        hir::Counter::Hardware(number) => plan::Counter::Hardware(number),
    }
}

fn convert_side(side: hir::SocketSide) -> plan::SocketSide {
    match side {
        hir::SocketSide::Server => plan::SocketSide::Server,
        hir::SocketSide::Client => plan::SocketSide::Client,
        hir::SocketSide::Either => plan::SocketSide::Either,
        hir::SocketSide::Turns => plan::SocketSide::Turns,
    }
}

fn convert_signal(signal: hir::Signal) -> Signal {
    match signal {
        hir::Signal::Span => Signal::Span,
        hir::Signal::Log => Signal::Log,
    }
}

fn convert_event(event: hir::JoinEvent) -> JoinEvent {
    match event {
        hir::JoinEvent::Result => JoinEvent::Result,
        hir::JoinEvent::Orphan(leg) => JoinEvent::Orphan(leg),
        hir::JoinEvent::Late => JoinEvent::Late,
    }
}
