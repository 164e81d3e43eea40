//! The table of settings: names, what they take, what they are without being set.

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Number {
        least: i128,
        most: i128,
    },
    Flag,
    Text,
    /// One of these words, in any case.
    Words(&'static [&'static str]),
    /// One of [`LICENSES`].
    License,
    /// Whether a feature that may still change is allowed: `enable`, `warn`, `error`.
    Unstable,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) default: &'static str,
}

const fn number(name: &'static str, default: &'static str, least: i128, most: i128) -> Setting {
    Setting { name, default, takes: Takes::Number { least, most } }
}

const fn row(name: &'static str, default: &'static str, takes: Takes) -> Setting {
    Setting { name, takes, default }
}

/// Strings longer than this are not kept on the way to user space.
const LONGEST_STRING: i128 = 64 * 1024;
/// Where the engine has no limit of its own.
const ANY: i128 = u64::MAX as i128;

pub(crate) static SETTINGS: &[Setting] = &[
    // best: as the script says, or what brings the same records; fast: the cheapest; written: as the script says and not otherwise;
    // other: not as the script says wherever that can be.
    row("attach", "best", Takes::Words(&["best", "fast", "written", "other"])),
    row("cache_user_symbols", "per_pid", Takes::Words(&["per_pid", "per_program", "none", "0", "1"])),
    number("community_id_seed", "0", 0, 65_535),
    row("cpp_demangle", "true", Takes::Flag),
    // Tests: the scalar map that tseries() takes its time from.
    row("dummy_ts_map", "", Takes::Text),
    row("lazy_symbolication", "true", Takes::Flag),
    row("license", "GPL", Takes::License),
    number("log_size", "1000000", 0, ANY),
    number("max_bpf_progs", "1024", 1, ANY),
    number("max_cat_bytes", "10240", 0, 1 << 30),
    number("max_map_keys", "4096", 1, 1 << 28),
    number("max_probes", "1024", 1, ANY),
    number("max_strlen", "1024", 1, LONGEST_STRING),
    row("missing_probes", "error", Takes::Words(&["ignore", "warn", "error"])),
    number("on_stack_limit", "32", 0, ANY),
    // Live packets: bytes of the kernel's buffer for each device, whether what is for other machines is captured too, and how many
    // bytes of each packet; 0: all.
    number("pcap_buffer_bytes", "8388608", 65_536, 1 << 30),
    row("pcap_promiscuous", "false", Takes::Flag),
    number("pcap_snaplen", "0", 0, 262_144),
    // auto: packet blocks run in the kernel where they can; user: never.
    row("pcap_place", "auto", Takes::Words(&["auto", "user"])),
    number("perf_rb_pages", "0", 0, 1 << 18),
    // With -f json: what is printed, without {"type": …, "data": …} around it.
    row("plain_json", "false", Takes::Flag),
    row("print_maps_on_exit", "true", Takes::Flag),
    number("ring_bytes", "262144", 4096, 1 << 30),
    row("show_debug_info", "true", Takes::Flag),
    row("stack_mode", "bpftrace", Takes::Words(&["bpftrace", "raw", "perf", "build_id"])),
    row("str_trunc_trailer", "..", Takes::Text),
    row("unstable_dw_ustack", "warn", Takes::Unstable),
    row("unstable_import_statement", "error", Takes::Unstable),
    row("unstable_tseries", "warn", Takes::Unstable),
    row("unstable_typeinfo", "error", Takes::Unstable),
    row("use_blazesym", "false", Takes::Flag),
];

/// Other spellings, from bpftrace's past.
pub(crate) static RENAMED: &[(&str, &str)] = &[
    ("strlen", "max_strlen"),
    ("map_keys_max", "max_map_keys"),
    ("cat_bytes_max", "max_cat_bytes"),
    ("no_cpp_demangle", "cpp_demangle"),
];

/// Settings that did something once.
pub(crate) static WITHOUT_EFFECT: &[&str] = &[
    "symbol_source",
    "max_type_res_iterations",
    "unstable_addr",
    "unstable_import",
    "unstable_macro",
    "unstable_map_decl",
];

/// What only the environment can say.
pub(crate) static ENVIRONMENT_ONLY: &[&str] = &["btf", "kernel_build", "kernel_source", "vmlinux", "color"];

/// Licenses that the kernel takes as compatible with its own (include/linux/license.h).
pub(crate) static LICENSES: &[&str] =
    &["Dual MIT/GPL", "Dual BSD/GPL", "Dual MPL/GPL", "GPL and additional rights", "GPL v2", "GPL"];

/// Values of [`Takes::Unstable`].
pub(crate) static UNSTABLE: &[&str] = &["enable", "warn", "error"];

/// `BPFTRACE_STACK_MODE`, `STACK_MODE` and `stack_mode` are one: (the setting's name, it was an old spelling).
pub(crate) fn key(name: &str) -> (String, bool) {
    let lower = name.to_lowercase();
    let plain = lower.strip_prefix("bpftrace_").unwrap_or(&lower);
    match RENAMED.iter().find(|(old, _)| *old == plain) {
        Some((_, new)) => ((*new).to_owned(), true),
        None => (plain.to_owned(), false),
    }
}

pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.name == name)
}
