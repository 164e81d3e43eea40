#![allow(clippy::print_stdout, reason = "tests say what they skip")]
use super::{ProcessSymbols, parse_region, start_time};

#[inline(never)]
fn a_function_of_this_test() -> usize {
    std::hint::black_box(7)
}

#[test]
fn own_functions_have_names() {
    assert_eq!(a_function_of_this_test(), 7);
    let mut symbols = ProcessSymbols::new();
    let address = a_function_of_this_test as *const () as u64;
    let frame = symbols.resolve(std::process::id(), address + 1).expect("mapped");
    if frame.symbol.is_none() {
        println!("SKIP own symbols (stripped)");
        return;
    }
    assert_eq!(frame.symbol.as_deref(), Some("weftrace_probes::symbols::process::tests::a_function_of_this_test"));
    assert_eq!(frame.offset, 1);
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let mut symbols = ProcessSymbols::new();
    assert_eq!(symbols.resolve(std::process::id(), 0x10), None);
    assert_eq!(symbols.resolve(0x3fff_ffff, 0x1000), None);
}

#[test]
fn a_remembered_process_keeps_its_names() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
    // Until exec the child has our map.
    let maps = format!("/proc/{}/maps", child.id());
    let line = (0..500).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(4));
        let text = std::fs::read_to_string(&maps).ok()?;
        let own = text.lines().next()?.contains("sleep") || text.contains("bin/");
        text.lines().find(|l| own && l.contains("r-xp") && l.contains("libc")).map(str::to_owned)
    });
    let line = line.expect("sleep maps libc");
    let start = u64::from_str_radix(line.split('-').next().expect("start"), 16).expect("hex");
    let mut symbols = ProcessSymbols::new();
    symbols.remember(child.id());
    child.kill().expect("kill");
    child.wait().expect("wait");
    let frame = symbols.resolve(child.id(), start + 0x1000).expect("remembered");
    assert!(frame.file.contains("libc"), "{frame:?}");
}

#[test]
fn map_lines() {
    let r =
        parse_region("55d0c8a00000-55d0c8a01000 r-xp 00002000 08:01 1234   /usr/bin/my cat (deleted)").expect("parses");
    assert_eq!((r.start, r.end, r.file_offset), (0x55d0_c8a0_0000, 0x55d0_c8a0_1000, 0x2000));
    assert_eq!(&*r.path, "/usr/bin/my cat (deleted)");
    assert_eq!(parse_region("55d0c8a00000-55d0c8a01000 rw-p 00002000 08:01 1234 /x"), None);
    assert_eq!(parse_region("nonsense"), None);
    assert!(start_time(std::process::id()).is_some_and(|t| t > 0));
}
