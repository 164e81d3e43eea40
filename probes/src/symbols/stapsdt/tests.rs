use super::*;
use object::elf::{EM_AARCH64, EM_X86_64};
use weftrace_lang::world::{UsdtArg, UsdtPlace as P};

fn parse_args(machine: u16, text: &str) -> Vec<UsdtArg> {
    let symbol = |name: &str| (name == "table").then_some(0x4010);
    Parser { machine, symbol: &symbol }.all(text, 0x1000)
}

fn x86(text: &str) -> (u8, bool, P) {
    let mut all = parse_args(EM_X86_64, text);
    assert_eq!(all.len(), 1, "{text}");
    let arg = all.remove(0);
    (arg.size, arg.signed, arg.place)
}

fn memory(base: Option<u16>, index: Option<u16>, scale: u8, offset: i64) -> P {
    P::Memory { base, index, scale, offset }
}

#[test]
fn every_form_of_x86() {
    assert_eq!(x86("-4@$-3600"), (4, true, P::Constant(-3600)));
    assert_eq!(x86("8@$0xffffffffffffffff"), (8, false, P::Constant(-1)));
    assert_eq!(x86("8@%rax"), (8, false, P::Register { register: 80, shift: 0 }));
    assert_eq!(x86("1@%ah"), (1, false, P::Register { register: 80, shift: 8 }));
    assert_eq!(x86("-2@%r10w"), (2, true, P::Register { register: 56, shift: 0 }));
    assert_eq!(x86("4@%r15d").2, P::Register { register: 0, shift: 0 });
    assert_eq!(x86("%rdi"), (8, false, P::Register { register: 112, shift: 0 }));
    assert_eq!(x86("4@-20(%rbp)").2, memory(Some(32), None, 1, -20));
    assert_eq!(x86("8@(%rsp)").2, memory(Some(152), None, 1, 0));
    assert_eq!(x86("-8@-8(%rax,%rbx,8)").2, memory(Some(80), Some(40), 8, -8));
    assert_eq!(x86("8@(%rax,%rbx)").2, memory(Some(80), Some(40), 1, 0));
    assert_eq!(x86("8@16(,%rcx,4)").2, memory(None, Some(88), 4, 16));
    // Relative to the instruction at 0x1000.
    assert_eq!(x86("4@table+4(%rip)").2, memory(Some(128), None, 1, 0x3014));
    assert_eq!(x86("4@8+table-4(%rip)").2, memory(Some(128), None, 1, 0x3014));
    assert_eq!(x86("4@table").2, memory(None, None, 1, 0x4010));
}

#[test]
fn every_form_of_aarch64() {
    let all = parse_args(EM_AARCH64, "-4@[sp, 60] 8@x19 4@w3 8@[x0] 8@5 8@[x1, x2, lsl 3] -4@[x1, #-8]");
    let places: Vec<P> = all.into_iter().map(|a| a.place).collect();
    assert_eq!(
        places,
        [
            memory(Some(248), None, 1, 60),
            P::Register { register: 152, shift: 0 },
            P::Register { register: 24, shift: 0 },
            memory(Some(0), None, 1, 0),
            P::Constant(5),
            memory(Some(8), Some(16), 8, 0),
            memory(Some(8), None, 1, -8),
        ]
    );
}

#[test]
fn what_cannot_be_read_is_kept_as_text() {
    for text in ["8f@%xmm0", "8@%xmm1", "4@%fs:16", "8@nowhere(%rip)", "3@%rax", "8@(%rax,%rbx,3)", "8@", "@@@"] {
        assert_eq!(x86(text).2, P::Unreadable(text.into()), "{text}");
    }
    assert_eq!(parse_args(40, "4@r0")[0].place, P::Unreadable("4@r0".into()));
    assert!(parse_args(EM_X86_64, "").is_empty());
}

#[test]
fn malformed_notes_are_none() {
    let mut desc = Vec::new();
    for address in [0x1140u64, 0x2004, 0] {
        desc.extend(address.to_le_bytes());
    }
    desc.extend(b"ns\0name\08@%rax\0");
    let note = parse(&desc, true, Endianness::Little).expect("a note");
    assert_eq!((note.location, note.base, note.semaphore), (0x1140, 0x2004, 0));
    assert_eq!((note.namespace.as_str(), note.name.as_str(), note.args.as_str()), ("ns", "name", "8@%rax"));
    for cut in 0..26 {
        assert_eq!(parse(&desc[..cut], true, Endianness::Little), None, "{cut}");
    }
}
