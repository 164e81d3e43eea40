//! HTTP/1.1 as far as OTLP is sent by it: requests with a body of known length or in chunks, one after the other on a connection.

use super::{
    connections::Place,
    intake::{Intake, Room},
    serve::{Asked, BUSY, CROWDED, CUT, NOT_HTTP, PATIENCE, Refused, TOO_LONG},
};
use std::{io, sync::Arc, time::Duration};
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

/// Status, content type, body.
type Answer = (u16, &'static str, Vec<u8>);

/// A client that is refused has so long to hear it.
const LAST: Duration = Duration::from_secs(1);

/// Answers requests until the client goes away, or sends what can't be followed.
pub(super) async fn serve(
    mut stream: TcpStream,
    answer: impl Fn(Asked, Result<Vec<u8>, Refused>) -> Answer,
    intake: &Intake,
    place: &Arc<Place>,
) -> io::Result<()> {
    let mut buf = Vec::new();
    loop {
        // The first byte of a request may take as long as it likes, if nobody else wants the place.
        if buf.is_empty() {
            let came = tokio::select! {
                biased;
                came = stream.read_buf(&mut buf) => came?,
                () = place.told() => 0,
            };
            if came == 0 {
                return stream.shutdown().await;
            }
        }
        let _busy = place.busy();
        let head = timeout(PATIENCE, read_head(&mut stream, &mut buf)).await;
        let (head, at) = match head.unwrap_or(Ok(Err(CUT)))? {
            Ok(read) => read,
            Err(refused) => {
                intake.malformed();
                return refuse(stream, refused).await;
            }
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
        let last = head.closes || body.is_err() || place.is_told();
        say(&mut stream, &answer(head.asked, body), last).await?;
        if last {
            return stream.shutdown().await;
        }
    }
}

async fn say(stream: &mut TcpStream, (status, media, bytes): &Answer, last: bool) -> io::Result<()> {
    let reason = reason(*status);
    let closing = if last { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {media}\r\nContent-Length: {}\r\n{closing}\r\n",
        bytes.len()
    );
    // Who doesn't read holds no place for ever.
    timeout(PATIENCE, stream.write_all(&[head.as_bytes(), bytes].concat())).await?
}

/// Tells a client no, whatever it sends.
async fn refuse(mut stream: TcpStream, refused: Refused) -> io::Result<()> {
    let body = format!("{}\n", refused.why).into_bytes();
    say(&mut stream, &(refused.http, "text/plain; charset=utf-8", body), true).await?;
    stream.shutdown().await?;
    // What isn't read would make the end a reset, and the answer be thrown away.
    let rest = async { while stream.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {} };
    let _ = timeout(LAST, rest).await;
    Ok(())
}

/// Tells a client that there is no place for it.
pub(super) async fn crowded(stream: TcpStream) {
    // How a connection ends is its client's business.
    let _ = refuse(stream, CROWDED).await;
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

/// The head, and where it ends.
async fn read_head(stream: &mut TcpStream, buf: &mut Vec<u8>) -> io::Result<Result<(Head, usize), Refused>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(buf) {
            Ok(httparse::Status::Complete(at)) => return Ok(Ok((head_of(&request), at))),
            Ok(httparse::Status::Partial) if buf.len() < HEAD => {}
            _ => return Ok(Err(NOT_HTTP)),
        }
        if stream.read_buf(buf).await? == 0 {
            return Ok(Err(CUT));
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
