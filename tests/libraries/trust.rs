//! What others wrote: nothing of it runs, and it is what is locked or refused.

use super::{
    place::{Place, USE, manifest, team},
    traced::text,
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

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

/// Writes a program that leaves a file `NAME` in the folder.
fn trap(folder: &Path, name: &str, path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\ntouch {}/{name}\nexec cat\n", folder.display())).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Names of the traps that something ran into, which are then set anew.
fn sprung(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    for name in &names {
        fs::remove_file(folder.join(name)).unwrap();
    }
    names.sort();
    names
}

/// Nothing of a repository runs: no hooks, no filters, no submodules. The user's settings are such that git itself, told to clone it, runs all.
#[test]
fn nothing_runs_at_install() {
    let place = Place::new("inert");
    let ran = place.0.join("ran");
    fs::create_dir_all(&ran).unwrap();
    team(&place);
    place.commit("sub", &[("a", "b")]);
    place.git(
        "team",
        &["-c", "protocol.file.allow=always", "submodule", "add", "-q", &format!("{}/sub", place.0.display()), "sub"],
    );
    symlink("/etc/passwd", place.0.join("team/passwd")).unwrap();
    place.commit("team", &[(".gitattributes", "* filter=evil\n")]);
    // A hook of a template is the clone's own; one of core.hooksPath is everybody's, and a bare clone has reference-transaction.
    let (template, hooks) = (place.0.join("template"), place.0.join("hooks"));
    trap(&ran, "template", &template.join("hooks/reference-transaction"));
    trap(&ran, "hook", &hooks.join("reference-transaction"));
    trap(&ran, "checkout", &hooks.join("post-checkout"));
    trap(&ran, "filter", &place.0.join("filter"));
    let settings = |hooks: &str| {
        format!(
            "[filter \"evil\"]\nsmudge = {at}/filter\n[submodule]\nrecurse = true\n[protocol]\nallow = always\n\
             [init]\ntemplateDir = {at}/template\n{hooks}",
            at = place.0.display()
        )
    };
    let global = place.0.join("gitconfig");
    let everybodys = format!("[core]\nhooksPath = {}\n", hooks.display());
    for (more, all) in
        [("", &["filter", "submodule", "template"][..]), (&everybodys, &["checkout", "filter", "hook", "submodule"])]
    {
        fs::write(&global, settings(more)).unwrap();
        let copy = place.0.join("copy");
        let cloned = Command::new("git")
            .args(["clone", "-q", "--recurse-submodules", "team", "copy"])
            .current_dir(&place.0)
            .env("GIT_CONFIG_GLOBAL", &global)
            .output()
            .unwrap();
        if copy.join("sub/a").exists() {
            fs::write(ran.join("submodule"), "").unwrap();
        }
        assert_eq!(sprung(&ran), all, "the traps are set: {}", text(&cloned.stderr));
        let _ = fs::remove_dir_all(copy);
        for args in [&["add", "../team"][..], &["update"], &["remove", "team"]] {
            let output = place.lib_command(args).env("GIT_CONFIG_GLOBAL", &global).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            assert!(!place.project().join(".weftrace/lib/team/sub").exists());
            assert_eq!(sprung(&ran), [""; 0], "{args:?}");
        }
    }
    let output = place.lib(&["add", "../team"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(
        said.contains("team/passwd is a link or a submodule") && said.contains("team/sub is a link or a submodule"),
        "{said}"
    );
    assert!(!place.project().join(".weftrace/lib/team/passwd").exists());
}

/// No programs that a URL or a revision names, nor options of git's.
#[test]
fn urls_and_revisions_are_no_commands() {
    let place = Place::new("commands");
    team(&place);
    let ran = place.0.join("ran");
    let touch = format!("touch {}", ran.display());
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

/// Names, versions and headers of strangers are shown, and nothing of them reaches the terminal as a command.
#[test]
fn what_strangers_wrote_is_shown_as_text() {
    let place = Place::new("escapes");
    let header = "// title:   Red \u{1b}[31m alert\n// answers: what \u{9b}2J?\n// layers:  packets\n\
                  param most = 1 \"a \u{1b}]0;x\u{7} flag\";\npcap:any { @n = count(); }\n";
    place.commit("team", &[("weftrace.toml", &manifest("team", "1.0.0", "")), ("s.probe", header)]);
    symlink("/etc/hostname", place.0.join("team/\u{1b}[2Jlink\nerror: forged")).unwrap();
    place.commit("team", &[]);
    let added = place.lib(&["add", "../team"]);
    assert_eq!(added.status.code(), Some(0), "{}", text(&added.stderr));
    assert!(
        text(&added.stderr).contains("team/\\x1b[2Jlink\\x0aerror: forged is a link or a submodule"),
        "{}",
        text(&added.stderr)
    );
    place.commit("late", &[("weftrace.toml", &manifest("late", "1.0.0-\\u001b[2J", ""))]);
    let said = place.refused(&["add", "../late"]);
    assert!(said.contains("is no version: 1.2.0") && !said.contains('\u{1b}'), "{said}");
    place.commit("odd", &[("weftrace.toml", "[\"\\u001b[2J\"]\n")]);
    let said = place.refused(&["add", "../odd"]);
    assert!(said.contains("there is no section `\\x1b[2J`"), "{said}");

    for (args, part) in [
        (&["lib", "list", "team/*"][..], "team/s  Red \\x1b[31m alert\n"),
        (&["lib", "show", "team/s"], "a \\x1b]0;x\\x07 flag"),
        (&["run", "team/s", "--help"], "what \\x9b2J?"),
    ] {
        let printed = text(&place.weftrace(args).stdout);
        assert!(printed.contains(part), "{args:?}: {printed:?}");
        assert!(!printed.chars().any(|c| c.is_control() && c != '\n'), "{args:?}: {printed:?}");
    }
}
