//! The end of a run: to detach perf events takes some 50 ms each, and what happens meanwhile is none of the run's; what came before is.

mod traced;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use traced::{Tracer, can_trace};

/// How long each request is waited for.
const WAIT: Duration = Duration::from_millis(20);
/// Three perf tracepoints are in it, whose stacks raw tracepoints don't have, and two more to detach.
const SCRIPT: &str = r#"
tracepoint:syscalls:sys_enter_clock_nanosleep { $k = kstack(2); @stack = $k; @since[tid] = nsecs; }
tracepoint:syscalls:sys_exit_clock_nanosleep /@since[tid]/ {
  $k = kstack(2); @stack = $k;
  emit app.sleep(tid = tid, start = @since[tid], end = nsecs, dur = nsecs - @since[tid]);
  delete(@since, tid);
}
tracepoint:syscalls:sys_exit_getpid { $k = kstack(2); @stacks[$k] = count(); }
tracepoint:syscalls:sys_exit_getppid { $k = kstack(2); @stacks[$k] = count(); }
tracepoint:syscalls:sys_exit_getuid { $k = kstack(2); @stacks[$k] = count(); }
http:server:PORT {
  emit web.request(conn = tcp.conn, tid = tid, complete = http.exchange.complete, start = http.exchange.start, end = http.exchange.end);
}
join web { from r = web.request(); sleep = sum(app.sleep.dur) by tid; blame sleep; }
join:web { printf("%s %d %d %s %s\n", status, r.complete, total / 1ms, sleep.state, sleep.reason); }
END { clear(@stack); clear(@stacks); clear(@since); }"#;

/// Answers one request after the other, each after [`WAIT`].
fn serve(mut stream: TcpStream) {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).is_ok_and(|n| n > 0) {
        thread::sleep(WAIT);
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

fn ask(port: u16, stop: &AtomicBool) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let mut bytes = [0; 1024];
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
        assert!(stream.read(&mut bytes).is_ok_and(|n| n > 0));
    }
}

#[test]
fn requests_while_the_run_ends() {
    if !can_trace() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| serve(stream)))));
    let stop = AtomicBool::new(false);
    let (lines, said) = thread::scope(|scope| {
        let tracer = Tracer::start(&SCRIPT.replace("PORT", &port.to_string()), &["--for", "3s"]);
        for _ in 0..3 {
            scope.spawn(|| ask(port, &stop));
        }
        let ended = tracer.ended();
        stop.store(true, Ordering::Relaxed);
        ended
    });
    let mut complete = 0;
    for line in lines.iter().filter(|line| !line.starts_with("web:")) {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, whole, ms, state, ..] = words[..] else { panic!("{line}") };
        // One that is open when the run ends has lasted no longer than that, and its sleep goes on.
        assert!(ms.parse::<u64>().is_ok_and(|ms| ms < 150), "{line} of {lines:#?} {said}");
        complete += u32::from(whole == "1");
        assert!(whole == "0" || state == "value", "{line} of {lines:#?} {said}");
    }
    assert!(complete > 100, "{complete}: {said}");
    assert!(lines.last().is_some_and(|line| line.ends_with("Lost: 0.")), "{:?} {said}", lines.last());
}

/// Of a datagram a ms the last ones before `exit()` are in the kernel's buffer still: joins get them, and no other block sees them. TELLS: what else a block does that
/// tells.
const EXIT: &str = r#"
pcap:lo:"udp port PORT" { TELLS emit some.packet(pid = (uint32)1, start = nsecs, end = nsecs); }
pcap:lo:"udp port PORT" { @passed = count(); }
pcap:lo:"udp port PORT" { @seen = max(frame.number); }
interval:ms:1500 { printf("@passed: %d\n", @passed); emit the.run(pid = (uint32)1, start = nsecs - 1400ms, end = nsecs); exit(); }
join all { from r = the.run(); n = count(some.packet) by pid; }
join:all { printf("%s %s %d\n", n.state, n.reason, n ?? 0); }"#;

/// What is told of them, how many had passed by then (which is counted where they pass), and how many blocks had seen.
fn before_exit(tells: &str) -> (String, u32, u32) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let place = socket.local_addr().expect("its address");
    let script = EXIT.replace("PORT", &place.port().to_string()).replace("TELLS", tells);
    let stop = AtomicBool::new(false);
    let (lines, said) = thread::scope(|scope| {
        let tracer = Tracer::start(&script, &[]);
        scope.spawn(|| {
            // All are within what is asked for.
            thread::sleep(Duration::from_millis(300));
            while !stop.load(Ordering::Relaxed) {
                socket.send_to(b"x", place).expect("sent");
                thread::sleep(Duration::from_millis(1));
            }
        });
        let ended = tracer.ended();
        stop.store(true, Ordering::Relaxed);
        ended
    });
    let number = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)?.parse().ok());
    let (passed, seen) = (number("@passed: "), number("@seen: "));
    let counted = passed.zip(seen).unwrap_or_else(|| panic!("{lines:?} {said}"));
    (lines[1].clone(), counted.0, counted.1)
}

#[test]
fn packets_that_came_before_exit() {
    if !can_trace() {
        return;
    }
    let (told, passed, seen) = before_exit("");
    let count = told.strip_prefix("value  ").and_then(|n| n.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count >= passed && count > seen), "{told} of {passed}, {seen} seen");
    // What counts by itself goes no further; what it would have told isn't known.
    assert_eq!(before_exit("@told = count();").0, "unknown stalled 0");
}
