//! What maps forget: rates, windows and times to live, against lists of all events. In the kernel's shape and in user space's.

use crate::hir::raw_tp;
use crate::run::*;
use weftrace_compiler::ir::interp::host::Host;
use weftrace_lang::{check, diag::Severity, span::SourceMap, syntax};

/// A script of one `begin` block as a kernel program, or as a handler.
fn compile(text: &str, kernel: bool) -> Lowered {
    let mut sources = SourceMap::default();
    let file = sources.add("script", text);
    let (script, mut findings) = syntax::parse(text, file);
    let world = TestWorld::default();
    let (mut program, more) = check::analyze(&script, &mut sources, &world, &check::Options::default());
    findings.extend(more);
    assert!(findings.iter().all(|d| d.severity != Severity::Error), "{findings:?}");
    if kernel {
        program.probes[0].targets[0].provider = raw_tp();
    }
    lower(&program)
}

/// The value of the scalar map that the script declares as number `map`.
fn scalar(host: &Host, map: usize) -> u64 {
    word(value(host, map, &[0; 4]).expect("arrays have their element"))
}

const SECOND: u64 = 1_000_000_000;

/// Times of events: pauses of all lengths, also those that end at a bucket's edge or just when an element ends.
fn walk(mut each: impl FnMut(u64)) {
    let (mut now, mut seed) = (1000 * SECOND + 7, 5u64);
    for _ in 0..150 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        now += match seed >> 61 {
            0 => 4 * SECOND,
            1 => 1,
            2 => 30 * SECOND,
            3 => 5 * SECOND,
            // The next whole second.
            4 => SECOND - now % SECOND,
            _ => (seed >> 33) % SECOND,
        };
        each(now);
    }
}

#[test]
fn rates_are_of_the_last_seconds() {
    for kernel in [true, false] {
        let text = "begin { @rate = 0; @sums = 0; @long = 0; @n = count(); @s[7] = sum(3); \
                    @rate = rate(@n, 10s); @sums = rate(@s[7], 10s); @long = rate(@n, 40s); @no = rate(@s[8], 10s); }";
        let lowered = compile(text, kernel);
        let at = |name: &str| lowered.maps.iter().position(|m| m.name == name).expect("a map of the script");
        let mut host = lowered.host();
        let mut events = Vec::new();
        walk(|now| {
            host.now = now;
            events.push(now);
            lowered.run(0, &mut host);
            let since = |from: u64| events.iter().filter(|t| **t >= from).count() as u64;
            // @n is asked for 40 s too, @s is not: both in buckets of 1 s.
            for (map, window, each) in [("@rate", 10, 1), ("@sums", 10, 3), ("@long", 40, 1)] {
                let (least, most) = (since(now - window * SECOND + 1), since(now - (window + 1) * SECOND));
                let said = scalar(&host, at(map));
                assert!(least * each <= said && said <= most * each, "{map} {least} {said} {most}, kernel {kernel}");
            }
            assert_eq!(scalar(&host, at("@no")), 0);
        });
        assert_eq!(scalar(&host, at("@n")), 150, "the total stays");
    }
}

#[test]
fn windows_are_their_last_seconds() {
    for kernel in [true, false] {
        let text = "let @w = window(10s, 2s); let @by = window(10s, 2s); \
                    begin { @w = count(); @by[3] = sum(-2); @is = @w; @sum = @by[3]; @has = has_key(@by, 3); @not = has_key(@by, 4); }";
        let lowered = compile(text, kernel);
        let at = |name: &str| lowered.maps.iter().position(|m| m.name == name).expect("a map of the script");
        let mut host = lowered.host();
        let mut events = Vec::new();
        walk(|now| {
            host.now = now;
            events.push(now);
            lowered.run(0, &mut host);
            let since = |from: u64| events.iter().filter(|t| **t >= from).count() as u64;
            let (least, most) = (since(now - 10 * SECOND + 1), since(now - 12 * SECOND));
            let said = scalar(&host, at("@is"));
            assert!(least <= said && said <= most, "{least} {said} {most}, kernel {kernel}");
            assert_eq!(scalar(&host, at("@sum")) as i64, -2 * said as i64);
            let flag = |name: &str| value(&host, at(name), &[0; 4]).expect("set")[0];
            assert_eq!((flag("@has"), flag("@not")), (1, 0));
        });
    }
}

#[test]
fn elements_end() {
    for kernel in [true, false] {
        let text = "let @t = hash(10, ttl=5s); let @c = lruhash(10, ttl=5s); let @x = hash(10, ttl=5s); \
                    begin { @was = @t[1]; @had = has_key(@t, 1); @t[1] = (uint64)77; @c[1] = count(); @x[1]++; @n = @c[1]; @m = @x[1]; }";
        let lowered = compile(text, kernel);
        let at = |name: &str| lowered.maps.iter().position(|m| m.name == name).expect("a map of the script");
        let mut host = lowered.host();
        let (mut last, mut run) = (None::<u64>, 0);
        walk(|now| {
            host.now = now;
            lowered.run(0, &mut host);
            let alive = last.filter(|t| now - t <= 5 * SECOND);
            run = if alive.is_some() { run + 1 } else { 1 };
            assert_eq!(scalar(&host, at("@was")), alive.map_or(0, |_| 77), "kernel {kernel}");
            assert_eq!(value(&host, at("@had"), &[0; 4]).expect("set")[0], u8::from(alive.is_some()));
            assert_eq!((scalar(&host, at("@n")), scalar(&host, at("@m"))), (run, run));
            last = Some(now);
        });
    }
}
