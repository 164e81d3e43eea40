//! An HTTP client that times itself: what it saw is the truth that weftrace is judged by.

use crate::net::{SERVER, inside};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    thread,
    time::{Duration, Instant},
};

/// One request on a connection of its own.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: String,
    pub path: String,
    pub client_port: u16,
    pub server_port: u16,
    /// Stop reading for so long once the response head is there.
    pub stall: Duration,
}

/// What the client saw.
#[derive(Clone, Debug)]
pub struct Seen {
    pub connect: Duration,
    pub total: Duration,
    /// How long a stalling reader's buffer was full.
    pub full: Duration,
}

/// Makes a socket in the client's namespace, bound to `port`. Must run on a thread that has entered it.
pub fn connect(client_port: u16, server_port: u16, small_buffer: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if small_buffer {
        socket.set_recv_buffer_size(64 * 1024)?;
    }
    socket.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, client_port)))?;
    let server: Ipv4Addr = SERVER.parse().map_err(io::Error::other)?;
    socket.connect_timeout(&SockAddr::from(SocketAddr::from((server, server_port))), Duration::from_secs(20))?;
    Ok(socket)
}

/// Runs a request on a thread in the client's namespace.
pub fn start(namespace: &str, request: Request) -> thread::JoinHandle<io::Result<Seen>> {
    inside(namespace, move || perform(&request))
}

fn perform(request: &Request) -> io::Result<Seen> {
    let begin = Instant::now();
    let stalls = !request.stall.is_zero();
    let mut stream: std::net::TcpStream = connect(request.client_port, request.server_port, stalls)?.into();
    let connect = begin.elapsed();
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {SERVER}:{}\r\nX-Request-ID: {}\r\nConnection: close\r\n\r\n",
        request.path, request.server_port, request.id
    );
    stream.write_all(head.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("the server answered {}", line.trim())));
    }
    let full = stall(reader.get_ref(), request.stall)?;
    io::copy(&mut reader.by_ref().take(64 << 20), &mut io::sink())?;
    Ok(Seen { connect, total: begin.elapsed(), full })
}

/// Doesn't read for `time`, and returns for how much of it the receive buffer was full (to 95 % of what it held in the end: the last
/// bytes come with the sender's window probes).
fn stall(stream: &std::net::TcpStream, time: Duration) -> io::Result<Duration> {
    let begin = Instant::now();
    let (mut bytes, mut samples) = (vec![0; 1 << 20], Vec::new());
    while begin.elapsed() < time {
        samples.push((begin.elapsed(), stream.peek(&mut bytes)?));
        thread::sleep(Duration::from_millis(1));
    }
    let held = samples.last().map_or(0, |(_, held)| *held);
    let full_at = samples.iter().find(|(_, n)| n * 100 >= held * 95).map_or(time, |(at, _)| *at);
    Ok(begin.elapsed().saturating_sub(full_at))
}
