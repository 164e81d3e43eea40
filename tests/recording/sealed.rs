//! Recordings sealed by a passphrase.

use super::*;

/// Sealed by a passphrase: as age has it, and nothing of it is shown without.
#[test]
fn a_sealed_recording_is_opened_by_its_passphrase_only() {
    let folder = folder("sealed");
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (file, good, bad, empty) = (at("x.age"), at("good"), at("bad"), at("empty"));
    fs::write(&good, "wool and linen\n").unwrap();
    fs::write(&bad, "silk\n").unwrap();
    fs::write(&empty, "\n").unwrap();
    let sealed =
        ["record", "-q", "--encrypt", "-o", &file, "--passphrase-file", &good, "-c", "sleep 0.4", "-e", TIMERS];
    let live = weftrace(&sealed).output().unwrap();
    assert!(live.status.success() && text(&live.stdout).lines().count() > 4, "{}", text(&live.stderr));
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt ") && !bytes.windows(4).any(|w| w == b"cpid"));
    let replay = |args: &[&str]| {
        let mut command = weftrace(&["replay", "-q"]);
        command.args(args).env_remove("WEFTRACE_PASSPHRASE").output().unwrap()
    };
    let again = replay(&["--passphrase-file", &good, &file]);
    assert_eq!(text(&again.stdout), text(&live.stdout), "{}", text(&again.stderr));
    let by_environment =
        weftrace(&["replay", "-q", &file]).env("WEFTRACE_PASSPHRASE", "wool and linen").output().unwrap();
    assert_eq!(text(&by_environment.stdout), text(&live.stdout), "{}", text(&by_environment.stderr));
    for (args, status, why) in [
        (&["--passphrase-file", &bad, &file][..], 5, "the passphrase is wrong"),
        (&["--passphrase-file", &empty, &file], 2, "is empty"),
        (&["--passphrase-file", "/nowhere", &file], 2, "/nowhere: No such file"),
        (&[&*file], 5, "it is encrypted"),
    ] {
        let output = replay(args);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(status) && output.stdout.is_empty(), "{why}: {said}");
        assert!(said.contains(why), "{why}: {said}");
    }
    let none = weftrace(&["record", "--encrypt", "-o", &file, "-e", TIMERS])
        .env_remove("WEFTRACE_PASSPHRASE")
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("--passphrase-file"), "{}", text(&none.stderr));
    fs::remove_dir_all(folder).unwrap();
}

/// What was sealed whole is replayed.
#[test]
fn a_sealed_recording_that_is_cut_is_replayed_to_there() {
    let folder = folder("cut");
    let file = folder.join("x.age");
    let flood = r#"interval:ms:1 { @n++; emit t.tick(name = (string[1000])"x"); }"#;
    let run = |args: &[&str]| weftrace(args).env("WEFTRACE_PASSPHRASE", "wool").output().unwrap();
    let path = file.to_str().unwrap();
    let live = run(&["record", "-q", "--encrypt", "-o", path, "-c", "sleep 2", "-e", flood]);
    assert!(live.status.success(), "{}", text(&live.stderr));
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.len() > 200_000, "{}", bytes.len());
    fs::write(&file, &bytes[..180_000]).unwrap();
    let cut = run(&["replay", "-q", path]);
    let said = text(&cut.stderr);
    assert!(cut.status.code() == Some(5) && said.contains("cut short"), "{said}");
    assert!(text(&cut.stdout).contains("@n: "), "{}", text(&cut.stdout));
    fs::remove_dir_all(folder).unwrap();
}

/// Many pieces at once, of which the disk has no room for all: those that found room are replayed.
#[test]
fn a_full_disk_leaves_whole_pieces() {
    let folder = folder("full-sealed");
    let small = folder.join("small");
    let (file, there, word) = (small.join("x.age"), folder.join("x.age"), folder.join("word"));
    fs::write(&word, "wool").unwrap();
    let before = format!(
        "mkdir {0} && mount -t tmpfs -o size=200k t {0} && trap 'cp {1} {2}' EXIT;",
        small.display(),
        file.display(),
        there.display()
    );
    let script = r#"interval:ms:100 { $i = 0; while ($i < 1000) { emit t.tick(n = $i, name = (string[1000])"x"); $i++; } exit(); }"#;
    let word = word.to_str().unwrap();
    let args = ["--encrypt", "--passphrase-file", word, "-e", script];
    let Some(output) = record_with(&file, "sleep 100", &before, &args) else { return };
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
    let again = weftrace(&["replay", "--passphrase-file", word]).arg(&there).output().unwrap();
    let said = text(&again.stderr);
    assert!(said.contains("what came before this was replayed"), "{said}");
    let piece = (64 << 10) + 16;
    assert_eq!(fs::metadata(&there).unwrap().len() / piece, 3, "{said}");
    fs::remove_dir_all(folder).unwrap();
}

/// age itself reads what we write.
#[test]
fn age_opens_a_sealed_recording() {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !there("age") || !there("script") {
        println!("SKIP age");
        return;
    }
    let folder = folder("age");
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (file, word, out) = (at("x.age"), at("word"), at("x.pcapng"));
    fs::write(&word, "wool").unwrap();
    let args = ["record", "-q", "--encrypt", "-o", &file, "--passphrase-file", &word, "-c", "sleep 0.3", "-e", TIMERS];
    let live = weftrace(&args).output().unwrap();
    // It asks a terminal.
    let mut age = Command::new("script")
        .args(["-qec", &format!("age -d -o {out} {file}"), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut asked, mut asks) = (Vec::new(), age.stdout.take().unwrap());
    while !text(&asked).contains("passphrase") {
        let mut some = [0; 100];
        let n = asks.read(&mut some).unwrap();
        assert!(n > 0, "{}", text(&asked));
        asked.extend(&some[..n]);
    }
    let mut answer = age.stdin.take().unwrap();
    answer.write_all(b"wool\n").unwrap();
    assert!(age.wait().unwrap().success());
    let again = weftrace(&["replay", "-q", &out]).output().unwrap();
    assert_eq!(text(&again.stdout), text(&live.stdout), "{}", text(&again.stderr));
    fs::remove_dir_all(folder).unwrap();
}
