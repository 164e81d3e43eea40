//! What an import finds, and who may import what.

use super::{
    place::{Place, UNITS, manifest},
    traced::text,
};
use std::{fs, os::unix::fs::PermissionsExt};

/// A script that wants no library is none of a broken project's business, and no library takes a bundled module's place.
#[test]
fn bundled_modules_ask_no_project() {
    let place = Place::new("bundled");
    let uses_bundled = "import \"std/tcp\";\npcap:any { @n = count(); }\n";
    place.script(uses_bundled);
    fs::write(place.project().join("weftrace.toml"), "[dependencies\n").unwrap();
    assert_eq!(place.checked(), "");
    fs::remove_file(place.project().join("weftrace.toml")).unwrap();
    fs::set_permissions(place.project(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(place.project().join("weftrace.lock"), "").unwrap();
    assert_eq!(place.checked(), "");
    fs::set_permissions(place.project(), fs::Permissions::from_mode(0o755)).unwrap();

    // A lock that has the name is told where libraries are asked for, and the module is weftrace's all the same.
    let locked = format!(
        "[std]\ngit = \"x\"\nversion = \"1\"\ncommit = \"{}\"\ndigest = \"sha256:{}\"\n",
        "a".repeat(40),
        "0".repeat(64)
    );
    fs::write(place.project().join("weftrace.lock"), locked).unwrap();
    assert_eq!(place.checked(), "");
    assert!(place.refused(&["fetch"]).contains("weftrace.lock: a library can't be called std: bundled scripts are"));
    fs::remove_file(place.project().join("weftrace.lock")).unwrap();
    fs::write(place.project().join("weftrace.toml"), "[dependencies]\nstd = { git = \"../x\" }\n").unwrap();
    assert!(place.refused(&["fetch"]).contains("weftrace.toml: a library can't be called std: bundled scripts are"));
    place.script("import \"team/db\";\nBEGIN { }\n");
    assert!(place.checked().contains("weftrace.toml: a library can't be called std"), "{}", place.checked());
}

/// A library sees its own files, what it names as dependencies, and no more.
#[test]
fn libraries_import_what_they_declare() {
    let place = Place::new("declared");
    place.commit("ops", &[("weftrace.toml", &manifest("ops", "1.0.0", "")), ("u.probe", UNITS)]);
    let import = "import \"ops/u\";\nfn ms($d: uint64): uint64 { return in_ms($d); }\n";
    let needs = format!("[dependencies]\nops = {{ git = \"file://{}/ops\" }}\n", place.0.display());
    place.commit("open", &[("weftrace.toml", &manifest("open", "1.0.0", &needs)), ("m.probe", import)]);
    place.commit("sly", &[("weftrace.toml", &manifest("sly", "1.0.0", "")), ("m.probe", import)]);
    for name in ["ops", "open", "sly"] {
        place.done(&["add", &format!("../{name}")]);
    }
    place.script("import \"open/m\";\npcap:any { @ms = ms(frame.len); }\n");
    assert_eq!(place.checked(), "");
    place.script("import \"sly/m\";\npcap:any { @ms = ms(frame.len); }\n");
    let said = place.checked();
    assert!(said.contains("sly doesn't name ops under [dependencies]") && said.contains("m.probe:1:"), "{said}");
}

#[test]
fn paths_do_not_lead_out_of_a_library() {
    let place = Place::new("out");
    let deep = "import \"../../outside\";\nfn f(): int64 { return 1; }\n";
    let fine = "import \"../units\";\nfn g($d: uint64): uint64 { return in_ms($d); }\n";
    let files = [
        ("weftrace.toml", &*manifest("team", "1.0.0", "")),
        ("a/b.probe", deep),
        ("a/c.probe", fine),
        ("units.probe", UNITS),
    ];
    place.commit("team", &files);
    place.done(&["add", "../team"]);
    fs::write(place.project().join(".weftrace/lib/outside.probe"), "BEGIN { }\n").unwrap();
    fs::write(place.project().join("outside.probe"), "BEGIN { }\n").unwrap();
    place.script("import \"team/a/b\";\npcap:any { @f = f(); }\n");
    assert!(place.checked().contains("it leads out of the library team"), "{}", place.checked());
    place.script("import \"team/a/c\";\npcap:any { @g = g(frame.len); }\n");
    assert_eq!(place.checked(), "");
}

/// A recording has its libraries in it; what the folder has of them since then is no part of it.
#[test]
fn replays_use_the_libraries_of_the_recording() {
    let place = Place::new("replay");
    let of = |number: &str| format!("fn number(): int64 {{ return {number}; }}\n");
    place.commit("team", &[("weftrace.toml", &manifest("team", "1.0.0", "")), ("n.probe", &of("7"))]);
    place.done(&["add", "../team"]);
    place.script("import \"team/n\";\nBEGIN { printf(\"number %d\\n\", number()); exit(); }\n");
    if !place.weftrace(&["record", "-q", "-o", "x.recording", "x.probe"]).status.success() {
        println!("SKIP kernel programs");
        return;
    }
    let replayed = || {
        let output = place.weftrace(&["replay", "-q", "x.recording"]);
        (output.status.code(), text(&output.stdout).trim().to_owned(), text(&output.stderr))
    };
    let same = (Some(0), "number 7".to_owned(), String::new());
    assert_eq!(replayed(), same);
    place.commit("team", &[("n.probe", &of("8"))]);
    place.done(&["update"]);
    assert_eq!(replayed(), same, "the library is another one");
    fs::remove_dir_all(place.project().join(".weftrace")).unwrap();
    assert_eq!(replayed(), same, "the library is gone");
    fs::write(place.project().join("weftrace.toml"), "[dependencies\n").unwrap();
    assert_eq!(replayed(), same, "the project is broken");
}
