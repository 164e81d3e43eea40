use super::request::{self, Kinds, Request};
use super::server;
use std::io::Read;
use std::path::{Path, PathBuf};

const ALL: Kinds = Kinds { processes: true, text: true };

#[test]
fn requests_survive_their_bytes() {
    let all = [
        Request::Maps { pid: 7 },
        Request::Mapping { pid: 8, start: 0x7f00_0000_0000, end: u64::MAX },
        Request::InRoot { pid: 9, path: "usr/lib/x.so".into() },
        Request::Program { path: "/usr/bin/true".into() },
        Request::Text { path: "/etc/shadow".into() },
    ];
    for request in all {
        let bytes = request.encode(77).expect("short enough");
        assert_eq!(Request::decode(&bytes), Some((77, request)));
        for cut in 0..25 {
            assert_eq!(Request::decode(&bytes[..cut]), None);
        }
    }
    assert_eq!(Request::decode(&[9; 40]), None);
    let long = Request::Program { path: PathBuf::from("/a".repeat(3000)) };
    assert_eq!(long.encode(1), None);
    assert_eq!(request::read_answer(request::answer(3, 13)), (3, 13));
}

#[test]
fn paths_are_requests() {
    let of = |path: &str| Request::of(Path::new(path));
    assert_eq!(of("/proc/12/maps"), Some(Request::Maps { pid: 12 }));
    assert_eq!(of("/proc/12/map_files/7f-8a"), Some(Request::Mapping { pid: 12, start: 0x7f, end: 0x8a }));
    assert_eq!(of("/proc/12/root/usr/bin/x"), Some(Request::InRoot { pid: 12, path: "usr/bin/x".into() }));
    assert_eq!(of("/usr/bin/x"), Some(Request::Program { path: "/usr/bin/x".into() }));
    assert_eq!(of("/proc/12/mem"), Some(Request::Program { path: "/proc/12/mem".into() }));
    assert_eq!(of("relative"), None);
}

#[test]
fn only_what_the_request_says_is_opened() {
    let own = std::process::id();
    let answer = |request: &Request| server::answer(request, ALL);
    let mut maps = String::new();
    answer(&Request::Maps { pid: own }).expect("our own").read_to_string(&mut maps).expect("text");
    assert!(maps.contains("r-xp"));
    let exe = std::env::current_exe().expect("known");
    answer(&Request::Program { path: exe.clone() }).expect("an ELF file");
    answer(&Request::InRoot { pid: own, path: exe.strip_prefix("/").expect("absolute").into() }).expect("the same");
    // No program, no file, relative, out of the root.
    for path in ["/etc/passwd", "/dev/null", "/proc/self/mem", "/tmp", "etc/passwd", ""] {
        let error = answer(&Request::Program { path: path.into() }).expect_err(path);
        assert!(error.raw_os_error().is_some(), "{path}: {error}");
    }
    for path in ["etc/passwd", "../../etc/passwd", "tmp/perf-1.map/../../etc/passwd", "proc/self/exe"] {
        answer(&Request::InRoot { pid: own, path: path.into() }).expect_err(path);
    }
    answer(&Request::Text { path: "/etc/passwd".into() }).expect("cat() shows any file");
    let none = Kinds { processes: true, text: false };
    server::answer(&Request::Text { path: "/etc/passwd".into() }, none).expect_err("the script has no cat()");
    server::answer(&Request::Maps { pid: own }, Kinds { processes: false, text: true }).expect_err("no stacks");
}
