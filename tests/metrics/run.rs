//! A run that offers metrics, and files for it.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]
#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

pub struct Run {
    pub child: Child,
    pub port: u16,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs until it is dropped; or has ended, with this on stderr.
pub fn running(program: &str, args: &[&str]) -> Result<Run, String> {
    let mut all = vec!["run"];
    all.extend(args);
    all.extend(["-e", program]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(all)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weftrace runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if stderr.read_line(&mut line).expect("readable") == 0 {
            let _ = child.wait();
            return Err(said);
        }
        if let Some(address) = line.trim().strip_prefix("metrics: ") {
            let port = address.trim_end_matches("/metrics").rsplit(':').next().and_then(|p| p.parse().ok());
            // It must not stop for want of a reader.
            thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
            return Ok(Run { child, port: port.expect("a port") });
        }
        said.push_str(&line);
    }
}

/// A folder of its own, which goes with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weftrace-metrics-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("writable");
        Self(path)
    }

    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Certificates of `localhost` that sign themselves, by openssl; false: there is none.
pub fn certificates(folder: &Folder, names: &[&str]) -> bool {
    names.iter().all(|name| {
        let (key, certificate) = (folder.file(&format!("{name}.key")), folder.file(&format!("{name}.pem")));
        let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
        let mut command = Command::new("openssl");
        command.args(words.split(' ')).args(["-keyout", &key, "-out", &certificate]);
        let made = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !made {
            println!("SKIP openssl");
        }
        made
    })
}
