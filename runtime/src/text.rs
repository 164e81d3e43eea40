//! Values as text, in bpftrace's notation.

mod stack;

use crate::{
    decode::{self, Num, bit_field, member, scalar, u32_at, u64_at},
    style::Style,
};
use std::{
    io::Write,
    mem::offset_of,
    net::{Ipv4Addr, Ipv6Addr},
};
use weftrace_artifact::{
    abi::{BytesKey, FlowValue},
    headers,
    ty::{Field, Type},
};

/// Appends the text form of a value.
pub fn write_value(out: &mut Vec<u8>, ty: &Type, bytes: &[u8], style: &mut Style<'_>) {
    match ty {
        Type::Bool | Type::Int { .. } | Type::Enum { .. } | Type::Ptr => {
            if let Some(num) = scalar(ty, bytes) {
                write_scalar(out, ty, num, style.div);
            }
        }
        Type::Str { cap } => write_string(out, bytes, *cap, style),
        Type::Buf { cap } => write_buffer(out, decode::buffer(bytes, *cap), BufStyle::Printable),
        Type::Array { elem, len } => {
            let size = elem.size() as usize;
            separated(out, "[", ",", "]", 0..*len as usize, |out, i| {
                write_value(out, elem, decode::slice(bytes, i * size, size), style);
            });
        }
        Type::Tuple { fields, .. } => {
            let sep = if style.compact { "," } else { ", " };
            separated(out, "(", sep, ")", fields, |out, f| write_field(out, f, bytes, style));
        }
        Type::Record { fields, .. } | Type::Struct { fields, .. } if fields.is_empty() => out.extend_from_slice(b"{}"),
        Type::Record { fields, .. } | Type::Struct { fields, .. } => {
            let (open, sep, is, close) = if style.compact { ("{", ",", "=", "}") } else { ("{ ", ", ", " = ", " }") };
            separated(out, open, sep, close, fields, |out, f| {
                push(out, ".");
                push(out, f.name.as_deref().unwrap_or(""));
                push(out, is);
                write_field(out, f, bytes, style);
            });
        }
        _ => write_named(out, ty, bytes, style),
    }
}

/// Types whose text needs the host's names, and addresses.
fn write_named(out: &mut Vec<u8>, ty: &Type, bytes: &[u8], style: &mut Style<'_>) {
    match ty {
        Type::Ksym => write_symbol(out, u64_at(bytes, 0), None, style),
        Type::Usym => write_symbol(out, u64_at(bytes, 0), Some(u32_at(bytes, 8)), style),
        Type::KStack { mode, limit } => stack::write_stack(out, bytes, None, (*mode, *limit), style),
        Type::UStack { mode, limit } => {
            stack::write_stack(out, bytes, Some(u32_at(bytes, 8)), (*mode, *limit), style);
        }
        Type::Sample { mode, limit } => stack::write_sample(out, bytes, (*mode, *limit), style),
        Type::Inet => write_inet(out, u32_at(bytes, 0) as u16, decode::slice(bytes, 4, 16)),
        Type::Mac => {
            for i in 0..6 {
                let sep = if i == 0 { "" } else { ":" };
                let _ = write!(out, "{sep}{:02X}", bytes.get(i).copied().unwrap_or(0));
            }
        }
        Type::Time { fmt } => style.names.time(u64_at(bytes, 0), fmt, out),
        Type::CgroupPath { filter } => push(out, &style.names.cgroup_path(u64_at(bytes, 0), filter)),
        Type::Conn => write_conn(out, bytes),
        Type::ByteRanges => write_byte_ranges(out, bytes),
        Type::Flow => write_flow(out, bytes),
        Type::Opaque { .. } => push(out, "null"),
        Type::Headers => {
            for (i, (name, value)) in headers::entries(bytes).enumerate() {
                if i > 0 {
                    push(out, ", ");
                }
                write_lossy(out, name, style.escape);
                push(out, ": ");
                write_lossy(out, value, style.escape);
            }
        }
        Type::Username => {
            let uid = u32_at(bytes, 0);
            match style.names.user_name(uid) {
                Some(name) => push(out, &name),
                None => drop(write!(out, "{uid}")),
            }
        }
        _ => {}
    }
}

/// Appends a member of a composite value whose bytes are `whole`.
pub fn write_field(out: &mut Vec<u8>, field: &Field, whole: &[u8], style: &mut Style<'_>) {
    match bit_field(field, whole) {
        Some(num) => write_scalar(out, &field.ty, num, style.div),
        None => write_value(out, &field.ty, member(field, whole), style),
    }
}

/// Appends an integer as its type shows it.
pub fn write_scalar(out: &mut Vec<u8>, ty: &Type, num: Num, div: u32) {
    match ty {
        Type::Bool => push(out, if num.bits() != 0 { "true" } else { "false" }),
        Type::Ptr => drop(write!(out, "{:#x}", num.bits())),
        Type::Enum { variants, .. } => match variant(variants, num) {
            Some(name) => push(out, name),
            None => write_num(out, num),
        },
        _ => write_num(out, num.divided(div)),
    }
}

/// Name of an enum's value.
pub fn variant(variants: &[(String, i64)], num: Num) -> Option<&str> {
    variants.iter().find(|(_, v)| i128::from(*v) == num.wide()).map(|(name, _)| name.as_str())
}

pub fn write_num(out: &mut Vec<u8>, num: Num) {
    match num {
        Num::Signed(v) => drop(write!(out, "{v}")),
        Num::Unsigned(v) => drop(write!(out, "{v}")),
    }
}

fn write_string(out: &mut Vec<u8>, bytes: &[u8], cap: u32, style: &Style<'_>) {
    let (text, cut) = decode::string(bytes, cap);
    write_lossy(out, text, style.escape);
    if cut && cap >= style.trailer_from {
        push(out, style.trailer);
    }
}

/// Appends bytes as UTF-8, damaged sequences as U+FFFD; control characters but tab and newline as `\xNN` if `escape`.
pub fn write_lossy(out: &mut Vec<u8>, bytes: &[u8], escape: bool) {
    let control = |b: u8| (b < 0x20 && b != b'\t' && b != b'\n') || b == 0x7f;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        // C1 controls (U+0080–U+009F) can move a terminal's cursor too.
        if escape && valid.bytes().any(|b| control(b) || b == 0xc2) {
            for c in valid.chars() {
                let code = u32::from(c);
                if (code < 0x80 && control(code as u8)) || (0x80..0xa0).contains(&code) {
                    let _ = write!(out, "\\x{code:02x}");
                } else {
                    let _ = write!(out, "{c}");
                }
            }
        } else {
            push(out, valid);
        }
        if !chunk.invalid().is_empty() {
            push(out, "\u{fffd}");
        }
    }
}

/// The three ways of `%r`, `%rx`, `%rh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufStyle {
    /// ASCII as it is, the rest as `\xNN`
    Printable,
    /// all as `\xNN`
    Hex,
    /// `NN NN`
    HexSpaced,
}

pub fn write_buffer(out: &mut Vec<u8>, bytes: &[u8], how: BufStyle) {
    for (i, &b) in bytes.iter().enumerate() {
        match how {
            BufStyle::Printable if (0x20..0x7f).contains(&b) => out.push(b),
            BufStyle::Printable | BufStyle::Hex => drop(write!(out, "\\x{b:02x}")),
            BufStyle::HexSpaced => drop(write!(out, "{}{b:02x}", if i == 0 { "" } else { " " })),
        }
    }
}

fn write_symbol(out: &mut Vec<u8>, addr: u64, pid: Option<u32>, style: &mut Style<'_>) {
    let symbol = match pid {
        None => style.names.kernel(addr),
        Some(pid) => style.names.user(pid, addr),
    };
    match symbol {
        Some(s) => push(out, s.name),
        None => drop(write!(out, "{addr:#x}")),
    }
}

/// An address by its family; nothing for family 0.
pub fn write_inet(out: &mut Vec<u8>, family: u16, addr: &[u8]) {
    match i32::from(family) {
        libc::AF_INET => {
            let mut a = [0; 4];
            copy(&mut a, addr);
            let _ = write!(out, "{}", Ipv4Addr::from(a));
        }
        libc::AF_INET6 => {
            let mut a = [0; 16];
            copy(&mut a, addr);
            let _ = write!(out, "{}", Ipv6Addr::from(a));
        }
        _ => {}
    }
}

/// [`weftrace_artifact::abi::ConnKey`]: `10.0.0.1:80 <-> 10.0.0.2:5000`.
fn write_conn(out: &mut Vec<u8>, bytes: &[u8]) {
    let family = decode::uint(decode::slice(bytes, 4, 2), 2) as u16;
    if family == 0 {
        return;
    }
    let six = i32::from(family) == libc::AF_INET6;
    for (i, (addr, port)) in [(8, 40), (24, 42)].into_iter().enumerate() {
        push(out, if i == 0 { "" } else { " <-> " });
        push(out, if six { "[" } else { "" });
        write_inet(out, family, decode::slice(bytes, addr, 16));
        push(out, if six { "]" } else { "" });
        let _ = write!(out, ":{}", decode::uint(decode::slice(bytes, port, 2), 2));
    }
}

/// [`weftrace_artifact::abi::BytesKey`]: `10.0.0.1:80 <-> 10.0.0.2:5000 → 1..93, ← 1..240, ← ~500..900`: the first end sends, and receives;
/// in the last range bytes of others lie too.
fn write_byte_ranges(out: &mut Vec<u8>, bytes: &[u8]) {
    let ranges = offset_of!(BytesKey, ranges);
    let [merged, crossed] = [offset_of!(BytesKey, merged), offset_of!(BytesKey, crossed)].map(|at| u32_at(bytes, at));
    write_conn(out, bytes);
    let mut separator = " ";
    for (dir, arrow) in ["→", "←"].into_iter().enumerate() {
        // What found no place in its own half lies behind it.
        let half = |i: usize| BytesKey::direction(i, 0) != dir;
        let mut places: Vec<usize> = (0..BytesKey::ROOM).filter(|i| BytesKey::direction(*i, crossed) == dir).collect();
        places.sort_by_key(|i| half(*i));
        for i in places {
            let (from, to) = (u64_at(bytes, ranges + i * 16), u64_at(bytes, ranges + i * 16 + 8));
            if from < to {
                let mark = if merged >> i & 1 != 0 { "~" } else { "" };
                let _ = write!(out, "{separator}{arrow} {mark}{from}..{to}");
                separator = ", ";
            }
        }
    }
}

/// [`weftrace_artifact::abi::FlowValue`]: `10.0.0.1:80 → 10.0.0.2:5000`; ports where the protocol has them.
fn write_flow(out: &mut Vec<u8>, bytes: &[u8]) {
    let two_way = bytes.get(offset_of!(FlowValue, two_way)) == Some(&1);
    for (i, (addr, port)) in flow_ends(bytes).into_iter().enumerate() {
        if i == 1 && u32_at(bytes, 0) != 0 {
            push(out, if two_way { " ↔ " } else { " → " });
        }
        let bracket = port.is_some() && u32_at(addr, 0) as i32 == libc::AF_INET6;
        push(out, if bracket { "[" } else { "" });
        write_inet(out, u32_at(addr, 0) as u16, decode::slice(addr, 4, 16));
        push(out, if bracket { "]" } else { "" });
        if let Some(port) = port {
            let _ = write!(out, ":{port}");
        }
    }
}

/// (address as [`Type::Inet`] lays it out, port) of both ends; no port where the protocol has none.
pub(crate) fn flow_ends(bytes: &[u8]) -> [(&[u8], Option<u16>); 2] {
    let number = |at: usize| decode::uint(decode::slice(bytes, at, 2), 2) as u16;
    let ports = [number(offset_of!(FlowValue, src_port)), number(offset_of!(FlowValue, dst_port))];
    let [src, dst] = ports.map(|port| (ports != [0, 0]).then_some(port));
    [(decode::slice(bytes, 0, 20), src), (decode::slice(bytes, offset_of!(FlowValue, dst_family), 20), dst)]
}

/// Protocol number of a flow.
pub(crate) fn flow_proto(bytes: &[u8]) -> u8 {
    bytes.get(offset_of!(FlowValue, proto)).copied().unwrap_or(0)
}

fn copy(to: &mut [u8], from: &[u8]) {
    let n = to.len().min(from.len());
    to[..n].copy_from_slice(&from[..n]);
}

fn pad(out: &mut Vec<u8>, n: usize) {
    out.resize(out.len() + n, b' ');
}

pub(crate) fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// `open item sep item … close`
pub(crate) fn separated<T>(
    out: &mut Vec<u8>,
    open: &str,
    sep: &str,
    close: &str,
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut Vec<u8>, T),
) {
    push(out, open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            push(out, sep);
        }
        each(out, item);
    }
    push(out, close);
}

#[cfg(test)]
mod tests;
