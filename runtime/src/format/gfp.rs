//! `%gr`: the kernel's allocation flags (include/linux/gfp_types.h) by name.

/// Names of the bits from 0 on; empty: not used by the kernel.
const BITS: [&str; 27] = [
    "GFP_DMA",
    "__GFP_HIGHMEM",
    "GFP_DMA32",
    "__GFP_MOVABLE",
    "__GFP_RECLAIMABLE",
    "__GFP_HIGH",
    "__GFP_IO",
    "__GFP_FS",
    "__GFP_ZERO",
    "",
    "__GFP_DIRECT_RECLAIM",
    "__GFP_KSWAPD_RECLAIM",
    "__GFP_WRITE",
    "__GFP_NOWARN",
    "__GFP_RETRY_MAYFAIL",
    "__GFP_NOFAIL",
    "__GFP_NORETRY",
    "__GFP_MEMALLOC",
    "__GFP_COMP",
    "__GFP_NOMEMALLOC",
    "__GFP_HARDWALL",
    "__GFP_THISNODE",
    "__GFP_ACCOUNT",
    "__GFP_ZEROTAGS",
    "__GFP_SKIP_ZERO",
    "__GFP_SKIP_KASAN",
    "__GFP_NO_OBJ_EXT",
];

const HIGHMEM: u64 = 1 << 1;
const MOVABLE: u64 = 1 << 3;
const HIGH: u64 = 1 << 5;
const IO: u64 = 1 << 6;
const FS: u64 = 1 << 7;
const DIRECT: u64 = 1 << 10;
const KSWAPD: u64 = 1 << 11;
const NOWARN: u64 = 1 << 13;
const COMP: u64 = 1 << 18;
const NOMEMALLOC: u64 = 1 << 19;
const HARDWALL: u64 = 1 << 20;
const ACCOUNT: u64 = 1 << 22;
/// There on kernels with hardware tags only, where it is part of the movable combinations.
const SKIP_KASAN: u64 = 1 << 25;

const NOIO: u64 = DIRECT | KSWAPD;
const NOFS: u64 = NOIO | IO;
const KERNEL: u64 = NOFS | FS;
const USER: u64 = KERNEL | HARDWALL;
const HIGHUSER: u64 = USER | HIGHMEM;
const LIGHT: u64 = (HIGHUSER | MOVABLE | COMP | NOMEMALLOC | NOWARN) & !NOIO;

/// Combinations with a name, the larger before those they contain: the kernel's own order (its tracepoints print so).
const COMBINED: [(u64, &str); 14] = [
    (LIGHT | DIRECT | SKIP_KASAN, "GFP_TRANSHUGE"),
    (LIGHT | DIRECT, "GFP_TRANSHUGE"),
    (LIGHT | SKIP_KASAN, "GFP_TRANSHUGE_LIGHT"),
    (LIGHT, "GFP_TRANSHUGE_LIGHT"),
    (HIGHUSER | MOVABLE | SKIP_KASAN, "GFP_HIGHUSER_MOVABLE"),
    (HIGHUSER | MOVABLE, "GFP_HIGHUSER_MOVABLE"),
    (HIGHUSER, "GFP_HIGHUSER"),
    (USER, "GFP_USER"),
    (KERNEL | ACCOUNT, "GFP_KERNEL_ACCOUNT"),
    (KERNEL, "GFP_KERNEL"),
    (NOFS, "GFP_NOFS"),
    (HIGH | KSWAPD, "GFP_ATOMIC"),
    (NOIO, "GFP_NOIO"),
    (KSWAPD | NOWARN, "GFP_NOWAIT"),
];

/// The flags joined by `|`; bits without a name as one hexadecimal number; 0 for none.
pub(super) fn text(flags: u64) -> String {
    let mut rest = flags;
    let mut names: Vec<&str> = Vec::new();
    let single = BITS.iter().enumerate().filter(|(_, n)| !n.is_empty()).map(|(bit, name)| (1u64 << bit, *name));
    for (mask, name) in COMBINED.into_iter().chain(single) {
        if rest & mask == mask {
            rest &= !mask;
            names.push(name);
        }
    }
    let unknown = format!("{rest:#x}");
    if rest != 0 {
        names.push(&unknown);
    }
    if names.is_empty() { "0".to_owned() } else { names.join("|") }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn flags_have_the_kernels_names() {
        assert_eq!(text(0), "0");
        assert_eq!(text(1), "GFP_DMA");
        assert_eq!(text(0xcc0), "GFP_KERNEL");
        assert_eq!(text(0x40_0cc0), "GFP_KERNEL_ACCOUNT");
        assert_eq!(text(0x14_0cca), "GFP_HIGHUSER_MOVABLE|__GFP_COMP");
        assert_eq!(text(0x214_0cca), "GFP_HIGHUSER_MOVABLE|__GFP_COMP");
        assert_eq!(text(0x60_80c0), "__GFP_IO|__GFP_FS|__GFP_NOFAIL|__GFP_THISNODE|__GFP_ACCOUNT");
        assert_eq!(text(0x8000_0001), "GFP_DMA|0x80000000");
    }
}
