//! The `format` files (kernel: trace_events.c, f_show).

use super::TracefsError;
use weftrace_lang::hir::{Space, Ty};
use weftrace_lang::world::{TraceEvent, TraceField};

/// Bytes of a perf record that programs can't read: the common fields' place holds a pointer.
const HIDDEN: u32 = 8;

/// Reads a format file. Fields of the record's first 8 bytes (`common_*`) aren't given: programs can't read them.
pub fn parse_format(category: &str, event: &str, text: &str) -> Result<TraceEvent, TracefsError> {
    let wrong = |line: &str| TracefsError::Format(format!("{category}:{event}"), line.to_owned());
    let mut fields = Vec::new();
    let mut size = HIDDEN;
    for line in text.lines().map(str::trim).take_while(|line| !line.starts_with("print fmt")) {
        if !line.starts_with("field:") {
            continue;
        }
        let field = parse_field(line, category == "syscalls").ok_or_else(|| wrong(line))?;
        size = size.max(field.offset + field.size);
        if field.offset >= HIDDEN {
            fields.push(field);
        }
    }
    Ok(TraceEvent { category: category.to_owned(), name: event.to_owned(), fields, size })
}

/// `field:const char * name; offset:8; size:8; signed:0;` (tabs between the parts)
fn parse_field(line: &str, user_pointers: bool) -> Option<TraceField> {
    let mut decl = None;
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in line.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = part.split_once(':')?;
        match key {
            "field" => decl = Some(value.trim()),
            "offset" => offset = value.trim().parse().ok(),
            "size" => size = value.trim().parse().ok(),
            "signed" => signed = value.trim() == "1",
            _ => {}
        }
    }
    let (offset, size): (u32, u32) = (offset?, size?);
    let (c_type, name) = split_decl(decl?)?;
    let data_loc = c_type.starts_with("__data_loc ");
    let space = if user_pointers { Space::User } else { Space::Kernel };
    let ty = field_type(&c_type, size, signed, space);
    Some(TraceField { name, c_type, ty, offset, size, data_loc })
}

/// `const char * name` → (`const char *`, `name`); `u8 addr[4]` → (`u8[4]`, `addr`); `__data_loc char[] name` → (…, `name`).
fn split_decl(decl: &str) -> Option<(String, String)> {
    let (head, array) = match decl.strip_suffix(']').and_then(|d| d.rsplit_once('[')) {
        Some((head, count)) => (head.trim_end(), format!("[{count}]")),
        None => (decl, String::new()),
    };
    let at = head.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    let name = &head[at + 1..];
    (!name.is_empty()).then(|| (format!("{}{array}", head[..=at].trim_end()), name.to_owned()))
}

fn field_type(c_type: &str, size: u32, signed: bool, space: Space) -> Ty {
    // The u32 in the record says where the bytes are: to the script, text, or a pointer to them.
    if let Some(rest) = c_type.strip_prefix("__data_loc ") {
        let elem = unqualified(rest.trim_end().trim_end_matches("[]"));
        if elem == "char" {
            // How much of it a script takes is its own choice.
            return Ty::Array { elem: Box::new(Ty::Int { bits: 8, signed: true }), len: 0 };
        }
        let bytes = named_size(elem).unwrap_or(1);
        return Ty::Ptr { to: Box::new(scalar(elem, bytes, signed)), space: Space::Kernel };
    }
    if c_type.starts_with("__rel_loc ") {
        return scalar(c_type, size, signed);
    }
    if let Some((elem, count)) = c_type.strip_suffix(']').and_then(|t| t.rsplit_once('[')) {
        return array(elem.trim_end(), count, size, signed, space);
    }
    if let Some(to) = c_type.strip_suffix('*') {
        return Ty::Ptr { to: Box::new(pointee(to.trim_end(), space)), space };
    }
    scalar(c_type, size, signed)
}

fn array(elem: &str, count: &str, size: u32, signed: bool, space: Space) -> Ty {
    let bare = unqualified(elem);
    if bare == "char" {
        return Ty::Str { cap: size };
    }
    // The count may be a name that only the kernel's sources know.
    let by_count = count.parse::<u32>().ok().filter(|n| *n > 0 && size.is_multiple_of(*n)).map(|n| size / n);
    let bytes = by_count.or_else(|| named_size(bare)).filter(|b| *b > 0).unwrap_or(1);
    let elem = if let Some(to) = bare.strip_suffix('*') {
        Ty::Ptr { to: Box::new(pointee(to.trim_end(), space)), space }
    } else {
        scalar(bare, bytes, signed)
    };
    Ty::Array { elem: Box::new(elem), len: size / bytes }
}

fn unqualified(mut c_type: &str) -> &str {
    while let Some(rest) = ["const ", "volatile "].iter().find_map(|q| c_type.trim_start().strip_prefix(q)) {
        c_type = rest;
    }
    c_type.trim()
}

fn pointee(c_type: &str, space: Space) -> Ty {
    let bare = c_type.trim_end_matches("const").trim_end();
    let bare = unqualified(bare.trim_end_matches("__user").trim_end());
    if let Some(to) = bare.strip_suffix('*') {
        return Ty::Ptr { to: Box::new(pointee(to.trim_end(), space)), space };
    }
    match named_size(bare) {
        // C's plain `char` is signed on x86; what matters is that it is one byte of text.
        Some(bytes) => {
            scalar(bare, bytes, !bare.contains("unsigned") && !bare.trim_start_matches("__").starts_with('u'))
        }
        None if bare == "void" || bare.is_empty() || bare.contains('(') => Ty::Void,
        None => scalar(bare, 0, false),
    }
}

/// A type that is neither pointer nor array; `size` from the format file, 0 if only the name is known.
fn scalar(c_type: &str, size: u32, signed: bool) -> Ty {
    let bare = unqualified(c_type);
    if let Some(tag) = bare.strip_prefix("struct ").or_else(|| bare.strip_prefix("union ")) {
        return Ty::Struct(tag.trim().to_owned());
    }
    match (bare, size) {
        ("bool" | "_Bool", 1) => Ty::Bool,
        (_, 1 | 2 | 4 | 8) => {
            let bits = (size * 8) as u8;
            match bare.strip_prefix("enum ") {
                Some(tag) => Ty::Enum { name: tag.trim().to_owned(), bits, signed },
                None => Ty::Int { bits, signed },
            }
        }
        // A typedef of a struct, behind a pointer.
        (name, 0) => Ty::Struct(name.to_owned()),
        // Passed by value, and only its size is known: guid_t, dev_t pairs.
        (_, n) => Ty::Array { elem: Box::new(Ty::U8), len: n },
    }
}

/// Sizes of C's and the kernel's basic types on 64-bit machines.
#[allow(clippy::too_many_lines, reason = "a table")]
fn named_size(c_type: &str) -> Option<u32> {
    const SIZES: [(u32, &[&str]); 4] = [
        (1, &["char", "signed char", "unsigned char", "u8", "s8", "__u8", "__s8", "bool", "uint8_t", "int8_t"]),
        (
            2,
            &[
                "short",
                "unsigned short",
                "short int",
                "u16",
                "s16",
                "__u16",
                "__s16",
                "__be16",
                "__le16",
                "umode_t",
                "uint16_t",
            ],
        ),
        (
            4,
            &[
                "int",
                "unsigned int",
                "unsigned",
                "u32",
                "s32",
                "__u32",
                "__s32",
                "__be32",
                "__le32",
                "pid_t",
                "uid_t",
                "gid_t",
                "dev_t",
                "gfp_t",
                "uint32_t",
                "int32_t",
            ],
        ),
        (
            8,
            &[
                "long",
                "unsigned long",
                "long int",
                "long long",
                "unsigned long long",
                "u64",
                "s64",
                "__u64",
                "__s64",
                "size_t",
                "ssize_t",
                "loff_t",
                "off_t",
                "sector_t",
                "ino_t",
                "uint64_t",
                "int64_t",
            ],
        ),
    ];
    SIZES.iter().find(|(_, names)| names.contains(&c_type)).map(|(size, _)| *size)
}
