//! Types as C writes them: declarations of members and parameters, whole definitions.

use super::raw::Btf;
use super::record::{Kind, Record};
use crate::symbols::glob::Glob;
use std::fmt::Write;
use std::ops::ControlFlow;

/// Chains of pointers, arrays and functions are never this long; malformed BTF may have a cycle.
const MAX_DEPTH: u32 = 32;
/// Nesting of structs without a name.
const MAX_NESTING: usize = 24;

/// A struct, union or enum of a kernel or module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Defined {
    /// `struct file`
    pub name: String,
    pub id: u32,
}

impl Btf {
    /// Structs, unions and enums whose `struct NAME` matches, sorted; the first of each name.
    pub fn defined(&self, wanted: &Glob) -> Vec<Defined> {
        let mut out = Vec::new();
        self.walk(|r| {
            if r.name_off != 0
                && let Some(word) = keyword(r.kind)
            {
                let name = format!("{word} {}", self.string(r.name_off));
                if wanted.matches(&name) {
                    out.push(Defined { name, id: r.id });
                }
            }
            ControlFlow::Continue(())
        });
        out.sort_unstable();
        out.dedup_by(|b, a| a.name == b.name);
        out
    }

    /// A whole definition, with a line end after each line.
    pub fn definition(&self, id: u32) -> Option<String> {
        let r = self.by_id(id)?;
        let mut out = format!("{} {} ", keyword(r.kind)?, self.name_of(&r));
        self.body(&mut out, &r, 0);
        out.push_str(";\n");
        Some(out)
    }

    /// `struct file * file`, for each parameter of a function; its own names, or `arg0` … as kprobes call them.
    pub fn parameters(&self, proto: u32, skip: usize, numbered: bool) -> Option<Vec<String>> {
        let r = self.by_id(proto).filter(|r| r.kind == Kind::FuncProto)?;
        let named = (skip..r.vlen).filter(|i| r.extra(2 * i + 1) != 0).map(|i| {
            let own = self.string(r.extra(2 * i));
            let name = if numbered || own.is_empty() { format!("arg{}", i - skip) } else { own.into_owned() };
            format!("{} {name}", self.declare(r.extra(2 * i + 1), "", 0))
        });
        Some(named.collect())
    }

    /// `ssize_t retval`; None: the function returns nothing.
    pub fn returned(&self, proto: u32) -> Option<String> {
        let r = self.by_id(proto).filter(|r| r.kind == Kind::FuncProto && r.word != 0)?;
        Some(format!("{} retval", self.declare(r.word, "", 0)))
    }

    /// The prototype of a function by its name.
    pub fn proto_of(&self, function: &str) -> Option<u32> {
        self.find(function, &[Kind::Func]).map(|r| r.word)
    }

    /// `struct file *name`, `void (*name)(int)`; without a name only the type.
    fn declare(&self, id: u32, name: &str, indent: usize) -> String {
        let mut declarator = name.to_owned();
        let mut qualifiers = Vec::new();
        let (mut id, mut inner_is_pointer) = (id, false);
        for _ in 0..MAX_DEPTH {
            let Some(r) = self.by_id(id) else { break };
            match r.kind {
                Kind::Ptr => {
                    let quals = spaced(&mut qualifiers);
                    declarator = match quals.trim_end() {
                        "" => format!("*{declarator}"),
                        quals if declarator.is_empty() => format!("* {quals}"),
                        quals => format!("* {quals} {declarator}"),
                    };
                    inner_is_pointer = true;
                }
                Kind::Array => {
                    declarator = around(&declarator, inner_is_pointer);
                    let _ = write!(declarator, "[{}]", r.extra(2));
                    inner_is_pointer = false;
                }
                Kind::FuncProto => {
                    declarator = around(&declarator, inner_is_pointer);
                    let _ = write!(declarator, "({})", self.signature(&r));
                    inner_is_pointer = false;
                }
                Kind::Const => qualifiers.push("const"),
                Kind::Volatile => qualifiers.push("volatile"),
                Kind::Restrict => qualifiers.push("restrict"),
                Kind::TypeTag | Kind::DeclTag => {}
                _ => break,
            }
            match r.kind {
                Kind::Array => id = r.extra(0),
                _ => id = r.word,
            }
        }
        let base = self.base(id, indent);
        let gap = if declarator.is_empty() { "" } else { " " };
        format!("{}{base}{gap}{declarator}", spaced(&mut qualifiers))
    }

    fn signature(&self, proto: &Record<'_>) -> String {
        let one = |i: usize| match proto.extra(2 * i + 1) {
            0 => "...".to_owned(),
            ty => self.declare(ty, "", 0),
        };
        match proto.vlen {
            0 => "void".to_owned(),
            n => (0..n).map(one).collect::<Vec<_>>().join(", "),
        }
    }

    /// What a declaration begins with.
    fn base(&self, id: u32, indent: usize) -> String {
        let Some(r) = self.by_id(id) else { return "void".into() };
        let name = self.name_of(&r);
        match (keyword(r.kind), name.is_empty()) {
            (Some(word), false) => format!("{word} {name}"),
            (Some(word), true) => {
                let mut out = format!("{word} ");
                self.body(&mut out, &r, indent);
                out
            }
            (None, _) if r.kind == Kind::Fwd => format!("{} {name}", if r.flag { "union" } else { "struct" }),
            (None, _) => name.into_owned(),
        }
    }

    /// `{ … }` of a struct, union or enum.
    fn body(&self, out: &mut String, r: &Record<'_>, indent: usize) {
        if indent >= MAX_NESTING {
            out.push_str("{ … }");
            return;
        }
        if r.vlen == 0 {
            out.push_str("{}");
            return;
        }
        let tabs = "\t".repeat(indent + 1);
        out.push_str("{\n");
        match r.kind {
            Kind::Enum | Kind::Enum64 => {
                for (name, value) in self.enumerators(r) {
                    let _ = writeln!(out, "{tabs}{name} = {value},");
                }
            }
            _ => {
                for i in 0..r.vlen {
                    let (name, ty, offset) = (r.extra(3 * i), r.extra(3 * i + 1), r.extra(3 * i + 2));
                    let declared = self.declare(ty, &self.string(name), indent + 1);
                    let width = if r.flag { offset >> 24 } else { 0 };
                    let _ = match width {
                        0 => writeln!(out, "{tabs}{declared};"),
                        width => writeln!(out, "{tabs}{declared}: {width};"),
                    };
                }
            }
        }
        let _ = write!(out, "{}}}", &tabs[1..]);
        if matches!(r.kind, Kind::Struct | Kind::Union) && self.is_packed(r) {
            out.push_str(" __attribute__((packed))");
        }
    }

    /// Whether C would lay the members out otherwise: one is not aligned, or the size isn't.
    fn is_packed(&self, r: &Record<'_>) -> bool {
        let mut most = 1;
        for i in 0..r.vlen {
            let offset = r.extra(3 * i + 2);
            let (bit, width) = if r.flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            let align = self.align(r.extra(3 * i + 1), 0);
            most = most.max(align);
            if width == 0 && !bit.is_multiple_of(align * 8) {
                return true;
            }
        }
        !r.word.is_multiple_of(most)
    }

    fn enumerators(&self, r: &Record<'_>) -> Vec<(String, String)> {
        let Some(def) = self.enum_of(r, "") else { return Vec::new() };
        let shown = |v: i64| if r.flag || r.kind == Kind::Enum { v.to_string() } else { (v as u64).to_string() };
        def.variants.into_iter().map(|(name, value)| (name, shown(value))).collect()
    }
}

fn keyword(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Struct => Some("struct"),
        Kind::Union => Some("union"),
        Kind::Enum | Kind::Enum64 => Some("enum"),
        _ => None,
    }
}

/// Brackets where a pointer is to an array or function.
fn around(declarator: &str, pointer: bool) -> String {
    if pointer { format!("({declarator})") } else { declarator.to_owned() }
}

/// Takes the qualifiers, each with a space after it.
fn spaced(qualifiers: &mut Vec<&'static str>) -> String {
    qualifiers.drain(..).fold(String::new(), |out, q| out + q + " ")
}
