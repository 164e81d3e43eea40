//! A recorded stream's records as the script's stream of that name has them.

use super::{run::Stream, write::word};
use weftrace_artifact::{
    Artifact,
    action::{StreamId, StreamSpec},
};

/// How a recorded stream's payload becomes the script's.
pub(crate) enum Remap {
    Same(StreamId),
    /// With the size of the script's.
    Fields(StreamId, u32, Vec<Moved>),
}

/// A field that is in both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    from: usize,
    to: usize,
    len: usize,
    /// Bytes behind it that have the sign of a number: the script's is wider.
    sign: usize,
}

/// A record of the script's stream of this size.
pub(crate) fn moved(payload: &[u8], size: u32, fields: &[Moved]) -> Vec<u8> {
    let mut mine = vec![0; size as usize];
    for &Moved { from, to, len, sign } in fields {
        let (Some(from), Some(to)) = (payload.get(from..from + len), mine.get_mut(to..to + len + sign)) else {
            continue;
        };
        let (number, rest) = to.split_at_mut(len);
        number.copy_from_slice(from);
        if number.last().is_some_and(|top| top & 0x80 != 0) {
            rest.fill(0xff);
        }
    }
    mine
}

/// The script's stream of that name; fields that it has otherwise are copied one by one.
pub(crate) fn remap(recorded: &Stream, artifact: &Artifact) -> Option<Remap> {
    let at = artifact.streams.iter().position(|s| s.name == recorded.name)?;
    let own: &StreamSpec = &artifact.streams[at];
    let id = StreamId(at as u32);
    let mut fields = Vec::new();
    let mut same = own.size == recorded.size && own.fields.len() == recorded.fields.len();
    for field in &own.fields {
        let name = field.name.as_deref().unwrap_or_default();
        let Some(theirs) = recorded.fields.iter().find(|f| f.name == name) else {
            same = false;
            continue;
        };
        let ty = word(&field.ty);
        same &= theirs.offset == field.offset && theirs.ty == ty;
        if theirs.ty == ty || (is_number(&theirs.ty) && is_number(&ty)) || (is_text(&theirs.ty) && is_text(&ty)) {
            // Numbers of this byte order, in the first bytes; what a shorter field cuts is cut.
            let len =
                if cfg!(target_endian = "little") || theirs.ty == ty { theirs.size.min(field.ty.size()) } else { 0 };
            let sign = if len > 0 && is_number(&ty) && theirs.ty.starts_with('i') { field.ty.size() - len } else { 0 };
            let [from, to, len, sign] = [theirs.offset, field.offset, len, sign].map(|bytes| bytes as usize);
            fields.push(Moved { from, to, len, sign });
        }
    }
    Some(if same { Remap::Same(id) } else { Remap::Fields(id, own.size, fields) })
}

fn is_number(ty: &str) -> bool {
    ty.strip_prefix(['u', 'i']).is_some_and(|bits| bits.parse::<u32>().is_ok())
}

fn is_text(ty: &str) -> bool {
    ty.starts_with("str[")
}

#[cfg(test)]
#[path = "remap_tests.rs"]
mod tests;
