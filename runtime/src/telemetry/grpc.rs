//! OTLP over gRPC: HTTP/2 by h2, one message a request.

use super::{
    connections::Place,
    intake::{Intake, Room},
    serve::{BUSY, COMPRESSION, CUT, Done, PATIENCE, Refused, TOO_LONG, UNKNOWN, note, partial, take},
};
use bytes::Bytes;
use h2::{
    RecvStream,
    server::{Connection, SendResponse},
};
use http::{HeaderMap, HeaderValue, Request, Response};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use weftrace_artifact::telemetry::Signal;
use weftrace_probes::telemetry::MAX_MESSAGE;

/// Requests at once on a connection.
const STREAMS: u32 = 32;
/// A client that is asked to go does so within this time.
const LEAVING: Duration = Duration::from_secs(2);

pub(super) async fn serve(stream: TcpStream, intake: &Arc<Intake>, place: &Arc<Place>) {
    // Who never says anything has lost nothing.
    let mut first = [0];
    let speaks = tokio::select! {
        biased;
        came = timeout(PATIENCE, stream.peek(&mut first)) => matches!(came, Ok(Ok(1..))),
        () = place.told() => false,
    };
    if !speaks {
        return;
    }
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(STREAMS).max_header_list_size(16 << 10).max_send_buffer_size(64 << 10);
    let handshake = tokio::select! {
        biased;
        done = timeout(PATIENCE, builder.handshake::<_, Bytes>(stream)) => done,
        () = place.told() => return,
    };
    // What was said is no HTTP/2 (OTLP over HTTP, or TLS): nobody knows how many spans it would have told.
    let Ok(Ok(mut connection)) = handshake else { return intake.malformed() };
    tokio::select! {
        biased;
        () = requests(&mut connection, intake, place) => return,
        () = place.told() => connection.graceful_shutdown(),
    }
    // What was asked before it heard is answered.
    let _ = timeout(LEAVING, requests(&mut connection, intake, place)).await;
}

/// Answers requests until there are no more.
async fn requests(connection: &mut Connection<TcpStream, Bytes>, intake: &Arc<Intake>, place: &Arc<Place>) {
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (intake, busy) = (Arc::clone(intake), place.busy());
        tokio::spawn(async move {
            let done = note(over_grpc(request, &intake).await, &intake);
            // A client that is gone hears nothing.
            let _ = answer(respond, done);
            drop(busy);
        });
    }
}

async fn over_grpc(request: Request<RecvStream>, intake: &Intake) -> Done {
    let signal = match request.uri().path() {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Span,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Log,
        _ => return Err(UNKNOWN),
    };
    let gzip = request.headers().get("grpc-encoding").is_some_and(|value| value == "gzip");
    let mut room = intake.room().ok_or(BUSY)?;
    let body = receive(request.into_body(), &mut room).await?;
    // One message: whether it is packed, its length, its bytes.
    let (head, message) = body.split_first_chunk::<5>().ok_or(CUT)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if message.len() != length {
        return Err(CUT);
    }
    let packed = match head[0] {
        0 => false,
        1 if gzip => true,
        _ => return Err(COMPRESSION),
    };
    take(signal, message.to_vec(), (false, packed), intake)
}

async fn receive(mut body: RecvStream, room: &mut Room<'_>) -> Result<Vec<u8>, Refused> {
    let whole = async {
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(|_| CUT)?;
            if bytes.len() + data.len() > MAX_MESSAGE {
                return Err(TOO_LONG);
            }
            if !room.grow(data.len()) {
                return Err(BUSY);
            }
            bytes.extend_from_slice(&data);
            // Room for as many more.
            let _ = body.flow_control().release_capacity(data.len());
        }
        Ok(bytes)
    };
    timeout(PATIENCE, whole).await.unwrap_or(Err(CUT))
}

/// The answer: a message and the status behind it, or the status alone.
fn answer(mut respond: SendResponse<Bytes>, done: Done) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    match done {
        Ok((refused, why)) => {
            let message = partial(refused, why);
            let mut body = vec![0];
            body.extend((message.len() as u32).to_be_bytes());
            body.extend(message);
            let mut stream = respond.send_response(response, false)?;
            stream.send_data(body.into(), false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            stream.send_trailers(trailers)
        }
        Err(refused) => {
            headers.insert("grpc-status", HeaderValue::from(refused.grpc));
            headers.insert("grpc-message", HeaderValue::from_static(refused.why));
            respond.send_response(response, true).map(drop)
        }
    }
}
