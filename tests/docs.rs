//! Documents that are made from tables: WEFTRACE_BLESS=1 writes them anew.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::{fmt::Write, fs, path::PathBuf};
use weftrace_artifact::packet::{self, FieldType};

fn same_as(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("WEFTRACE_BLESS").is_some() {
        fs::write(&path, text).expect("writable");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/{file} is not what its table says: run the test with WEFTRACE_BLESS=1");
}

fn type_name(ty: FieldType) -> &'static str {
    match ty {
        FieldType::Bool => "bool",
        FieldType::U8 => "uint8",
        FieldType::U16 => "uint16",
        FieldType::U32 => "uint32",
        FieldType::U64 => "uint64",
        FieldType::I32 => "int32",
        FieldType::Ipv4 | FieldType::Ipv6 => "inet",
        FieldType::Mac => "mac",
        FieldType::Str => "string",
        FieldType::Headers => "headers",
        FieldType::Conn => "conn",
        FieldType::ByteRanges => "bytes",
        FieldType::Flow => "flow",
        FieldType::Time => "ns since the epoch",
    }
}

#[test]
fn fields_of_spans() {
    let mut table = String::from("| field | type | |\n|---|---|---|\n");
    for row in weftrace_artifact::telemetry::FIELDS {
        let _ = writeln!(table, "| `{}` | {} | {} |", row.name, type_name(row.ty), row.doc);
    }
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/spans.md")).expect("readable");
    assert!(
        text.ends_with(&format!("## Fields\n\n{table}")),
        "docs/spans.md has another table of fields than\n{table}"
    );
}

#[test]
fn packet_fields() {
    let mut text = String::from(
        "# Packet fields\n\nWhat a `pcap` block can name. Names and meanings are Wireshark's where Wireshark has them; durations are \
         integers in ns. A field\nthat its packet lacks is absent: comparisons with it are false, `a ?? b` gives b, its value is 0 \
         or \"\".\n\n| field | type | |\n|---|---|---|\n",
    );
    // Beside the table, which is long enough.
    let kernel: Vec<String> =
        packet::FIELDS.iter().filter(|row| row.kernel.is_some()).map(|row| format!("`{}`", row.name)).collect();
    for row in packet::FIELDS {
        let doc = row.doc.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {} | {doc} |", row.name, type_name(row.ty));
    }
    let _ = writeln!(
        text,
        "\nA live block that only filters and counts these runs in the kernel ([language.md](language.md#packet-blocks)):\n{}.",
        kernel.join(",\n")
    );
    same_as("fields.md", &text);
}

/// docs/alerts.md: the sinks.
#[test]
fn sinks_of_alerts() {
    let mut text = String::from("| written | |\n|---|---|\n");
    for row in weftrace_lang::builtins::sinks::SINKS {
        let _ = writeln!(text, "| `{}` | {} |", row.signature, row.doc);
    }
    part_of("alerts.md", "sinks", &text);
}

#[test]
fn builtins() {
    let mut text = String::from(
        "# Builtins\n\nValues, functions, actions and map functions, in the order of the manual. `weftrace list builtins` prints \
         the same table.\n\n| | |\n|---|---|\n",
    );
    for row in weftrace_lang::builtins::rows() {
        let doc = row.doc.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {doc} |", row.signature.replace('|', "\\|"));
    }
    same_as("builtins.md", &text);
}

/// A part of a document that is made of a table; the rest is written by hand.
fn part_of(file: &str, part: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let whole = fs::read_to_string(&path).unwrap_or_default();
    let (begin, end) = (format!("<!-- {part}: made of its table -->\n"), format!("<!-- end of {part} -->\n"));
    let Some((before, rest)) = whole.split_once(&begin) else { panic!("docs/{file} has no part {part}") };
    let Some((_, after)) = rest.split_once(&end) else { panic!("docs/{file}: {part} has no end") };
    same_as(file, &format!("{before}{begin}{text}{end}{after}"));
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// docs/language.md: providers, then builtins. One test, since both write the same file.
#[test]
fn language() {
    use weftrace_lang::{
        builtins::{self, class},
        check::providers::{PROVIDERS, ProviderKind},
    };
    let mut text = String::from("| written | short | arguments | |\n|---|---|---|---|\n");
    for row in PROVIDERS.iter().filter(|r| r.kind != ProviderKind::NotYet) {
        let mut arguments = vec![];
        if !row.args.is_empty() {
            arguments.push(format!("`args`: {}", row.args));
        }
        if row.argn > 0 {
            arguments.push("`arg0` …".to_owned());
        }
        if row.retval {
            arguments.push("`retval`".to_owned());
        }
        let (short, arguments) = (row.aliases.join(", "), arguments.join(", "));
        let _ = writeln!(text, "| `{}` | {short} | {} | {} |", cell(row.shape), cell(&arguments), cell(row.doc));
    }
    part_of("language.md", "providers", &text);
    let places: [(u32, &str); 7] = [
        (class::TIMER, "timers"),
        (class::KERNEL, "kernel"),
        (class::USER, "user"),
        (class::PCAP, "packets"),
        (class::JOIN, "joins"),
        (class::EXCHANGE, "exchanges"),
        (class::TELEMETRY, "spans"),
    ];
    let mut text = String::from("| written | where | |\n|---|---|---|\n");
    for row in builtins::rows() {
        let valid: Vec<&str> = places.iter().filter(|(bit, _)| row.valid & bit != 0).map(|(_, name)| *name).collect();
        let valid = if valid.len() == places.len() { "everywhere".to_owned() } else { valid.join(", ") };
        let _ = writeln!(text, "| `{}` | {valid} | {} |", cell(row.signature), cell(row.doc));
    }
    part_of("language.md", "builtins", &text);
}

/// docs/joins.md: what the bundled modules emit, as their own text says.
#[test]
fn streams_of_modules() {
    use weftrace_lang::{check, span::FileId, syntax};
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/std");
    let mut modules: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    modules.retain(|p| !p.to_string_lossy().contains(".test."));
    modules.sort();
    let mut text = String::from("| stream | of | fields | emitted by | needs |\n|---|---|---|---|---|\n");
    for path in modules {
        let module = fs::read_to_string(&path).unwrap();
        let header = |key: &str| module.lines().find_map(|l| l.strip_prefix("// ")?.strip_prefix(key)).map(str::trim);
        let needs = header("needs:").or_else(|| header("layers:")).unwrap_or_default();
        let (name, code) =
            (path.file_stem().unwrap().to_string_lossy(), |all: &[String]| format!("`{}`", all.join("`, `")));
        for found in check::emitted(&syntax::parse(&module, FileId(0)).0) {
            let (stream, by) = (&found.stream, cell(&code(&found.by)));
            let _ =
                writeln!(text, "| `{stream}` | std/{name} | {} | {by} | {} |", found.fields.join(", "), cell(needs));
        }
    }
    part_of("joins.md", "streams", &text);
}

/// docs/kernels.md is written by `make test-kernels`, which takes minutes: here only that it has a row for each case, measured on each
/// kernel, and that every provider works somewhere.
#[test]
fn kernels_have_every_provider() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let cases = fs::read_to_string(root.join("tests/vm/providers.txt")).expect("the cases");
    let cases: Vec<&str> = cases
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .map(|l| l.split('|').next().unwrap_or_default())
        .collect();
    let document = fs::read_to_string(root.join("docs/kernels.md")).expect("docs/kernels.md");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|l| l.starts_with("| "))
        .map(|l| l.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let (header, rows) = rows.split_first().expect("a table");
    assert_eq!(header[0], "provider");
    for (column, title) in ["this machine: ", "Debian 12: 6.1", "Debian 13: 6.12", "newest: "].into_iter().enumerate() {
        assert!(header[column + 1].starts_with(title), "{header:?}");
    }
    assert_eq!(rows.iter().map(|r| r[0]).collect::<Vec<_>>(), cases, "run `make test-kernels`");
    for row in rows {
        let (works, no): (Vec<&str>, Vec<&str>) = row[1..].iter().partition(|c| c.starts_with("works: "));
        assert!(row.len() == 5 && no.iter().all(|c| c.starts_with("no: ")), "{row:?}");
        // No machine of the tests has counters.
        assert!(!works.is_empty() || row[0] == "hardware", "{} works nowhere", row[0]);
    }
    // Each of the language's providers has a case, but those that no kernel has a part in; http and tcp have one in tests/vm/cases, spans and log
    // records come from applications.
    use weftrace_lang::check::providers::{PROVIDERS, ProviderKind};
    for row in PROVIDERS {
        let apart = ["join", "test", "bench", "http", "tcp", "span", "log"].contains(&row.name)
            || row.kind == ProviderKind::NotYet;
        let tried = |case: &&str| case.split([' ', ',']).any(|word| word == row.name);
        assert!(apart || cases.iter().any(tried), "no case for {}", row.name);
    }
}

/// docs/errors.md; and every finding that the sources have is in the table.
#[test]
fn findings() {
    use weftrace_lang::diag::kinds::{KINDS, by_code};
    let mut text = String::from(
        "# Findings\n\nWhat `weftrace check` and others say about scripts, by number: `weftrace explain E0207` prints one. JSON has the number and the name\n\
         (`-f json`). Numbers never change.\n\n| number | name | |\n|---|---|---|\n",
    );
    for kind in KINDS {
        let _ = writeln!(text, "| {} | `{}` | {} |", kind.number, kind.code, cell(kind.doc));
    }
    same_as("errors.md", &text);
    let mut missing = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["lang/src", "compiler/src", "src"].iter().map(|f| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(f)).collect();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap_or_default();
            for call in ["Diagnostic::error(", "Diagnostic::warning(", "self.error(", "c.error("] {
                let codes = source
                    .split(call)
                    .skip(1)
                    .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                let unknown = codes.filter(|code| by_code(code).is_none());
                missing.extend(unknown.map(|code| format!("{code} ({})", path.display())));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "lang/src/diag/kinds/table.rs has no row (the next number of its group) for {}",
        missing.join(", ")
    );
}

/// docs/scripts.md: what the headers of the bundled scripts say.
#[test]
fn scripts() {
    use weftrace_lang::{check, header, span::FileId, syntax};
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let folders = fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|e| e.unwrap().path());
    let mut scripts: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "probe")).collect();
    scripts.retain(|p| !p.to_string_lossy().ends_with(".test.probe"));
    scripts.sort();
    let mut text = String::from(
        "# Bundled scripts\n\nMade of the scripts' headers, as `weftrace lib show NAME` prints them. `weftrace run NAME` runs one; those of `std/` are modules: \
         `import \"std/tcp\"`.\n\n| | |\n|---|---|\n",
    );
    let mut sections = String::new();
    for path in &scripts {
        let script = fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(&root).unwrap().with_extension("").display().to_string();
        let (header, wrong) = header::parse(&script, FileId(0));
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        let header = header.unwrap_or_else(|| panic!("{name} has no header"));
        let anchor = name.replace('/', "");
        let _ = writeln!(text, "| [{name}](#{anchor}) | {} |", cell(header.title()));
        let _ = writeln!(sections, "\n## {name}\n\n{}\n", header.title());
        for (key, value) in header.values.iter().filter(|(key, _)| *key != "title") {
            let _ = writeln!(sections, "- {key}: {value}");
        }
        if path.with_extension("expect").is_file() {
            let _ = writeln!(sections, "- tested on a capture beside it");
        }
        if path.with_extension("test.probe").is_file() {
            let _ = writeln!(sections, "- tested by `test:` blocks beside it");
        }
        let parsed = syntax::parse(&script, FileId(0)).0;
        for alert in check::declared_alerts(&parsed) {
            let keys = if alert.keys.is_empty() { String::new() } else { format!(" by {}", alert.keys.join(", ")) };
            let _ = writeln!(sections, "- alert: `{}`{keys}", alert.name);
        }
        let flags = check::flags(&parsed, &script);
        if !flags.is_empty() {
            let _ = writeln!(sections, "\n| flag | default | |\n|---|---|---|");
        }
        for flag in flags {
            let written = format!("--{} {}", flag.name, flag.takes);
            let _ =
                writeln!(sections, "| `{}` | `{}` | {} |", written.trim_end(), cell(&flag.default), cell(&flag.help));
        }
        if !header.sample.is_empty() {
            let remark =
                if header.sample_remark.is_empty() { String::new() } else { format!("{}\n\n", header.sample_remark) };
            let _ = writeln!(sections, "\n{remark}```\n{}\n```", header.sample.join("\n"));
        }
    }
    same_as("scripts.md", &format!("{text}{sections}"));
}
