//! The host's answers as a recording has them: JSON, packed by gzip.

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::io::Read;
use weftrace_lang::recorded::WorldLog;
use weftrace_runtime::Recorded;

/// Unpacked bytes: a recording may be made to harm. Those of a script that looks at the largest structs are a few megabytes.
const MOST: u64 = 64 << 20;

/// For a recording.
pub(super) fn pack(log: &WorldLog) -> Result<Vec<u8>, String> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    serde_json::to_writer(&mut packed, log).map_err(|error| error.to_string())?;
    packed.finish().map_err(|error| error.to_string())
}

/// The answers of a recording; None: it has none (it is of format version 1).
pub(super) fn unpack(recorded: &Recorded) -> Result<Option<WorldLog>, String> {
    let Some(packed) = recorded.world() else { return Ok(None) };
    let mut text = Vec::new();
    GzDecoder::new(packed).take(MOST + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST {
        return Err(format!("they are more than {} MiB", MOST >> 20));
    }
    let log: WorldLog = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    match log.problem() {
        Some(what) => Err(format!("no host has {what}")),
        None => Ok(Some(log)),
    }
}
