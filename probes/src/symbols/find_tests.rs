use super::{FindError, expand, find, within};
use std::path::{Path, PathBuf};

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
