//! Line information: which line of the script each instruction comes from, so that the verifier's log quotes the script.

use super::btf::{Builder, TypeId, identifier};
use weftrace_artifact::Place;

/// A program's blobs as BPF_PROG_LOAD takes them.
#[derive(Debug, Default)]
pub(super) struct Info {
    pub(super) btf: Vec<u8>,
    pub(super) functions: Vec<u8>,
    pub(super) lines: Vec<u8>,
}

/// A line of a source, from 1, with the column, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) number: u32,
    pub(super) column: u32,
}

/// The line where a place starts.
pub(super) fn line_at(sources: &[(String, String)], place: Place) -> Option<Line<'_>> {
    let (file, text) = sources.get(place.file as usize)?;
    let at = (place.start as usize).min(text.len());
    let bytes = text.as_bytes();
    let start = bytes[..at].iter().rposition(|&b| b == b'\n').map_or(0, |p| p + 1);
    let end = bytes[start..].iter().position(|&b| b == b'\n').map_or(text.len(), |p| start + p);
    let number = text[..start].matches('\n').count() as u32 + 1;
    // Places lie on character boundaries; a wrong one only costs the quotation.
    Some(Line { file, text: text.get(start..end).unwrap_or(""), number, column: (at - start) as u32 + 1 })
}

/// struct bpf_line_info has 22 bits for the line and 10 for the column.
fn line_col(line: &Line<'_>) -> u32 {
    (line.number.min(0x3f_ffff) << 10) | line.column.min(0x3ff)
}

/// `int name(void)`: with a context parameter of an unnamed type, verifiers complain about it at the top of their logs.
pub(super) fn program_func(btf: &mut Builder, int: TypeId, proto: Option<TypeId>, name: &str) -> (TypeId, TypeId) {
    let proto = proto.unwrap_or_else(|| btf.func_proto(int, &[]));
    (btf.func(name, proto), proto)
}

/// Raw `struct bpf_line_info` records (instruction offset, file, line, line and column), with `unit` 1 for the system call, which
/// counts instructions, or 8 for `.BTF.ext`, which counts bytes. Functions start at `starts`: they have a line of their own there.
pub(super) fn line_records(
    btf: &mut Builder,
    sources: &[(String, String)],
    spans: &[(u32, Place)],
    starts: &[u32],
    unit: u32,
    base: u32,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut last: Option<(u32, u32)> = None;
    for &(insn, place) in spans {
        let Some(line) = line_at(sources, place) else { continue };
        let key = (place.file, line_col(&line));
        if last == Some(key) && !starts.contains(&insn) {
            continue;
        }
        last = Some(key);
        let words = [base + insn * unit, btf.string(line.file), btf.string(line.text.trim()), key.1];
        out.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    }
    out
}

/// The blobs for one program and the functions that it calls (first instruction, name); empty without sources, unless there are
/// functions: the kernel wants to know of each that it is static.
pub(super) fn program(functions: &[(u32, &str)], sources: &[(String, String)], spans: &[(u32, Place)]) -> Info {
    // The first instruction of each function must have a line, or there are none at all.
    let has_line = |at: u32| spans.iter().any(|&(insn, place)| insn == at && line_at(sources, place).is_some());
    let lines_known = functions.iter().all(|&(at, _)| has_line(at));
    if !lines_known && functions.len() == 1 {
        return Info::default();
    }
    let mut btf = Builder::new();
    let int = btf.int("int", 4, true);
    let mut records: Vec<u8> = vec![];
    let mut proto = None;
    for (number, &(at, name)) in functions.iter().enumerate() {
        let name = identifier(name);
        let (func, p) = match (number, proto) {
            (0, _) | (_, None) => program_func(&mut btf, int, None, &name),
            (_, Some(p)) => (btf.static_func(&name, p), p),
        };
        proto = Some(p);
        records.extend([at, func.0].iter().flat_map(|w| w.to_le_bytes()));
    }
    let starts: Vec<u32> = functions.iter().map(|&(at, _)| at).collect();
    let lines = if lines_known { line_records(&mut btf, sources, spans, &starts, 1, 0) } else { vec![] };
    Info { btf: btf.finish(), functions: records, lines }
}
