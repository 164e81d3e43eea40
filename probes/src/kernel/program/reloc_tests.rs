use super::{apply, patch};
use weftrace_artifact::map::MapId;
use weftrace_artifact::program::{FieldPath, FieldReloc, MapReloc, ProgType, ProgramImage, RelocSlot};

fn image(insns: Vec<u64>, map_relocs: Vec<MapReloc>) -> ProgramImage {
    ProgramImage {
        name: "p".into(),
        prog_type: ProgType::Kprobe,
        insns,
        map_relocs,
        field_relocs: vec![],
        btf: vec![],
        func_info: vec![],
        line_info: vec![],
        spans: vec![],
        scratch_size: 0,
        frame_size: 0,
        twin: None,
    }
}

#[test]
fn maps_become_descriptors() {
    let made =
        apply(&image(vec![0x0118, 0], vec![MapReloc { insn: 0, map: MapId(1) }]), &[3, 7], None).expect("applies");
    assert_eq!(made, [0x0000_0007_0000_1118, 0]);
}

#[test]
fn wrong_relocations_are_told() {
    let at = |insn, map| vec![MapReloc { insn, map: MapId(map) }];
    assert!(apply(&image(vec![0x0118, 0], at(1, 0)), &[3], None).is_err());
    assert!(apply(&image(vec![0x0118, 0], at(0, 5)), &[3], None).is_err());
    assert!(apply(&image(vec![0x95, 0x95], at(0, 0)), &[3], None).is_err());
    assert!(apply(&image(vec![0x95], at(u32::MAX, 0)), &[3], None).is_err());
}

#[test]
fn fields_move() {
    let reloc = |slot| FieldReloc {
        insn: 0,
        slot,
        path: FieldPath::Struct { name: "s".into(), members: "a".into() },
        compiled: 16,
    };
    // r2 = *(u64 *)(r1 + 20): 4 into the field
    let mut insns = [0x0014_1279u64];
    patch(&mut insns, &reloc(RelocSlot::Off), 8).expect("moves");
    assert_eq!(insns[0], 0x000c_1279);
    let mut insns = [0x0000_0010_0000_0107u64];
    patch(&mut insns, &reloc(RelocSlot::Imm), 24).expect("moves");
    assert_eq!(insns[0], 0x0000_0018_0000_0107);
    assert!(patch(&mut [0x0014_1279], &reloc(RelocSlot::Off), 40_000).is_err());
}
