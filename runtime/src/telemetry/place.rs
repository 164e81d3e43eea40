//! Addresses, files and sockets: as the command line has them, and opened.

use super::{
    follow,
    intake::{Intake, Wanted},
    lines::{self, Recorded},
    serve,
};
use std::{
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::{fs::FileTypeExt, net::UnixListener},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where lines of JSON come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinePlace {
    /// Read, and followed as it grows.
    File(PathBuf),
    /// A socket that is made.
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl LinePlace {
    /// `FILE`, `unix:PATH`, `tcp:ADDRESS:PORT`
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let Some(address) = text.strip_prefix("tcp:") else { return Ok(Self::File(text.into())) };
        let address = address.parse().map_err(|_| format!("`{address}` is no address; write tcp:127.0.0.1:9000"))?;
        Ok(Self::Tcp(address))
    }
}

impl fmt::Display for LinePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// Where applications send to. Nothing is opened unless a block wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryOptions {
    /// OTLP over gRPC, over HTTP; None: not.
    pub grpc: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub lines: Vec<LinePlace>,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        let loopback = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        Self { grpc: loopback(4317), http: loopback(4318), lines: Vec::new() }
    }
}

impl TelemetryOptions {
    /// Reads all files, for runs over recordings; nothing is listened at.
    pub(crate) fn read(&self, wanted: &[Wanted]) -> Result<Recorded, BindError> {
        let mut files = Vec::new();
        for place in &self.lines {
            let LinePlace::File(path) = place else {
                return Err(BindError {
                    why: format!("--spans {place}: a recording is read with files of spans"),
                    remedy: "--spans FILE".into(),
                });
            };
            files.push(open(path).map_err(|e| cannot_read(place, &e))?);
        }
        Ok(lines::read_all(files, |record| wanted.iter().any(|w| w.takes(record))))
    }
}

/// A place that could not be opened, with what to do.
#[derive(Debug)]
pub(crate) struct BindError {
    pub(crate) why: String,
    pub(crate) remedy: String,
}

/// Opened places.
pub(super) struct Bound {
    grpc: Vec<TcpListener>,
    http: Vec<TcpListener>,
    files: Vec<(PathBuf, fs::File)>,
    unix: Vec<(UnixListener, SocketFile)>,
    tcp: Vec<TcpListener>,
}

/// A socket's name in the file system, which goes with it.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Bound {
    pub(super) fn open(options: &TelemetryOptions) -> Result<Self, BindError> {
        let mut bound =
            Self { grpc: Vec::new(), http: Vec::new(), files: Vec::new(), unix: Vec::new(), tcp: Vec::new() };
        if let Some(address) = options.grpc.filter(|_| cfg!(feature = "grpc")) {
            bound.grpc = listen_for_sdks(address, "--otlp-grpc", "OTLP over gRPC")?;
        }
        if let Some(address) = options.http {
            bound.http = listen_for_sdks(address, "--otlp-http", "OTLP over HTTP")?;
        }
        for place in &options.lines {
            let failed = |error: io::Error| cannot_read(place, &error);
            match place {
                LinePlace::File(path) => bound.files.push((path.clone(), follow::open(path).map_err(failed)?)),
                LinePlace::Unix(path) => bound.unix.push(socket(path).map_err(failed)?),
                LinePlace::Tcp(address) => bound.tcp.push(listen(*address).map_err(failed)?),
            }
        }
        Ok(bound)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let address = |listener: &TcpListener| listener.local_addr().map_or("?".into(), |a| a.to_string());
        let all = |of: &[TcpListener]| of.iter().map(address).collect::<Vec<_>>().join(" and ");
        let mut names = Vec::new();
        for (over, listeners) in [("gRPC", &self.grpc), ("HTTP", &self.http)] {
            names.extend((!listeners.is_empty()).then(|| format!("OTLP/{over} {}", all(listeners))));
        }
        names.extend(self.files.iter().map(|(path, _)| path.display().to_string()));
        names.extend(self.unix.iter().map(|(_, file)| format!("unix:{}", file.0.display())));
        names.extend(self.tcp.iter().map(|l| format!("tcp:{}", address(l))));
        names
    }

    /// Begins to listen at all of them, within a runtime.
    pub(super) fn listen(self, intake: &Arc<Intake>) {
        for (listeners, http2) in [(self.grpc, true), (self.http, false)] {
            for listener in listeners.into_iter().filter_map(|l| tokio::net::TcpListener::from_std(l).ok()) {
                tokio::spawn(serve::listen(listener, http2, Arc::clone(intake)));
            }
        }
        for (path, file) in self.files {
            follow::follow(path, file, Arc::clone(intake));
        }
        for (listener, file) in self.unix {
            if let Ok(listener) = tokio::net::UnixListener::from_std(listener) {
                tokio::spawn(lines::listen_unix(listener, file, Arc::clone(intake)));
            }
        }
        for listener in self.tcp {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                tokio::spawn(lines::listen_tcp(listener, Arc::clone(intake)));
            }
        }
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    let file = fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("is a directory"));
    }
    Ok(file)
}

fn cannot_read(place: &LinePlace, error: &io::Error) -> BindError {
    BindError {
        why: format!("--spans {place}: {}", without_number(error)),
        remedy: "--spans takes a file that can be read, unix:PATH or tcp:ADDRESS:PORT to listen at".into(),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Where OTLP comes to. SDKs send to `localhost`, which may be ::1 to them before it is 127.0.0.1, and not all try the other then: where this machine has
/// both it is both, at one port. Somebody else at the one would get what is meant for us.
fn listen_for_sdks(address: SocketAddr, flag: &str, what: &str) -> Result<Vec<TcpListener>, BindError> {
    let failed = |address: SocketAddr| move |error: io::Error| in_use(&error, address, flag, what);
    let mut listeners = vec![listen(address).map_err(failed(address))?];
    let other = SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()));
    if address.ip() == Ipv4Addr::LOCALHOST && address.port() != 0 {
        match listen(other) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(failed(other)(error)),
            // There is no such address.
            Err(_) => {}
        }
    }
    Ok(listeners)
}

/// A socket that only its owner may connect to. One that a run before left behind is replaced.
fn socket(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok((listener, file))
}

fn in_use(error: &io::Error, address: SocketAddr, flag: &str, what: &str) -> BindError {
    // (Another port of the loopback is one of both its addresses.)
    let ip = if address.ip() == Ipv6Addr::LOCALHOST { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    let other = SocketAddr::new(ip, address.port().saturating_add(10_000));
    match error.kind() {
        io::ErrorKind::AddrInUse => BindError {
            why: format!(
                "{what}: port {} of {} is in use, by an OpenTelemetry collector perhaps",
                address.port(),
                address.ip()
            ),
            remedy: format!(
                "listen elsewhere: {flag} {other}, and OTEL_EXPORTER_OTLP_ENDPOINT=http://{other} in the application; or not at all: {flag} off"
            ),
        },
        io::ErrorKind::AddrNotAvailable => BindError {
            why: format!("{what}: this machine has no address {}", address.ip()),
            remedy: format!(
                "{flag} 127.0.0.1:{}, or 0.0.0.0:{} for all of its addresses",
                address.port(),
                address.port()
            ),
        },
        _ => BindError {
            why: format!("{what}: {address}: {}", without_number(error)),
            remedy: format!("{flag} ADDRESS:PORT, or {flag} off"),
        },
    }
}

/// The message without ` (os error 98)`.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
