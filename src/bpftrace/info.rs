//! `--info`: what this kernel and this build can do, in bpftrace's layout.

use std::fmt::Write;
use weftrace_probes::kernel::{
    Host,
    feature::{self, Report},
};

pub fn text() -> String {
    let host = Host::new();
    let report = feature::report(&host);
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned();
    let mut out = String::new();
    let _ = writeln!(out, "System");
    let _ = writeln!(out, "  OS: {} {} {}", read("ostype"), read("osrelease"), read("version"));
    let _ = writeln!(out, "  Arch: {}\n", std::env::consts::ARCH);
    let _ = writeln!(out, "Build\n  version: v{} (weftrace {})", super::VERSION, env!("CARGO_PKG_VERSION"));
    let _ = writeln!(out, "  LLVM: none\n  libdw (DWARF support): yes\n");
    section(&mut out, "Kernel helpers", &lines(&report.helpers));
    let Report { instructions, btf, module_btf, .. } = report;
    let features = [
        format!("Instruction limit: {instructions}"),
        format!("btf: {}", yes(btf)),
        format!("module btf: {}", yes(module_btf)),
    ];
    section(&mut out, "Kernel features", &features);
    section(&mut out, "Probe types", &lines(&report.probes));
    out
}

fn lines(items: &[(&str, bool)]) -> Vec<String> {
    items.iter().map(|(name, there)| format!("{name}: {}", yes(*there))).collect()
}

fn yes(there: bool) -> &'static str {
    if there { "yes" } else { "no" }
}

/// Two in a line.
fn section(out: &mut String, title: &str, items: &[String]) {
    let _ = writeln!(out, "{title}");
    for pair in items.chunks(2) {
        let line = pair.iter().fold(String::from("  "), |line, item| line + &format!("{item:<33}"));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.push('\n');
}
