//! Values of options: durations, sizes, addresses.

use std::{net::SocketAddr, time::Duration};

/// `500ms`, `30s`, `5m`, `1h`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no duration; write 500ms, 30s, 5m or 1h"))?;
    let millis = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(format!("`{text}`: unknown unit `{unit}`; write 500ms, 30s, 5m or 1h")),
    };
    millis.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

/// A time between two of something that costs something.
pub(super) fn every(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    if every < Duration::from_secs(1) { Err(format!("`{text}` is too often; write 1s or more")) } else { Ok(every) }
}

/// `otlp=10s`: a source and nanoseconds.
pub(super) fn lateness(text: &str) -> Result<(String, u64), String> {
    let (source, time) = of_source(text, "kernel=50ms")?;
    Ok((source.to_owned(), duration(time)?.as_nanos() as u64))
}

/// The same of a time that may be short: `packets=200us`.
pub(super) fn uncertainty(text: &str) -> Result<(String, u64), String> {
    let (source, time) = of_source(text, "packets=200us")?;
    let units = [("us", 1_000), ("µs", 1_000), ("ns", 1)];
    let short = units.iter().find_map(|(unit, ns)| Some((time.strip_suffix(unit)?.parse::<u64>().ok()?, ns)));
    let ns = match short {
        Some((number, ns)) => number.checked_mul(*ns).ok_or_else(|| format!("`{time}` is too long"))?,
        None => u64::try_from(duration(time)?.as_nanos()).map_err(|_| format!("`{time}` is too long"))?,
    };
    Ok((source.to_owned(), ns))
}

fn of_source<'a>(text: &'a str, example: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once('=').ok_or_else(|| format!("`{text}` names no source and time; write {example}"))
}

/// An address to listen at, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAt(pub Option<SocketAddr>);

/// `127.0.0.1:4317`, `[::1]:4317`, `4317` (of the loopback), `off`
pub(super) fn listen_at(text: &str) -> Result<ListenAt, String> {
    if text == "off" {
        return Ok(ListenAt(None));
    }
    let port = text.parse::<u16>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let address = port.or_else(|_| text.parse());
    address
        .map(|a| ListenAt(Some(a)))
        .map_err(|_| format!("`{text}` is no address; write 127.0.0.1:4317, 0.0.0.0:4317 or off"))
}

/// As [`listen_at`], but somewhere.
pub(super) fn metrics_at(text: &str) -> Result<SocketAddr, String> {
    let at = listen_at(text).ok().and_then(|at| at.0);
    at.ok_or_else(|| format!("`{text}` is no address; write 127.0.0.1:9464 or 9464"))
}

/// Bytes of memory: `65536`, `512k`, `64M`, `1GiB`; bare letters are powers of 1024.
pub(super) fn size(text: &str) -> Result<u32, String> {
    let bytes = bytes(text, 1024, "512k, 64M or 1G")?;
    u32::try_from(bytes).map_err(|_| format!("`{text}` is too much"))
}

/// Bytes of a file: `100MB`, `64MiB`, `1G`; bare letters are powers of 1000, as dumpcap has them.
pub(super) fn file_size(text: &str) -> Result<u64, String> {
    const WRITE: &str = "100MB, 64MiB or a number of bytes";
    bytes(text, 1000, WRITE)
        .and_then(|n| if n > 0 { Ok(n) } else { Err(format!("`{text}` is no size; write {WRITE}")) })
}

/// A size: k, M and G are powers of `letter`, kB, MB and GB of 1000, KiB, MiB and GiB of 1024.
fn bytes(text: &str, letter: u64, write: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("`{text}` is no size; write {write}");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.to_ascii_lowercase();
    let (power, suffix) = match unit.as_bytes() {
        [b'k', ..] => (1, &unit[1..]),
        [b'm', ..] => (2, &unit[1..]),
        [b'g', ..] => (3, &unit[1..]),
        _ => (0, &unit[..]),
    };
    let base = match suffix {
        "" => letter,
        "b" => 1000,
        "i" | "ib" if power > 0 => 1024,
        _ => return Err(wrong()),
    };
    base.checked_pow(power).and_then(|factor| number.checked_mul(factor)).ok_or_else(|| format!("`{text}` is too much"))
}
