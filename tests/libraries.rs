//! Libraries in git repositories: added, locked, updated, vendored, tampered with.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

#[path = "libraries/imports.rs"]
mod imports;
#[path = "libraries/locking.rs"]
mod locking;
#[path = "libraries/place.rs"]
mod place;
mod traced;
#[path = "libraries/trust.rs"]
mod trust;

use place::{DB, Place, UNITS, USE, manifest, team};
use std::{fs, path::Path};
use traced::text;

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
