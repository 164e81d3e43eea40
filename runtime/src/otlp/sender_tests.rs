use super::*;
use std::{
    io::{Read, Write},
    net::TcpListener,
};

fn sender(url: &str) -> Sender {
    let endpoint = Endpoint::logs(url).expect("an address");
    Sender::new(Named { option: "--otlp-logs", what: "records" }, endpoint, Vec::new())
}

/// However much comes while nobody takes it.
#[test]
fn what_waits_is_bounded() {
    let mut many = sender("http://127.0.0.1:1");
    (0..WAITING + 5).for_each(|_| many.send(vec![0; 8], 1));
    assert_eq!(many.done.waiting.load(Relaxed), WAITING * 8);
    let mut large = sender("http://127.0.0.1:1");
    (0..40).for_each(|_| large.send(vec![0; 1 << 20], 3));
    assert_eq!(large.done.waiting.load(Relaxed), MOST_BYTES);
    // It was never begun: nothing was taken.
    let said = large.wait().expect("told");
    assert_eq!(said, "--otlp-logs http://127.0.0.1:1/v1/logs: 120 of 120 records were not taken: too many at once");
    assert!(large.wait().is_some(), "asked twice");
}

/// Large ones go in several requests, and all that were taken are counted.
#[test]
fn batches_are_small_enough() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut sender = sender(&format!("http://{}", listener.local_addr().expect("bound")));
    (0..3).for_each(|_| sender.send(vec![0; BATCH_BYTES], 2));
    let server = thread::spawn(move || {
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().expect("a client");
            let (mut came, mut part) = (Vec::new(), [0; 8192]);
            while came.len() < BATCH_BYTES {
                let n = stream.read(&mut part).expect("readable");
                came.extend_from_slice(&part[..n]);
            }
            // The rest is a few bytes of the head's.
            stream.set_read_timeout(Some(Duration::from_millis(50))).expect("settable");
            while let Ok(n @ 1..) = stream.read(&mut part) {
                came.extend_from_slice(&part[..n]);
            }
            sizes.push(came.len());
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("answered");
        }
        sizes
    });
    sender.start();
    assert_eq!(sender.wait(), None);
    let sizes = server.join().expect("it ends");
    assert!(sizes.iter().all(|size| (BATCH_BYTES..BATCH_BYTES + 1000).contains(size)), "{sizes:?}");
}
