use super::*;
use weftrace_lang::world::GoAbi;

const START: u64 = 0x40_1000;

fn x86(bytes: &[u8]) -> Places {
    places(Machine::X86_64, bytes, START, true, false).expect("there is a decoder")
}

/// cmp rsp, [r14+0x10]; jbe +N; sub rsp, 0x18; add rsp, 0x18; ret; mov [rsp+8], rax; call; mov rax, [rsp+8]; jmp to the start
const CHECKED: &[u8] = &[
    0x49, 0x3b, 0x66, 0x10, 0x76, 0x09, 0x48, 0x83, 0xec, 0x18, 0x48, 0x83, 0xc4, 0x18, 0xc3, 0x48, 0x89, 0x44, 0x24,
    0x08, 0xe8, 0x00, 0x10, 0x00, 0x00, 0x48, 0x8b, 0x44, 0x24, 0x08, 0xeb, 0xe0,
];

#[test]
fn behind_the_stack_check() {
    let found = x86(CHECKED);
    assert_eq!((found.entry, found.returns), (START + 6, vec![START + 14]));
    assert_eq!((found.tails, found.unclear, found.looped), (vec![], None, false));
    // A frame so large that what is left must not wrap: mov r12, rsp; sub r12, N; jb; cmp r12, [r14+0x10]; jbe
    let mut large = vec![0x49, 0x89, 0xe4, 0x49, 0x81, 0xec, 0x08, 0x11, 0x01, 0x00];
    large.extend([0x72, 0x0d, 0x4d, 0x3b, 0x66, 0x10, 0x76, 0x07]);
    large.extend([0x48, 0x81, 0xec, 0x88, 0x11, 0x01, 0x00]);
    large.extend([0xe8, 0x00, 0x10, 0x00, 0x00, 0xeb, 0xe0, 0xc3]);
    let found = x86(&large);
    assert_eq!((found.entry, found.returns), (START + 18, vec![START + 32]));
    // An argument's register was written: there is no such check.
    let mut clobbered = CHECKED.to_vec();
    clobbered.splice(0..0, [0x48, 0x31, 0xc0]);
    clobbered[30 + 3 + 1] = 0xdd;
    assert_eq!(x86(&clobbered).entry, START);
    // Before Go 1.17 the goroutine is fetched first: mov rcx, fs:[-8]; cmp rsp, [rcx+0x10]; jbe
    let mut old = vec![0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff, 0x48, 0x3b, 0x61, 0x10, 0x76, 0x01, 0xc3];
    old.extend([0xe8, 0x00, 0x10, 0x00, 0x00, 0xeb, 0xe9]);
    let on_stack = places(Machine::X86_64, &old, START, false, false).expect("there is a decoder");
    assert_eq!((on_stack.entry, on_stack.returns), (START + 15, vec![START + 15]));
    // The same with a way around that leaves the function: no entry of this one is there.
    let mut astray = old[..9 + 4].to_vec();
    astray.extend([0x77, 0x70, 0xe8, 0x00, 0x10, 0x00, 0x00, 0xeb, 0xea]);
    let found = places(Machine::X86_64, &astray, START, false, false).expect("there is a decoder");
    assert_eq!(found.entry, START);
}

#[test]
fn functions_without_a_check() {
    // ret
    let found = x86(&[0xc3, 0xcc, 0xcc]);
    assert_eq!((found.entry, found.returns), (START, vec![START]));
    // inc [rax]; jmp to it
    assert!(x86(&[0x48, 0xff, 0x00, 0xeb, 0xfb]).looped);
    // jmp to another function
    assert_eq!(x86(&[0xe9, 0x00, 0x01, 0x00, 0x00]).tails, [START]);
    // jbe to another function; an instruction that isn't one
    assert!(x86(&[0x0f, 0x86, 0x00, 0x01, 0x00, 0x00, 0xc3]).unclear.is_some());
    assert!(x86(&[0x06, 0xc3]).unclear.is_some());
    // jmp rax: within a switch, but from assembly to anywhere.
    assert!(x86(&[0xff, 0xe0]).tails.is_empty());
    let assembly = places(Machine::X86_64, &[0xff, 0xe0], START, true, true).expect("there is a decoder");
    assert_eq!(assembly.tails, [START]);
    assert_eq!(places(Machine::Other, &[0xc3], START, true, false), None);
}

#[test]
fn aarch64() {
    // ldr x16, [x28, #16]; cmp sp, x16; b.ls +5; sub sp, sp, #32; add sp, sp, #32; ret; mov x3, x30; bl; b to the start
    let words: [u32; 9] = [
        0xf940_0b90,
        0xeb30_63ff,
        0x5400_0089,
        0xd100_83ff,
        0x9100_83ff,
        0xd65f_03c0,
        0xaa1e_03e3,
        0x9400_0400,
        0x17ff_fff8,
    ];
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let found = places(Machine::Aarch64, &bytes, START, true, false).expect("there is a decoder");
    assert_eq!((found.entry, found.returns), (START + 12, vec![START + 20]));
    // b to another function
    let found =
        places(Machine::Aarch64, &0x1400_0400u32.to_le_bytes(), START, true, false).expect("there is a decoder");
    assert_eq!(found.tails, [START]);
}

#[test]
fn versions() {
    let version = |text: &str| version::Version::parse(text);
    assert_eq!(version("go1.19.8").map(|v| v.abi(17)), Some(GoAbi::Registers));
    assert_eq!(version("go1.16").map(|v| v.abi(17)), Some(GoAbi::Stack));
    assert_eq!(version("go1.17 X:noregabi").map(|v| v.abi(17)), Some(GoAbi::Stack));
    assert_eq!(version("devel go1.28-abcdef Mon").map(|v| (v.minor, version::goid(v))), Some((28, None)));
    assert_eq!(version("go1.24.1").and_then(version::goid), Some(160));
    assert_eq!((version(""), version("gcc 12")), (None, None));
}
