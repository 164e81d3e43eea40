//! Which probes of a module are kept for what a script reads of it.

use crate::ast::{FnDef, Item, Join, Probe, Script};
use crate::span::FileId;

fn parsed(text: &str, file: u32) -> Script {
    let (script, said) = crate::syntax::parse(text, FileId(file));
    assert!(said.is_empty(), "{said:?}");
    script
}

/// Names of the events whose probes are kept.
fn kept(module: &str, join: &str) -> Vec<String> {
    let (module, main) = (parsed(module, 1), parsed(join, 0));
    let probes: Vec<&Probe> = module
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Probe(probe) => Some(probe),
            _ => None,
        })
        .collect();
    let joins: Vec<&Join> = main
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Join(join) => Some(join),
            _ => None,
        })
        .collect();
    let fns: Vec<&FnDef> = module
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Fn(f) => Some(f),
            _ => None,
        })
        .collect();
    super::probes(probes, &fns, &joins).iter().map(|p| p.points[0].segments[0].text.clone()).collect()
}

const MODULE: &str = "
rawtracepoint:fills { @__began[tid] = nsecs; }
rawtracepoint:empties { delete(@__began, tid); }
rawtracepoint:reads { emit s.one(start = @__began[tid], end = nsecs); @__more[tid]++; }
rawtracepoint:reads_more { if (@__more[tid] > 1) { emit s.two(start = @__began[tid], end = nsecs); } }
rawtracepoint:shows { emit s.three(start = 0, end = 1); @shown[tid] = count(); }
";

#[test]
fn what_fills_is_kept_and_what_only_reads_is_not() {
    let one = "join j { from r = s.one(); total r.start; }";
    assert_eq!(kept(MODULE, one), ["fills", "empties", "reads", "shows"]);
    let two = "join j { from r = s.two(); total r.start; }";
    assert_eq!(kept(MODULE, two), ["fills", "empties", "reads", "reads_more", "shows"]);
    assert_eq!(kept(MODULE, ""), ["shows"]);
}

/// What a function reads and writes is its callers'.
#[test]
fn functions_read_and_write_for_their_callers() {
    let module = "
fn began(): uint64 { return (uint64)@__began[1]; }
fn since(): uint64 { return began(); }
fn note(): uint64 { @__noted[1] = nsecs; return 0; }
rawtracepoint:fills { @__began[1] = nsecs; }
rawtracepoint:notes { $x = note(); }
rawtracepoint:other { @__other[1] = nsecs; }
rawtracepoint:emits { emit s.one(start = since(), end = @__noted[1]); }
";
    let one = "join j { from r = s.one(); total r.start; }";
    assert_eq!(kept(module, one), ["fills", "notes", "emits"]);
    assert!(kept(module, "").is_empty());
}
