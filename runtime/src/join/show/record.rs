//! A stream's record that a block prints whole (`print(args)` of an orphan, or of what came late).

use super::target::{closed, is_target, secrets};
use crate::decode;
use std::ops::Range;
use weftrace_artifact::{
    action::StreamSpec,
    ty::{Field, Type},
};

/// The same value without what is nobody's business. None: it may be shown as it is, or is no record of the stream but a value that the script
/// made itself.
pub(crate) fn redacted(spec: &StreamSpec, ty: &Type, bytes: &[u8]) -> Option<(Type, Vec<u8>)> {
    let Type::Record { fields, .. } = ty else { return None };
    if !is_of(spec, fields) {
        return None;
    }
    let mut out = bytes.to_vec();
    let mut fields = fields.clone();
    let mut changed = false;
    for field in &mut fields {
        let (Some(name), Type::Str { cap }) = (&field.name, &field.ty) else { continue };
        let (text, _) = decode::string(decode::member(field, bytes), *cap);
        if !is_target(name) || secrets(name, text).iter().all(Range::is_empty) {
            continue;
        }
        // What stands instead may be longer: it lies behind all others.
        let text = closed(name, &String::from_utf8_lossy(text));
        (field.offset, field.ty) = (out.len() as u32, Type::Str { cap: text.len() as u32 + 1 });
        out.extend_from_slice(text.as_bytes());
        out.push(0);
        changed = true;
    }
    let size = out.len() as u32;
    changed.then_some((Type::Record { fields, size }, out))
}

/// Whether these are a stream's fields: all of them but headers, which `print` leaves out.
fn is_of(spec: &StreamSpec, fields: &[Field]) -> bool {
    let shown = spec.fields.iter().filter(|field| field.name.is_some() && !matches!(field.ty, Type::Headers)).count();
    let known = |field: &Field| field.name.as_deref().is_some_and(|name| spec.field(name).is_some());
    fields.len() == shown && fields.iter().all(known)
}
