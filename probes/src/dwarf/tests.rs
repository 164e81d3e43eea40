use super::fuzz::{fuzz_one, sections};
use super::sections::Sections;
use super::seeds::seeds;
use super::units::Units;
use super::unwind::{Registers, StackCopy, Step, UnwindInfo};
use super::{DebugInfo, Frames};
use std::path::Path;
use std::time::{Duration, Instant};
use weftrace_lang::hir::Ty;
use weftrace_lang::world::{ArgPlace, GoAbi, UserProto};

fn seed(name: &str) -> Vec<u8> {
    seeds().into_iter().find(|(known, _)| *known == name).expect("a seed").1
}

fn info(name: &str) -> DebugInfo {
    DebugInfo::of(&Sections::in_memory(&sections(&seed(name)))).expect("readable")
}

fn proto(info: &DebugInfo) -> UserProto {
    info.proto(0x1000, "victim").expect("told").expect("a function")
}

#[test]
fn what_compilers_write() {
    let info = info("plain");
    let proto = proto(&info);
    assert_eq!(
        (proto.name.as_str(), proto.params[0].name.as_str(), proto.params[0].c_type.as_str()),
        ("victim", "x", "S_t")
    );
    assert_eq!(proto.params[0].ty, Ty::Struct("n::S@/".into()));
    let def = info.struct_def("n::S").expect("told").expect("a struct");
    let fields: Vec<_> = def.fields.iter().map(|f| (f.name.as_str(), f.offset)).collect();
    assert_eq!((fields, def.size, def.align), (vec![("a", 0), ("b", 4), ("next", 32)], 40, 8));
    let Ty::Array { elem, len: 2 } = &def.fields[1].ty else { panic!("{:?}", def.fields[1].ty) };
    assert!(matches!(**elem, Ty::Array { len: 3, .. }));
}

/// What leads nowhere is no type; what would be within itself as a value is no information at all.
#[test]
fn types_within_themselves() {
    for name in ["array_of_itself", "enum_of_itself", "function_of_itself"] {
        let param = &proto(&info(name)).params[0];
        let text = if name == "enum_of_itself" { "enum e" } else { "<unknown type>" };
        assert_eq!(param.c_type, text, "{name}");
    }
    assert_eq!(proto(&info("array_of_itself")).params[0].ty, Ty::Void);
    let pointer = proto(&info("pointer_to_itself"));
    assert_eq!(pointer.params[0].place, ArgPlace::Registers { first: 0, count: 1 });
    for name in ["struct_of_itself", "chain_of_itself"] {
        let info = info(name);
        let said = info.proto(0x1000, "victim").expect_err(name).to_string();
        assert!(said.contains("within itself") || said.contains("in circles"), "{said}");
        let said = info.struct_def("S").expect_err(name).to_string();
        assert!(said.contains("within itself") || said.contains("in circles"), "{said}");
    }
    for name in ["go_array_of_itself", "go_struct_of_itself"] {
        for abi in [GoAbi::Registers, GoAbi::Stack] {
            info(name).go_proto(0x1000, 0x1000, abi).expect_err(name);
        }
    }
}

#[test]
fn more_types_than_any_program_has() {
    for name in ["doubled", "doubled_rust", "dimensions"] {
        info(name).proto(0x1000, "victim").expect_err(name);
    }
    info("doubled_go").go_proto(0x1000, 0x1000, GoAbi::Registers).expect_err("doubled");
    let doubled = info("doubled");
    doubled.struct_def("S0").expect_err("its members are a billion");
    // A thousand are few enough.
    let def = doubled.struct_def("S20").expect("told").expect("a struct");
    assert_eq!((def.fields.len(), def.size), (2, 16));
}

/// What can't be read any more ends a unit, and nothing else.
#[test]
fn a_damaged_unit() {
    let info = info("damaged");
    assert_eq!(proto(&info).params[0].c_type, "struct S");
    assert!(info.struct_def("S").expect("told").is_some());
}

/// Of calls that are inlined deeper than the stack is, nothing is told; of others all.
#[test]
fn calls_inlined_without_end() {
    let mut deep = seed("inlined");
    let all = sections(&deep);
    let (unit, abbreviations) = (all[0].1.to_vec(), all[1].1.to_vec());
    let at = unit.windows(2).position(|two| two == [11, 11]).expect("inlined calls");
    let mut longer = [&unit[..at], &vec![11; 200_000], &unit[at..]].concat();
    let length = longer.len() as u32 - 4;
    longer[..4].copy_from_slice(&length.to_le_bytes());
    let sections = Sections::in_memory(&[(".debug_info", &longer), (".debug_abbrev", &abbreviations)]);
    let at = |sections: &Sections| {
        let frames = Frames::of(Units::new(sections, Path::new("/"), Path::new("/")).expect("readable"));
        frames.at(0x1004)
    };
    assert_eq!(at(&sections), []);
    deep = seed("plain");
    let found = at(&Sections::in_memory(&super::fuzz::sections(&deep)));
    assert_eq!((found[0].function.as_deref(), found[0].file.as_deref()), (Some("victim"), Some("x.c")));
}

/// Of an ELF file, too.
#[test]
fn frames_and_files() {
    let sections = Sections::in_memory(&sections(&seed("plain")));
    let unwind = UnwindInfo::from_sections(&sections).expect("read");
    let registers = Registers::from_kernel(&[0x70; 512]).expect("long enough");
    let stack = StackCopy { start: registers.sp().expect("known"), bytes: &[0x10; 64] };
    for address in [0x1000, 0x1004] {
        let step = unwind.step(address, &registers, &stack);
        let Step::Caller(caller, false) = step else { panic!("{address:x}: {step:?}") };
        assert_eq!((caller.pc(), caller.sp()), (Some(0x1010_1010_1010_1010), registers.sp().map(|sp| sp + 8)));
    }
    let elf = Sections::of(&seed("elf"), |_| true).expect("an ELF file");
    assert!(elf.has(".debug_info") && elf.has(".eh_frame"));
    assert!(DebugInfo::of(&elf).and_then(|info| info.proto(0x1000, "victim")).is_ok_and(|proto| proto.is_some()));
}

#[test]
fn every_seed_is_done_with_soon() {
    for (name, seed) in seeds() {
        let begun = Instant::now();
        fuzz_one(&seed);
        assert!(begun.elapsed() < Duration::from_secs(20), "{name}: {:?}", begun.elapsed());
    }
}
