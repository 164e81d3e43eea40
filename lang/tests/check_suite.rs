//! Every program of bpftrace's suite and tools goes through the checker without a panic, and most are accepted. Its source
//! tree isn't committed: WEFTRACE_BPFTRACE_SRC names it.
#![allow(clippy::print_stdout, reason = "what was run and skipped")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use weftrace_lang::check::{Options, analyze};
use weftrace_lang::diag::Severity;
use weftrace_lang::hir::{EnumDef, StructDef, Ty};
use weftrace_lang::hir_dump::dump;
use weftrace_lang::recorded::{RecordedWorld, WorldLog};
use weftrace_lang::span::SourceMap;
use weftrace_lang::syntax::parse;
use weftrace_lang::world::{Answer, Feature, FnProto, TraceEvent, UserSymbol, World};

/// The fixture's world, in which every function exists.
struct Generous(RecordedWorld);

impl World for Generous {
    fn tracepoint(&self, category: &str, event: &str) -> Answer<TraceEvent> {
        self.0.tracepoint(category, event)
    }
    fn tracepoints(&self, category: &str, event: &str) -> Answer<Vec<String>> {
        self.0.tracepoints(category, event)
    }
    fn raw_tracepoint(&self, event: &str) -> Answer<FnProto> {
        self.0.raw_tracepoint(event)
    }
    fn raw_tracepoints(&self, event: &str) -> Answer<Vec<String>> {
        self.0.raw_tracepoints(event)
    }
    fn kernel_function(&self, name: &str) -> Answer<Option<FnProto>> {
        match self.0.kernel_function(name) {
            Answer::NotThere => Answer::Found(None),
            other => other,
        }
    }
    fn kernel_functions(&self, glob: &str) -> Answer<Vec<String>> {
        self.0.kernel_functions(glob)
    }
    fn user_function(&self, binary: &str, symbol: &str) -> Answer<UserSymbol> {
        Answer::Found(UserSymbol { path: binary.into(), name: symbol.into(), size: 64, ..UserSymbol::default() })
    }
    fn user_functions(&self, binary: &str, glob: &str) -> Answer<Vec<UserSymbol>> {
        Answer::Found(vec![UserSymbol {
            path: binary.into(),
            name: glob.replace('*', "x"),
            size: 64,
            ..UserSymbol::default()
        }])
    }
    fn kernel_struct(&self, name: &str) -> Answer<StructDef> {
        self.0.kernel_struct(name)
    }
    fn kernel_enum(&self, name: &str) -> Answer<EnumDef> {
        self.0.kernel_enum(name)
    }
    fn kernel_enumerator(&self, name: &str) -> Answer<(EnumDef, i64)> {
        self.0.kernel_enumerator(name)
    }
    fn kernel_typedef(&self, name: &str) -> Answer<Ty> {
        self.0.kernel_typedef(name)
    }
    fn kernel_symbol(&self, _: &str) -> Answer<u64> {
        Answer::Found(0xffff_ffff_8000_0000)
    }
    fn feature(&self, feature: Feature) -> Answer<()> {
        self.0.feature(feature)
    }
    fn kernel_release(&self) -> String {
        self.0.kernel_release()
    }
    fn cpus(&self) -> u32 {
        4
    }
    fn interfaces(&self) -> Answer<Vec<String>> {
        self.0.interfaces()
    }
    fn pcap_filter(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn module(&self, path: &str) -> Answer<(String, String)> {
        self.0.module(path)
    }
}

fn world() -> Generous {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/world.json");
    let text = std::fs::read_to_string(path).expect("the fixture is committed");
    let log: WorldLog = serde_json::from_str(&text).expect("the fixture is a WorldLog");
    Generous(RecordedWorld::whole(log))
}

fn files(dir: &Path, extension: &str) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).map(|d| d.filter_map(|e| e.ok().map(|e| e.path())).collect()).unwrap_or_default();
    paths.retain(|p| p.is_file() && p.extension().map_or(extension.is_empty(), |e| e == extension));
    paths.sort();
    paths.iter().map(|p| (p.display().to_string(), std::fs::read_to_string(p).unwrap_or_default())).collect()
}

/// Programs of `PROG` blocks; (origin, text, whether bpftrace refuses it).
fn programs(root: &Path) -> Vec<(String, String, bool)> {
    let mut all = Vec::new();
    for (file, text) in files(&root.join("tests/runtime"), "") {
        for block in text.split("\n\n") {
            let Some(name) = block.lines().find_map(|l| l.strip_prefix("NAME ")) else { continue };
            let mut program: Option<String> = None;
            for line in block.lines() {
                if let Some(first) = line.strip_prefix("PROG ") {
                    program = Some(first.to_owned());
                } else if let (Some(p), Some(rest)) = (&mut program, line.strip_prefix("     ")) {
                    p.push('\n');
                    p.push_str(rest);
                } else if program.is_some() {
                    break;
                }
            }
            let fails = block.lines().any(|l| l.starts_with("WILL_FAIL"));
            let file = file.rsplit('/').next().unwrap_or_default().to_owned();
            all.extend(program.map(|p| (format!("{file}: {name}"), p, fails)));
        }
    }
    for dir in ["tools", "tests/self", "tests/runtime/scripts", "src/stdlib"] {
        all.extend(files(&root.join(dir), "bt").into_iter().map(|(f, t)| (f, t, false)));
    }
    all
}

#[test]
fn bpftrace_programs_are_checked_without_panic() {
    let Some(root) = std::env::var_os("WEFTRACE_BPFTRACE_SRC").map(PathBuf::from) else {
        println!("SKIP bpftrace source tree");
        return;
    };
    let world = world();
    let all = programs(&root);
    assert!(all.len() > 700, "few programs found: {}", all.len());
    let opts = Options { unsafe_ok: true, child_pid: Some(1), ..Options::default() };
    let (mut accepted, mut refused) = (0, 0);
    let mut why: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (origin, text, fails) in &all {
        let mut sources = SourceMap::default();
        let file = sources.add(origin.clone(), text.clone());
        let (script, parsed) = parse(text, file);
        let (program, found) = analyze(&script, &mut sources, &world, &opts);
        let text_form = dump(&program);
        let errors: Vec<_> = parsed.iter().chain(&found).filter(|d| d.severity == Severity::Error).collect();
        match errors.first() {
            None => {
                accepted += 1;
                assert!(
                    !text_form.contains("unknown"),
                    "{origin} is accepted with an unknown type:\n{text}\n{text_form}"
                );
            }
            Some(_) if *fails => refused += 1,
            Some(d) => {
                why.entry(d.code).or_default().push(format!("{origin}: {} `{}`", d.message, sources.snippet(d.span)));
            }
        }
    }
    println!("{} programs: {accepted} accepted, {refused} refused as bpftrace does", all.len());
    for (code, list) in &why {
        println!("{code}: {}", list.len());
        if std::env::var_os("WEFTRACE_VERBOSE").is_some() {
            for line in list {
                println!("    {line}");
            }
        }
    }
    assert!(accepted * 2 > all.len(), "fewer than half are accepted");
}
