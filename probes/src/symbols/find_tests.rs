use super::{Binary, FindError, expand, find, programs, within};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

#[test]
fn programs_paths_and_libraries() {
    let sh = find("sh", None, PATH).expect("sh is in PATH");
    assert_eq!(sh.len(), 1);
    assert_eq!(sh[0].path, Path::new("/bin/sh").canonicalize().expect("exists"));
    let by_path = find("/bin/sh", None, "").expect("a path");
    assert_eq!((&by_path[0].path, by_path[0].shown.as_str()), (&sh[0].path, "/bin/sh"));
    let libc = find("libc", None, PATH).expect("libc");
    assert!(libc[0].path.to_string_lossy().contains("libc"), "{libc:?}");
    assert_eq!(find("libc.so.6", None, PATH).expect("by soname")[0].path, libc[0].path);
}

#[test]
fn what_is_not_there() {
    assert_eq!(find("no-such-program-here", None, PATH), Err(FindError::NotFound("no-such-program-here".into())));
    assert_eq!(find("/bin", None, PATH), Err(FindError::NotFound("/bin".into())));
    assert_eq!(find("sh", Some(0x3fff_ffff), PATH), Err(FindError::NoProcess(0x3fff_ffff)));
}

#[test]
fn own_process_has_the_plain_paths() {
    let found = find("/bin/sh", Some(std::process::id()), PATH).expect("found");
    assert!(found[0].root.as_os_str().is_empty());
}

#[test]
fn every_file_of_a_process() {
    let own = std::env::current_exe().expect("own path");
    let pid = Some(std::process::id());
    for name in ["*", ""] {
        let all = find(name, pid, PATH).expect("mapped");
        assert!(all.len() > 1 && all.iter().any(|b| b.path == own), "{name}: {all:?}");
        assert!(all.iter().all(|b| b.path.is_absolute()));
    }
    let libc = find("*libc.so*", pid, PATH).expect("mapped");
    assert!(libc.iter().any(|b| b.shown.contains("libc.so")), "{libc:?}");
    assert!(find("*", None, PATH).expect("of all processes").iter().any(|b| b.path == own));
}

#[test]
fn wildcards_expand_by_component() {
    let found = expand(Path::new("/bin/s[h]"));
    assert_eq!(found, [PathBuf::from("/bin/sh")]);
    assert!(expand(Path::new("/no/such/*")).is_empty());
}

#[test]
fn roots_hold() {
    assert_eq!(within(Path::new("/proc/1/root"), "/../../etc/passwd"), Path::new("/proc/1/root/etc/passwd"));
    assert_eq!(within(Path::new(""), "/bin/sh"), Path::new("/bin/sh"));
}

/// A process, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// The first process that runs a program is in another mount namespace: by its name for it the program can be probed for as long as that lives.
#[test]
#[allow(clippy::print_stdout, reason = "says what is skipped")]
fn a_program_is_known_by_our_name_for_it() {
    let path = std::env::temp_dir().canonicalize().expect("a folder").join(format!("asleep-{}", std::process::id()));
    std::fs::copy("/bin/sleep", &path).expect("a program");
    let found = || -> Option<Binary> {
        programs(None).into_iter().find(|b| b.path.ends_with(path.strip_prefix("/").expect("absolute")))
    };
    let start = |command: &mut Command| Running(command.spawn().expect("it runs"));
    let until = |is: &dyn Fn(&Binary) -> bool| {
        let due = Instant::now() + Duration::from_secs(10);
        while Instant::now() < due && !found().is_some_and(|b| is(&b)) {
            thread::sleep(Duration::from_millis(5));
        }
        found()
    };
    let mut apart = start(Command::new("unshare").args(["--mount"]).arg(&path).arg("60"));
    let shown = until(&|_| true);
    if apart.0.try_wait().expect("a child").is_some() {
        println!("SKIP mount namespaces");
        std::fs::remove_file(&path).expect("there");
        return;
    }
    assert!(shown.is_some_and(|b| b.path.starts_with("/proc")), "it is another's");
    let _ours = start(Command::new(&path).arg("60"));
    let known = until(&|b| b.root.as_os_str().is_empty()).expect("it runs");
    std::fs::remove_file(&path).expect("there");
    assert_eq!((known.path, known.root), (path, PathBuf::new()));
}
