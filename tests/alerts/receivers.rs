//! Servers of this test, which keep what comes and refuse what the real ones document to refuse.

use super::json;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: String,
}

/// Answers every request by what `answer` says of it, and keeps all.
pub fn receiver(answer: impl Fn(&Request) -> String + Send + 'static) -> (u16, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&kept);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(request) = read(&stream) else { continue };
            let answer = answer(&request);
            all.lock().expect("kept").push(request);
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    (port, kept)
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body: String::from_utf8(body).ok()? })
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
/// What a robot says that takes messages of `most` bytes, `count` in a minute.
pub fn robot(
    most: usize,
    count: usize,
    at: &'static str,
    too_many: &'static str,
) -> impl Fn(&Request) -> String + Send {
    let times: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
    move |request| {
        let mut times = times.lock().expect("times");
        times.retain(|t| t.elapsed() < Duration::from_mins(1));
        times.push(Instant::now());
        let body = json(&request.body);
        let text = body.pointer(at).and_then(|t| t.as_str()).unwrap_or_default();
        if times.len() > count {
            return too_many.to_owned();
        }
        if text.is_empty() || text.len() > most {
            return ok("{\"errcode\": 40058, \"errmsg\": \"content\"}");
        }
        ok("{\"errcode\": 0, \"errmsg\": \"ok\"}")
    }
}
