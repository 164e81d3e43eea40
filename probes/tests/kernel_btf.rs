//! The kernel's types as we read them, against bpftool's reading of the same bytes.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use weftrace_lang::hir::{Space, Ty};
use weftrace_lang::world::{Answer, World};
use weftrace_probes::kernel::btf::Btf;
use weftrace_probes::symbols::glob::Glob;
use weftrace_probes::world::HostWorld;

fn have_btf() -> bool {
    let there = Path::new("/sys/kernel/btf/vmlinux").exists();
    if !there {
        println!("SKIP btf");
    }
    there
}

/// (size, members as (name, bit offset))
type Layout = (u32, Vec<(String, u32)>);

/// Name of a struct → (size, members as (name, bit offset)), by `bpftool btf dump`.
fn truth(names: &[&str]) -> Option<BTreeMap<String, Layout>> {
    let out = Command::new("bpftool").args(["btf", "dump", "file", "/sys/kernel/btf/vmlinux"]).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let mut found = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        if line.starts_with('[') {
            current = None;
            let Some((kind, rest)) = line.split_once("] ").and_then(|(_, r)| r.split_once(" '")) else { continue };
            let Some((name, rest)) = rest.split_once("' size=") else { continue };
            if matches!(kind, "STRUCT" | "UNION") && names.contains(&name) && !found.contains_key(name) {
                let size = rest.split(' ').next()?.parse().ok()?;
                found.insert(name.to_owned(), (size, Vec::new()));
                current = Some(name.to_owned());
            }
        } else if let Some(name) = &current {
            let member = line.trim().trim_start_matches('\'');
            let (member, rest) = member.split_once("' type_id=")?;
            let offset = rest.split_once("bits_offset=")?.1.split(' ').next()?.parse().ok()?;
            let shown = if member == "(anon)" { "" } else { member };
            found.get_mut(name)?.1.push((shown.to_owned(), offset));
        }
    }
    Some(found)
}

#[test]
fn layouts_are_those_of_bpftool() {
    if !have_btf() {
        return;
    }
    let names = [
        "tcp_sock",
        "sock",
        "sock_common",
        "task_struct",
        "sk_buff",
        "inet_connection_sock",
        "in6_addr",
        "file",
        "iphdr",
    ];
    let Some(truth) = truth(&names) else {
        println!("SKIP bpftool");
        return;
    };
    let btf = Btf::vmlinux().expect("reads");
    for name in names {
        let def = btf.struct_def(name).unwrap_or_else(|| panic!("{name}"));
        let (size, members) = &truth[name];
        assert_eq!(def.size, *size, "{name}");
        let ours: Vec<(String, u32)> = def
            .fields
            .iter()
            .map(|f| (f.name.clone(), f.offset * 8 + f.bits.map_or(0, |(first, _)| u32::from(first))))
            .collect();
        assert_eq!(&ours, members, "{name}");
        assert!(def.size.is_multiple_of(def.align), "{name}: align {}", def.align);
    }
}

#[test]
fn fields_have_the_types_that_scripts_need() {
    if !have_btf() {
        return;
    }
    let world = HostWorld::new();
    let Answer::Found(task) = world.kernel_struct("task_struct") else { panic!("task_struct") };
    let field = |name: &str| task.fields.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("{name}")).ty.clone();
    assert_eq!(field("comm"), Ty::Str { cap: 16 });
    assert_eq!(field("pid"), Ty::I32);
    assert_eq!(field("mm"), Ty::Ptr { to: Box::new(Ty::Struct("mm_struct".into())), space: Space::Kernel });
    // Unnamed members lead on.
    let Answer::Found(common) = world.kernel_struct("sock_common") else { panic!("sock_common") };
    let Some(Ty::Struct(inner)) = common.fields.iter().find(|f| f.name.is_empty()).map(|f| &f.ty) else {
        panic!("anonymous")
    };
    assert!(world.kernel_struct(inner).is_found(), "{inner}");
    assert!(world.kernel_struct("no_such_struct").found().is_none());
    // A typedef names a struct without a tag.
    assert!(world.kernel_struct("spinlock_t").is_found());
    assert!(matches!(world.kernel_typedef("u64"), Answer::Found(Ty::Int { bits: 64, signed: false })));
}

#[test]
fn enums_and_enumerators() {
    if !have_btf() {
        return;
    }
    let world = HostWorld::new();
    let Answer::Found((def, value)) = world.kernel_enumerator("TCP_SYN_SENT") else { panic!("TCP_SYN_SENT") };
    assert_eq!(value, 2);
    assert!(def.variants.iter().any(|(n, v)| n == "TCP_ESTABLISHED" && *v == 1));
    let Answer::Found(def) = world.kernel_enum("pid_type") else { panic!("pid_type") };
    assert!(def.variants.iter().any(|(n, v)| n == "PIDTYPE_PID" && *v == 0));
    assert_eq!(world.kernel_enumerator("NO_SUCH_ENUMERATOR_AT_ALL"), Answer::NotThere);
}

#[test]
fn functions_and_raw_tracepoints_have_named_parameters() {
    if !have_btf() {
        return;
    }
    let world = HostWorld::new();
    let Answer::Found(Some(send)) = world.kernel_function("tcp_sendmsg") else { panic!("tcp_sendmsg") };
    let names: Vec<&str> = send.params.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["sk", "msg", "size"]);
    assert_eq!(send.ret, Ty::I32);
    let Answer::Found(switch) = world.raw_tracepoint("sched_switch") else { panic!("sched_switch") };
    assert_eq!(switch.params[0].ty, Ty::Bool);
    assert_eq!(switch.params[1].ty, Ty::Ptr { to: Box::new(Ty::Struct("task_struct".into())), space: Space::Kernel });
    assert_eq!(world.raw_tracepoint("no_such_tracepoint"), Answer::NotThere);
    let Answer::Found(names) = world.raw_tracepoints("tcp_*") else { panic!("list") };
    assert!(names.contains(&"tcp_retransmit_skb".to_owned()) && names.windows(2).all(|w| w[0] < w[1]));
    assert!(matches!(world.kernel_function("vmlinux:tcp_sendmsg"), Answer::Found(Some(p)) if p.params.len() == 3));
    assert_eq!(world.kernel_function("no_such_module:tcp_sendmsg"), Answer::NotThere);
    assert_eq!(world.kernel_functions("vmlinux:tcp_sendms?"), Answer::Found(vec!["vmlinux:tcp_sendmsg".into()]));
    // Without type information, but in kallsyms: found without a prototype; in neither: not there.
    assert_eq!(world.kernel_function("no_such_function_anywhere"), Answer::NotThere);
}

#[test]
fn wildcards_list_what_bpftool_lists() {
    if !have_btf() {
        return;
    }
    let Ok(out) = Command::new("bpftool").args(["btf", "dump", "file", "/sys/kernel/btf/vmlinux"]).output() else {
        println!("SKIP bpftool");
        return;
    };
    let text = String::from_utf8_lossy(&out.stdout);
    let mut expected: Vec<&str> =
        text.lines().filter_map(|l| l.split_once("] FUNC 'tcp_")?.1.split_once('\'')).map(|(rest, _)| rest).collect();
    expected.sort_unstable();
    expected.dedup();
    let btf = Btf::vmlinux().expect("reads");
    let ours = btf.functions(&Glob::new("tcp_*"));
    let ours: Vec<&str> = ours.iter().map(|n| &n[4..]).collect();
    assert_eq!(ours, expected);
}
