//! Libraries in git repositories: added, locked, updated, vendored, tampered with.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

mod traced;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};
use traced::text;

/// A folder for repositories and a project, gone at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("weftrace-libraries-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("project")).unwrap();
        for path in [folder.clone(), folder.join("project")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(fs::canonicalize(folder).unwrap())
    }

    fn git(&self, repository: &str, args: &[&str]) {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.org",
                "-c",
                "init.defaultBranch=main",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(args)
            .current_dir(self.0.join(repository))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    }

    /// Commits files, in a repository that need not be there yet.
    fn commit(&self, repository: &str, files: &[(&str, &str)]) {
        let folder = self.0.join(repository);
        if !folder.exists() {
            fs::create_dir_all(&folder).unwrap();
            self.git(repository, &["init", "-q"]);
        }
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.git(repository, &["add", "-A"]);
        self.git(repository, &["commit", "-q", "-m", "more"]);
    }

    fn project(&self) -> PathBuf {
        self.0.join("project")
    }

    fn weftrace(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).current_dir(self.project()).output().unwrap()
    }

    fn lib(&self, args: &[&str]) -> Output {
        let mut line = vec!["lib"];
        line.extend(args);
        self.weftrace(&line)
    }

    /// What a command prints that has to succeed.
    fn done(&self, args: &[&str]) -> String {
        let output = self.lib(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a command says that has to fail.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.lib(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    fn script(&self, text: &str) {
        fs::write(self.project().join("x.probe"), text).unwrap();
    }

    /// What `check` says of the project's script; empty: nothing.
    fn checked(&self) -> String {
        text(&self.weftrace(&["check", "--read", "x.probe"]).stderr)
    }

    fn lock(&self) -> String {
        fs::read_to_string(self.project().join("weftrace.lock")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn manifest(name: &str, version: &str, more: &str) -> String {
    format!("[library]\nname = \"{name}\"\nversion = \"{version}\"\n{more}")
}

/// Exports one of everything: a stream, a function, a macro, a probe, a parameter.
const DB: &str = "// title:   Queries\n// answers: which queries are slow?\n// layers:  packets\nimport \"./units\";\n\
    param slow_query = 100ms \"longer ones\";\n\
    macro is_slow(d) { d > slow_query }\n\
    pcap:any:\"tcp\" /tcp.handshake.completed/ { emit team.query(conn = tcp.conn, start = tcp.handshake.start, end = frame.time_boot, dur = in_ms(tcp.handshake.dur)); }\n\
    pcap:any { @seen_by_team = count(); }\n";
const UNITS: &str = "fn in_ms($d: uint64): uint64 { return $d / 1000000; }\n";
const USE: &str = "import \"team/db\";\npcap:any { if (is_slow(frame.len)) { @n = count(); } @ms = in_ms(frame.len); }\n\
    join q { from r = team.query(); total r.start; }\njoin:q { @joined = count(); }\n";

fn team(place: &Place) {
    place
        .commit("team", &[("weftrace.toml", &manifest("team", "1.0.0", "")), ("db.probe", DB), ("units.probe", UNITS)]);
    place.git("team", &["tag", "v1.0.0"]);
}

#[test]
fn a_library_is_added_locked_updated_and_vendored() {
    let place = Place::new("life");
    team(&place);
    place.script(USE);
    assert!(place.checked().contains("no module \"team/db\""), "{}", place.checked());

    let added = place.done(&["add", "../team@v1.0.0"]);
    assert!(added.starts_with("added    team 1.0.0 ("), "{added}");
    let written = fs::read_to_string(place.project().join("weftrace.toml")).unwrap();
    assert_eq!(written, "[dependencies]\nteam = { git = \"../team\", rev = \"v1.0.0\" }\n");
    let first = place.lock();
    assert!(first.contains("\ncommit = \"") && first.contains("\ndigest = \"sha256:"), "{first}");
    assert_eq!(fs::read_to_string(place.project().join(".weftrace/.gitignore")).unwrap(), "*\n");

    // Streams, functions, macros, probes, parameters of the library, and a module within it.
    assert_eq!(place.checked(), "");
    let help = text(&place.weftrace(&["run", "x.probe", "--help"]).stdout);
    assert!(help.contains("--slow_query TIME    longer ones [100ms]"), "{help}");
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tcp/zero_window.pcap");
    let ran = place.weftrace(&["run", "-q", "--read", capture.to_str().unwrap(), "x.probe", "--slow_query", "1ms"]);
    let printed = text(&ran.stdout);
    for map in ["@seen_by_team: ", "@ms: ", "@joined: "] {
        assert!(printed.contains(map), "{map} is not in\n{printed}{}", text(&ran.stderr));
    }
    let listed = text(&place.lib(&["list", "team/*"]).stdout);
    assert!(listed.contains("team/db") && listed.contains("Queries"), "{listed}");
    assert!(text(&place.lib(&["show", "team/db"]).stdout).contains("from:     team@"));

    // A branch goes on: the lock stays until it is updated.
    place.commit("team", &[("weftrace.toml", &manifest("team", "1.1.0", ""))]);
    assert_eq!(place.done(&["update"]), "nothing changed\n", "a tag is where it was");
    let changed = place.done(&["add", "../team"]);
    assert!(changed.starts_with("updated  team 1.0.0 (") && changed.contains(") → 1.1.0 ("), "{changed}");
    place.commit("team", &[("weftrace.toml", &manifest("team", "1.2.0", ""))]);
    fs::remove_dir_all(place.project().join(".weftrace")).unwrap();
    assert!(place.checked().contains("the library team is locked, but not here"), "{}", place.checked());
    assert_eq!(place.done(&["fetch"]), "fetched team\n");
    let show = text(&place.lib(&["show", "team/db"]).stdout);
    assert!(show.contains("version 1.1.0") || place.lock().contains("version = \"1.1.0\""), "{show}");
    assert!(place.done(&["update", "team"]).contains("1.2.0"));

    // What is vendored needs neither git nor the fetched copy.
    assert_eq!(place.done(&["vendor"]), "in vendor/: team\n");
    fs::remove_dir_all(place.project().join(".weftrace")).unwrap();
    fs::rename(place.0.join("team"), place.0.join("moved")).unwrap();
    assert_eq!(place.checked(), "");

    fs::rename(place.0.join("moved"), place.0.join("team")).unwrap();
    assert!(place.done(&["remove", "team"]).starts_with("removed  team"));
}

#[test]
fn tampering_is_refused() {
    let place = Place::new("tamper");
    team(&place);
    place.script(USE);
    place.done(&["add", &format!("file://{}/team", place.0.display()), "--rev", "v1.0.0"]);
    place.done(&["vendor"]);
    for folder in [".weftrace/lib", "vendor"] {
        let folder = place.project().join(folder);
        if folder.ends_with("vendor") {
            place.done(&["vendor"]);
        } else {
            fs::remove_dir_all(place.project().join("vendor")).unwrap();
        }
        let file = folder.join("team/units.probe");
        let before = fs::read(&file).unwrap();
        fs::write(&file, "fn in_ms($d: uint64): uint64 { return 0; }\n").unwrap();
        let said = place.checked();
        assert!(
            said.contains("is not what is locked: its files were changed") && said.contains("x.probe:1:"),
            "{said}"
        );
        assert_ne!(place.weftrace(&["run", "team/db"]).status.code(), Some(0));
        fs::write(&file, &before).unwrap();
        assert_eq!(place.checked(), "");
        // A file more, a link, what everybody may write.
        fs::write(folder.join("team/more.probe"), "").unwrap();
        assert!(place.checked().contains("is not what is locked"));
        fs::remove_file(folder.join("team/more.probe")).unwrap();
        symlink("/etc/hostname", folder.join("team/link")).unwrap();
        assert!(place.checked().contains("is neither a file nor a folder"), "{}", place.checked());
        fs::remove_file(folder.join("team/link")).unwrap();
        for path in [folder.clone(), folder.join("team"), file.clone()] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o002)).unwrap();
            assert!(place.checked().contains("everybody may write to"), "{}: {}", path.display(), place.checked());
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(place.checked(), "");
    }
    // `fetch` brings back what is locked, and a repository that says otherwise is refused.
    fs::write(place.project().join("vendor/team/units.probe"), "x").unwrap();
    assert_eq!(place.done(&["fetch"]), "fetched team\n");
    assert_eq!(place.checked(), "");
    let lock = place.lock();
    let digest = lock.split("sha256:").nth(1).unwrap().split('"').next().unwrap();
    fs::write(place.project().join("weftrace.lock"), lock.replace(digest, &"0".repeat(64))).unwrap();
    assert!(place.refused(&["fetch"]).contains("has other files than were locked"));
    fs::set_permissions(place.project(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(place.refused(&["update"]).contains("everybody may write to"));
}

/// Nothing of a repository runs: no hooks, no filters, no submodules, no programs that a URL or a revision names.
#[test]
fn nothing_runs_at_install() {
    let place = Place::new("inert");
    let ran = place.0.join("ran");
    let touch = format!("touch {}", ran.display());
    team(&place);
    place.commit("sub", &[("a", "b")]);
    place.git(
        "team",
        &["-c", "protocol.file.allow=always", "submodule", "add", "-q", &format!("{}/sub", place.0.display()), "sub"],
    );
    symlink("/etc/passwd", place.0.join("team/passwd")).unwrap();
    place.commit("team", &[(".gitattributes", "* filter=evil\n"), ("post-checkout", &format!("#!/bin/sh\n{touch}\n"))]);
    for hook in ["post-checkout", "post-merge", "reference-transaction", "post-index-change"] {
        let path = place.0.join("team/.git/hooks").join(hook);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{touch}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = place.lib(&["add", "../team"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(
        said.contains("team/passwd is a link or a submodule") && said.contains("team/sub is a link or a submodule"),
        "{said}"
    );
    assert!(!place.project().join(".weftrace/lib/team/passwd").exists());
    for (url, part) in [
        (format!("ext::sh -c \"{touch}\""), "is no repository"),
        (format!("--upload-pack={touch}"), ""),
        ("ftp://example.org/x".to_owned(), "ftp:// is none of"),
        ("-u".to_owned(), ""),
        ("../nowhere".to_owned(), "No such file"),
    ] {
        let output = place.lib(&["add", &url]);
        assert!(!output.status.success() && text(&output.stderr).contains(part), "{url}: {}", text(&output.stderr));
        let output = place.lib(&["add", "--", &url]);
        assert!(!output.status.success() && text(&output.stderr).contains(part), "{url}: {}", text(&output.stderr));
    }
    for rev in ["--output=x", "HEAD^{tree}", "nothing"] {
        let said = place.refused(&["add", "../team", &format!("--rev={rev}")]);
        assert!(said.contains("no tag, branch or commit"), "{said}");
    }
    assert!(!ran.exists(), "something of the repository ran");
}

#[test]
fn clashes_circles_and_versions_are_told() {
    let place = Place::new("clash");
    team(&place);
    place.done(&["add", "../team"]);
    // Another library of the name; one that bundled scripts have; one without a name.
    place.commit("other", &[("weftrace.toml", &manifest("team", "3.0.0", ""))]);
    assert!(place.refused(&["add", "../other"]).contains("there is a library team already, from ../team"));
    place.commit("std", &[("weftrace.toml", &manifest("std", "1.0.0", ""))]);
    assert!(place.refused(&["add", "../std"]).contains("a library can't be called std"));
    place.commit("bare", &[("a.probe", "BEGIN { }")]);
    assert!(place.refused(&["add", "../bare"]).contains("it has no weftrace.toml"));
    place.commit("new", &[("weftrace.toml", &manifest("new", "1.0.0", "weftrace = \"99.0\"\n"))]);
    assert!(place.refused(&["add", "../new"]).contains("new needs weftrace 99.0, and this is "));
    // A file beside the script has the same name.
    place.script(USE);
    fs::create_dir_all(place.project().join("team")).unwrap();
    fs::write(place.project().join("team/db.probe"), DB).unwrap();
    assert!(place.checked().contains("are both called so: write \"./team/db\""), "{}", place.checked());
    fs::remove_dir_all(place.project().join("team")).unwrap();
    place.script("import \"team/nothing\";\nBEGIN { }\n");
    assert!(place.checked().contains("has no script nothing"), "{}", place.checked());
    // Libraries that use each other; a library that wants another version than is there.
    let needs = |name: &str| format!("[dependencies]\n{name} = {{ git = \"file://{}/{name}\" }}\n", place.0.display());
    place.commit("one", &[("weftrace.toml", &manifest("one", "1.0.0", &needs("two")))]);
    place.commit("two", &[("weftrace.toml", &manifest("two", "1.0.0", &needs("one")))]);
    let said = place.refused(&["add", "../one"]);
    assert!(said.contains("libraries use each other in a circle: one → two → one"), "{said}");
    let wants = needs("team").replace(" }", ", version = \"2.0\" }");
    place.commit("late", &[("weftrace.toml", &manifest("late", "1.0.0", &wants))]);
    let said = place.refused(&["add", "../late"]);
    assert!(said.contains("team is version 1.0.0, and late wants 2.0"), "{said}");
    // Nothing of what was refused is left.
    assert!(!place.lock().contains("[late]") && !place.lock().contains("[one]"));
    // Two that want one library from different places, until the project decides.
    place.commit("a", &[("weftrace.toml", &manifest("a", "1.0.0", &needs("units")))]);
    let elsewhere = needs("units").replace("/units\"", "/units2\"");
    place.commit("b", &[("weftrace.toml", &manifest("b", "1.0.0", &elsewhere))]);
    place.commit("units", &[("weftrace.toml", &manifest("units", "1.0.0", "")), ("u.probe", UNITS)]);
    place.commit("units2", &[("weftrace.toml", &manifest("units", "1.5.0", "")), ("u.probe", UNITS)]);
    place.done(&["add", "../a"]);
    let said = place.refused(&["add", "../b"]);
    assert!(said.contains("two libraries units: a wants file://") && said.contains("b wants file://"), "{said}");
    place.done(&["add", "../units2"]);
    place.done(&["add", "../b"]);
    assert!(place.lock().contains("version = \"1.5.0\""), "{}", place.lock());
}

#[test]
fn modules_that_import_each_other_are_told() {
    let place = Place::new("circle");
    for (name, other) in [("a", "b"), ("b", "a")] {
        fs::write(place.project().join(format!("{name}.probe")), format!("import \"./{other}\";\n")).unwrap();
    }
    place.script("import \"./a\";\nBEGIN { exit(); }\n");
    let said = place.checked();
    assert!(said.contains("modules import each other in a circle: ./a.probe → ./b.probe → ./a.probe"), "{said}");
    // Twice is no circle.
    fs::write(place.project().join("b.probe"), "fn f(): int64 { return 1; }\n").unwrap();
    place.script("import \"./a\";\nimport \"./b\";\nBEGIN { print(f()); exit(); }\n");
    assert_eq!(place.checked(), "");
    // Two modules with one function.
    fs::write(place.project().join("c.probe"), "fn f(): int64 { return 2; }\n").unwrap();
    place.script("import \"./c\";\nimport \"./b\";\nBEGIN { print(f()); exit(); }\n");
    let said = place.checked();
    assert!(said.contains("error: ") && said.contains("c.probe") && said.contains("b.probe"), "{said}");
}

#[test]
fn files_that_are_no_manifest_are_named() {
    let place = Place::new("files");
    for (file, content, part) in [
        ("weftrace.toml", "[dependencies]\nteam = 1\n", "weftrace.toml: team: write { git"),
        ("weftrace.toml", "[dependencies\n", "weftrace.toml:1: "),
        ("weftrace.toml", "", "there is no weftrace.toml here or above"),
        ("weftrace.lock", "[team]\ngit = \"x\"\n", "weftrace.lock: team: it has no `commit`"),
    ] {
        for name in ["weftrace.toml", "weftrace.lock"] {
            let _ = fs::remove_file(place.project().join(name));
        }
        if !content.is_empty() {
            fs::write(place.project().join(file), content).unwrap();
        }
        let said = place.refused(&["update"]);
        assert!(said.contains(part), "{content}: {said}");
    }
}
