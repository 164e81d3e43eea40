//! Reads the strings of a view, as a handler would.
#![allow(unsafe_code, reason = "a StrRef is a raw pointer")]

use weftrace_artifact::headers;
use weftrace_artifact::packet::{FieldRow, PacketView, Read, StrRef};

/// The bytes, which must still be valid: no call to the pipeline since the view was filled.
pub fn bytes(text: StrRef) -> Vec<u8> {
    if text.ptr.is_null() {
        return Vec::new();
    }
    // SAFETY: the pipeline filled the view just now; pointer and length come from a slice that lives until its next call.
    unsafe { std::slice::from_raw_parts(text.ptr, text.len as usize) }.to_vec()
}

pub fn text(text: StrRef) -> String {
    String::from_utf8_lossy(&bytes(text)).into_owned()
}

/// Packed headers as (name, value).
pub fn headers(packed: StrRef) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers::entries(&bytes(packed)).map(|(name, value)| (text(name), text(value))).collect()
}

/// The string a row names.
pub fn at(view: &PacketView, row: &FieldRow) -> StrRef {
    let Read::Str(at) = row.read else { return StrRef::default() };
    // SAFETY: the table's test asserts that rows lie inside the view and are aligned; StrRef is plain data.
    unsafe { std::ptr::from_ref(view).byte_add(at).cast::<StrRef>().read() }
}

pub fn raw(view: &PacketView, row: &FieldRow, width: usize) -> Vec<u8> {
    let Read::Bytes(at) = row.read else { return Vec::new() };
    raw_at(view, at, width)
}

pub fn raw_at(view: &PacketView, at: usize, width: usize) -> Vec<u8> {
    assert!(at + width <= size_of::<PacketView>());
    // SAFETY: inside the view by the assertion; the bytes read are those of fields, not padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(view).cast::<u8>().add(at), width) }.to_vec()
}
