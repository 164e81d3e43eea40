//! x86-64: `struct pt_regs` of arch/x86/include/asm/ptrace.h, the System V calling convention (1.0, 3.2.3), DWARF's numbers (3.6.2).

use crate::{Arch, Calls, Dwarf, GoCalls, Privilege, TracedCalls, syscalls};

/// x86-64.
pub static X86_64: Arch = TABLE;

const R15: u16 = 0;
const R14: u16 = 8;
const R13: u16 = 16;
const R12: u16 = 24;
const BP: u16 = 32;
const BX: u16 = 40;
const R11: u16 = 48;
const R10: u16 = 56;
const R9: u16 = 64;
const R8: u16 = 72;
const AX: u16 = 80;
const CX: u16 = 88;
const DX: u16 = 96;
const SI: u16 = 104;
const DI: u16 = 112;
const IP: u16 = 128;
const CS: u16 = 136;
const SP: u16 = 152;

pub(crate) const TABLE: Arch = Arch {
    name: "x86_64",
    title: "x86-64",
    define: "__x86_64__",
    multiarch: "x86_64-linux-gnu",
    elf: 62,
    registers_size: 168,
    args: &[DI, SI, DX, CX, R8, R9],
    result: AX,
    instruction_pointer: IP,
    stack_pointer: SP,
    // The code segment's level: 0 the kernel, 3 programs.
    privilege: Some(Privilege { register: CS, mask: 3, program: 3 }),
    registers: &[
        ("r15", R15),
        ("r14", R14),
        ("r13", R13),
        ("r12", R12),
        ("bp", BP),
        ("bx", BX),
        ("r11", R11),
        ("r10", R10),
        ("r9", R9),
        ("r8", R8),
        ("ax", AX),
        ("cx", CX),
        ("dx", DX),
        ("si", SI),
        ("di", DI),
        ("orig_ax", 120),
        ("ip", IP),
        ("pc", IP),
        ("cs", CS),
        ("flags", 144),
        ("sp", SP),
        ("ss", 160),
    ],
    assembler,
    dwarf: Dwarf {
        offsets: &[AX, DX, CX, BX, SI, DI, BP, SP, R8, R9, R10, R11, R12, R13, R14, R15, IP],
        stack_pointer: 7,
        frame_pointer: 6,
    },
    go: GoCalls {
        since: 17,
        words: &[AX, BX, CX, DI, SI, R8, R9, R10, R11],
        floats: 15,
        goroutine: R14,
        always_there: false,
        stack: 8,
        frame: 8,
    },
    calls: Calls {
        floats: 8,
        // The return address is below the first.
        stack: 8,
        result_takes_a_register: true,
        large_by_reference: false,
        long_double_in_register: false,
    },
    syscalls: syscalls::x86_64::SYSCALLS,
    // arch/x86/include/asm/{syscall.h,thread_info.h}: TS_COMPAT. A call of the x32 ABI has a number beyond the table.
    traced_calls: TracedCalls {
        args: [("di", 0), ("si", 0), ("dx", 0), ("r10", 0), ("r8", 0), ("r9", 0)],
        number: "orig_ax",
        compat: ("status", 4, 2),
        // -ENOSYS (arch/x86/entry/entry_64.S)
        running: Some(("ax", -38)),
        renamed: &[
            ("newfstat", "fstat"),
            ("newlstat", "lstat"),
            ("newstat", "stat"),
            ("newuname", "uname"),
            ("sendfile64", "sendfile"),
            ("umount", "umount2"),
        ],
    },
    constants: &[
        ("PAGE_SHIFT", 12),
        ("PAGE_SIZE", 4096),
        ("PAGE_MASK", !4095),
        ("O_DIRECT", 0o40_000),
        ("O_DIRECTORY", 0o200_000),
        ("O_NOFOLLOW", 0o400_000),
        ("O_LARGEFILE", 0o100_000),
        ("O_TMPFILE", 0o20_200_000),
    ],
    // Its debug registers know writes, and reads and writes.
    watches_reads: false,
};

/// Registers with names of their own for their parts: (offset, name of 64 bits, 32, 16, 8, second byte).
const NAMED: &[(u16, [&str; 5])] = &[
    (BP, ["rbp", "ebp", "bp", "bpl", ""]),
    (BX, ["rbx", "ebx", "bx", "bl", "bh"]),
    (AX, ["rax", "eax", "ax", "al", "ah"]),
    (CX, ["rcx", "ecx", "cx", "cl", "ch"]),
    (DX, ["rdx", "edx", "dx", "dl", "dh"]),
    (SI, ["rsi", "esi", "si", "sil", ""]),
    (DI, ["rdi", "edi", "di", "dil", ""]),
    (IP, ["rip", "eip", "ip", "", ""]),
    (SP, ["rsp", "esp", "sp", "spl", ""]),
];

/// `rax`, `eax`, `ah`, `r10d` … without the percent sign.
fn assembler(name: &str) -> Option<(u16, u8)> {
    if let Some((offset, names)) = NAMED.iter().find(|(_, names)| names.contains(&name) && !name.is_empty()) {
        return Some((*offset, if names[4] == name { 8 } else { 0 }));
    }
    // r8 … r15, with d, w or b after it for a part.
    let number: usize = name.strip_prefix('r')?.trim_end_matches(['d', 'w', 'b']).parse().ok()?;
    let offset = [R8, R9, R10, R11, R12, R13, R14, R15].get(number.checked_sub(8)?)?;
    Some((*offset, 0))
}
