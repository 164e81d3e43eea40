//! The servers: nginx in front, and behind it, over a Unix socket, a small application whose delays are known.

use crate::net::{Net, listening};
use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

pub const PORT: u16 = 8080;
/// A listener of its own with a short accept queue.
pub const SHORT_PORT: u16 = 8081;

/// nginx and the application; ended when dropped.
pub struct Server {
    nginx: Child,
    directory: PathBuf,
}

impl Server {
    pub fn start(net: &Net, directory: &Path) -> io::Result<Self> {
        let directory = directory.to_owned();
        fs::create_dir_all(directory.join("tmp"))?;
        fs::write(directory.join("big"), vec![b'x'; 1 << 20])?;
        fs::write(directory.join("small"), b"hello\n")?;
        let socket = directory.join("app.sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        // nginx's workers run as another user.
        Command::new("chmod").arg("-R").arg("a+rwX").arg(&directory).status()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || drop(answer(stream)));
            }
        });
        fs::write(directory.join("nginx.conf"), configuration(&directory))?;
        let nginx = Command::new("ip")
            .args(["netns", "exec", &net.server(), "nginx", "-c"])
            .arg(directory.join("nginx.conf"))
            .arg("-e")
            .arg(directory.join("error.log"))
            .stdin(Stdio::null())
            .spawn()?;
        let server = Self { nginx, directory };
        listening(&net.server(), PORT, &[server.directory.join("error.log")])?;
        Ok(server)
    }

    /// Stops every nginx process (SIGSTOP), so that its accept queues fill.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(libc::SIGSTOP)
    }

    pub fn resume(&self) -> io::Result<()> {
        self.signal(libc::SIGCONT)
    }

    fn signal(&self, signal: i32) -> io::Result<()> {
        // `ip netns exec` execs, so the child is nginx's master; its workers are the master's children.
        let master = self.nginx.id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|p| p.parse().ok()).chain([master]) {
            crate::sys::signal(pid, signal)?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.resume();
        let _ = crate::sys::signal(self.nginx.id(), libc::SIGTERM);
        let _ = self.nginx.wait();
    }
}

fn configuration(directory: &Path) -> String {
    let d = directory.display();
    format!(
        "daemon off; worker_processes 1; pid {d}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {d}/tmp; proxy_temp_path {d}/tmp; fastcgi_temp_path {d}/tmp;
  uwsgi_temp_path {d}/tmp; scgi_temp_path {d}/tmp; proxy_buffering off; keepalive_requests 100000;
  server {{
    listen {PORT} backlog=4096; listen {SHORT_PORT} backlog=1; root {d};
    location /delay/ {{ proxy_pass http://unix:{d}/app.sock:; proxy_http_version 1.1; }}
  }}
}}
"
    )
}

/// Answers `GET /delay/MS` after that many milliseconds.
fn answer(stream: UnixStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines.by_ref() {
        if line?.is_empty() {
            break;
        }
    }
    let delay = first.split(' ').nth(1).and_then(|p| p.rsplit('/').next()).and_then(|ms| ms.parse().ok());
    thread::sleep(Duration::from_millis(delay.unwrap_or(0)));
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ndone\n")
}
