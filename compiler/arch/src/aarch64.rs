//! aarch64: `struct user_pt_regs` of arch/arm64/include/uapi/asm/ptrace.h, AAPCS64 (6.8), DWARF for AAPCS64 (4.1).

use crate::{Arch, Calls, Dwarf, GoCalls, TracedCalls, syscalls};

/// aarch64.
pub static AARCH64: Arch = TABLE;

/// Of x0 … x30.
const fn x(number: u16) -> u16 {
    number * 8
}
const FP: u16 = x(29);
const LR: u16 = x(30);
const SP: u16 = x(31);
const PC: u16 = x(32);

pub(crate) const TABLE: Arch = Arch {
    name: "aarch64",
    title: "arm64",
    define: "__aarch64__",
    multiarch: "aarch64-linux-gnu",
    elf: 183,
    // Without pstate.
    registers_size: 264,
    args: &[x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7)],
    result: x(0),
    instruction_pointer: PC,
    stack_pointer: SP,
    privilege: None,
    registers: &[
        ("r0", x(0)),
        ("r1", x(1)),
        ("r2", x(2)),
        ("r3", x(3)),
        ("r4", x(4)),
        ("r5", x(5)),
        ("r6", x(6)),
        ("r7", x(7)),
        ("r8", x(8)),
        ("r9", x(9)),
        ("r10", x(10)),
        ("r11", x(11)),
        ("r12", x(12)),
        ("r13", x(13)),
        ("r14", x(14)),
        ("r15", x(15)),
        ("r16", x(16)),
        ("r17", x(17)),
        ("r18", x(18)),
        ("r19", x(19)),
        ("r20", x(20)),
        ("r21", x(21)),
        ("r22", x(22)),
        ("r23", x(23)),
        ("r24", x(24)),
        ("r25", x(25)),
        ("r26", x(26)),
        ("r27", x(27)),
        ("r28", x(28)),
        ("r29", FP),
        ("fp", FP),
        ("r30", LR),
        ("lr", LR),
        ("sp", SP),
        ("pc", PC),
    ],
    assembler,
    dwarf: Dwarf { offsets: &DWARF, stack_pointer: 31, frame_pointer: 29 },
    go: GoCalls {
        since: 18,
        words: &[x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7), x(8), x(9), x(10), x(11), x(12), x(13), x(14), x(15)],
        floats: 16,
        goroutine: x(28),
        always_there: true,
        stack: 8,
        frame: 0,
    },
    calls: Calls {
        floats: 8,
        stack: 0,
        // It is in x8.
        result_takes_a_register: false,
        large_by_reference: true,
        long_double_in_register: true,
    },
    syscalls: syscalls::aarch64::SYSCALLS,
    // arch/arm64/include/asm/{syscall.h,thread_info.h}: TIF_32BIT.
    traced_calls: TracedCalls {
        args: [("orig_x0", 0), ("regs", 8), ("regs", 16), ("regs", 24), ("regs", 32), ("regs", 40)],
        number: "syscallno",
        // The first argument and the result share one.
        running: None,
        compat: ("flags", 8, 1 << 22),
        renamed: &[
            ("arm64_personality", "personality"),
            ("fadvise64_64", "fadvise64"),
            ("newfstat", "fstat"),
            ("newuname", "uname"),
            ("sendfile64", "sendfile"),
            ("umount", "umount2"),
        ],
    },
    // Its kernels are built for pages of several sizes: PAGE_SIZE isn't known.
    constants: &[
        ("O_DIRECT", 0o200_000),
        ("O_DIRECTORY", 0o40_000),
        ("O_NOFOLLOW", 0o100_000),
        ("O_LARGEFILE", 0o400_000),
        ("O_TMPFILE", 0o20_040_000),
    ],
    watches_reads: true,
};

/// x0 … x30, sp, and the program counter, which DWARF doesn't number.
const DWARF: [u16; 33] = {
    let mut offsets = [0; 33];
    let mut i = 0;
    while i < offsets.len() {
        offsets[i] = x(i as u16);
        i += 1;
    }
    offsets
};

/// `x0` … `x30`, `w0` …, `sp`.
fn assembler(name: &str) -> Option<(u16, u8)> {
    let offset = match name {
        "sp" | "wsp" => SP,
        "fp" => FP,
        "lr" => LR,
        _ => {
            let number: u16 = name.strip_prefix(['x', 'w'])?.parse().ok()?;
            (number <= 30).then(|| x(number))?
        }
    };
    Some((offset, 0))
}
