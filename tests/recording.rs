//! `weftrace record` and `replay`: a live run and its recording say the same, byte for byte; losses touch only what they may have been of.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

#[path = "recording/by_hand.rs"]
mod by_hand;
#[path = "recording/forgetting.rs"]
mod forgetting;
#[path = "recording/harm.rs"]
mod harm;
#[path = "recording/kernel.rs"]
mod kernel;
#[path = "recording/other.rs"]
mod other;
#[path = "recording/sealed.rs"]
mod sealed;

const NOBODY: u32 = 65_534;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("weftrace-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// The loopback device, and tracefs where this machine has none mounted.
const PLACE: &str = "ip link set lo up && { grep -q ' /sys/kernel/tracing tracefs ' /proc/mounts || mount -t tracefs t /sys/kernel/tracing; }";

/// Runs `weftrace record` in a network namespace of its own with tracefs, beside one of the roles below; None: it can't be done here.
fn record(file: &Path, role: &str, args: &[&str]) -> Option<Output> {
    let me = std::env::current_exe().unwrap();
    let child = format!("sh -c 'exec {} --ignored --exact {role} > /dev/null'", me.display());
    let output = record_with(file, &child, "", args)?;
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    Some(output)
}

/// The same beside any program. `before`: commands of a shell.
fn record_with(file: &Path, child: &str, before: &str, args: &[&str]) -> Option<Output> {
    let can = Command::new("unshare").args(["-n", "-m", "sh", "-c", PLACE]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("SKIP namespaces and tracefs");
        return None;
    }
    let run = format!("{PLACE}; {before} \"$@\"");
    let output = Command::new("unshare")
        .args(["-n", "-m", "sh", "-c", &run, "sh", env!("CARGO_BIN_EXE_weftrace"), "record", "-o"])
        .arg(file)
        .args(["-c", child])
        .args(args)
        .env("TZ", "Asia/Kolkata")
        .env("WEFTRACE_ROLE", "1")
        .output()
        .expect("unshare runs");
    Some(output)
}

/// weftrace without privileges of its own, or a place of its own: what needs neither.
fn weftrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weftrace"));
    command.args(args).stdin(Stdio::null());
    command
}

/// As a user that may do nothing, in another time zone.
fn replay(file: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .arg("replay")
        .arg(file)
        .args(args)
        .env("TZ", "America/Lima")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .expect("weftrace runs")
}

/// Of a run as JSON, what joins said.
fn joined(output: &[u8]) -> Vec<String> {
    let mine = |line: &&str| line.contains("\"type\": \"join_");
    text(output).lines().filter(mine).map(str::to_owned).collect()
}

#[test]
fn a_live_run_and_its_recording_say_the_same() {
    let folder = folder("record");
    let file = folder.join("x.pcapng");
    let Some(live) = record(&file, "requests", &["http/slow_requests", "--slow", "100ms"]) else { return };
    let said = text(&live.stdout);
    assert!(said.contains("order-0") && said.contains("order-2") && said.contains("/slow?"), "{said}");
    for round in 0..2 {
        let again = replay(&file, &[]);
        assert!(again.status.success(), "{}", text(&again.stderr));
        assert_eq!(text(&again.stdout), said, "replay {round}");
    }
    let bytes = fs::read(&file).unwrap();
    for secret in [&b"hunter2"[..], b"Bearer", b"4111", b"bodyguard"] {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{} is in the recording", text(secret));
    }
    others_read_it(&file);
    another_script(&file);
    cut_short(&file, &folder);
    fs::remove_dir_all(folder).unwrap();
}

/// A secret header that a script asks for is masked in what it makes of it, live as in the replay.
#[test]
fn secrets_that_a_script_names() {
    const SCRIPT: &str = r#"
        pcap:lo:"tcp port 8080" /http.request/ {
          @by[http.header["authorization"]] = count();
          emit asked(token = http.header["Authorization"], host = http.header["host"], start = nsecs - 1, end = nsecs);
        }
        join asked { from r = asked(); total r.start; timeout 1s; }
        join:asked { printf("%s %s\n", r.token, r.host); }"#;
    let folder = folder("named");
    let file = folder.join("x.pcapng");
    let Some(live) = record(&file, "requests", &["-e", SCRIPT]) else { return };
    let (said, again) = (text(&live.stdout), replay(&file, &[]));
    assert_eq!(said.matches("xxxxxx xxxxxxx shop\n").count(), 6, "{said}");
    assert!(said.contains("@by[xxxxxx xxxxxxx]: 6"), "{said}");
    assert_eq!(text(&again.stdout), said);
    let bytes = fs::read(&file).unwrap();
    for secret in [&b"hunter2"[..], b"Bearer"] {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{} is in the recording", text(secret));
    }
    fs::remove_dir_all(folder).unwrap();
}

/// What was before the probes ran is as unknown in a replay as it was live, also where another script asks.
#[test]
fn what_was_before_the_run() {
    const SCRIPT: &str = r"
tracepoint:syscalls:sys_enter_getppid { emit call.one(pid = pid, dur = (uint64)1000); }
interval:ms:50 { emit ask.one(pid = (uint32)1, start = nsecs - 20s, end = nsecs); }
join asked { from a = ask.one(); calls = sum(call.one.dur) by pid; blame calls; }
";
    let folder = folder("before");
    let file = folder.join("run.pcapng");
    let Some(live) = record_with(&file, "sleep 0.5", "", &["-f", "json", "-e", SCRIPT]) else { return };
    assert!(live.status.success(), "{}", text(&live.stderr));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let live = joined(&live.stdout);
    let results: Vec<_> = live.iter().filter(|line| line.contains("join_result")).collect();
    assert!(results.len() > 2, "{live:?}");
    for line in results {
        assert!(line.contains(r#""reason": "before the run""#) && line.contains(r#""layer": "unknown""#), "{line}");
    }
    let other = SCRIPT.replace("blame calls;", "blame calls; timeout 40s;");
    for script in [SCRIPT, &other] {
        let again = replay(&file, &["-f", "json", "-e", script]);
        assert_eq!(joined(&again.stdout), live, "{}", text(&again.stderr));
    }
    fs::remove_dir_all(folder).unwrap();
}

fn others_read_it(file: &Path) {
    let args = ["-n", "-r", file.to_str().unwrap(), "-Y", "http.request", "-T", "fields", "-e", "frame.comment"];
    let Ok(output) = Command::new("tshark").args(args).output() else {
        println!("SKIP tshark");
        return;
    };
    let comments = text(&output.stdout);
    assert!(comments.contains("slow_requests order-1"), "{comments} {}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("malformed"), "{}", text(&output.stderr));
}

/// Packets, and the streams that were recorded, serve other scripts.
fn another_script(file: &Path) {
    let syns = replay(file, &["-q", "-e", "pcap:any /tcp.flags.syn && !tcp.flags.ack/ { @syns = count(); }"]);
    let said = text(&syns.stdout);
    let count = said.split("@syns: ").nth(1).and_then(|n| n.trim().parse::<u32>().ok());
    assert!(count.is_some_and(|n| n >= 6), "{said} {}", text(&syns.stderr));
    let join = r#"import "std/http"; import "std/tcp"; join again { from r = http.request(); ids r.header["x-request-id"];
        syn = count(tcp.connect) by conn since 10s; timeout 30s; }"#;
    let other = replay(file, &["-q", "-f", "json", "-e", join]);
    let lines = joined(&other.stdout);
    assert!(lines.iter().filter(|l| l.contains("\"id\": \"order-")).count() >= 3, "{lines:?} {}", text(&other.stderr));
    // The kernel saw each connect once, and so did the packets: nothing is there twice.
    assert!(lines.iter().any(|l| l.contains("\"syn\": {\"state\": \"value\", \"value\": 2")), "{lines:?}");
}

fn cut_short(file: &Path, folder: &Path) {
    let bytes = fs::read(file).unwrap();
    let cut = folder.join("cut.pcapng");
    for part in [1, 3, 7, 9] {
        fs::write(&cut, &bytes[..bytes.len() * part / 10 + part]).unwrap();
        fs::set_permissions(&cut, fs::Permissions::from_mode(0o644)).unwrap();
        let output = replay(&cut, &[]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("cut short"), "{said}");
    }
}

/// Requests of which some take long, with secrets in them.
#[test]
#[ignore = "run by another"]
fn requests() {
    if std::env::var_os("WEFTRACE_ROLE").is_none() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| serve(stream)))));
    for i in 0..3 {
        for path in ["/slow?card=4111", "/fast"] {
            let mut stream = TcpStream::connect("127.0.0.1:8080").unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nx-request-id: order-{i}\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(b"Authorization: Bearer hunter2\r\nConnection: close\r\n\r\n").unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
    }
}

fn serve(stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    if first.contains("slow") {
        thread::sleep(Duration::from_millis(200));
    }
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nSet-Cookie: a=hunter2\r\n\r\nbodyguard").unwrap();
}

const FLOOD: &str = r#"
config = { perf_rb_pages = 1 }
tracepoint:syscalls:sys_enter_getppid /comm == "flood"/ { emit flood.one(pid = pid, nr = nsecs); }
tracepoint:syscalls:sys_enter_getpgid /comm == "flood"/ { emit quiet.one(pid = pid, nr = nsecs); }
tracepoint:syscalls:sys_enter_clock_nanosleep /comm == "sleep"/ { @asked[pid] = nsecs; }
tracepoint:syscalls:sys_exit_clock_nanosleep /comm == "sleep" && @asked[pid] != 0/ {
  emit ask.one(pid = pid, start = @asked[pid], end = nsecs, name = comm);
  delete(@asked, pid);
}
join asked {
  from a = ask.one();
  total a.start;
  ids a.name;
  flood = count(flood.one) by pid;
  quiet = count(quiet.one) by pid;
  timeout 30s;
}
"#;

/// A ring that is far too small: what may have been lost is unknown, what can't have been is none. And the recording says the same.
#[test]
fn losses_make_only_their_own_legs_unknown() {
    let folder = folder("flood");
    let file = folder.join("x.pcapng");
    let Some(live) = record(&file, "flood", &["-f", "json", "-e", FLOOD]) else { return };
    let lines = joined(&live.stdout);
    // Others sleep on this machine too, and not so long.
    let ours = |result: &serde_json::Value| {
        result["type"] == "join_result"
            && result["data"]["total_ns"]
                .as_u64()
                .is_some_and(|ns| ns / 1_000_000_000 == 3 && ns % 1_000_000_000 >= 123_000_000)
    };
    let result = lines.iter().map(|line| serde_json::from_str(line).unwrap()).find(ours);
    let Some(result) = result else { panic!("{lines:?} {}", text(&live.stderr)) };
    let legs = &result["data"]["legs"];
    assert_eq!(legs["flood"]["state"], "unknown", "{legs}");
    assert!(legs["flood"]["reason"].as_str().is_some_and(|why| why.starts_with("lost ")), "{legs}");
    assert!(legs["flood"]["lost"].as_u64().is_some_and(|n| n > 0) && legs["flood"]["value"].is_null(), "{legs}");
    assert_eq!((&legs["quiet"]["state"], legs["quiet"]["lost"].as_u64()), (&"none".into(), Some(0)), "{legs}");
    let again = replay(&file, &["-f", "json"]);
    assert_eq!(joined(&again.stdout), lines, "{}", text(&again.stderr));
    fs::remove_dir_all(folder).unwrap();
}

/// Calls by the hundred thousand, while another process sleeps.
#[test]
#[ignore = "run by another"]
fn flood() {
    if std::env::var_os("WEFTRACE_ROLE").is_none() {
        return;
    }
    let mut idle = Command::new("sleep").arg("3.123").spawn().unwrap();
    let call = format!("{} ", libc::SYS_clock_nanosleep);
    let asleep =
        || fs::read_to_string(format!("/proc/{}/syscall", idle.id())).is_ok_and(|text| text.starts_with(&call));
    while !asleep() {
        thread::yield_now();
    }
    let calls = || (0..300_000).map(|_| u64::from(std::os::unix::process::parent_id())).sum::<u64>();
    assert!(thread::Builder::new().name("flood".into()).spawn(calls).unwrap().join().unwrap() > 0);
    idle.wait().unwrap();
}

#[test]
fn what_is_no_recording_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["replay", "scripts/tcp/handshake.pcap"])
        .current_dir(root)
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5));
    assert!(said.contains("a capture file without a recording") && said.contains("weftrace run --read"), "{said}");
}

/// A run of timers alone, which anyone may record: what it says of the child, of chance and of time.
const TIMERS: &str = r#"BEGIN { printf("%d\n", rand); }
interval:ms:50 { printf("%d %d %llu\n", cpid, rand, nsecs); emit t.tick(n = nsecs); }"#;

fn timers(file: &str) -> Output {
    weftrace(&["record", "-q", "-o", file, "-c", "sleep 0.4", "-e", TIMERS]).output().unwrap()
}

#[test]
fn the_child_and_chance_are_as_they_were() {
    let folder = folder("timers");
    let file = folder.join("x.pcapng");
    let live = timers(file.to_str().unwrap());
    assert!(live.status.success() && text(&live.stdout).lines().count() > 4, "{}", text(&live.stderr));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let again = replay(&file, &["-q"]);
    assert_eq!(text(&again.stdout), text(&live.stdout), "{}", text(&again.stderr));
    // By a pipe, and from stdin: it is read once.
    for (from, how) in [("/dev/fd/0", "a pipe"), ("-", "stdin")] {
        let mut child = weftrace(&["replay", "-q", from]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(text(&child.wait_with_output().unwrap().stdout), text(&live.stdout), "{how}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// A file that was there, and that others may read, is theirs no more.
#[test]
fn only_its_owner_reads_a_recording() {
    let folder = folder("mode");
    let file = folder.join("x.pcapng");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(timers(file.to_str().unwrap()).status.success());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_cannot_be_written_is_told_by_the_exit_code() {
    let full = timers("/dev/full");
    let said = text(&full.stderr);
    assert_eq!(full.status.code(), Some(6), "{said}");
    assert!(said.contains("ERROR: recording /dev/full: No space left on device"), "{said}");
    assert!(text(&full.stdout).lines().count() > 4, "the run goes on");
    // What is replayed is not overwritten by what comes of it.
    let folder = folder("over");
    let file = folder.join("x.pcapng");
    let path = file.to_str().unwrap();
    assert!(timers(path).status.success());
    let over = weftrace(&["replay", "-o", path, path]).output().unwrap();
    assert!(text(&over.stderr).contains("this file is being read"), "{}", text(&over.stderr));
    assert!(over.status.code() == Some(2) && fs::metadata(&file).unwrap().len() > 1000);
    fs::remove_dir_all(folder).unwrap();
    let nowhere = timers("/nowhere/x.pcapng");
    assert_eq!(nowhere.status.code(), Some(6), "{}", text(&nowhere.stderr));
    assert!(nowhere.stdout.is_empty());
    for args in [&["record", "-e", TIMERS][..], &["record", "http/slow_requests"]] {
        let output = weftrace(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("weftrace record -o FILE SCRIPT"), "{}", text(&output.stderr));
    }
}

/// The disk is full in the middle of a block: the file ends with the one before.
#[test]
fn a_full_disk_leaves_whole_blocks() {
    let folder = folder("full");
    let file = folder.join("small/x.pcapng");
    let small = folder.join("small");
    let there = folder.join("x.pcapng");
    let before = format!(
        "mkdir {0} && mount -t tmpfs -o size=8k t {0} && trap 'cp {1} {2}' EXIT;",
        small.display(),
        file.display(),
        there.display()
    );
    let flood = "interval:ms:1 { emit t.tick(n = nsecs); }";
    let Some(output) = record_with(&file, "sleep 2", &before, &["-e", flood]) else { return };
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
    let bytes = fs::read(&there).unwrap();
    let mut at = 0;
    while at < bytes.len() {
        at += u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
    }
    assert!(at == bytes.len() && at > 0, "{at} {}", bytes.len());
    fs::remove_dir_all(folder).unwrap();
}

/// Killed, where no packets come: what was a second ago is there.
#[test]
fn a_killed_run_leaves_what_was_before() {
    let folder = folder("killed");
    let file = folder.join("x.pcapng");
    let script = r#"interval:ms:100 { @n++; } interval:s:1000 { emit t.other(id = "a", start = nsecs, end = nsecs); }
        join j { from r = t.other(); total r.start; ids r.id; timeout 1s; }"#;
    let args = ["record", "-q", "-o", file.to_str().unwrap(), "-e", script];
    let mut child = weftrace(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Written while it runs: a few kilobytes, which no buffer needs to let go.
    let counted = |said: &str| said.split("@n: ").nth(1).and_then(|n| n.trim().parse::<u32>().ok()).unwrap_or(0);
    let replayed = || weftrace(&["replay", "-q", file.to_str().unwrap()]).output().unwrap();
    let due = Instant::now() + Duration::from_secs(15);
    while counted(&text(&replayed().stdout)) < 10 {
        assert!(Instant::now() < due, "{}", text(&replayed().stderr));
        thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = replay(&file, &["-q"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(counted(&text(&output.stdout)) >= 10, "{}", text(&output.stdout));
    fs::remove_dir_all(folder).unwrap();
}
