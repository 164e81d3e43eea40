//! What an engine finds out once about its streams: their keys, and where legs find theirs.

use super::bindings::Bindings;
use super::leg::Source;
use crate::decode::sign_extend;
use weftrace_artifact::{
    action::StreamSpec,
    join::{IntAt, JoinSpec, KeyAt, KeyKind, LegKey, key_of, keys_of},
};

/// Keys of a stream that bindings may tie: strings only where a binding has a field of the same name.
pub(super) fn bindable(stream: &StreamSpec, streams: &[StreamSpec], bindings: &Bindings) -> Vec<(KeyKind, KeyAt)> {
    let named = |name: &str| bindings.streams().any(|s| streams[s.0 as usize].field(name).is_some());
    let ids = stream.fields.iter().filter_map(|f| f.name.as_deref()).filter(|name| named(name));
    let ids = ids.filter_map(|name| key_of(stream, name)).filter(|(kind, _)| *kind == KeyKind::Id);
    keys_of(stream)
        .filter(|(kind, _)| !matches!(kind, KeyKind::Id | KeyKind::Bytes) && bindings.ties(*kind))
        .chain(ids)
        .collect()
}

/// Where a leg finds its key for an anchor; keys that the anchor has are added to `own`.
pub(super) fn source(key: &LegKey, own: &mut Vec<(KeyKind, KeyAt)>) -> Source {
    let Some(at) = key.anchor else {
        return if key.kind == KeyKind::Id { Source::Ids } else { Source::Bound(None) };
    };
    let known = own.iter().position(|known| *known == (key.kind, at));
    let i = known.unwrap_or(own.len());
    if known.is_none() {
        own.push((key.kind, at));
    }
    if key.leg.is_some() { Source::Own(i) } else { Source::Bound(Some(i)) }
}

/// By stream: where its records say whose goroutine they are of. (Only of streams that the join reads, and if it goes by goroutines.)
pub(super) fn goroutines(spec: &JoinSpec, streams: &[StreamSpec]) -> Vec<Option<KeyAt>> {
    let mut all = vec![None; streams.len()];
    if !spec.legs.iter().flat_map(|leg| &leg.keys).any(|key| key.kind == KeyKind::Goroutine) {
        return all;
    }
    for stream in spec.legs.iter().map(|leg| leg.stream).chain([spec.anchor]) {
        let at = stream.0 as usize;
        if let (Some(place), Some(of)) = (all.get_mut(at), streams.get(at)) {
            *place = keys_of(of).find(|(kind, _)| *kind == KeyKind::Goroutine).map(|(_, at)| at);
        }
    }
    all
}

/// An integer as its type has it; 0 if the record is too short.
pub(super) fn read_value(payload: &[u8], IntAt { offset, size, signed }: IntAt) -> i64 {
    let value = read_int(payload, offset, size);
    if signed { sign_extend(value as u64, 8 * u32::from(size)) } else { value }
}

/// A little integer of 1, 2, 4 or 8 bytes, zero-extended; 0 if the record is too short.
pub(super) fn read_int(payload: &[u8], offset: u32, size: u8) -> i64 {
    let mut bytes = [0; 8];
    let (from, len) = (offset as usize, usize::from(size).min(8));
    let Some(source) = payload.get(from..from + len) else { return 0 };
    if cfg!(target_endian = "little") {
        bytes[..len].copy_from_slice(source);
    } else {
        bytes[8 - len..].copy_from_slice(source);
    }
    i64::from_ne_bytes(bytes)
}
