//! The config block: settings by name, the command line's and the environment's over the script's.

use super::cx::Checker;
use super::params::parse_number;
use crate::diag::Diagnostic;
use crate::hir::{Missing, StackMode};
use crate::span::Span;

/// Settings that are read here, or kept for other parts.
static KEYS: &[&str] = &[
    "max_strlen",
    "max_map_keys",
    "missing_probes",
    "print_maps_on_exit",
    "stack_mode",
    "str_trunc_trailer",
    "perf_rb_pages",
    "ring_bytes",
    "cache_user_symbols",
    "cpp_demangle",
    "lazy_symbolication",
    "license",
    "log_size",
    "max_bpf_progs",
    "max_cat_bytes",
    "max_probes",
    "on_stack_limit",
    "show_debug_info",
    "use_blazesym",
    // Tests: the scalar map that tseries() takes its time from.
    "dummy_ts_map",
    "unstable_tseries",
    "unstable_typeinfo",
    "unstable_dw_ustack",
    "unstable_import_statement",
    "unstable_import",
    "unstable_macro",
    "unstable_map_decl",
    "unstable_addr",
    "symbol_source",
    "max_type_res_iterations",
];

/// Other spellings, from bpftrace's past.
static RENAMED: &[(&str, &str)] =
    &[("strlen", "max_strlen"), ("map_keys_max", "max_map_keys"), ("no_cpp_demangle", "cpp_demangle")];

/// Strings longer than this are not kept on the way to user space.
const LONGEST_STRING: i128 = 64 * 1024;

/// Bytes of a file that `cat()` shows, unless the script says otherwise.
pub(crate) const MAX_CAT_BYTES: u32 = 10 * 1024;

/// `BPFTRACE_STACK_MODE`, `STACK_MODE` and `stack_mode` are one.
fn key(name: &str) -> String {
    let lower = name.to_lowercase();
    let plain = lower.strip_prefix("bpftrace_").unwrap_or(&lower);
    RENAMED.iter().find(|(old, _)| *old == plain).map_or(plain, |(_, new)| new).to_owned()
}

impl Checker<'_> {
    pub(crate) fn read_config(&mut self) {
        let (items, opts) = (self.items, self.opts);
        self.config.helper_warnings = opts.helper_warnings;
        for config in &items.configs {
            for (name, value) in &config.entries {
                self.setting(&name.text, &value.text, name.span, value.span);
            }
        }
        for (name, value) in &opts.config {
            self.setting(name, value, Span::default(), Span::default());
        }
    }

    fn setting(&mut self, name: &str, value: &str, name_span: Span, span: Span) {
        let key = key(name);
        if !KEYS.contains(&key.as_str()) {
            let near = crate::suggest::nearest(&key, KEYS.iter().copied(), 3);
            let mut d = Diagnostic::error("unknown-setting", name_span, format!("no setting {name}"));
            if !near.is_empty() {
                d = d.near(near.join(", "));
            }
            self.report(d);
            return;
        }
        let ok = match key.as_str() {
            "max_strlen" => number(value, 1, LONGEST_STRING).map(|n| self.config.max_strlen = n),
            "max_map_keys" => number(value, 1, 1 << 28).map(|n| self.config.max_map_keys = n),
            "ring_bytes" => number(value, 4096, 1 << 30).map(|n| self.config.ring_bytes = n.next_power_of_two()),
            "perf_rb_pages" => number(value, 1, 1 << 18).map(|n| self.config.ring_bytes = n.next_power_of_two() * 4096),
            "print_maps_on_exit" => boolean(value).map(|b| self.config.print_maps_on_exit = b),
            "missing_probes" => missing(value).map(|m| self.config.missing_probes = m),
            "stack_mode" => stack_mode(value).map(|m| self.config.stack_mode = m),
            "max_cat_bytes" => number(value, 0, 1 << 30).map(|n| self.config.max_cat_bytes = n),
            "str_trunc_trailer" => {
                value.clone_into(&mut self.config.str_trunc_trailer);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(wants) = ok {
            let d = Diagnostic::error("bad-setting", span, format!("{key} takes {wants}, not \"{value}\""));
            self.report(d);
        }
        self.config.entries.retain(|(k, _)| *k != key);
        self.config.entries.push((key, value.to_owned()));
    }
}

fn number(text: &str, least: i128, most: i128) -> Result<u32, String> {
    parse_number(text)
        .filter(|n| (least..=most).contains(n))
        .map(|n| n as u32)
        .ok_or_else(|| format!("a number from {least} to {most}"))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("true or false".into()),
    }
}

fn missing(text: &str) -> Result<Missing, String> {
    match text {
        "error" => Ok(Missing::Error),
        "warn" => Ok(Missing::Warn),
        "ignore" => Ok(Missing::Ignore),
        _ => Err("error, warn or ignore".into()),
    }
}

fn stack_mode(text: &str) -> Result<StackMode, String> {
    match text {
        "bpftrace" => Ok(StackMode::Bpftrace),
        "perf" => Ok(StackMode::Perf),
        "raw" => Ok(StackMode::Raw),
        "build_id" => Ok(StackMode::BuildId),
        _ => Err("bpftrace, perf, raw or build_id".into()),
    }
}
