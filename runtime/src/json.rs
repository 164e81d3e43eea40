//! Values as JSON, in bpftrace's notation: enums and pointers are numbers, tuples arrays, records objects, buffers arrays of bytes,
//! integers that a double can't hold strings. Objects have a space after `:` and `,`, arrays don't.

use crate::{
    decode::{self, Num, bit_field, member, scalar},
    style::Style,
    text::{self, push, separated},
};
use std::io::Write;
use weftrace_artifact::{
    headers,
    ty::{Field, Type},
};

/// Appends a value.
pub fn write_value(out: &mut Vec<u8>, ty: &Type, bytes: &[u8], style: &mut Style<'_>) {
    match ty {
        Type::Bool | Type::Int { .. } | Type::Enum { .. } | Type::Ptr => {
            if let Some(num) = scalar(ty, bytes) {
                write_scalar(out, ty, num, style.div);
            }
        }
        Type::Buf { cap } => {
            // bpftrace gives signed chars.
            separated(out, "[", ",", "]", decode::buffer(bytes, *cap), |out, &b| drop(write!(out, "{}", b as i8)));
        }
        Type::Array { elem, len } => {
            let size = elem.size() as usize;
            separated(out, "[", ",", "]", 0..*len as usize, |out, i| {
                write_value(out, elem, decode::slice(bytes, i * size, size), style);
            });
        }
        Type::Tuple { fields, .. } => {
            separated(out, "[", ",", "]", fields, |out, f| write_field(out, f, bytes, style));
        }
        Type::Record { fields, .. } | Type::Struct { fields, .. } => {
            separated(out, "{", ", ", "}", fields, |out, f| {
                write_string(out, f.name.as_deref().unwrap_or("").as_bytes());
                push(out, ": ");
                write_field(out, f, bytes, style);
            });
        }
        Type::Flow => write_flow(out, bytes, style),
        Type::Opaque { .. } => push(out, "null"),
        Type::Headers => {
            separated(out, "{", ", ", "}", headers::entries(bytes), |out, (name, value)| {
                write_string(out, name);
                push(out, ": ");
                write_string(out, value);
            });
        }
        _ => {
            let mut plain = Vec::new();
            text::write_value(&mut plain, ty, bytes, style);
            write_string(out, &plain);
        }
    }
}

/// Appends a member of a composite value whose bytes are `whole`.
pub fn write_field(out: &mut Vec<u8>, field: &Field, whole: &[u8], style: &mut Style<'_>) {
    match bit_field(field, whole) {
        Some(num) => write_scalar(out, &field.ty, num, style.div),
        None => write_value(out, &field.ty, member(field, whole), style),
    }
}

/// `{"src": "10.0.0.1", "srcport": 80, "dst": …, "dstport": …, "proto": 6}`; null for no flow.
fn write_flow(out: &mut Vec<u8>, bytes: &[u8], style: &mut Style<'_>) {
    if decode::u32_at(bytes, 0) == 0 {
        return push(out, "null");
    }
    for (i, (address, port)) in text::flow_ends(bytes).into_iter().enumerate() {
        let (open, name) = if i == 0 { ("{", "src") } else { (", ", "dst") };
        let _ = write!(out, "{open}\"{name}\": ");
        write_value(out, &Type::Inet, address, style);
        if let Some(port) = port {
            let _ = write!(out, ", \"{name}port\": {port}");
        }
    }
    let _ = write!(out, ", \"proto\": {}}}", text::flow_proto(bytes));
}

fn write_scalar(out: &mut Vec<u8>, ty: &Type, num: Num, div: u32) {
    match ty {
        Type::Bool => push(out, if num.bits() != 0 { "true" } else { "false" }),
        Type::Ptr | Type::Enum { .. } => write_num(out, num),
        _ => write_num(out, num.divided(div)),
    }
}

/// Appends an integer; as a string if a double would change it (RFC 8259 section 6).
pub fn write_num(out: &mut Vec<u8>, num: Num) {
    let wide = num.wide();
    if (wide as f64) as i128 == wide {
        let _ = write!(out, "{wide}");
    } else {
        let _ = write!(out, "\"{wide}\"");
    }
}

/// Appends a quoted string; bytes that aren't UTF-8 become U+FFFD.
pub fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid().as_bytes();
        let mut from = 0;
        for (i, &b) in valid.iter().enumerate() {
            if b >= 0x20 && b != b'"' && b != b'\\' {
                continue;
            }
            out.extend_from_slice(&valid[from..i]);
            from = i + 1;
            match b {
                b'"' => push(out, "\\\""),
                b'\\' => push(out, "\\\\"),
                b'\n' => push(out, "\\n"),
                b'\r' => push(out, "\\r"),
                b'\t' => push(out, "\\t"),
                _ => drop(write!(out, "\\u{b:04x}")),
            }
        }
        out.extend_from_slice(&valid[from..]);
        if !chunk.invalid().is_empty() {
            push(out, "\u{fffd}");
        }
    }
    out.push(b'"');
}
