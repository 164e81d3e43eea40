//! BTF: types and strings in the kernel's format (Documentation/bpf/btf.rst).

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const HEADER: u32 = 24;

/// A type's number; 0 is void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeId(pub u32);

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;

/// BTF_FUNC_GLOBAL, BTF_VAR_GLOBAL_ALLOCATED
const GLOBAL: u32 = 1;

/// A member of a struct: its offset in bytes.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    pub name: &'a str,
    pub ty: TypeId,
    pub offset: u32,
}

/// A variable in a section.
#[derive(Clone, Copy, Debug)]
pub struct SectionVar {
    pub var: TypeId,
    pub offset: u32,
    pub size: u32,
}

/// Builds a BTF blob.
#[derive(Debug, Default)]
pub struct Builder {
    types: Vec<u8>,
    count: u32,
    strings: Vec<u8>,
    known: HashMap<String, u32>,
}

impl Builder {
    pub fn new() -> Self {
        Self { strings: vec![0], ..Self::default() }
    }

    /// Offset of a string; equal strings share one. Bytes after a NUL are dropped.
    pub fn string(&mut self, text: &str) -> u32 {
        let text = text.split('\0').next().unwrap_or("");
        if text.is_empty() {
            return 0;
        }
        if let Some(&at) = self.known.get(text) {
            return at;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.known.insert(text.to_owned(), at);
        at
    }

    fn word(&mut self, word: u32) {
        self.types.extend_from_slice(&word.to_le_bytes());
    }

    /// struct btf_type
    fn begin(&mut self, name: &str, kind: u32, vlen: usize, size_or_type: u32) -> TypeId {
        let name = self.string(name);
        self.word(name);
        self.word((kind << 24) | (vlen as u32 & 0xffff));
        self.word(size_or_type);
        self.count += 1;
        TypeId(self.count)
    }

    pub fn int(&mut self, name: &str, bytes: u32, signed: bool) -> TypeId {
        let id = self.begin(name, KIND_INT, 0, bytes);
        self.word((u32::from(signed) << 24) | (bytes * 8));
        id
    }

    pub fn pointer(&mut self, to: TypeId) -> TypeId {
        self.begin("", KIND_PTR, 0, to.0)
    }

    pub fn array(&mut self, element: TypeId, index: TypeId, len: u32) -> TypeId {
        let id = self.begin("", KIND_ARRAY, 0, 0);
        self.word(element.0);
        self.word(index.0);
        self.word(len);
        id
    }

    pub fn structure(&mut self, name: &str, size: u32, members: &[Member<'_>]) -> TypeId {
        let id = self.begin(name, KIND_STRUCT, members.len(), size);
        for member in members {
            let name = self.string(member.name);
            self.word(name);
            self.word(member.ty.0);
            self.word(member.offset * 8);
        }
        id
    }

    pub fn func_proto(&mut self, result: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let id = self.begin("", KIND_FUNC_PROTO, params.len(), result.0);
        for &(name, ty) in params {
            let name = self.string(name);
            self.word(name);
            self.word(ty.0);
        }
        id
    }

    /// A global function.
    pub fn func(&mut self, name: &str, proto: TypeId) -> TypeId {
        // The linkage sits where other kinds count their members.
        self.begin(name, KIND_FUNC, GLOBAL as usize, proto.0)
    }

    /// A function that only its own program calls.
    pub fn static_func(&mut self, name: &str, proto: TypeId) -> TypeId {
        self.begin(name, KIND_FUNC, 0, proto.0)
    }

    /// A global variable.
    pub fn var(&mut self, name: &str, ty: TypeId) -> TypeId {
        let id = self.begin(name, KIND_VAR, 0, ty.0);
        self.word(GLOBAL);
        id
    }

    pub fn datasec(&mut self, name: &str, size: u32, vars: &[SectionVar]) -> TypeId {
        let id = self.begin(name, KIND_DATASEC, vars.len(), size);
        for v in vars {
            self.word(v.var.0);
            self.word(v.offset);
            self.word(v.size);
        }
        id
    }

    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER as usize + self.types.len() + self.strings.len());
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[1, 0]);
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [HEADER, 0, types, types, strings] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out
    }
}

/// A name that BTF and C accept: letters, digits and underscores, not a digit first, at most 100 bytes.
pub fn identifier(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(100).collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}
