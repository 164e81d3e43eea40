//! OpenTelemetry's own Python packages, where there are any, and a collector that reads with them.
#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

/// An interpreter with the SDK (`WEFTRACE_OTEL_PYTHON` names one).
pub fn python() -> Option<String> {
    let python = std::env::var("WEFTRACE_OTEL_PYTHON").unwrap_or_else(|_| "python3".into());
    let asked = "import opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http, opentelemetry.exporter.otlp.proto.grpc";
    let there = Command::new(&python).args(["-c", asked]).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !there {
        println!("SKIP opentelemetry-sdk for Python");
    }
    there.then_some(python)
}

/// tests/otel/collector.py
pub struct Collector {
    child: Child,
    /// Reads all the time: a full pipe would hold the collector.
    reader: Option<JoinHandle<String>>,
    pub url: String,
}

impl Collector {
    /// Answers the first requests with these statuses.
    pub fn start(python: &str, statuses: &[&str]) -> Self {
        let mut child = Command::new(python)
            .arg("tests/otel/collector.py")
            .args(statuses)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut reader = BufReader::new(child.stdout.take().expect("piped"));
        let mut port = String::new();
        reader.read_line(&mut port).expect("a port");
        let reader = thread::spawn(move || {
            let mut printed = String::new();
            reader.read_to_string(&mut printed).expect("readable");
            printed
        });
        Self { child, reader: Some(reader), url: format!("http://127.0.0.1:{}", port.trim()) }
    }

    /// All that it got.
    pub fn end(mut self) -> Vec<serde_json::Value> {
        let _ = self.child.kill();
        let printed = self.reader.take().and_then(|reader| reader.join().ok()).expect("read");
        printed.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
