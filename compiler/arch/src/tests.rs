use super::*;
use std::collections::HashSet;

fn offsets(arch: &Arch) -> Vec<u16> {
    let named = arch.registers.iter().map(|r| r.1);
    let mut all: Vec<u16> = named.chain(arch.args.iter().copied()).chain(arch.dwarf.offsets.iter().copied()).collect();
    all.extend([arch.result, arch.instruction_pointer, arch.stack_pointer, arch.go.goroutine]);
    all.extend(arch.go.words);
    all.extend(arch.privilege.map(|p| p.register));
    all
}

#[test]
fn every_register_is_among_the_registers() {
    for arch in all() {
        for offset in offsets(arch) {
            assert!(
                offset.is_multiple_of(8) && u32::from(offset) + 8 <= arch.registers_size,
                "{}: {offset}",
                arch.name
            );
        }
        let names: HashSet<_> = arch.registers.iter().map(|r| r.0).collect();
        assert_eq!(names.len(), arch.registers.len(), "{}: a name twice", arch.name);
        let dwarf: HashSet<_> = arch.dwarf.offsets.iter().collect();
        assert_eq!(dwarf.len(), arch.dwarf.offsets.len(), "{}: a register twice", arch.name);
        assert_eq!(arch.dwarf.offsets[arch.dwarf.stack_pointer], arch.stack_pointer);
        assert_eq!(arch.dwarf.offsets.last(), Some(&arch.instruction_pointer));
        assert_eq!(arch.register("sp"), Some(arch.stack_pointer));
        assert_eq!(arch.register("pc"), Some(arch.instruction_pointer));
        assert_eq!((arch.assembler)("sp").map(|r| r.0), Some(arch.stack_pointer));
    }
}

/// `struct user_regs_struct` begins as the kernel's `struct pt_regs` does.
#[test]
#[cfg(target_arch = "x86_64")]
fn the_c_library_has_the_same_registers() {
    macro_rules! same {
        ($($ours:literal $theirs:ident),*) => {
            $(assert_eq!(HOST.register($ours).map(usize::from), Some(std::mem::offset_of!(libc::user_regs_struct, $theirs)), $ours);)*
        };
    }
    same!["r15" r15, "r14" r14, "r13" r13, "r12" r12, "bp" rbp, "bx" rbx, "r11" r11, "r10" r10, "r9" r9, "r8" r8, "ax" rax, "cx" rcx,
        "dx" rdx, "si" rsi, "di" rdi, "orig_ax" orig_rax, "ip" rip, "cs" cs, "flags" eflags, "sp" rsp, "ss" ss];
}

#[test]
#[cfg(target_arch = "aarch64")]
fn the_c_library_has_the_same_registers() {
    use std::mem::offset_of;
    assert_eq!(usize::from(HOST.stack_pointer), offset_of!(libc::user_regs_struct, sp));
    assert_eq!(usize::from(HOST.instruction_pointer), offset_of!(libc::user_regs_struct, pc));
    assert_eq!(HOST.registers_size as usize, offset_of!(libc::user_regs_struct, pstate));
}

#[test]
fn parts_of_registers() {
    let x86 = |name| (X86_64.assembler)(name);
    assert_eq!((x86("rax"), x86("ah"), x86("r10w")), (Some((80, 0)), Some((80, 8)), Some((56, 0))));
    assert_eq!(
        (x86("r8"), x86("r15d"), x86("r16"), x86("r7"), x86("xmm0"), x86("")),
        (Some((72, 0)), Some((0, 0)), None, None, None, None)
    );
    let arm = |name| (AARCH64.assembler)(name);
    assert_eq!(
        (arm("x0"), arm("w19"), arm("lr"), arm("x31"), arm("v0")),
        (Some((0, 0)), Some((152, 0)), Some((240, 0)), None, None)
    );
}

#[test]
fn machines_of_files() {
    assert_eq!(by_machine(62).map(|a| a.name), Some("x86_64"));
    assert_eq!(by_machine(3).map(|a| a.name), Some("x86_64"));
    assert_eq!(by_machine(183).map(|a| a.name), Some("aarch64"));
    assert!(by_machine(40).is_none());
    assert_eq!(HOST.name, std::env::consts::ARCH);
}

#[test]
fn system_calls_by_number() {
    for arch in all() {
        let numbers: Vec<u32> = arch.syscalls().map(|c| c.0).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{}: a number twice", arch.name);
        let names: HashSet<_> = arch.syscalls().map(|c| c.1).collect();
        assert_eq!(names.len(), numbers.len(), "{}: a name twice", arch.name);
        assert!(names.iter().all(|n| !n.is_empty()));
    }
    let number = |arch: &Arch, name| arch.syscalls().find(|c| c.1 == name).map(|c| c.0);
    let of = |name| (number(&X86_64, name), number(&AARCH64, name));
    assert_eq!(of("read"), (Some(0), Some(63)));
    assert_eq!(of("openat"), (Some(257), Some(56)));
    assert_eq!(of("open"), (Some(2), None));
    assert_eq!(of("futex_waitv"), (Some(449), Some(449)));
    assert_eq!(number(HOST, "bpf").map(i64::from), Some(libc::SYS_bpf));
    assert_eq!(number(HOST, "process_mrelease").map(i64::from), Some(libc::SYS_process_mrelease));
}

/// The kernel's own list, where its headers are installed; they may be older than our table.
#[test]
#[allow(clippy::print_stdout, reason = "tests say what they skip")]
fn the_kernels_headers_have_the_same_calls() {
    let (mut checked, files) = (
        0,
        [(&X86_64, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (&AARCH64, "/usr/include/asm-generic/unistd.h")],
    );
    for (arch, file) in files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        checked += 1;
        let ours: std::collections::HashMap<_, _> = arch.syscalls().map(|(n, name)| (name, n)).collect();
        let mut seen = 0;
        for line in text.lines() {
            let mut words = line.split_whitespace().filter(|w| *w != "#define");
            let (Some(name), Some(Ok(number))) = (words.next(), words.next().map(str::parse::<u32>)) else { continue };
            let Some(name) = name.strip_prefix("__NR_") else { continue };
            // Where the number of the architectures' own calls begins, and calls that 64-bit kernels don't have.
            if ["arch_specific_syscall", "syscalls", "sync_file_range2"].contains(&name) || name.ends_with("_time64") {
                continue;
            }
            if let Some(n) = ours.get(name) {
                assert_eq!(*n, number, "{}: {name}", arch.name);
                seen += 1;
            }
        }
        assert!(seen > 250, "{file}: only {seen} calls known");
    }
    if checked == 0 {
        println!("SKIP kernel headers");
    }
}

#[test]
fn numbers_by_tracepoint() {
    let number = |name| X86_64.traced_call(name);
    assert_eq!((number("read"), number("uprobe"), number("openat2")), (Some(0), Some(336), Some(437)));
    assert_eq!((number("newstat"), number("umount"), number("sendfile64")), (Some(4), Some(166), Some(40)));
    // Functions of these names, where there are any, are for 32-bit programs.
    assert_eq!((number("stat"), number("uname"), number("umount2")), (None, None, None));
    assert_eq!((number("socketcall"), number("Unknown"), number("")), (None, None, None));
    assert_eq!((AARCH64.traced_call("newfstat"), AARCH64.traced_call("openat")), (Some(80), Some(56)));
    for arch in all() {
        for (function, name) in arch.traced_calls.renamed {
            assert!(arch.traced_call(function).is_some(), "{}: {function}: no number of {name}", arch.name);
        }
    }
}
