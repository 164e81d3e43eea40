//! Filters as libpcap compiles them, run by the kernel's own rules here: instruction by instruction.

use super::*;
use crate::kernel::sys::Classic;

fn classic(code: u16, jt: u8, jf: u8, k: u32) -> Classic {
    Classic { code, jt, jf, k }
}

/// ldh [12]; jeq #0x800, 0, 1; ret #65535; ret #0
fn ip() -> Vec<Classic> {
    vec![classic(0x28, 0, 0, 12), classic(0x15, 0, 1, 0x800), classic(6, 0, 0, 65_535), classic(6, 0, 0, 0)]
}

fn image() -> ProgramImage {
    ProgramImage {
        name: "p".into(),
        prog_type: weftrace_artifact::program::ProgType::SocketFilter,
        // r0 += 1 (kind of link); exit
        insns: vec![0x0000_0001_0000_0007, 0x95],
        map_relocs: vec![weftrace_artifact::program::MapReloc { insn: 0, map: weftrace_artifact::map::MapId(0) }],
        field_relocs: vec![weftrace_artifact::program::FieldReloc {
            insn: 0,
            slot: weftrace_artifact::program::RelocSlot::Imm,
            path: FieldPath::LinkKind,
            compiled: 1,
        }],
        btf: vec![],
        func_info: [[0u32, 1], [1, 1]].as_flattened().iter().flat_map(|w| w.to_ne_bytes()).collect(),
        line_info: [[0u32, 0, 0, 0], [1, 0, 0, 0]].as_flattened().iter().flat_map(|w| w.to_ne_bytes()).collect(),
        spans: vec![(0, weftrace_artifact::Place::default()), (1, weftrace_artifact::Place::default())],
        scratch_size: 0,
        frame_size: 0,
        twin: None,
    }
}

fn first_words(records: &[u8], size: usize) -> Vec<u32> {
    records.chunks(size).map(|r| u32::from_ne_bytes(r[..4].try_into().expect("four bytes"))).collect()
}

#[test]
fn what_stands_behind_the_filter_moves_with_it() {
    let made = behind(&image(), &[1, 2, 3], LinkKind::RawIp);
    assert_eq!(made.insns, [1, 2, 3, 0x0000_0003_0000_0007, 0x95]);
    assert_eq!((made.map_relocs[0].insn, made.field_relocs[0].insn), (3, 3));
    assert_eq!(first_words(&made.func_info, 8), [0, 4]);
    assert_eq!(first_words(&made.line_info, 16), [0, 4]);
    assert_eq!([made.spans[0].0, made.spans[1].0], [0, 4]);
}

#[test]
fn filters_that_take_nothing_or_ask_for_more_stay_in_user_space() {
    assert!(guard::translate(&ip()).is_ok());
    let never = guard::translate(&[classic(6, 0, 0, 0)]).expect_err("nothing passes");
    assert!(never.contains("no packet"), "{never}");
    // SKF_AD_HATYPE
    let asks = guard::translate(&[classic(0x28, 0, 0, (-0x1000i32 + 28) as u32), classic(0x16, 0, 0, 0)]);
    assert!(asks.is_err_and(|e| e.contains("can't know")));
    assert!(guard::translate(&[classic(0x15, 9, 0, 0)]).is_err());
    assert!(guard::translate(&[]).is_err());
}

/// The verifier takes the translation of every kind of instruction, and instructions that nothing reaches are left out.
#[test]
fn the_kernel_takes_translations() {
    let every: Vec<Classic> = [
        (0x20, 26),
        (0x28, 12),
        (0x30, 23),
        (0x40, 14),
        (0x48, 14),
        (0x50, 14),
        (0x00, 7),
        (0x80, 0),
        (0x02, 3),
        (0x60, 3),
        (0x01, 5),
        (0x03, 15),
        (0x61, 15),
        (0x81, 0),
        (0xb1, 14),
        (0x04, 1),
        (0x0c, 0),
        (0x14, 1),
        (0x1c, 0),
        (0x24, 3),
        (0x2c, 0),
        (0x34, 3),
        (0x3c, 0),
        (0x44, 1),
        (0x4c, 0),
        (0x54, 0xff),
        (0x5c, 0),
        (0x64, 2),
        (0x74, 2),
        (0x84, 0),
        (0x94, 7),
        (0x9c, 0),
        (0xa4, 1),
        (0xac, 0),
        (0x07, 0),
        (0x87, 0),
    ]
    .map(|(code, k)| classic(code, 0, 0, k))
    .into_iter()
    .chain([0, 4, 8, 20, 24, 44, 48, 60].map(|what| classic(0x20, 0, 0, (-0x1000i32 + what) as u32)))
    .chain([0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d].map(|code| classic(code, 0, 1, 0x8000_0000)))
    .chain([classic(0x05, 0, 0, 1), classic(6, 0, 0, 0), classic(0x16, 0, 0, 0)])
    .collect();
    for filter in [ip(), every] {
        let mut insns = guard::translate(&filter).expect("it can be said");
        // r0 = 0; exit
        insns.extend([0xb7, 0x95]);
        let params = sys::ProgParams::new(sys::bpf_prog_type::BPF_PROG_TYPE_SOCKET_FILTER, "try", &insns);
        let mut log = vec![0; 64 << 10];
        match sys::prog_load(&params, Some(&mut log)) {
            Ok(_) => {}
            Err(e) if e.is_permission() => return skip("CAP_BPF"),
            Err(e) => panic!("{e}: {}", String::from_utf8_lossy(&log).trim_end_matches('\0')),
        }
    }
}

#[allow(clippy::print_stdout, reason = "tests say what they skip")]
fn skip(what: &str) {
    println!("SKIP {what}");
}
