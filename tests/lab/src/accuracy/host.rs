//! The programs of a run: nginx in front, the Go service behind it, and the service's upstream, in the server's namespace.

use super::plan::{ADMIN, FRONT, GO, H2C, Hop, SHORT, TLS, UPSTREAM};
use crate::{
    cgroup::Cgroup,
    net::{Net, done_inside, listening},
    sys,
};
use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Ended when dropped.
pub struct Host {
    nginx: Child,
    service: Child,
    pub cgroup: Cgroup,
    namespace: String,
}

/// Builds the Go service; its path.
pub fn build(directory: &Path) -> io::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs/shop");
    let binary = directory.join("shop");
    let output = Command::new("go")
        .current_dir(source)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod")
        .args(["build", "-o"])
        .arg(&binary)
        .arg(".")
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("go: {error}")))?;
    if output.status.success() {
        return Ok(binary);
    }
    Err(io::Error::other(format!("go build: {}", String::from_utf8_lossy(&output.stderr))))
}

impl Host {
    pub fn start(net: &Net, directory: &Path, service: &Path, keeps_upstream: bool) -> io::Result<Self> {
        fs::create_dir_all(directory.join("tmp"))?;
        certificate(directory)?;
        fs::write(directory.join("nginx.conf"), configuration(directory, keeps_upstream))?;
        Command::new("chmod").arg("-R").arg("a+rwX").arg(directory).status()?;
        let namespace = net.server();
        done_inside(&namespace, || {
            let listener = TcpListener::bind(("127.0.0.1", UPSTREAM))?;
            thread::spawn(move || upstream(&listener));
            Ok(())
        })?;
        let log = fs::File::create(directory.join("programs.log"))?;
        let mut shop = Command::new("ip");
        shop.args(["netns", "exec", &namespace]).arg(service);
        shop.args([GO, ADMIN, UPSTREAM].map(|port| format!("127.0.0.1:{port}"))).arg(directory.join("service.ndjson"));
        let runtime = fs::File::create(directory.join("runtime.log"))?;
        // Who stops the world waits for a goroutine that makes no call; the runtime tells of every collection.
        shop.env("GODEBUG", "asyncpreemptoff=1,gctrace=1").stdin(Stdio::null()).stderr(runtime).stdout(Stdio::null());
        let cgroup = Cgroup::new("service")?;
        let service = shop.spawn()?;
        let mut nginx = Command::new("ip");
        nginx.args(["netns", "exec", &namespace, "nginx", "-c"]).arg(directory.join("nginx.conf"));
        nginx.arg("-e").arg(directory.join("error.log")).stdin(Stdio::null()).stderr(log);
        let nginx = match nginx.spawn() {
            Ok(nginx) => nginx,
            Err(error) => {
                end(service);
                return Err(error);
            }
        };
        let host = Self { nginx, service, cgroup, namespace };
        host.cgroup.add(host.service.id())?;
        for port in [FRONT, GO, ADMIN] {
            listening(
                &host.namespace,
                port,
                &["error.log", "programs.log", "runtime.log"].map(|name| directory.join(name)),
            )?;
        }
        Ok(host)
    }

    /// Who answers on which connection.
    pub fn servers(&self) -> [(Hop, u32); 2] {
        [(Hop::Front, self.nginx.id()), (Hop::Go, self.service.id())]
    }

    /// Asks the service for a fault, and waits until it is over.
    pub fn ask(&self, path: &str) -> io::Result<()> {
        let text = format!("GET {path} HTTP/1.0\r\n\r\n");
        done_inside(&self.namespace, move || {
            let mut stream = TcpStream::connect(("127.0.0.1", ADMIN))?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.write_all(text.as_bytes())?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        })
    }

    /// Ends the service, so that its log is whole.
    pub fn stop(mut self) -> io::Result<()> {
        sys::signal(self.service.id(), libc::SIGTERM)?;
        self.service.wait().map(drop)
    }
}

/// Ends a child that may have ended already.
fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.cgroup.quota(None);
        // SIGKILL to nginx's master would leave its workers.
        if matches!(self.nginx.try_wait(), Ok(None)) {
            let _ = sys::signal(self.nginx.id(), libc::SIGTERM);
        }
        let _ = self.nginx.wait();
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

/// Answers `wait MS` and `GET /MS` after so long.
fn upstream(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || -> io::Result<()> {
            let mut writer = stream.try_clone()?;
            let mut lines = BufReader::new(stream).lines();
            while let Some(line) = lines.next().transpose()? {
                let ms = line.split(' ').nth(1).and_then(|ms| ms.trim_start_matches('/').parse().ok()).unwrap_or(0);
                let http = line.starts_with("GET ");
                // The rest of the request's head.
                while http && lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
                thread::sleep(Duration::from_millis(ms));
                writer.write_all(if http { b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n" } else { b"ok\n" })?;
            }
            Ok(())
        });
    }
}

fn certificate(directory: &Path) -> io::Result<()> {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop", "-keyout"])
        .arg(directory.join("key.pem"))
        .arg("-out")
        .arg(directory.join("cert.pem"))
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("openssl: {}", String::from_utf8_lossy(&output.stderr))))
}

fn configuration(directory: &Path, keeps_upstream: bool) -> String {
    let d = directory.display();
    let (pool, connection) = if keeps_upstream { ("keepalive 256;", "") } else { ("", "close") };
    format!(
        "daemon off; worker_processes 1; pid {d}/nginx.pid; worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {d}/tmp; proxy_temp_path {d}/tmp; fastcgi_temp_path {d}/tmp;
  uwsgi_temp_path {d}/tmp; scgi_temp_path {d}/tmp; keepalive_requests 1000000; keepalive_timeout 600;
  upstream shop {{ server 127.0.0.1:{GO}; {pool} }}
  server {{
    listen {FRONT} backlog=4096; listen {SHORT} backlog=16; listen {H2C} http2 backlog=4096;
    listen {TLS} ssl backlog=4096; ssl_certificate {d}/cert.pem; ssl_certificate_key {d}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache none; ssl_session_tickets off;
    location / {{
      proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Connection \"{connection}\"; proxy_read_timeout 60;
    }}
  }}
}}
"
    )
}
