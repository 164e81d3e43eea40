//! Scripts whose blocks run in the kernel: what they printed, and what their maps held, is replayed on any machine.

use super::*;

/// Every way in which user space asks: BEGIN, timers, END in the kernel and here, maps of all kinds, names, stacks.
const SCRIPT: &str = r#"
tracepoint:syscalls:sys_enter_openat {
  printf("%s opens %s as %s\n", comm, str(args.filename), username);
  @by[comm] = count();
  @stacks[kstack(3)] = count();
  @last = comm;
}
tracepoint:sched:sched_switch { @lat = hist(nsecs % 1000); @avg[cpu] = avg(args.prev_pid); @most = max(args.prev_pid); }
uprobe:/lib/x86_64-linux-gnu/libc.so.6:execve { @unwound[ustack(3)] = count(); @copied[dw_ustack(2)] = count(); printf("%s\n", usym(reg("ip"))); }
BEGIN { @asked[1] = 5; printf("begin %d\n", @asked[1]); }
interval:ms:300 {
  print(@by); clear(@by);
  print(@lat, 3); zero(@avg);
  printf("last %s, %d programs\n", @last, len(@by));
  for ($kv : @asked) { printf("asked %d: %d\n", $kv.0, $kv.1); }
  @asked[elapsed / 300000000] = 1;
  if (@most > 1) { delete(@asked, 1); }
}
END { printf("the end\n"); print(kstack(1)); }
END { printf("of %d\n", @most); }
"#;

/// What it is recorded beside.
const CHILD: &str = "sh -c 'for i in 1 2 3 4 5; do bash -c \"cat /etc/hostname > /dev/null\"; sleep 0.2; done'";

/// The recording of a script, and what it printed live.
fn recorded(folder: &Path, script: &str, args: &[&str]) -> Option<(PathBuf, String)> {
    let (file, path) = (folder.join("x.pcapng"), folder.join("kernel.bt"));
    fs::write(&path, script).unwrap();
    let live = record_with(&file, CHILD, "", &[&[path.to_str().unwrap()], args].concat())?;
    assert!(live.status.success(), "{}", text(&live.stderr));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    Some((file, text(&live.stdout)))
}

#[test]
fn what_the_kernel_counted_is_replayed() {
    let folder = folder("kernel");
    let Some((file, said)) = recorded(&folder, SCRIPT, &[]) else { return };
    for wanted in
        ["begin 5", "cat opens /etc/hostname as root", "@by[cat]: ", "last ", "asked ", "the end", "@avg[0]: "]
    {
        assert!(said.contains(wanted), "no {wanted} in {said}");
    }
    // A stack's names are this kernel's and the C library's.
    assert!(said.contains("execve") && said.contains("@stacks[") && said.contains("@copied["), "{said}");
    for _ in 0..2 {
        let again = replay(&file, &[]);
        assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
        assert_eq!(text(&again.stdout), said);
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_later_version_of_the_script() {
    let folder = folder("later");
    let Some((file, said)) = recorded(&folder, SCRIPT, &[]) else { return };
    let path = folder.join("kernel.bt");
    let later =
        format!("// A remark.\n{SCRIPT}interval:s:60 {{ printf(\"never\\n\"); }}").replace("begin %d", "BEGUN %d");
    fs::write(&path, later).unwrap();
    let again = replay(&file, &[path.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(text(&again.stdout), said.replace("begin 5", "BEGUN 5"));
    // One that asks for something else is told to be recorded anew.
    fs::write(
        &path,
        SCRIPT
            .replace("print(@lat, 3)", "print(@most)")
            .replace("printf(\"%s opens %s as %s\\n\", comm", "printf(\"%s %s %s %d\\n\", comm")
            .replace("username)", "username, pid)"),
    )
    .unwrap();
    let other = replay(&file, &[path.to_str().unwrap()]);
    assert_eq!(other.status.code(), Some(5), "{}", text(&other.stderr));
    assert!(text(&other.stderr).contains("the script is not as it was recorded"), "{}", text(&other.stderr));
    // Another script has packets and streams alone.
    let other =
        replay(&file, &["-e", "interval:ms:300 { printf(\"tick\\n\"); } tracepoint:sched:sched_switch { @++; }"]);
    assert_eq!(other.status.code(), Some(0), "{}", text(&other.stderr));
    assert!(text(&other.stdout).starts_with("tick\n") && !text(&other.stdout).contains("opens"));
    fs::remove_dir_all(folder).unwrap();
}

/// What is counted on two processors goes from both, and what is printed before it is deleted is printed.
#[test]
fn what_is_deleted_is_gone_everywhere() {
    let folder = folder("deleted");
    let script = r#"
tracepoint:syscalls:sys_enter_openat /str(args.filename) == "/etc/hostname"/ { @n = count(); @of[pid] = sum((uint64)2); @all = count(); }
tracepoint:sched:sched_process_exit /comm == "cat"/ { print(@of[pid]); delete(@of, pid); }
interval:ms:200 { if (@n > 5) { printf("many\n"); delete(@n); } }
END { delete(@all); print(@all); }
"#;
    let four = "/etc/hostname /etc/hostname /etc/hostname /etc/hostname";
    let child =
        format!("sh -c 'for cpu in 0 $(($(nproc) - 1)); do taskset -c $cpu cat {four} > /dev/null; done; sleep 1'");
    let (file, path) = (folder.join("x.pcapng"), folder.join("kernel.bt"));
    fs::write(&path, script).unwrap();
    let Some(live) = record_with(&file, &child, "", &[path.to_str().unwrap()]) else { return };
    assert!(live.status.success(), "{}", text(&live.stderr));
    let said = text(&live.stdout);
    let times = |line: &str| said.lines().filter(|l| *l == line).count();
    assert_eq!((times("8"), times("many"), times("@all: 0")), (2, 1, 1), "{said}");
    for path in [&file, &path] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let again = replay(&file, &[]);
    assert_eq!(text(&again.stdout), said, "{}", text(&again.stderr));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_masked_is_masked_in_the_output_too() {
    let folder = folder("masked");
    let script = r#"tracepoint:syscalls:sys_enter_write /comm == "printf"/ { printf("%s", str(args.buf, 200)); }"#;
    let request = r"GET /a?card=4111 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer hunter2\r\n\r\nbodyguard";
    let (file, path) = (folder.join("x.pcapng"), folder.join("kernel.bt"));
    fs::write(&path, script).unwrap();
    let child = format!("sh -c '/usr/bin/printf \"{request}\" > /dev/null'");
    let Some(live) = record_with(&file, &child, "", &[path.to_str().unwrap()]) else { return };
    let said = text(&live.stdout);
    assert!(said.contains("GET /a?xxxxxxxxx HTTP/1.1\r\nHost: h\r\n"), "{said}");
    let bytes = fs::read(&file).unwrap();
    for secret in [&b"hunter2"[..], b"Bearer", b"4111", b"bodyguard"] {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{} is in the recording", text(secret));
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(text(&replay(&file, &[]).stdout), said);
    fs::remove_dir_all(folder).unwrap();
}

/// SIGUSR1 prints the maps, of the kernel too, and so does the replay, there.
#[test]
fn maps_that_a_signal_printed_are_replayed() {
    let folder = folder("usr1");
    let child =
        "sh -c 'kill -USR1 $PPID; for i in 1 2 3; do cat /etc/hostname > /dev/null; done; kill -USR1 $PPID; sleep 0.3'";
    let script = "tracepoint:syscalls:sys_enter_openat { @by[comm] = count(); } interval:ms:50 { @ours++; }";
    let file = folder.join("x.pcapng");
    let Some(live) = record_with(&file, child, "", &["-e", script]) else { return };
    let said = text(&live.stdout);
    assert!(live.status.success(), "{}", text(&live.stderr));
    assert!(said.matches("@by[cat]: ").count() >= 2, "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let again = replay(&file, &[]);
    assert_eq!(text(&again.stdout), said, "{}", text(&again.stderr));
    fs::remove_dir_all(folder).unwrap();
}
