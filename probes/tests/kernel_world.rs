//! Tracepoints, kernel symbols and permissions of the running host; speed of the common path.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod kernel_common;

use kernel_common::{load_counter, privileged};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use weftrace_artifact::plan::{Rate, Way};
use weftrace_artifact::program::ProgType;
use weftrace_lang::hir::{Space, Ty};
use weftrace_lang::world::{Answer, Feature, World};
use weftrace_probes::kernel::caps::Capability;
use weftrace_probes::kernel::feature::{Readiness, try_feature};
use weftrace_probes::kernel::sys::clock_thread_cpu;
use weftrace_probes::kernel::{AttachError, AttachOptions, LoadError, Sources, attach, load};
use weftrace_probes::symbols::KernelSymbols;
use weftrace_probes::world::HostWorld;

#[test]
fn tracepoints_of_this_kernel() {
    if !privileged() {
        return;
    }
    let world = HostWorld::new();
    let Answer::Found(event) = world.tracepoint("tcp", "tcp_retransmit_skb") else {
        panic!("{:?}", world.tracepoint("tcp", "tcp_retransmit_skb"))
    };
    let field = |name: &str| event.fields.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(field("skaddr").ty, Ty::Ptr { to: Box::new(Ty::Void), space: Space::Kernel });
    assert_eq!(field("saddr").ty, Ty::Array { elem: Box::new(Ty::U8), len: 4 });
    assert_eq!(field("sport").ty, Ty::U16);
    assert_eq!(world.tracepoint("tcp", "tcp_enter_loss"), Answer::NotThere);
    let Answer::Found(names) = world.tracepoints("tc*", "tcp_*") else { panic!("list") };
    assert!(names.contains(&"tcp:tcp_probe".to_owned()));
    assert_eq!(world.tracepoints("no_such_category", "*"), Answer::Found(vec![]));
}

#[test]
fn every_tracepoint_of_this_kernel_parses() {
    if !privileged() {
        return;
    }
    let world = HostWorld::new();
    let Answer::Found(names) = world.tracepoints("*", "*") else { panic!("list") };
    assert!(names.len() > 300, "{}", names.len());
    for name in &names {
        let (category, event) = name.split_once(':').expect("category:event");
        match world.tracepoint(category, event) {
            Answer::Found(found) => {
                for field in &found.fields {
                    assert!(field.offset + field.size <= found.size, "{name}.{}", field.name);
                    assert_ne!(field.ty, Ty::Error);
                }
            }
            // A few directories (ftrace:*) aren't events.
            other => assert!(matches!(other, Answer::NotThere), "{name}: {other:?}"),
        }
    }
}

#[test]
fn kernel_addresses_have_names() {
    if !privileged() {
        return;
    }
    let world = HostWorld::new();
    let Answer::Found(address) = world.kernel_symbol("tcp_v4_rcv") else {
        println!("SKIP kallsyms");
        return;
    };
    let symbols = KernelSymbols::read().expect("reads");
    let found = symbols.resolve(address + 4).expect("resolves");
    assert_eq!((found.name, found.offset), ("tcp_v4_rcv", 4));
    assert_eq!(world.kernel_symbol("no_such_symbol"), Answer::NotThere);
}

const AS_NOBODY: &str = "WEFTRACE_TEST_AS_NOBODY";

/// Runs one test of this file again as `nobody`.
fn as_nobody(test: &str) {
    let output = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", test, "--nocapture"])
        .env(AS_NOBODY, "1")
        .uid(65534)
        .gid(65534)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn nobody_is_told_what_is_missing() {
    if std::env::var_os(AS_NOBODY).is_none() {
        if privileged() {
            as_nobody("nobody_is_told_what_is_missing");
        }
        return;
    }
    let world = HostWorld::new();
    let host = world.host();
    // Seen as nobody: hidden or not mounted, but never "not there".
    let answer = world.tracepoint("tcp", "tcp_retransmit_skb");
    assert!(matches!(answer, Answer::NotPermitted(_) | Answer::CouldNotTell(_)), "{answer:?}");
    let answer = world.kernel_symbol("tcp_v4_rcv");
    assert!(matches!(answer, Answer::NotPermitted(_)), "{answer:?}");
    for feature in
        [Feature::RawTracepoint, Feature::PerfEvent, Feature::Ringbuf, Feature::PacketSocket, Feature::Uprobe]
    {
        let found = try_feature(feature, host);
        assert!(
            matches!(found, Readiness::NotPermitted { ref lacks, .. } if !lacks.is_empty()),
            "{feature:?}: {found:?}"
        );
        assert!(matches!(world.feature(feature), Answer::NotPermitted(_)));
    }
    let image = kernel_common::image("p", ProgType::Tracepoint, vec![kernel_common::RET0, kernel_common::EXIT], vec![]);
    let error = load(&image, &[], &Sources::new(host, &[])).expect_err("may not load");
    assert!(matches!(error, LoadError::NotPermitted { capability: Some(Capability::Bpf), .. }), "{error:?}");
    // Attaching asks for the event before it looks at the program: any descriptor will do.
    let file = std::fs::File::open("/dev/null").expect("opens");
    let error = attach(file.as_fd(), &Way::Profile { rate: Rate::Hz(99) }, &AttachOptions::new(host))
        .expect_err("may not attach");
    assert!(matches!(error, AttachError::NotPermitted { capability: Some(Capability::Perfmon), .. }), "{error:?}");
    assert!(error.to_string().contains("CAP_PERFMON") && error.remedy().is_some());
}

#[test]
fn one_tracepoint_is_cheap() {
    if !privileged() {
        return;
    }
    let mut best = u64::MAX;
    for _ in 0..5 {
        let before = clock_thread_cpu();
        let world = HostWorld::new();
        assert!(world.tracepoint("tcp", "tcp_retransmit_skb").is_found());
        let (program, _cell) = load_counter(world.host(), ProgType::Tracepoint, 0, None);
        let way = Way::Tracepoint { category: "tcp".into(), event: "tcp_retransmit_skb".into() };
        let link = attach(program.as_fd(), &way, &AttachOptions::new(world.host())).expect("attaches");
        best = best.min(clock_thread_cpu() - before);
        assert!(!world.host().btf_was_read());
        drop(link);
    }
    println!("world + load + attach: {} µs CPU", best / 1000);
    // Debug builds and busy machines included; in release it is well below 1 ms.
    assert!(best < 20_000_000, "{best} ns");
}

#[test]
fn types_are_cheap() {
    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        println!("SKIP btf");
        return;
    }
    let before = clock_thread_cpu();
    let world = HostWorld::new();
    assert!(world.kernel_struct("tcp_sock").is_found());
    assert!(world.kernel_function("tcp_sendmsg").is_found());
    println!("struct and function: {} µs CPU", (clock_thread_cpu() - before) / 1000);
}
