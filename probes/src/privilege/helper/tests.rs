#![allow(clippy::print_stdout, reason = "tests say what they skip")]

use super::request::{self, Kinds, Request};
use super::{Helper, client, server};
use crate::kernel::sys::{self, Forked};
use std::io::Read;
use std::os::fd::AsFd;
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

/// Nothing is waited for: not who writes to a pipe, not what.
#[test]
fn pipes_are_no_texts() {
    let pipe = std::env::temp_dir().join(format!("weftrace-pipe-{}", std::process::id()));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    let nobody = client::open_text(&pipe).expect_err("nobody writes to it").to_string();
    assert!(nobody.contains("pipe"), "{nobody}");
    let held = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).expect("a pipe");
    client::open_text(&pipe).expect_err("somebody might");
    drop(held);
    std::fs::remove_file(pipe).expect("there");
    let mut folder = client::open_text(&std::env::temp_dir()).expect("opened");
    folder.read(&mut [0]).expect_err("a directory");
    let mut device = client::open_text(Path::new("/dev/zero")).expect("opened");
    assert_eq!(device.read(&mut [1; 8]).expect("read"), 8);
}

/// The state of a child: its letter in /proc, and how it ended (a signal's number).
fn state(pid: i32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    Some((rest.chars().next()?, rest.trim().rsplit(' ').next()?.parse().ok()?))
}

/// What a confined child does; which signal ended it, None: none did.
fn confined(deed: impl FnOnce()) -> Option<u32> {
    match sys::fork_with_channel(std::time::Duration::from_secs(5)).expect("forked") {
        Forked::Child { channel: _channel } => {
            if super::confine::confine().is_ok() {
                deed();
            }
            sys::exit_now()
        }
        Forked::Parent { pid, channel } => {
            // Until it has gone.
            let _ = sys::receive(channel.as_fd(), &mut [0]);
            let ended = (0..500).find_map(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                state(pid).filter(|(state, _)| *state == 'Z')
            });
            sys::end_child(pid);
            // A wait status: the signal is in its lower bits.
            ended.map(|(_, status)| status & 0x7f).filter(|signal| *signal != 0)
        }
    }
}

#[test]
fn what_no_request_needs_ends_it() {
    const SIGSYS: u32 = libc::SIGSYS as u32;
    let file = std::env::temp_dir().join(format!("weftrace-confined-{}", std::process::id()));
    std::fs::write(&file, "as it was").expect("written");
    assert_eq!(confined(|| ()), None);
    assert_eq!(confined(|| drop(std::fs::File::open("/proc/self/maps"))), None);
    assert_eq!(confined(|| drop(vec![1u8; 8 << 20])), None);
    assert_eq!(confined(|| drop(std::fs::write(&file, "changed"))), Some(SIGSYS), "creates");
    assert_eq!(confined(|| drop(std::fs::File::options().write(true).open(&file))), Some(SIGSYS), "writes");
    assert_eq!(confined(|| drop(std::fs::File::options().append(true).open(&file))), Some(SIGSYS), "appends");
    assert_eq!(confined(|| drop(std::fs::remove_file(&file))), Some(SIGSYS), "removes");
    assert_eq!(confined(|| drop(std::net::UdpSocket::bind("127.0.0.1:0"))), Some(SIGSYS), "network");
    assert_eq!(confined(|| drop(std::process::Command::new("/bin/true").status())), Some(SIGSYS), "executes");
    assert_eq!(confined(|| drop(std::fs::read_dir("/proc").map(Iterator::count))), Some(SIGSYS), "lists");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "as it was");
    let _ = std::fs::remove_file(file);
}

#[test]
fn every_request_is_answered_by_the_confined_helper() {
    let Ok(Some(helper)) = Helper::start(ALL) else {
        return println!("SKIP the helper: no capabilities");
    };
    let own = std::process::id();
    let exe = std::env::current_exe().expect("known");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("ours");
    let range = maps.lines().find(|l| l.contains("r-xp") && l.contains(&*exe.to_string_lossy())).expect("our code");
    let (start, end) = range.split_once(' ').and_then(|(range, _)| range.split_once('-')).expect("a range");
    let hex = |text| u64::from_str_radix(text, 16).expect("hexadecimal");
    let perf_map = PathBuf::from(format!("/tmp/perf-{own}.map"));
    std::fs::write(&perf_map, "1000 10 f\n").expect("written");
    let relative = exe.strip_prefix("/").expect("absolute").to_owned();
    for request in [
        Request::Maps { pid: own },
        Request::Mapping { pid: own, start: hex(start), end: hex(end) },
        Request::InRoot { pid: own, path: relative },
        Request::InRoot { pid: own, path: format!("tmp/perf-{own}.map").into() },
        Request::Program { path: exe.clone() },
        Request::Text { path: "/etc/passwd".into() },
    ] {
        for _ in 0..3 {
            let mut bytes = [0; 4];
            let mut file = client::ask(&request).expect("it lives").unwrap_or_else(|e| panic!("{request:?}: {e}"));
            file.read_exact(&mut bytes).unwrap_or_else(|e| panic!("{request:?}: {e}"));
        }
    }
    // Refusals don't end it.
    for path in ["/dev/null", "/no/such", "/etc/passwd"] {
        client::ask(&Request::Program { path: path.into() }).expect("it lives").expect_err(path);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", helper.pid())).expect("a child of ours");
    let line = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim).map(str::to_owned);
    assert_eq!((line("Seccomp:").as_deref(), line("NoNewPrivs:").as_deref()), (Some("2"), Some("1")));
    let _ = std::fs::remove_file(perf_map);
}
