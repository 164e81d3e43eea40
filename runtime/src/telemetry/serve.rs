//! OTLP over gRPC (`grpc`) and over HTTP/1.1 (`http1`), protobuf and JSON, plain or gzip.

use super::{
    connections::{Place, each_connection},
    http1,
    intake::Intake,
};
use crate::sys;
use std::{sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use weftrace_artifact::telemetry::Signal;
use weftrace_probes::telemetry::{NotUnpacked, Taken, inflate, json, otlp, proto::Writer};

/// A request is received within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// OTLP over either at a listener, for ever.
pub(super) async fn listen(listener: TcpListener, grpc: bool, intake: Arc<Intake>) {
    let serve = move |stream, place: Arc<Place>, intake: Arc<Intake>| async move {
        match grpc {
            #[cfg(feature = "grpc")]
            true => super::grpc::serve(stream, &intake, &place).await,
            _ => serve_http(stream, &intake, &place).await,
        }
    };
    // A client of gRPC tries again where a connection ends unheard.
    let refuse = move |stream| async move {
        if !grpc {
            http1::crowded(stream).await;
        }
    };
    each_connection(|cx| listener.poll_accept(cx).map_ok(|(stream, _)| stream), serve, refuse, intake).await;
}

/// What a request asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) post: bool,
    pub(super) media: String,
    pub(super) encoding: String,
}

/// A request that is refused: as gRPC (google.rpc.Code) and as HTTP have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) grpc: u16,
    pub(super) http: u16,
    pub(super) why: &'static str,
    /// A message is lost with it.
    loses: bool,
}

const fn refused(grpc: u16, http: u16, why: &'static str) -> Refused {
    Refused { grpc, http, why, loses: true }
}

/// Asking for what there isn't loses nothing.
const fn absent(grpc: u16, http: u16, why: &'static str) -> Refused {
    Refused { grpc, http, why, loses: false }
}

pub(super) const TOO_LONG: Refused = refused(8, 413, "a message has at most 8 MiB, also unpacked");
pub(super) const BUSY: Refused = refused(14, 503, "too much is being received at once");
pub(super) const CUT: Refused = refused(3, 400, "the message was cut short, or took too long");
pub(super) const CROWDED: Refused = refused(14, 503, "too many connections at once");
pub(super) const NOT_HTTP: Refused = refused(3, 400, "not a request of HTTP/1.1");
const DAMAGED: Refused = refused(3, 400, "the message's gzip data is damaged");
const MALFORMED: Refused = refused(3, 400, "not a message of OTLP");
pub(super) const COMPRESSION: Refused = refused(12, 415, "compression is gzip or none");
const MEDIA: Refused = refused(3, 415, "content types are application/x-protobuf and application/json");
pub(super) const UNKNOWN: Refused = absent(12, 404, "weftrace takes traces and logs: /v1/traces, /v1/logs");
const NOT_POST: Refused = absent(12, 405, "OTLP is sent by POST");

/// How many were refused, and why.
pub(super) type Done = Result<(u64, Option<&'static str>), Refused>;

/// Whole messages that are lost are counted.
pub(super) fn note(done: Done, intake: &Intake) -> Done {
    if done.is_err_and(|refused| refused.loses) {
        intake.malformed();
    }
    done
}

pub(super) fn take(signal: Signal, bytes: Vec<u8>, (as_json, gzip): (bool, bool), intake: &Intake) -> Done {
    let unpacked = |packed: &[u8]| match inflate(packed) {
        Err(NotUnpacked::TooLong) => Err(TOO_LONG),
        Err(NotUnpacked::Damaged) => Err(DAMAGED),
        Ok(bytes) => Ok(bytes),
    };
    let bytes = if gzip { unpacked(&bytes)? } else { bytes };
    // What no block is at is read by nobody: it is taken, and that is all.
    if !intake.wants(signal) {
        return Ok((0, None));
    }
    let now = sys::now(libc::CLOCK_REALTIME);
    let read = if as_json { json::request(signal, &bytes, now) } else { otlp::request(signal, &bytes, now) };
    let taken: Taken = read.map_err(|_| MALFORMED)?;
    Ok(intake.offer(taken))
}

/// Export…ServiceResponse: its partial success, if anything was refused.
pub(super) fn partial(refused: u64, why: Option<&str>) -> Vec<u8> {
    let mut response = Writer::default();
    if refused > 0 {
        response.message(1, |partial| {
            partial.varint(1, refused);
            partial.text(2, why.unwrap_or_default());
        });
    }
    response.0
}

// HTTP/1.1

async fn serve_http(stream: TcpStream, intake: &Intake, place: &Arc<Place>) {
    let answer = |asked: Asked, body: Result<Vec<u8>, Refused>| {
        let json = asked.media.starts_with("application/json");
        let media = if json { "application/json" } else { "application/x-protobuf" };
        match note(over_http(&asked, body, intake), intake) {
            Ok((refused, why)) if json => (200, media, partial_json(&asked.path, refused, why)),
            Ok((refused, why)) => (200, media, partial(refused, why)),
            Err(refused) => (refused.http, media, status(&refused, json)),
        }
    };
    // How a connection ends is its client's business.
    let _ = http1::serve(stream, answer, intake, place).await;
}

fn over_http(asked: &Asked, body: Result<Vec<u8>, Refused>, intake: &Intake) -> Done {
    let signal = match asked.path.as_str() {
        "/v1/traces" => Signal::Span,
        "/v1/logs" => Signal::Log,
        _ => return Err(UNKNOWN),
    };
    if !asked.post {
        return Err(NOT_POST);
    }
    let json = match asked.media.split(';').next().map(str::trim) {
        Some("application/x-protobuf" | "application/protobuf") => false,
        Some("application/json") => true,
        _ => return Err(MEDIA),
    };
    let gzip = match asked.encoding.as_str() {
        "" | "identity" => false,
        "gzip" => true,
        _ => return Err(COMPRESSION),
    };
    take(signal, body?, (json, gzip), intake)
}

fn partial_json(path: &str, refused: u64, why: Option<&str>) -> Vec<u8> {
    if refused == 0 {
        return b"{}".to_vec();
    }
    let why = why.unwrap_or_default();
    let field = if path == "/v1/logs" { "rejectedLogRecords" } else { "rejectedSpans" };
    format!(r#"{{"partialSuccess":{{"{field}":"{refused}","errorMessage":"{why}"}}}}"#).into_bytes()
}

/// google.rpc.Status
fn status(refused: &Refused, json: bool) -> Vec<u8> {
    if json {
        return format!(r#"{{"code":{},"message":"{}"}}"#, refused.grpc, refused.why).into_bytes();
    }
    let mut status = Writer::default();
    status.varint(1, refused.grpc.into());
    status.text(2, refused.why);
    status.0
}
