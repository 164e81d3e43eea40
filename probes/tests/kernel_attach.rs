//! Attaching for real: each way fires, counts what it should, and stops when dropped.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod kernel_common;

use kernel_common::{EXIT, RET0, cell, image, insn, load_counter, privileged, read};
use std::hint::black_box;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};
use weftrace_artifact::map::MapId;
use weftrace_artifact::plan::{Rate, Way};
use weftrace_artifact::program::{FieldPath, FieldReloc, MapReloc, ProgType, ProgramImage, RelocSlot};
use weftrace_lang::world::{Answer, Feature, World};
use weftrace_probes::kernel::feature::{self, CHECKS, Readiness, try_feature};
use weftrace_probes::kernel::program::run_once;
use weftrace_probes::kernel::sys;
use weftrace_probes::kernel::{AttachError, AttachOptions, Host, LoadError, Sources, attach, detach_all, load};
use weftrace_probes::world::HostWorld;

/// One system call that libc doesn't cache: /proc/self/stat is not read for it.
fn getppid() -> u32 {
    std::os::unix::process::parent_id()
}

fn own_pid() -> u32 {
    std::process::id()
}

#[test]
fn tracepoint_counts_exactly_and_stops() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let (program, cell) = load_counter(&host, ProgType::Tracepoint, own_pid(), None);
    let way = Way::Tracepoint { category: "syscalls".into(), event: "sys_enter_getppid".into() };
    let link = attach(program.as_fd(), &way, &AttachOptions::new(&host)).expect("attaches");
    for _ in 0..1000 {
        black_box(getppid());
    }
    drop(link);
    assert_eq!(read(&cell), 1000);
    getppid();
    assert_eq!(read(&cell), 1000, "a dropped link fires no more");
    assert!(!host.btf_was_read(), "a tracepoint needs no type information");
}

#[test]
fn raw_tracepoint_and_tp_btf_see_system_calls() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let (raw, raw_cell) = load_counter(&host, ProgType::RawTracepoint, own_pid(), None);
    let (typed, typed_cell) = load_counter(&host, ProgType::TracingRawTp, own_pid(), Some("sys_enter"));
    let options = AttachOptions::new(&host);
    let links = vec![
        attach(raw.as_fd(), &Way::RawTracepoint { event: "sys_enter".into() }, &options).expect("raw"),
        attach(typed.as_fd(), &Way::TracepointBtf { event: "sys_enter".into() }, &options).expect("tp_btf"),
    ];
    for _ in 0..500 {
        black_box(getppid());
    }
    detach_all(links);
    assert!(read(&raw_cell) >= 500 && read(&typed_cell) >= 500, "{} {}", read(&raw_cell), read(&typed_cell));
}

#[inline(never)]
fn weftrace_uprobe_target(x: u64) -> u64 {
    black_box(x).wrapping_mul(3)
}

fn uprobe_way(ret: bool, pid: Option<u32>) -> Way {
    let exe = std::env::current_exe().expect("own path");
    Way::Uprobe {
        path: exe.display().to_string(),
        offset: file_offset(weftrace_uprobe_target as *const () as u64),
        symbol: "weftrace_uprobe_target".into(),
        ret,
        pid,
        semaphore: 0,
        more: Vec::new(),
    }
}

/// Where a function of this process lies in its file, by the memory map: works without symbols.
fn file_offset(address: u64) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("own map");
    let hex = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
    let mut regions = maps.lines().map(|line| {
        let (range, rest) = line.split_once(' ').expect("a map line");
        let (start, end) = range.split_once('-').expect("a range");
        (hex(start), hex(end), hex(rest.split(' ').nth(1).expect("an offset")))
    });
    let (start, _, offset) = regions.find(|(start, end, _)| (*start..*end).contains(&address)).expect("mapped");
    address - start + offset
}

#[test]
fn uprobe_and_uretprobe_count_calls() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let options = AttachOptions::new(&host);
    for (ret, pid) in [(false, None), (true, None), (false, Some(own_pid()))] {
        let (program, cell) = load_counter(&host, ProgType::Kprobe, own_pid(), None);
        let link = attach(program.as_fd(), &uprobe_way(ret, pid), &options).expect("attaches");
        for i in 0..100 {
            black_box(weftrace_uprobe_target(i));
        }
        drop(link);
        // The other tests of this process don't call it; they run in parallel only elsewhere.
        assert_eq!(read(&cell), 100, "ret={ret} pid={pid:?}");
    }
}

#[test]
fn profile_runs_on_every_cpu_and_interval_on_one() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let options = AttachOptions::new(&host);
    let ways = [
        Way::Profile { rate: Rate::Hz(499) },
        Way::Profile { rate: Rate::PeriodNs(2_000_000) },
        Way::Interval { ns: 2_000_000 },
    ];
    for way in ways {
        let (program, cell) = load_counter(&host, ProgType::PerfEvent, 0, None);
        let link = attach(program.as_fd(), &way, &options).expect("attaches");
        let cpus = if matches!(way, Way::Interval { .. }) { 1 } else { host.online().len() };
        assert_eq!(link.descriptors(), 2 * cpus);
        let started = Instant::now();
        while read(&cell) < 20 && started.elapsed() < Duration::from_secs(10) {
            black_box((0..10_000u64).fold(0, |a, b| a ^ b));
        }
        drop(link);
        assert!(read(&cell) >= 20, "{way:?}: {}", read(&cell));
    }
}

#[test]
fn cookies_reach_the_program() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    if try_feature(Feature::AttachCookie, &host) != Readiness::Ready {
        println!("SKIP cookies");
        return;
    }
    let cell = cell();
    let (mut image, store) = keeps_r6(ProgType::Kprobe, &[insn(0x85, 0, 0, 0, 174), insn(0xbf, 6, 0, 0, 0)]);
    image.map_relocs = store;
    let program = load(&image, &[cell.as_fd().as_raw_fd()], &Sources::new(&host, &[])).expect("loads");
    let options = AttachOptions { cookie: 0xfeed_0000_0001, ..AttachOptions::new(&host) };
    let link = attach(program.as_fd(), &uprobe_way(false, Some(own_pid())), &options).expect("attaches");
    black_box(weftrace_uprobe_target(1));
    drop(link);
    assert_eq!(read(&cell), 0xfeed_0000_0001);
}

/// A program that computes r6 and keeps it in element 0 of map 0.
fn keeps_r6(prog_type: ProgType, compute: &[u64]) -> (ProgramImage, Vec<MapReloc>) {
    let mut insns = compute.to_vec();
    insns.extend([insn(0x62, 10, 0, -4, 0), insn(0xbf, 2, 10, 0, 0), insn(0x07, 2, 0, 0, -4)]);
    let reloc = MapReloc { insn: insns.len() as u32, map: MapId(0) };
    insns.extend([
        insn(0x18, 1, 0, 0, 0),
        0,
        insn(0x85, 0, 0, 0, 1),
        insn(0x15, 0, 0, 1, 0),
        insn(0x7b, 0, 6, 0, 0),
        RET0,
        EXIT,
    ]);
    (image("keep", prog_type, insns, vec![]), vec![reloc])
}

#[test]
fn fields_are_found_where_this_host_has_them() {
    if !privileged() {
        return;
    }
    let world = HostWorld::new();
    let host = world.host();
    let cell = cell();
    // r6 = args.__syscall_nr, compiled for a host that had it far beyond the record; only for this process.
    let only_us = [
        insn(0xbf, 7, 1, 0, 0),
        insn(0x85, 0, 0, 0, 14),
        insn(0x77, 0, 0, 0, 32),
        insn(0x15, 0, 0, 2, own_pid() as i32),
        RET0,
        EXIT,
        insn(0x61, 6, 7, 2000, 0),
    ];
    let (mut image, maps) = keeps_r6(ProgType::Tracepoint, &only_us);
    let path = |field: &str| FieldPath::Tracepoint {
        category: "syscalls".into(),
        event: "sys_enter_getppid".into(),
        field: field.into(),
    };
    image.map_relocs = maps;
    image.field_relocs = vec![FieldReloc { insn: 6, slot: RelocSlot::Off, path: path("__syscall_nr"), compiled: 2000 }];
    let mut from = Sources::new(host, &[]);
    from.relocate = Some(&world);
    let program = load(&image, &[cell.as_fd().as_raw_fd()], &from).unwrap_or_else(|e| panic!("{e}"));
    let way = Way::Tracepoint { category: "syscalls".into(), event: "sys_enter_getppid".into() };
    let link = attach(program.as_fd(), &way, &AttachOptions::new(host)).expect("attaches");
    getppid();
    drop(link);
    let Answer::Found(event) = world.tracepoint("syscalls", "sys_enter_getppid") else { panic!("no event") };
    assert!(event.fields.iter().any(|f| f.name == "__syscall_nr" && f.offset == 8));
    // SYS_getppid
    assert_eq!(read(&cell), if cfg!(target_arch = "x86_64") { 110 } else { 173 });

    image.field_relocs[0].path = path("no_such_field");
    let error = load(&image, &[cell.as_fd().as_raw_fd()], &from).expect_err("no such field");
    assert!(
        error.to_string().contains("this host has no args.no_such_field of tracepoint:syscalls:sys_enter_getppid"),
        "{error}"
    );
}

#[test]
fn a_program_runs_without_btf_that_the_kernel_refuses() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let mut image = image("plain", ProgType::RawTracepoint, vec![RET0, EXIT], vec![]);
    image.btf = vec![1, 2, 3];
    image.func_info = vec![0; 8];
    let program = load(&image, &[], &Sources::new(&host, &[])).expect("loads");
    assert_eq!(run_once(program.as_fd()).expect("runs"), 0);
}

#[test]
fn many_perf_links_detach_together() {
    if !privileged() {
        return;
    }
    let world = HostWorld::new();
    let Answer::Found(names) = world.tracepoints("syscalls", "sys_enter_get*") else { panic!("lists") };
    assert!(names.len() > 8, "{names:?}");
    let host = world.host();
    let (program, cell) = load_counter(host, ProgType::Tracepoint, own_pid(), None);
    let options = AttachOptions::new(host);
    let links: Vec<_> = names
        .iter()
        .map(|name| {
            let (category, event) = name.split_once(':').expect("category:event");
            let way = Way::Tracepoint { category: category.into(), event: event.into() };
            attach(program.as_fd(), &way, &options).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect();
    getppid();
    detach_all(links);
    let seen = read(&cell);
    assert!(seen >= 1);
    getppid();
    assert_eq!(read(&cell), seen);
}

#[test]
fn a_begin_program_runs_by_hand() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let (program, cell) = load_counter(&host, ProgType::RawTracepoint, 0, None);
    assert_eq!(run_once(program.as_fd()).expect("runs"), 0);
    assert_eq!(read(&cell), 1);
    let stats = sys::enable_stats().expect("statistics");
    run_once(program.as_fd()).expect("runs");
    let info = sys::prog_info(program.as_fd()).expect("info");
    assert!(info.id > 0);
    drop(stats);
    assert_eq!(read(&cell), 2);
}

#[test]
fn what_does_not_exist_is_told() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let options = AttachOptions::new(&host);
    let (program, _cell) = load_counter(&host, ProgType::Tracepoint, 0, None);
    let way = Way::Tracepoint { category: "tcp".into(), event: "tcp_enter_loss".into() };
    let error = attach(program.as_fd(), &way, &options).expect_err("no such event");
    assert!(matches!(error, AttachError::NoSuchEvent { .. }), "{error:?}");
    assert_eq!(error.to_string(), "tracepoint:tcp:tcp_enter_loss does not exist on this host");
    assert!(error.remedy().is_some());

    let (raw, _cell) = load_counter(&host, ProgType::RawTracepoint, 0, None);
    let error = attach(raw.as_fd(), &Way::RawTracepoint { event: "nope".into() }, &options).expect_err("no such event");
    assert!(matches!(error, AttachError::NoSuchEvent { .. }), "{error:?}");

    let (probe, _cell) = load_counter(&host, ProgType::Kprobe, 0, None);
    let gone = Way::Uprobe {
        path: "/no/such".into(),
        offset: 0,
        symbol: "f".into(),
        ret: false,
        pid: None,
        semaphore: 0,
        more: Vec::new(),
    };
    let error = attach(probe.as_fd(), &gone, &options).expect_err("no such file");
    assert!(matches!(error, AttachError::NoSuchEvent { .. }), "{error:?}");
    let error = attach(probe.as_fd(), &uprobe_way(false, Some(0x3fff_ffff)), &options).expect_err("no such process");
    assert_eq!(error, AttachError::NoSuchProcess { pid: 0x3fff_ffff });

    let error = attach(probe.as_fd(), &Way::Begin, &options).expect_err("BEGIN isn't attached");
    assert!(matches!(error, AttachError::NotKernel { .. }));
    let error = attach(probe.as_fd(), &Way::Interval { ns: 0 }, &options).expect_err("no period");
    assert!(matches!(error, AttachError::NoSuchEvent { .. }));
    // A program of another type than the event takes.
    let error = attach(raw.as_fd(), &uprobe_way(false, None), &options).expect_err("wrong type");
    assert!(matches!(error, AttachError::Failed { .. }), "{error:?}");
}

#[test]
fn records_have_an_end() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    // Loads beyond the record: the verifier doesn't know its length, attaching does.
    let insns = vec![insn(0x79, 2, 1, 2040, 0), RET0, EXIT];
    let image = image("beyond", ProgType::Tracepoint, insns, vec![]);
    let program = load(&image, &[], &Sources::new(&host, &[])).expect("loads");
    let way = Way::Tracepoint { category: "syscalls".into(), event: "sys_enter_getppid".into() };
    let error = attach(program.as_fd(), &way, &AttachOptions::new(&host)).expect_err("too short");
    assert!(error.to_string().contains("beyond the end of the event's record"), "{error}");
}

#[test]
fn kprobes_fire_or_are_told_apart() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let options = AttachOptions::new(&host);
    let (program, cell) = load_counter(&host, ProgType::Kprobe, own_pid(), None);
    let way = |function: &str, ret| Way::Kprobe { function: function.into(), module: None, offset: 0, ret };
    if try_feature(Feature::Kprobe, &host) != Readiness::Ready {
        let error = attach(program.as_fd(), &way("__x64_sys_getppid", false), &options).expect_err("no kprobes here");
        assert!(matches!(error, AttachError::NotSupported { .. }), "{error:?}");
        println!("SKIP kprobes");
        return;
    }
    for ret in [false, true] {
        let before = read(&cell);
        let link = attach(program.as_fd(), &way("__x64_sys_getppid", ret), &options).expect("attaches");
        for _ in 0..50 {
            getppid();
        }
        drop(link);
        assert_eq!(read(&cell) - before, 50);
    }
    let error = attach(program.as_fd(), &way("no_such_function", false), &options).expect_err("no such function");
    assert!(matches!(error, AttachError::NoSuchEvent { .. }), "{error:?}");
}

#[test]
fn the_verifier_is_quoted_at_the_script() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let mut bad = image("bad", ProgType::Kprobe, vec![RET0, insn(0x79, 0, 3, 0, 0), EXIT], vec![]);
    bad.spans = vec![(0, place(0, 5)), (1, place(12, 15))];
    let texts = [("my.probe".to_owned(), "kprobe:f {\n  @x = 1\n}".to_owned())];
    let error = load(&bad, &[], &Sources::new(&host, &texts)).expect_err("r3 has no value");
    let LoadError::Rejected(rejection) = error else { panic!("{error:?}") };
    assert_eq!((rejection.insn, rejection.at.as_deref()), (Some(1), Some("my.probe:2:2")));
    assert!(rejection.line.contains("R3 !read_ok"), "{}", rejection.log);
    assert!(rejection.reason.is_some());
}

fn place(start: u32, end: u32) -> weftrace_artifact::Place {
    weftrace_artifact::Place { start, end, ..Default::default() }
}

#[test]
fn doctor_tells_every_feature_of_this_host() {
    if !privileged() {
        return;
    }
    let host = Host::new();
    let all: Vec<_> = feature::all(&host).map(|(check, readiness)| (check.name, readiness)).collect();
    assert_eq!(all.len(), CHECKS.len());
    for (name, readiness) in &all {
        println!("{name}: {readiness:?}");
    }
    let of = |wanted: &str| &all.iter().find(|(name, _)| *name == wanted).expect("listed").1;
    // Every kernel that we support has these.
    for name in ["tracepoint", "rawtracepoint", "software", "ring buffer", "uprobe"] {
        assert_eq!(*of(name), Readiness::Ready, "{name}");
    }
    assert_eq!(of("kprobe") == &Readiness::Ready, Path::new("/sys/bus/event_source/devices/kprobe").exists());
}
