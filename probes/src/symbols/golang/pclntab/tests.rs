use super::*;

/// A table of two functions in one of the formats, as Go's linker lays it out.
#[expect(clippy::too_many_lines, reason = "a table made field by field")]
fn made(format: Format) -> Vec<u8> {
    let magic: u32 = match format {
        Format::Go12 => 0xffff_fffb,
        Format::Go116 => 0xffff_fffa,
        Format::Go118 => 0xffff_fff0,
        Format::Go120 => 0xffff_fff1,
    };
    let mut out = magic.to_le_bytes().to_vec();
    out.extend([0, 0, 1, 8]);
    let word = |n: u64| n.to_le_bytes();
    let names = b"main.main\0main.(*T).M\0";
    let files = b"/src/main.go\0/src/asm.s\0";
    // Values of a list: the difference to -1, then how far it holds.
    let second = if format == Format::Go12 { 6 } else { 4 };
    let values = [4u8, 16, 0, second, 16, 0];
    let width = if format >= Format::Go118 { 4usize } else { 8 };
    let number = |n: u64| n.to_le_bytes()[..width].to_vec();
    let record = |entry: u64, name: u32, list: u32, unit: u32| {
        let mut r = number(entry);
        for n in [name, 0, 0, 0, list, 0, 0, unit, 0] {
            r.extend(n.to_le_bytes());
        }
        r
    };
    let text = 0x40_1000u64;
    let base = if format >= Format::Go118 { 0 } else { text };
    let header = match format {
        Format::Go12 => 16,
        Format::Go116 => 8 + 7 * 8,
        _ => 8 + 8 * 8,
    };
    if format == Format::Go12 {
        // {count}, the list, the files' offset; all offsets count from the beginning.
        let list = header;
        let filetab = list + 5 * 8 + 4;
        let text_at = filetab + 3 * 4;
        let (names_at, files_at) = (text_at, text_at + names.len());
        let values_at = files_at + files.len();
        let records = values_at + values.len();
        let size = record(0, 0, 0, 0).len();
        out.extend(word(2));
        for (entry, at) in [(0x100u64, records), (0x140, records + size)] {
            out.extend(word(text + entry));
            out.extend(word(at as u64));
        }
        out.extend(word(text + 0x200));
        out.extend((filetab as u32).to_le_bytes());
        for at in [0, files_at, files_at + 13] {
            out.extend((at as u32).to_le_bytes());
        }
        out.extend(names);
        out.extend(files);
        out.extend(values);
        out.extend(record(text + 0x100, names_at as u32, values_at as u32, 0));
        out.extend(record(text + 0x140, names_at as u32 + 10, values_at as u32 + 3, 0));
        return out;
    }
    let units: Vec<u8> = [u32::MAX, 0, 13].iter().flat_map(|n: &u32| n.to_le_bytes()).collect();
    let names_at = header;
    let units_at = names_at + names.len();
    let files_at = units_at + units.len();
    let values_at = files_at + files.len();
    let list = values_at + values.len();
    let rows = 2 * 2 * width + width;
    let size = record(0, 0, 0, 0).len();
    out.extend(word(2));
    out.extend(word(2));
    if format >= Format::Go118 {
        out.extend(word(text));
    }
    for at in [names_at, units_at, files_at, values_at, list] {
        out.extend(word(at as u64));
    }
    assert_eq!(out.len(), header);
    out.extend(names);
    out.extend(units);
    out.extend(files);
    out.extend(values);
    for (entry, at) in [(0x100u64, rows), (0x140, rows + size)] {
        out.extend(number(base + entry));
        out.extend(number(at as u64));
    }
    out.extend(number(base + 0x200));
    out.extend(record(base + 0x100, 0, 0, 0));
    out.extend(record(base + 0x140, 10, 3, 1));
    out
}

#[test]
fn every_format() {
    for format in [Format::Go12, Format::Go116, Format::Go118, Format::Go120] {
        let bytes = made(format);
        let table = Table::new(&bytes[..], 0x40_1000).expect("a table");
        assert_eq!((table.format(), table.len()), (format, 2));
        let first = Entry { address: 0x40_1100, size: 0x40, name: "main.main".into() };
        let second = Entry { address: 0x40_1140, size: 0xc0, name: "main.(*T).M".into() };
        assert_eq!((table.entry(0), table.entry(1)), (Some(first), Some(second)), "{format:?}");
        let found = [0x40_10ff, 0x40_1100, 0x40_113f, 0x40_1140, 0x40_11ff, 0x40_1200].map(|a| table.find(a));
        assert_eq!(found, [None, Some(0), Some(0), Some(1), Some(1), None], "{format:?}");
        assert_eq!(table.file(0).as_deref(), Some("/src/main.go"), "{format:?}");
        assert_eq!(table.file(1).as_deref(), Some("/src/asm.s"), "{format:?}");
        assert_eq!(table.entry(2), None);
    }
}

#[test]
fn cut_tables_have_less_and_break_nothing() {
    for format in [Format::Go12, Format::Go118] {
        let whole = made(format);
        for len in 0..whole.len() {
            let Some(table) = Table::new(&whole[..len], 0) else { continue };
            for i in 0..4 {
                let _ = (table.entry(i), table.file(i), table.find(0x1100));
            }
        }
    }
    assert!(Header::read(&&b"\xf1\xff\xff\xff\0\0\x01\x07"[..]).is_none());
}
