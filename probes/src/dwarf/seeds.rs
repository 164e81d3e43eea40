//! Debug information made by hand, for tests and as seeds for fuzzers: what compilers write, and what nobody should.

use super::fuzz::{section, sections};
use gimli::constants as c;

/// Attributes of an abbreviation: each with its form.
type Attributes = &'static [(gimli::DwAt, gimli::DwForm)];

const NAME: (gimli::DwAt, gimli::DwForm) = (c::DW_AT_name, c::DW_FORM_string);
const TYPE: (gimli::DwAt, gimli::DwForm) = (c::DW_AT_type, c::DW_FORM_ref4);
const SIZE: (gimli::DwAt, gimli::DwForm) = (c::DW_AT_byte_size, c::DW_FORM_data1);
const LOW: (gimli::DwAt, gimli::DwForm) = (c::DW_AT_low_pc, c::DW_FORM_addr);
const HIGH: (gimli::DwAt, gimli::DwForm) = (c::DW_AT_high_pc, c::DW_FORM_data8);

/// Abbreviations by their number, from 1 on: tag, whether there are children, attributes.
const ABBREVIATIONS: &[(gimli::DwTag, bool, Attributes)] = &[
    (
        c::DW_TAG_compile_unit,
        true,
        &[NAME, LOW, HIGH, (c::DW_AT_language, c::DW_FORM_data1), (c::DW_AT_stmt_list, c::DW_FORM_sec_offset)],
    ),
    (c::DW_TAG_subprogram, true, &[NAME, LOW, HIGH, (c::DW_AT_external, c::DW_FORM_flag_present)]),
    (c::DW_TAG_formal_parameter, false, &[NAME, TYPE]),
    (c::DW_TAG_array_type, true, &[TYPE]),
    (c::DW_TAG_structure_type, true, &[NAME, SIZE]),
    (c::DW_TAG_member, false, &[NAME, TYPE, (c::DW_AT_data_member_location, c::DW_FORM_data1)]),
    (c::DW_TAG_pointer_type, false, &[TYPE]),
    (c::DW_TAG_subroutine_type, true, &[]),
    (c::DW_TAG_subrange_type, false, &[(c::DW_AT_count, c::DW_FORM_data1)]),
    (c::DW_TAG_base_type, false, &[NAME, SIZE, (c::DW_AT_encoding, c::DW_FORM_data1)]),
    (c::DW_TAG_inlined_subroutine, true, &[]),
    (c::DW_TAG_array_type, true, &[TYPE, SIZE]),
    (c::DW_TAG_enumeration_type, false, &[NAME, TYPE]),
    (c::DW_TAG_namespace, true, &[NAME]),
    (c::DW_TAG_typedef, false, &[NAME, TYPE]),
];

const MEMBER: u8 = 6;

/// A unit that is being written. Types are known by numbers.
#[derive(Default)]
struct Unit {
    bytes: Vec<u8>,
    places: Vec<(u32, u32)>,
    /// Where a type's place belongs.
    wanted: Vec<(usize, u32)>,
}

impl Unit {
    fn entry(&mut self, abbreviation: u8) -> &mut Self {
        self.raw(&[abbreviation])
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.raw(text.as_bytes()).raw(&[0])
    }

    /// What follows is this type.
    fn is(&mut self, ty: u32) -> &mut Self {
        self.places.push((ty, self.bytes.len() as u32));
        self
    }

    fn of(&mut self, ty: u32) -> &mut Self {
        self.wanted.push((self.bytes.len(), ty));
        self.raw(&[0; 4])
    }

    /// No more children.
    fn end(&mut self) -> &mut Self {
        self.raw(&[0])
    }

    fn structure(&mut self, ty: u32, name: &str, size: u8, members: &[(&str, u32, u8)]) -> &mut Self {
        self.is(ty).entry(5).text(name).raw(&[size]);
        for (name, ty, at) in members {
            self.entry(MEMBER).text(name).of(*ty).raw(&[*at]);
        }
        self.end()
    }

    fn int(&mut self, ty: u32) -> &mut Self {
        self.is(ty).entry(10).text("int").raw(&[4, c::DW_ATE_signed.0])
    }
}

/// A unit whose function at 0x1000 has a parameter `x` of type 0; `within` is written inside the function, `types` behind it.
fn unit(language: gimli::DwLang, within: impl Fn(&mut Unit), types: impl Fn(&mut Unit)) -> Vec<u8> {
    let (low, size) = (0x1000u64.to_le_bytes(), 64u64.to_le_bytes());
    let mut unit = Unit::default();
    // Its length comes last.
    unit.raw(&[0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 8]);
    unit.entry(1).text("x.c").raw(&low).raw(&size).raw(&[language.0 as u8, 0, 0, 0, 0]);
    unit.entry(2).text("victim").raw(&low).raw(&size);
    unit.entry(3).text("x").of(0);
    within(&mut unit);
    unit.end();
    types(&mut unit);
    unit.end();
    let Unit { mut bytes, places, wanted } = unit;
    for (at, ty) in wanted {
        let place = places.iter().find(|(known, _)| *known == ty).map_or(0, |(_, place)| *place);
        bytes[at..at + 4].copy_from_slice(&place.to_le_bytes());
    }
    let length = bytes.len() as u32 - 4;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    let all = [
        section(".debug_info", &bytes),
        section(".debug_abbrev", &abbreviations()),
        section(".debug_line", &lines(low)),
        section(".eh_frame", &frames()),
    ];
    all.concat()
}

/// Line 1 of x.c from an address on.
fn lines(from: [u8; 8]) -> Vec<u8> {
    let file = b"\0x.c\0\0\0\0\0";
    let header = [&[1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1][..], file].concat();
    let rows = [&[0, 9, 2][..], &from, &[1, 2, 64, 0, 1, 1]].concat();
    let rest = [&[4, 0][..], &(header.len() as u32).to_le_bytes(), &header, &rows].concat();
    [&(rest.len() as u32).to_le_bytes(), &rest[..]].concat()
}

/// How the function's frame is undone: the return address is on top; further on what the frame is an expression tells.
fn frames() -> Vec<u8> {
    let common = b"\x14\0\0\0\0\0\0\0\x01zR\0\x01\x78\x10\x01\x1b\x0c\x07\x08\x90\x01\0\0";
    // Its place, counted from where that is written.
    let start = 0x1000 - (common.len() as i32 + 8);
    let rules = b"\0\x42\x0f\x02\x77\x08\0\0";
    let function = [&[20, 0, 0, 0, 28, 0, 0, 0][..], &start.to_le_bytes(), &[64, 0, 0, 0], rules].concat();
    [&common[..], &function, &[0; 4]].concat()
}

/// The sections as an ELF file.
fn elf(all: &[(&'static str, &[u8])]) -> Vec<u8> {
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};
    let mut file = object::write::Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    for (name, bytes) in all {
        let id = file.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::Debug);
        file.append_section_data(id, bytes, 1);
    }
    file.write().unwrap_or_default()
}

fn abbreviations() -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (tag, children, attributes)) in (1..).zip(ABBREVIATIONS) {
        out.extend([number, tag.0 as u8, u8::from(*children)]);
        out.extend(attributes.iter().flat_map(|(name, form)| [name.0 as u8, form.0 as u8]));
        out.extend([0, 0]);
    }
    out.push(0);
    out
}

/// Each with a name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let none = |_: &mut Unit| {};
    let c99 = |types: fn(&mut Unit)| unit(c::DW_LANG_C99, none, types);
    let go = |types: fn(&mut Unit)| unit(c::DW_LANG_Go, none, types);
    let rust = |types: fn(&mut Unit)| unit(c::DW_LANG_Rust, none, types);
    vec![
        ("plain", c99(plain)),
        ("elf", elf(&sections(&c99(plain)))),
        ("array_of_itself", c99(array_of_itself)),
        ("enum_of_itself", c99(enum_of_itself)),
        ("struct_of_itself", c99(six_of_itself)),
        ("chain_of_itself", c99(chain_of_itself)),
        ("function_of_itself", c99(function_of_itself)),
        ("pointer_to_itself", c99(pointer_to_itself)),
        ("doubled", c99(doubled)),
        ("doubled_rust", rust(doubled)),
        ("doubled_go", go(doubled)),
        ("dimensions", c99(dimensions)),
        ("go_array_of_itself", go(sized_array_of_itself)),
        ("go_struct_of_itself", go(six_of_itself)),
        ("damaged", c99(damaged)),
        ("inlined", unit(c::DW_LANG_C99, inlined, array_of_itself)),
    ]
}

/// `struct S { int a; int b[2][3]; struct S *next; }` by its typedef, in a namespace.
fn plain(u: &mut Unit) {
    u.int(1).is(2).entry(4).of(1).entry(9).raw(&[2]).entry(9).raw(&[3]).end();
    u.is(3).entry(7).of(4).entry(14).text("n");
    u.structure(4, "S", 40, &[("a", 1, 0), ("b", 2, 4), ("next", 3, 32)]).end();
    u.is(0).entry(15).text("S_t").of(4);
}

fn array_of_itself(u: &mut Unit) {
    u.is(0).entry(4).of(0).end();
}

/// Go's arrays say how large they are.
fn sized_array_of_itself(u: &mut Unit) {
    u.is(0).entry(12).of(0).raw(&[8]).end();
}

fn enum_of_itself(u: &mut Unit) {
    u.is(0).entry(13).text("e").of(0);
}

fn pointer_to_itself(u: &mut Unit) {
    u.is(0).entry(7).of(0);
}

fn chain_of_itself(u: &mut Unit) {
    u.structure(0, "S", 16, &[("m", 0, 0)]);
}

fn six_of_itself(u: &mut Unit) {
    u.structure(0, "S", 16, &["a", "b", "c", "d", "e", "f"].map(|name| (name, 0, 0)));
}

/// A pointer to a function that takes three of these pointers.
fn function_of_itself(u: &mut Unit) {
    u.is(0).entry(7).of(1).is(1).entry(8);
    for _ in 0..3 {
        u.entry(3).text("p").of(0);
    }
    u.end();
}

/// Each struct has two of the one before: none is within itself, and the last has the first a billion times.
fn doubled(u: &mut Unit) {
    for n in 0..30 {
        u.structure(n, &format!("S{n}"), 16, &[("a", n + 1, 0), ("b", n + 1, 0)]);
    }
    u.structure(30, "S30", 16, &[]);
}

/// A struct, and behind it something that no abbreviation says the form of.
fn damaged(u: &mut Unit) {
    u.int(1).structure(0, "S", 16, &[("a", 1, 0)]).entry(99);
}

fn dimensions(u: &mut Unit) {
    u.int(1).is(0).entry(4).of(1);
    for _ in 0..200 {
        u.entry(9).raw(&[1]);
    }
    u.end();
}

fn inlined(u: &mut Unit) {
    for _ in 0..1000 {
        u.entry(11);
    }
}
