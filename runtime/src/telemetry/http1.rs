//! HTTP/1.1 as far as OTLP is sent by it: requests with a body of known length or in chunks, one after the other on a connection.

use super::{
    intake::{Intake, Room},
    serve::{Asked, BUSY, CUT, PATIENCE, Refused, TOO_LONG},
};
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use weftrace_probes::telemetry::MAX_MESSAGE;

/// A head has at most so many bytes and headers.
const HEAD: usize = 16 << 10;
const HEADERS: usize = 64;

/// A request's head.
#[derive(Debug, Default)]
struct Head {
    asked: Asked,
    length: Option<usize>,
    chunked: bool,
    /// The client waits for a word before it sends the body.
    waits: bool,
    closes: bool,
}

/// Answers requests until the client goes away, or sends what can't be followed.
pub(super) async fn serve(
    mut stream: TcpStream,
    answer: impl Fn(Asked, Result<Vec<u8>, Refused>) -> (u16, &'static str, Vec<u8>),
    intake: &Intake,
) -> io::Result<()> {
    let mut buf = Vec::new();
    loop {
        // The first byte of a request may take as long as it likes.
        if buf.is_empty() && stream.read_buf(&mut buf).await? == 0 {
            return Ok(());
        }
        let Ok(Some((head, at))) = timeout(PATIENCE, read_head(&mut stream, &mut buf)).await.unwrap_or(Ok(None)) else {
            return Ok(());
        };
        buf.drain(..at);
        if head.waits {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = match intake.room() {
            Some(mut room) => {
                let body = timeout(PATIENCE, read_body(&mut stream, &mut buf, &head, &mut room)).await;
                body.unwrap_or(Err(CUT))
            }
            None => Err(BUSY),
        };
        // Where the body was not read to its end, nothing that follows can be told from it.
        let last = head.closes || body.is_err();
        let (status, media, bytes) = answer(head.asked, body);
        let reason = reason(status);
        let closing = if last { "Connection: close\r\n" } else { "" };
        let text = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {media}\r\nContent-Length: {}\r\n{closing}\r\n",
            bytes.len()
        );
        stream.write_all(text.as_bytes()).await?;
        stream.write_all(&bytes).await?;
        if last {
            return stream.shutdown().await;
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

/// The head, and where it ends; None: there is no more, or it is none.
async fn read_head(stream: &mut TcpStream, buf: &mut Vec<u8>) -> io::Result<Option<(Head, usize)>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(buf) {
            Ok(httparse::Status::Complete(at)) => return Ok(Some((head_of(&request), at))),
            Ok(httparse::Status::Partial) if buf.len() < HEAD => {}
            _ => return Ok(None),
        }
        if stream.read_buf(buf).await? == 0 {
            return Ok(None);
        }
    }
}

fn head_of(request: &httparse::Request<'_, '_>) -> Head {
    let mut head = Head { closes: request.version == Some(0), ..Head::default() };
    request.path.unwrap_or_default().split('?').next().unwrap_or_default().clone_into(&mut head.asked.path);
    head.asked.post = request.method == Some("POST");
    for header in request.headers.iter() {
        let Ok(value) = std::str::from_utf8(header.value) else { continue };
        let value = value.trim();
        match header.name.to_ascii_lowercase().as_str() {
            "content-type" => value.clone_into(&mut head.asked.media),
            "content-encoding" => value.clone_into(&mut head.asked.encoding),
            "content-length" => head.length = value.parse().ok(),
            "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
            "expect" => head.waits = value.eq_ignore_ascii_case("100-continue"),
            "connection" => head.closes |= value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    head
}

async fn read_body(
    stream: &mut TcpStream,
    buf: &mut Vec<u8>,
    head: &Head,
    room: &mut Room<'_>,
) -> Result<Vec<u8>, Refused> {
    if !head.chunked {
        return fill(stream, buf, head.length.unwrap_or(0), room).await;
    }
    let mut body = Vec::new();
    loop {
        let (at, size) = loop {
            match httparse::parse_chunk_size(buf) {
                Ok(httparse::Status::Complete((at, size))) => break (at, usize::try_from(size).map_err(|_| TOO_LONG)?),
                Ok(httparse::Status::Partial) if buf.len() < HEAD => {}
                _ => return Err(CUT),
            }
            if stream.read_buf(buf).await.map_err(|_| CUT)? == 0 {
                return Err(CUT);
            }
        };
        buf.drain(..at);
        if body.len() + size.min(MAX_MESSAGE + 1) > MAX_MESSAGE {
            return Err(TOO_LONG);
        }
        if size == 0 {
            return trailers(stream, buf).await.map(|()| body);
        }
        body.extend(fill(stream, buf, size, room).await?);
        if fill(stream, buf, 2, room).await? != b"\r\n" {
            return Err(CUT);
        }
    }
}

/// The lines behind the last chunk: nobody sends any, but they may.
async fn trailers(stream: &mut TcpStream, buf: &mut Vec<u8>) -> Result<(), Refused> {
    loop {
        if buf.starts_with(b"\r\n") {
            buf.drain(..2);
            return Ok(());
        }
        if let Some(end) = buf.windows(2).position(|w| w == b"\r\n") {
            buf.drain(..end + 2);
            continue;
        }
        if buf.len() > HEAD || stream.read_buf(buf).await.map_err(|_| CUT)? == 0 {
            return Err(CUT);
        }
    }
}

/// So many bytes.
async fn fill(stream: &mut TcpStream, buf: &mut Vec<u8>, size: usize, room: &mut Room<'_>) -> Result<Vec<u8>, Refused> {
    if size > MAX_MESSAGE {
        return Err(TOO_LONG);
    }
    if !room.grow(size) {
        return Err(BUSY);
    }
    while buf.len() < size {
        if stream.read_buf(buf).await.map_err(|_| CUT)? == 0 {
            return Err(CUT);
        }
    }
    let rest = buf.split_off(size);
    Ok(std::mem::replace(buf, rest))
}
