//! nginx, for tests of what is seen at its sockets.

use super::{Running, folder};
use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

/// A port that is free now, another one each time.
pub fn free_port() -> u16 {
    /// What other tests of this process were given, whose servers may not listen yet.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        if GIVEN.lock().expect("nothing panics here").insert(port) {
            return port;
        }
    }
}

pub fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

/// One that serves `small` and `big` (300,000 bytes that don't compress) and logs `method path status`.
pub struct Nginx {
    _child: Running,
    home: PathBuf,
}

impl Nginx {
    /// A folder for one of this name, with what it serves in `www`.
    pub fn home(name: &str) -> PathBuf {
        let home = folder().join(name);
        // An earlier run's log would be taken for this one's.
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(home.join("www")).expect("a folder");
        fs::write(home.join("www/small"), "hello\n").expect("a file");
        let big: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(home.join("www/big"), big).expect("a file");
        home
    }

    /// `servers`: its `server` blocks, with HOME for the folder. None: it isn't there.
    pub fn start(home: PathBuf, servers: &str) -> Option<Self> {
        Self::start_by(Command::new("nginx"), home, servers)
    }

    /// The same by a command that runs it with what is added to it.
    pub fn start_by(mut command: Command, home: PathBuf, servers: &str) -> Option<Self> {
        let temp =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path HOME/{kind};"));
        let text = format!(
            "daemon off; worker_processes 2; pid HOME/pid; error_log HOME/error; events {{}}
             http {{ log_format own '$request_method $request_uri $status'; access_log HOME/access own; sendfile on; {}
               {servers} }}",
            temp.concat(),
        );
        fs::write(home.join("conf"), text.replace("HOME", &home.to_string_lossy())).expect("a file");
        command.args(["-c", &home.join("conf").to_string_lossy()]).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else {
            println!("SKIP nginx");
            return None;
        };
        Some(Self { _child: Running(child), home })
    }

    /// Each request in its log, sorted: several processes write it.
    pub fn logged(&self) -> Vec<String> {
        let text = fs::read_to_string(self.home.join("access")).unwrap_or_default();
        sorted(text.lines().map(str::to_owned).collect())
    }
}

/// A certificate for localhost and its key in a folder: `cert`, `key`. None: there is no openssl.
pub fn certificate(home: &Path) -> Option<()> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=localhost", "-keyout", "key", "-out", "cert"]).current_dir(home);
    let Ok(out) = command.output() else {
        println!("SKIP openssl");
        return None;
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(())
}
