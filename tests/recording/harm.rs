//! Recordings that are damaged, or made to do harm.

use super::{by_hand::ByHand, *};

/// Bytes changed at random, in a recording that is otherwise whole: an error or none, no panic, and an end.
#[test]
fn damaged_recordings_are_replayed_to_the_damage() {
    let folder = folder("damage");
    let file = folder.join("x.pcapng");
    let file = file.to_str().unwrap();
    assert!(timers(file).status.success());
    let whole = fs::read(file).unwrap();
    let mut seed = 7u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    for round in 0..120 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 5 {
            let at = random(bytes.len());
            bytes[at] = [0, 1, 0x7f, 0xff, bytes[at].wrapping_add(1)][random(5)];
        }
        fs::write(file, &bytes).unwrap();
        let output = weftrace(&["replay", "-q", file]).output().unwrap();
        let said = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(0..=6)), "round {round}: {:?} {said}", output.status);
        assert!(!said.contains("panicked"), "round {round}: {said}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// What had no errors when it was recorded, by this version, has been damaged since.
#[test]
fn a_damaged_script_is_no_error_of_the_script() {
    let folder = folder("script");
    let file = folder.join("x.pcapng");
    let file = file.to_str().unwrap();
    assert!(timers(file).status.success());
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.windows(8).position(|bytes| bytes == b"interval").unwrap();
    bytes[at] = b'j';
    fs::write(file, &bytes).unwrap();
    let output = weftrace(&["replay", "-q", file]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("the recording is damaged: its script can no longer be compiled"), "{said}");
    fs::remove_dir_all(folder).unwrap();
}

/// Packets that the recorded run kept: a replay keeps them where a file is named, and runs all the same where none is.
#[test]
fn a_recorded_run_that_kept_packets() {
    let folder = folder("kept");
    let (file, kept, again) = (folder.join("x.pcapng"), folder.join("kept.pcapng"), folder.join("again.pcapng"));
    let script = r#"pcap:lo:"udp port 9" { capture("one"); @n = count(); }"#;
    let child = "bash -c 'echo x > /dev/udp/127.0.0.1/9'";
    let Some(live) = record_with(&file, child, "", &["--write", kept.to_str().unwrap(), "-e", script]) else { return };
    assert_eq!((live.status.code(), &*text(&live.stdout)), (Some(0), "\n\n@n: 1\n"), "{}", text(&live.stderr));
    let file = file.to_str().unwrap();
    for args in [&[][..], &["--write", again.to_str().unwrap()]] {
        let output = weftrace(&[&["replay", file], args].concat()).output().unwrap();
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(0), text(&live.stdout)),
            "{}",
            text(&output.stderr)
        );
    }
    assert!(fs::metadata(&again).unwrap().len() > 0);
    // Another script's capture() needs one.
    let output = weftrace(&["replay", file, "-e", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("weftrace replay --write FILE.pcapng"), "{}", text(&output.stderr));
    fs::remove_dir_all(folder).unwrap();
}

/// A recording made by hand: what it says of itself, then blocks of other events.
fn by_hand(sources: &[(&str, &str)], events: &[&[u8]]) -> Vec<u8> {
    let mut made = ByHand::new(sources);
    for events in events {
        made.events(events);
    }
    made.finish()
}

/// A name that is no path, of which every part would be kept; and times at which no run was.
#[test]
fn what_is_made_to_harm_does_no_harm() {
    let folder = folder("harm");
    let file = folder.join("x.pcapng");
    let name = "a/".repeat(100_000);
    let script = "interval:ms:1 { @n++; } BEGIN { printf(\"begun\\n\"); }";
    let tick = |time: u64| [&[11][..], &time.to_le_bytes()].concat();
    let start = [&[10][..], &0u64.to_le_bytes()].concat();
    let clock = |boot: u64, wall: u64| {
        let numbers = [boot, wall, u64::MAX].map(u64::to_le_bytes).concat();
        [&[3][..], &numbers, &i32::MIN.to_le_bytes(), &4u32.to_le_bytes(), b"a\0%%"].concat()
    };
    let lost = |count: u64| {
        let words = [&1u32.to_le_bytes()[..], b"p", &9u32.to_le_bytes(), b"ring_full"].concat();
        [&[7][..], &words, &[0; 16], &count.to_le_bytes(), &[0; 4]].concat()
    };
    let events = [
        start,
        tick(i64::MAX as u64),
        tick(u64::MAX),
        clock(1, 1),
        clock(u64::MAX, u64::MAX),
        lost(u64::MAX),
        lost(u64::MAX),
    ];
    let events: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
    fs::write(&file, by_hand(&[("-e", script), (&name, "")], &events)).unwrap();
    // In 4 GB of addresses.
    let limited = "ulimit -v 4000000; exec \"$@\"";
    let output = Command::new("timeout")
        .args(["60", "sh", "-c", limited, "sh", env!("CARGO_BIN_EXE_weftrace"), "replay", "-q"])
        .arg(&file)
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(text(&output.stdout).starts_with("begun") && !said.contains("panicked"), "{said}");
    fs::remove_dir_all(folder).unwrap();
}

/// Little that unpacks to much, and never a round's end: Ctrl-C ends it all the same.
#[test]
fn a_replay_can_be_interrupted() {
    let folder = folder("interrupt");
    let file = folder.join("x.pcapng.gz");
    let packed = fs::File::create(&file).unwrap();
    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    // Joins go on, and on.
    let much = vec![6; 15 << 20];
    let first = by_hand(&[("-e", "BEGIN { printf(\"begun\\n\"); } interval:s:1 { @n++; }")], &[]);
    let more = by_hand(&[], &[&much]);
    packed.write_all(&first).unwrap();
    for _ in 0..100 {
        packed.write_all(&more[more.len() - much.len().next_multiple_of(4) - 32..]).unwrap();
    }
    packed.finish().unwrap();
    let mut child = weftrace(&["replay", "-q", file.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It is at work on what has no end: half a second of the processor, in hundredths.
    let used = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let fields: Vec<String> = stat.rsplit(") ").next().unwrap_or("").split(' ').map(str::to_owned).collect();
        fields.get(11).and_then(|ticks| ticks.parse::<u32>().ok()).unwrap_or(u32::MAX)
    };
    while used() < 50 {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(child.try_wait().unwrap().is_none(), "it was to take longer");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let due = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > due {
            child.kill().unwrap();
            panic!("Ctrl-C was not heard");
        }
        thread::sleep(Duration::from_millis(20));
    }
    fs::remove_dir_all(folder).unwrap();
}
