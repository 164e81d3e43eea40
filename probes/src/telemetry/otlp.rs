//! OTLP's messages in protobuf: ExportTraceServiceRequest and ExportLogsServiceRequest (opentelemetry-proto 1.x).
//!
//! What stands before what it belongs to is not promised: a resource may follow its spans. So each level is walked twice.

use super::{
    Attributes, Record, Sender, Taken, bounded, hex, kind_name,
    proto::{Fields, Malformed, Value},
    status_name,
    value::{Any, Room},
};
use std::sync::Arc;
use weftrace_artifact::telemetry::Signal;

/// Reads a request; `now` (CLOCK_REALTIME ns) is the time of log records without one. What is refused of a good request is in the result; of a
/// malformed one nothing is taken.
pub fn request(signal: Signal, bytes: &[u8], now: u64) -> Result<Taken, Malformed> {
    let mut taken = Taken::default();
    for group in messages(bytes, 1) {
        let group = group?;
        let sender = Arc::new(sender(group)?);
        for scoped in messages(group, 2) {
            let scoped = scoped?;
            let scope: Arc<str> = scope(scoped)?.into();
            for one in messages(scoped, 2) {
                let record = Record::new(signal, Arc::clone(&sender), Arc::clone(&scope));
                let record = match signal {
                    Signal::Span => span(record, one?)?,
                    Signal::Log => log(record, one?)?,
                };
                taken.push(record, now);
            }
        }
    }
    Ok(taken)
}

/// The messages in a field of this number.
fn messages(bytes: &[u8], wanted: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields(bytes).filter_map(move |field| match field {
        Ok((number, value)) if number == wanted => Some(value.bytes()),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

fn sender(group: &[u8]) -> Result<Sender, Malformed> {
    let mut resource = Attributes::default();
    for message in messages(group, 1) {
        for pair in messages(message?, 1) {
            attribute(&mut resource, pair?)?;
        }
    }
    Ok(Sender::of(resource))
}

fn scope(scoped: &[u8]) -> Result<String, Malformed> {
    let mut name = String::new();
    for message in messages(scoped, 1) {
        for text in Fields(message?) {
            if let (1, value) = text? {
                name = bounded(value.text()?);
            }
        }
    }
    Ok(name)
}

fn span(mut record: Record, bytes: &[u8]) -> Result<Record, Malformed> {
    for field in Fields(bytes) {
        match field? {
            (1, id) => record.trace_id = hex(id.bytes()?),
            (2, id) => record.span_id = hex(id.bytes()?),
            (3, text) => record.trace_state = bounded(text.text()?),
            (4, id) => record.parent_span_id = hex(id.bytes()?),
            (5, text) => record.name = bounded(text.text()?),
            (6, kind) => record.kind = kind_name(kind.number()?),
            (7, time) => record.start = time.number()?,
            (8, time) => record.end = time.number()?,
            (9, pair) => attribute(&mut record.attributes, pair.bytes()?)?,
            (11, _) => record.events += 1,
            (13, _) => record.links += 1,
            (15, status) => {
                for field in Fields(status.bytes()?) {
                    match field? {
                        (2, text) => record.status_message = bounded(text.text()?),
                        (3, code) => record.status = status_name(code.number()?),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(record)
}

fn log(mut record: Record, bytes: &[u8]) -> Result<Record, Malformed> {
    let mut observed = 0;
    for field in Fields(bytes) {
        match field? {
            (1, time) => record.start = time.number()?,
            (2, number) => record.severity = u32::try_from(number.number()?).unwrap_or(0),
            (3, text) => record.severity_text = bounded(text.text()?),
            (5, body) => record.body = bounded(&any(body.bytes()?, &mut Room::new())?.text()),
            (6, pair) => attribute(&mut record.attributes, pair.bytes()?)?,
            (9, id) => record.trace_id = hex(id.bytes()?),
            (10, id) => record.span_id = hex(id.bytes()?),
            (11, time) => observed = time.number()?,
            (12, text) => record.name = bounded(text.text()?),
            _ => {}
        }
    }
    if record.start == 0 {
        record.start = observed;
    }
    Ok(record)
}

/// Adds a KeyValue.
fn attribute(out: &mut Attributes, pair: &[u8]) -> Result<(), Malformed> {
    let (key, value) = key_value(pair, &mut Room::new())?;
    out.add(key, &value.text());
    Ok(())
}

fn key_value<'a>(pair: &'a [u8], room: &mut Room) -> Result<(&'a str, Any<'a>), Malformed> {
    let (mut key, mut value) = ("", Any::None);
    for field in Fields(pair) {
        match field? {
            (1, name) => key = name.text()?,
            (2, Value::Bytes(bytes)) => value = any(bytes, room)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// An AnyValue. Of a oneof the last counts.
fn any<'a>(bytes: &'a [u8], room: &mut Room) -> Result<Any<'a>, Malformed> {
    Ok(match Fields(bytes).last().transpose()? {
        None => Any::None,
        Some((1, text)) => Any::Text(text.text()?),
        Some((2, flag)) => Any::Flag(flag.number()? != 0),
        Some((3, number)) => Any::Int(number.number()? as i64),
        Some((4, Value::Fixed64(bits))) => Any::Double(f64::from_bits(bits)),
        Some((5, values)) => list(values.bytes()?, room, any)?.map_or(Any::Deep, Any::List),
        Some((6, pairs)) => list(pairs.bytes()?, room, key_value)?.map_or(Any::Deep, Any::Pairs),
        Some((7, bytes)) => Any::bytes(bytes.bytes()?),
        Some(_) => return Err(Malformed),
    })
}

/// An ArrayValue or a KeyValueList; none: it is too deep.
fn list<'a, T>(
    bytes: &'a [u8],
    room: &mut Room,
    read: fn(&'a [u8], &mut Room) -> Result<T, Malformed>,
) -> Result<Option<Vec<T>>, Malformed> {
    let all = room.list(messages(bytes, 1), |one, room| read(one?, room));
    all.map(|all| all.into_iter().collect()).transpose()
}
