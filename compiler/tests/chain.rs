//! Which ways to attach a plan has, on kernels that can do this and that.

use weftrace_artifact::{
    Artifact,
    plan::{ProbePlan, Way},
    program::{ProgType, ProgramImage},
};
use weftrace_compiler::driver::{self, Options, Stage};
use weftrace_lang::{
    check,
    diag::{Diagnostic, Severity},
    hir::{Space, StructDef, StructField, Ty},
    recorded::{RecordedWorld, WorldLog},
    span::SourceMap,
    syntax,
    world::{Answer, Feature, FnProto, Param, TraceEvent, World},
};

fn param(name: &str, ty: Ty) -> Param {
    Param { name: name.into(), ty }
}

fn pointer() -> Ty {
    Ty::Ptr { to: Box::new(Ty::Void), space: Space::Kernel }
}

/// A kernel with some functions and these features.
fn kernel(features: &[Feature]) -> RecordedWorld {
    let mut log = WorldLog { kernel_release: "Linux 6.1 x86_64".into(), cpus: 1, ..WorldLog::default() };
    for feature in [
        Feature::Kprobe,
        Feature::Fentry,
        Feature::AttachCookie,
        Feature::BpfLoop,
        Feature::SignedDiv,
        Feature::IterOfProcess,
        Feature::CurrentTask,
        Feature::AtomicFetch,
    ] {
        let answer = if features.contains(&feature) { Answer::Found(()) } else { Answer::NotThere };
        log.feature.insert(feature, answer);
    }
    let mut function = |name: &str, params: Vec<Param>, ret: Ty| {
        let proto = FnProto { name: name.into(), params, ret };
        log.kernel_function.insert(name.into(), Answer::Found(Some(proto)));
    };
    function("vfs_read", vec![param("file", pointer()), param("buf", pointer()), param("count", Ty::U64)], Ty::I64);
    function("narrow", vec![param("a", Ty::I32), param("b", Ty::Int { bits: 16, signed: true })], Ty::I32);
    // 12 bytes: two registers.
    let by_value = vec![param("a", Ty::U64), param("pair", Ty::Struct("pair".into())), param("z", Ty::U32)];
    function("by_value", by_value, Ty::I64);
    function("nothing", vec![param("a", Ty::U64)], Ty::Void);
    function("seven", ["a", "b", "c", "d", "e", "f", "g"].map(|n| param(n, Ty::U64)).into(), Ty::I64);
    log.kernel_function.insert("untyped".into(), Answer::Found(None));
    let field = |name: &str, offset| StructField { name: name.into(), offset, bits: None, ty: Ty::U32 };
    let fields = vec![field("x", 0), field("y", 4), field("z", 8)];
    log.kernel_struct.insert(
        "pair".into(),
        Answer::Found(StructDef { name: "pair".into(), size: 12, align: 4, fields, union: false, go: None }),
    );
    let field = |name: &str, offset, ty| StructField { name: name.into(), offset, bits: None, ty };
    let mut object = |name: &str, size, fields| {
        let def = StructDef { name: name.into(), size, align: 8, fields, union: false, go: None };
        log.kernel_struct.insert(name.into(), Answer::Found(def));
    };
    let text = Ty::Array { elem: Box::new(Ty::Int { bits: 8, signed: true }), len: 16 };
    object("task_struct", 64, vec![field("tgid", 8, Ty::I32), field("comm", 16, text)]);
    let task = Ty::Ptr { to: Box::new(Ty::Struct("task_struct".into())), space: Space::Kernel };
    for kind in ["bpf_iter__task", "bpf_iter__tcp"] {
        object(kind, 16, vec![field("task", 8, task.clone())]);
    }
    let event = TraceEvent { category: "syscalls".into(), name: "sys_enter_read".into(), fields: vec![], size: 8 };
    log.tracepoint.insert("syscalls:sys_enter_read".into(), Answer::Found(event));
    RecordedWorld::whole(log)
}

fn analyze(text: &str, world: &dyn World) -> (Artifact, String, Vec<Diagnostic>) {
    analyze_with(text, world, &check::Options::default())
}

fn analyze_with(text: &str, world: &dyn World, options: &check::Options) -> (Artifact, String, Vec<Diagnostic>) {
    let mut sources = SourceMap::default();
    let file = sources.add("test", text);
    let (script, mut found) = syntax::parse(text, file);
    let (program, more) = check::analyze(&script, &mut sources, world, options);
    found.extend(more);
    let (artifact, more) = driver::compile(&program, &sources, world, &Options::default());
    let (plan, _) = driver::dump(&program, &sources, world, &Options::default(), Stage::Plan);
    found.extend(more);
    (artifact, plan, found)
}

/// What the plan takes, as `fentry else kprobe`, and what it says of those that it passed over.
fn ways(text: &str, features: &[Feature]) -> String {
    let (artifact, _, found) = analyze(text, &kernel(features));
    let errors: Vec<_> = found.iter().filter(|d| d.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{text}: {errors:?}");
    let one = |plan: &ProbePlan| {
        let taken: Vec<String> = plan.ways().map(|one| one.way.describe()).collect();
        let passed = plan.passed.iter().map(|p| format!("; not {}: {}", p.way, p.why));
        taken.join(" else ") + &passed.collect::<String>()
    };
    artifact.probes.iter().map(one).collect::<Vec<_>>().join("\n")
}

const BOTH: &[Feature] = &[Feature::Kprobe, Feature::Fentry];
const KPROBE: &[Feature] = &[Feature::Kprobe];
const FENTRY: &[Feature] = &[Feature::Fentry];

#[test]
fn what_the_script_says_is_taken_where_it_works() {
    assert_eq!(ways("kprobe:vfs_read { @[arg2] = count(); }", BOTH), "kprobe");
    assert_eq!(ways("kretprobe:vfs_read { @[retval] = count(); }", KPROBE), "kretprobe");
    assert_eq!(ways("fentry:vfs_read { @[args.count] = count(); }", BOTH), "fentry");
    assert_eq!(ways("fexit:vfs_read { @[retval] = count(); }", FENTRY), "fexit");
}

#[test]
fn each_stands_in_for_the_other() {
    assert_eq!(ways("kprobe:vfs_read { @[arg2] = count(); }", FENTRY), "fentry; not kprobe: this kernel has none");
    assert_eq!(
        ways("kretprobe:vfs_read { @[retval] = count(); }", FENTRY),
        "fexit; not kretprobe: this kernel has none"
    );
    assert_eq!(
        ways("fentry:vfs_read { @[args.count] = count(); }", KPROBE),
        "kprobe; not fentry: this kernel has none"
    );
    assert_eq!(ways("fexit:vfs_read { @[retval] = count(); }", KPROBE), "kretprobe; not fexit: this kernel has none");
}

#[test]
fn the_setting_chooses() {
    let with = |policy: &str, features| {
        ways(&format!("config = {{ attach = {policy} }} kprobe:vfs_read {{ @ = count(); }}"), features)
    };
    assert_eq!(with("fast", BOTH), "fentry else kprobe");
    assert!(with("other", BOTH).starts_with("fentry; not kprobe: the script's setting"));
    assert_eq!(with("written", FENTRY), "kprobe");
    let why = "kprobe; not fentry: the body asks for reg(), which only a kprobe has";
    assert_eq!(ways("config = { attach = fast } kprobe:vfs_read { @[reg(\"ip\")] = count(); }", BOTH), why);
}

#[test]
fn what_a_body_asks_for_may_be_missing_there() {
    let why = |text: &str, features| {
        let told = ways(text, features);
        told.split_once("; not ").map_or(told.clone(), |(_, why)| why.to_owned())
    };
    let fast = |text: &str| why(&format!("config = {{ attach = fast }} {text}"), BOTH);
    assert_eq!(fast("kprobe:vfs_read+4 { @ = count(); }"), "fentry: the probe is within the function");
    assert_eq!(fast("kprobe:vfs_read { @[arg4] = count(); }"), "fentry: the function has no arg4 of its own");
    assert_eq!(fast("kprobe:untyped { @ = count(); }"), "fentry: untyped has no type information (BTF)");
    assert_eq!(
        fast("kretprobe:vfs_read { @[kstack] = count(); }"),
        "fexit: the body asks for the kernel's stack, which begins elsewhere there"
    );
    assert!(fast("kretprobe:nothing { @[retval] = count(); }").contains("returns nothing"));
    assert_eq!(fast("kretprobe:nothing { @ = count(); }"), "fexit else kretprobe");
    assert!(why("fexit:vfs_read { @[args.count] = count(); }", KPROBE).contains("gone when the function returns"));
}

#[test]
fn nothing_works_and_the_probe_says_so_itself() {
    assert_eq!(ways("kprobe:vfs_read { @ = count(); }", &[]), "kprobe; not fentry: this kernel has none");
    let (_, plan, found) = analyze("kprobe:vfs_read { @ = count(); }", &kernel(&[]));
    assert!(plan.contains("kprobe") && plan.contains("not fentry: this kernel has none"), "{plan}");
    let d = found.iter().find(|d| d.code == "unsupported-here").expect("told when checked");
    let notes = format!("{:?}", d.notes);
    assert!(notes.contains("tracepoint:syscalls:sys_enter_read"), "{notes}");
}

#[test]
fn else_and_missing_probes_hold_where_nothing_attaches() {
    let names = |text: &str| -> Vec<String> {
        let (artifact, _, found) = analyze(text, &kernel(&[]));
        assert!(found.iter().all(|d| d.severity != Severity::Error), "{found:?}");
        artifact.probes.into_iter().map(|p| p.name).collect()
    };
    let other = "else tracepoint:syscalls:sys_enter_read { @t = count(); }";
    assert_eq!(names(&format!("kprobe:vfs_read {{ @ = count(); }} {other}")), ["tracepoint:syscalls:sys_enter_read"]);
    assert_eq!(names(&format!("fentry:vfs_read {{ @ = count(); }} {other}")), ["tracepoint:syscalls:sys_enter_read"]);
    assert_eq!(names("config = { missing_probes = warn } kprobe:vfs_read { @ = count(); } interval:s:1 { }").len(), 1);
    assert_eq!(names("config = { missing_probes = ignore } fexit:vfs_read { @ = count(); } interval:s:1 { }").len(), 1);
    // Where one stands in for the other it attaches, and the first block runs.
    let (artifact, ..) = analyze(&format!("kprobe:vfs_read {{ @ = count(); }} {other}"), &kernel(FENTRY));
    assert!(matches!(
        artifact.probes[..],
        [ProbePlan { best: weftrace_artifact::plan::Attach { way: Way::Fentry { .. }, .. }, .. }]
    ));
}

/// The first program's instructions as text.
fn listing(artifact: &Artifact) -> (ProgType, String) {
    let program = artifact.programs.first().expect("a program");
    let listing = weftrace_compiler::ebpf::dump::disassemble(program, &artifact.maps, &artifact.sources);
    (program.prog_type, listing)
}

fn code(text: &str, features: &[Feature]) -> (ProgType, String) {
    listing(&analyze(text, &kernel(features)).0)
}

#[test]
fn arguments_are_where_the_context_has_them() {
    // The third argument: rdx of the registers, the third word of a trampoline's context.
    let (kind, listing) = code("kprobe:vfs_read { @[arg2] = count(); }", FENTRY);
    assert_eq!(kind, ProgType::Fentry);
    assert!(listing.contains("(u64 *)(r1 +16)"), "{listing}");
    if cfg!(target_arch = "x86_64") {
        let (kind, listing) = code("fentry:vfs_read { @[args.count] = count(); }", KPROBE);
        assert_eq!(kind, ProgType::Kprobe);
        assert!(listing.contains("(u64 *)(r1 +96)"), "{listing}");
        // Behind a struct of two registers: the fourth, rcx.
        let (_, listing) = code("kprobe:by_value { @[args.z] = count(); }", KPROBE);
        assert!(listing.contains("r1 +88)"), "{listing}");
    }
    // …and the fourth word there.
    let (_, listing) = code("kprobe:by_value { @[args.z] = count(); }", FENTRY);
    assert!(listing.contains("r1 +24)"), "{listing}");
    // The value returned lies behind all words.
    let (kind, listing) = code("kretprobe:by_value { @[retval] = count(); }", FENTRY);
    assert_eq!(kind, ProgType::Fexit);
    assert!(listing.contains("r1 +32)"), "{listing}");
}

#[test]
fn an_argument_in_no_register_needs_a_trampoline() {
    let text = "kprobe:seven { @[args.g] = count(); }";
    if cfg!(target_arch = "x86_64") {
        let told = ways(text, BOTH);
        assert!(
            told.starts_with("fentry; not kprobe: an argument that the body asks for is not in a register"),
            "{told}"
        );
        let (_, listing) = code(text, BOTH);
        assert!(listing.contains("r1 +48)"), "{listing}");
    }
}

#[test]
fn a_walk_over_one_process_is_the_kernels_or_the_programs() {
    let one = check::Options { pid: Some(77), ..check::Options::default() };
    let walk = |text: &str, features: &[Feature], options: &check::Options| {
        let (artifact, _, found) = analyze_with(text, &kernel(features), options);
        assert!(found.iter().all(|d| d.severity != Severity::Error), "{found:?}");
        let Way::Iter { pid, .. } = artifact.probes[0].best.way else { panic!("no walk: {:?}", artifact.probes[0]) };
        // Compared with 77.
        (pid, listing(&artifact).1.contains("= 0x4d "))
    };
    let task = "iter:task { @ = count(); }";
    assert_eq!(walk(task, &[Feature::IterOfProcess], &one), (Some(77), false));
    assert_eq!(walk(task, &[], &one), (None, true));
    // The command's, too.
    let child = check::Options { child_pid: Some(77), ..check::Options::default() };
    assert_eq!(walk(task, &[], &child), (None, true));
    assert_eq!(walk(task, &[], &check::Options::default()), (None, false));
    // Others belong to nobody; with both in one block each has its own program.
    assert_eq!(walk("iter:tcp { @ = count(); }", &[], &one), (None, false));
    assert_eq!(walk("iter:tcp, iter:task { @ = count(); }", &[], &one), (None, false));
    assert_eq!(walk("iter:task, iter:tcp { @ = count(); }", &[], &one), (None, true));
}

#[test]
fn a_name_is_asked_for_as_the_kernel_can_tell_it() {
    let text = "kprobe:vfs_read { @[comm] = count(); }";
    let (_, new) = code(text, &[Feature::Kprobe, Feature::CurrentTask]);
    assert!(new.contains("get_current_task_btf") && !new.contains("get_current_comm"), "{new}");
    let (_, old) = code(text, KPROBE);
    assert!(old.contains("get_current_comm") && !old.contains("get_current_task_btf"), "{old}");
}

#[test]
fn only_programs_that_ask_which_of_their_probes_fired_are_given_cookies() {
    let text = |body: &str| format!("tracepoint:syscalls:sys_enter_read {{ {body} }}");
    let (artifact, ..) = analyze(&text("@ = count();"), &kernel(&[Feature::AttachCookie]));
    assert!(artifact.programs.iter().all(|program| !program.asks_cookie()));
    let asks = |insns: Vec<u64>| ProgramImage { insns, ..artifact.programs[0].clone() }.asks_cookie();
    // call 174, a call of one's own function 174 on, ld_imm64 174.
    assert!(asks(vec![174 << 32 | 0x85]));
    assert!(!asks(vec![174 << 32 | 0x1085]));
    assert!(!asks(vec![174 << 32 | 0x18, 0]));
}
