//! What is locked is what there is, and no more is fetched or left than is needed.

use super::{
    place::{Place, UNITS, USE, manifest, team},
    traced::text,
};
use std::{fs, os::unix::fs::PermissionsExt, process::Command};

/// The digest is of the commit that was locked; what the manifest says since then is not fetched under its name.
#[test]
fn fetch_brings_what_is_locked_and_nothing_else() {
    let place = Place::new("exact");
    team(&place);
    place.done(&["add", "../team@v1.0.0"]);
    let (lock, toml) = (place.lock(), place.project().join("weftrace.toml"));
    let written = fs::read_to_string(&toml).unwrap();
    place.commit("team", &[("weftrace.toml", &manifest("team", "2.0.0", "")), ("evil.probe", "BEGIN { }\n")]);
    place.git("team", &["tag", "v2.0.0"]);
    fs::remove_dir_all(place.project().join(".weftrace")).unwrap();
    for (changed, part) in [
        (
            written.replace("v1.0.0", "v2.0.0"),
            "asks for team from ../team@v2.0.0, and weftrace.lock has it from ../team@v1.0.0",
        ),
        (
            written.replace(", rev = \"v1.0.0\"", ""),
            "asks for team from ../team, and weftrace.lock has it from ../team@v1.0.0",
        ),
        (written.replace("../team", "../other"), "asks for team from ../other@v1.0.0"),
        (written.replace(" }", ", version = \"2.0\" }"), "asks for team 2.0, and weftrace.lock has 1.0.0"),
    ] {
        fs::write(&toml, changed).unwrap();
        for command in ["fetch", "vendor"] {
            let said = place.refused(&[command]);
            assert!(said.contains(part) && said.contains("write: weftrace lib update team"), "{said}");
        }
        assert!(!place.project().join(".weftrace").exists() && !place.project().join("vendor").exists());
    }
    // What nobody asks for any more is fetched as it is locked: the manifest decides with the next update.
    fs::write(&toml, "").unwrap();
    assert_eq!(place.done(&["fetch"]), "fetched team\n");
    fs::write(&toml, written).unwrap();
    assert_eq!(place.done(&["fetch"]), "all libraries are here\n");
    assert_eq!(place.lock(), lock);
    assert!(!place.project().join(".weftrace/lib/team/evil.probe").exists());
}

/// What the error says to do mends it.
#[test]
fn a_spoilt_lock_is_mended_as_the_error_says() {
    let place = Place::new("spoilt");
    team(&place);
    place.script(USE);
    place.done(&["add", "../team"]);
    let (lock, path) = (place.lock(), place.project().join("weftrace.lock"));
    let named = lock.replace("[team]", "[std]");
    let merged = lock.replace("[team]", "<<<<<<< HEAD\n[team]");
    let (short, bytes) = (lock.replace("commit = \"", "commit = \"x"), b"\xff".to_vec());
    for (spoilt, part) in [
        (short.into_bytes(), "weftrace.lock: team: `commit` is no commit's full name"),
        (merged.into_bytes(), "weftrace.lock:"),
        (named.into_bytes(), "weftrace.lock: a library can't be called std"),
        (bytes, "weftrace.lock is no text"),
    ] {
        fs::write(&path, spoilt).unwrap();
        let said = place.refused(&["fetch"]);
        assert!(said.contains(part), "{said}");
        let advice = format!("write: rm {}; weftrace lib update", path.display());
        assert!(said.contains(&advice) && place.checked().contains(&advice), "{said}");
        fs::remove_file(&path).unwrap();
        place.done(&["update"]);
        assert_eq!(place.lock(), lock);
        assert_eq!(place.checked(), "");
    }
    // Another digest is a lock like any other, until files are held against it.
    let digest = lock.split("sha256:").nth(1).unwrap().split('"').next().unwrap();
    fs::write(&path, lock.replace(digest, &"0".repeat(64))).unwrap();
    assert!(place.checked().contains("write: weftrace lib fetch"), "{}", place.checked());
    assert!(place.refused(&["fetch"]).contains("write: weftrace lib update team"));
    place.done(&["update", "team"]);
    assert_eq!((place.lock(), place.checked()), (lock, String::new()));
}

/// Libraries that are here as they are locked need no repository, and one that is new is cloned once.
#[test]
fn what_is_here_is_not_cloned_again() {
    let place = Place::new("again");
    team(&place);
    for name in ["ops", "more"] {
        place.commit(name, &[("weftrace.toml", &manifest(name, "1.0.0", "")), ("u.probe", UNITS)]);
    }
    place.done(&["add", "../team"]);
    place.done(&["vendor"]);
    place.done(&["add", "../ops"]);
    let gone = place.0.join("gone");
    fs::rename(place.0.join("team"), &gone).unwrap();

    // A git that writes down what it is asked, before the real one.
    let (bin, asked) = (place.0.join("bin"), place.0.join("asked"));
    fs::create_dir_all(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let wrapper = format!("#!/bin/sh\necho \"$*\" >> {}\nPATH={path} exec git \"$@\"\n", asked.display());
    fs::write(bin.join("git"), wrapper).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let clones = |args: &[&str]| {
        let _ = fs::remove_file(&asked);
        let output = place.lib_command(args).env("PATH", format!("{}:{path}", bin.display())).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        fs::read_to_string(&asked).unwrap_or_default().lines().filter(|line| line.contains(" clone ")).count()
    };
    assert_eq!(clones(&["add", "../more"]), 1);
    assert_eq!(clones(&["update", "ops"]), 1);
    assert_eq!(clones(&["remove", "more"]), 0);
    assert_eq!(clones(&["fetch"]), 0);

    // One that was changed is not taken for what is locked.
    fs::remove_dir_all(place.project().join("vendor")).unwrap();
    fs::write(place.project().join(".weftrace/lib/team/units.probe"), "x").unwrap();
    assert!(place.refused(&["remove", "ops"]).contains("team"));
    fs::rename(gone, place.0.join("team")).unwrap();
    place.done(&["remove", "ops"]);
    assert_eq!(fs::read_to_string(place.project().join(".weftrace/lib/team/units.probe")).unwrap(), UNITS);
}

#[test]
fn removing_leaves_nothing_but_what_is_not_ours() {
    let place = Place::new("leave");
    team(&place);
    let left = || {
        let entries = fs::read_dir(place.project()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert!(place.refused(&["add", "../nowhere"]).contains("No such file"));
    assert!(place.refused(&["add", "../team@nothing"]).contains("no tag, branch or commit"));
    assert_eq!(left(), [""; 0], "what was refused");
    place.done(&["add", "../team"]);
    place.done(&["vendor"]);
    place.done(&["remove", "team"]);
    assert_eq!(left(), ["weftrace.lock", "weftrace.toml"]);
    // What somebody changed in vendor/ stays, and is told.
    place.done(&["add", "../team"]);
    place.done(&["vendor"]);
    fs::write(place.project().join("vendor/team/ours.probe"), "BEGIN { }\n").unwrap();
    let removed = place.lib(&["remove", "team"]);
    assert!(text(&removed.stderr).contains("vendor/team has other files than were locked: it is left there"));
    assert_eq!(left(), ["vendor", "weftrace.lock", "weftrace.toml"]);
}

/// From a subfolder, a relative path is written as the project's folder sees it: the manifest is for other machines too.
#[test]
fn relative_paths_begin_where_they_are_typed() {
    let place = Place::new("below");
    team(&place);
    place.done(&["add", "../team"]);
    let toml = || fs::read_to_string(place.project().join("weftrace.toml")).unwrap();
    let written = toml();
    let below = place.project().join("a/b");
    fs::create_dir_all(&below).unwrap();
    let lib = |args: &[&str]| {
        let output = place.lib_command(args).current_dir(&below).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(lib(&["add", "../../../team"]), "nothing changed\n");
    assert_eq!(toml(), written);
    lib(&["add", "../../../team@v1.0.0"]);
    assert!(toml().contains("{ git = \"../team\", rev = \"v1.0.0\" }"), "{}", toml());
    // A repository within the project; its folder has an @.
    let within = "project/libs/me@work";
    fs::rename(place.0.join("team"), place.0.join("moved")).unwrap();
    fs::create_dir_all(place.project().join("libs")).unwrap();
    fs::rename(place.0.join("moved"), place.0.join(within)).unwrap();
    lib(&["remove", "team"]);
    lib(&["add", "../../libs/me@work"]);
    assert!(toml().contains("team = { git = \"./libs/me@work\" }"), "{}", toml());
    let log = Command::new("git").args(["status", "--short"]).current_dir(place.0.join(within)).output().unwrap();
    assert_eq!(text(&log.stdout), "", "nothing was done to it");
}
