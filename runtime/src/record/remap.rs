//! A recorded stream's records as the script's stream of that name has them.

use super::{run::Stream, write::word};
use weftrace_artifact::{
    Artifact,
    action::{StreamId, StreamSpec},
};

/// How a recorded stream's payload becomes the script's.
pub(crate) enum Remap {
    Same(StreamId),
    /// (from, to, bytes)
    Fields(StreamId, u32, Vec<(usize, usize, usize)>),
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
            fields.push((theirs.offset as usize, field.offset as usize, len as usize));
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
