//! Maps that forget: what had ended when a packet came is a matter of the packets' own times, so a replay knows it too.

use super::*;
use std::net::UdpSocket;

/// Of 2,000 ports each is met three times, 300 ms and 900 ms after the first: the second time it is there, the third time it has ended. `@few` and `@window` are
/// always full.
const SCRIPT: &str = r#"
let @all = hash(10000, ttl=500ms);
let @few = lruhash(30, ttl=500ms);
let @window = window(200ms, 20ms, 100);
pcap:lo:"udp and dst portrange 40000-41999" {
  if (has_key(@all, udp.dstport)) { @hit = count(); } else { @miss = count(); @all[udp.dstport] = 1; }
  @few[udp.dstport] = 1;
  @window[udp.dstport] = count();
}
interval:ms:100 { printf("%d %d %d at %lu\n", len(@all), len(@few), len(@window), nsecs(monotonic)); }
END { clear(@all); clear(@few); clear(@window); }
"#;

#[test]
fn what_has_ended_is_the_same_in_a_replay() {
    let folder = folder("forgetting");
    let file = folder.join("x.pcapng");
    let Some(live) = record(&file, "forgetting::datagrams", &["-e", SCRIPT]) else { return };
    let said = text(&live.stdout);
    let count = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.parse::<u32>().ok());
    assert_eq!((count("@hit: "), count("@miss: ")), (Some(2000), Some(4000)), "{said}");
    let again = replay(&file, &[]);
    assert_eq!(text(&again.stdout), said, "{}", text(&again.stderr));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
#[ignore = "run by another"]
fn datagrams() {
    if std::env::var_os("WEFTRACE_ROLE").is_none() {
        return;
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let begin = Instant::now();
    let ports = (0..2000_u32).flat_map(|n| [0, 300, 900].map(|after| (n / 2 + after, 40_000 + n)));
    let mut all: Vec<_> = ports.collect();
    all.sort_unstable();
    for (ms, port) in all {
        while begin.elapsed() < Duration::from_millis(ms.into()) {
            thread::yield_now();
        }
        socket.send_to(b"x", ("127.0.0.1", port as u16)).unwrap();
    }
}
