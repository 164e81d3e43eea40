//! The ways to write a function of a program: C++ and Rust names, aliases, source lines. On programs built here.
#![cfg(target_arch = "x86_64")]

mod traced;

use traced::{build, can_trace, checked, traced};

#[test]
fn names_of_cpp() {
    let Some(path) = build("names", "names.cpp", &["-g", "-O1"]).filter(|_| can_trace()) else { return };
    // (how it is written, how often it fires, by how many probes)
    let cases = [
        (r#"cpp:"ns::f(int)""#, "1"),
        (r#"cpp:"ns::f""#, "1 1"),
        ("cpp:ns::f", "1 1"),
        ("ns::f*", "1 1"),
        (r#"cpp:"ns::A::operator()""#, "1"),
        (r#"cpp:"ns::A::operator+""#, "1"),
        ("cpp:ns::A::made", "1 1"),
        (r#"cpp:"ns::A::made<long>""#, "1"),
        (r#"cpp:"long ns::A::made<long>(long) const""#, "1"),
        // Two symbols each, at one place.
        ("cpp:ns::A::A", "3"),
        ("cpp:ns::A::~A", "3"),
        ("cpp:hidden", "1"),
        ("_ZL6hiddeni", "1"),
        ("real", "2"),
        ("alias", "2"),
        ("[ar][el]*a*", "2"),
    ];
    for (name, counts) in cases {
        let (lines, said) = traced(&format!("uprobe:BIN:{name} {{ @[probe] = count(); }}"), &path);
        let found: Vec<&str> = lines.iter().filter_map(|l| Some(l.rsplit_once("]: ")?.1)).collect();
        assert_eq!(found.join(" "), counts, "{name}: {lines:?} {said}");
    }
    let near = |name: &str, meant: &str| {
        let said = checked(&format!("uprobe:BIN:{name} {{ }}"), &path);
        assert!(said.contains("near by name") && said.contains(meant), "{name}: {said}");
    };
    near("hidden", r#"cpp:"hidden(int)""#);
    near("reel", "real");
    near("cpp:ns::ff", r#"cpp:"ns::f(int)""#);
    near("ms::f", r#"cpp:"ns::f(int)""#);
}

#[test]
fn names_of_rust() {
    // The compiler's own way, which may be the old one, and the new one.
    for (kind, mangling) in [("own", "-g"), ("v0", "-Csymbol-mangling-version=v0")] {
        let flags = ["-g", "-Copt-level=1", mangling];
        let Some(path) = build(&format!("rust-{kind}"), "names.rs", &flags).filter(|_| can_trace()) else { return };
        for name in ["names::inner::work", "\"names::inner::work\"", "\"*inner::work\""] {
            let (lines, said) = traced(&format!("uprobe:BIN:{name} {{ @[probe, func] = count(); }}"), &path);
            let shown = format!("@[uprobe:{}:\"names::inner::work\", names::inner::work]: 1", path.display());
            assert_eq!(lines.last(), Some(&shown), "{name}: {said}");
        }
        // A copy for each type, whatever the names say of it.
        let (lines, said) = traced("uprobe:BIN:names::inner::made* { @ = count(); }", &path);
        assert_eq!(lines.last().map(String::as_str), Some("@: 2"), "{said}");
        assert!(checked("uprobe:BIN:work { }", &path).contains("\"names::inner::work\""));
    }
}

#[test]
fn parameters_of_rust() {
    let script = "uprobe:BIN:names::inner::whole { print((args.s.length, args.n, args.p.a, args.p.b)); }
        uprobe:BIN:names::inner::work { print(args.x); }";
    let Some(path) = build("rust-O0", "names.rs", &["-g", "-Copt-level=0"]).filter(|_| can_trace()) else { return };
    let (mut lines, said) = traced(script, &path);
    // The program prints a line of its own, before ours or between them.
    lines.retain(|line| line != "13 20 true");
    assert_eq!(lines, ["3", "(5, 9, 7, 8)"], "{said}");
    // Of small enums only the compiler knows where they are; nor of what follows them.
    let said = checked("uprobe:BIN:names::inner::perhaps { print(args.n); }", &path);
    assert!(said.contains("args.n cannot be read") && said.contains("Rust passes"), "{said}");
    let Some(path) = build("rust-O1", "names.rs", &["-g", "-Copt-level=1"]) else { return };
    // Only the lengths were kept, in the registers where the convention has other things.
    let said = checked("uprobe:BIN:names::inner::texts { print(args.s); }", &path);
    assert!(said.contains("args.s cannot be read"), "{said}");
}

#[test]
fn libraries_and_versions() {
    let Some(path) = build("names-library", "stacks.c", &["-O1"]).filter(|_| can_trace()) else { return };
    for library in ["libc", "c", "libc.so", "libc.so.6"] {
        let (lines, said) = traced(&format!("uprobe:{library}:qsort {{ @ = count(); }}"), &path);
        assert_eq!(lines, ["@: 1"], "{library}: {said}");
    }
    let (lines, said) = traced("uprobe:libc:qsort@@GLIBC_2.2.5 { @ = count(); }", &path);
    assert_eq!(lines, ["@: 1"], "{said}");
    assert!(checked("uprobe:libc:qsort@GLIBC_2.99 { }", &path).contains("no function qsort@GLIBC_2.99"));
    // Only called by the program.
    let said = checked("uprobe:BIN:qsort { }", &path);
    assert!(said.contains("write: uprobe:libc:qsort"), "{said}");
    // Chooses an implementation when a program is loaded.
    assert!(checked("uprobe:libc:strlen { }", &path).contains("only chooses a function"));
    assert!(!checked("uprobe:libc:malloc { }", &path).contains("chooses"));
}

#[test]
fn lines_of_source() {
    let Some(path) = build("names-lines", "names.cpp", &["-g", "-O1"]).filter(|_| can_trace()) else { return };
    let source = include_str!("programs/names.cpp");
    let line = |text: &str| source.lines().position(|l| l.contains(text)).expect("a line of it") + 1;
    // What is inlined into a line is no place of its own.
    let one = line("// one line");
    for written in [format!("BIN:\"names.cpp:{one}\""), format!("BIN:names.cpp:{one}"), format!("BIN@names.cpp:{one}")]
    {
        let (lines, said) = traced(&format!("uprobe:{written} {{ @[func] = count(); }}"), &path);
        assert_eq!(lines, ["@[main]: 1"], "{written}: {said}");
    }
    // Each inlined copy is one.
    let (lines, said) =
        traced(&format!("uprobe:BIN:\"names.cpp:{}\" {{ @[func] = count(); }}", line("// inlined")), &path);
    assert_eq!(lines, ["@[main]: 2"], "{said}");
    let said = checked("uprobe:BIN:\"names.cpp:1\" { }", &path);
    assert!(said.contains("no code at names.cpp:1") && said.contains("near by name: names.cpp:"), "{said}");
    assert!(checked("uprobe:BIN:\"nomes.cpp:1\" { }", &path).contains("no source file nomes.cpp"));
}
