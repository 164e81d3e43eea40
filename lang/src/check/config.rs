//! The config block: settings by name, the command line's and the environment's over the script's.

use super::cx::Checker;
use super::params::{parse_bool, parse_number};
use super::settings::{ENVIRONMENT_ONLY, LICENSES, SETTINGS, Setting, Takes, UNSTABLE, WITHOUT_EFFECT, find, key};
use crate::ast::ConfigValue;
use crate::diag::Diagnostic;
use crate::hir::{Missing, StackMode};
use crate::span::Span;

/// Bytes of a file that `cat()` shows, unless the script says otherwise.
pub(crate) const MAX_CAT_BYTES: u32 = 10 * 1024;

/// Why a value isn't taken: what the setting takes, and bpftrace's words.
struct Refused {
    wants: String,
    words: String,
}

impl Checker<'_> {
    pub(crate) fn read_config(&mut self) {
        let (items, opts) = (self.items, self.opts);
        self.config.helper_warnings = opts.helper_warnings;
        for config in &items.configs {
            for (name, value) in &config.entries {
                self.entry(&name.text, name.span, value);
            }
        }
        for (name, value) in &opts.config {
            self.take_outside(name, value);
        }
        for (flag, name, value) in &opts.flags {
            self.take_flag(flag, name, value);
        }
    }

    /// A flag of the command line. That it wins over what the script says is told.
    fn take_flag(&mut self, flag: &str, name: &str, value: &str) {
        let Some(setting) = find(name) else { return };
        let before = self.config.entry(name).map(str::to_owned);
        if let Err(Refused { wants, words: _ }) = self.set(setting, value, true) {
            let text = format!("{flag} takes {wants}, not \"{value}\"");
            return self.report(Diagnostic::error("bad-setting", Span::default(), text));
        }
        let mut entries = self.items.configs.iter().flat_map(|config| &config.entries);
        let written = entries.rfind(|(written, _)| key(&written.text).0 == name);
        if let (Some((written, value)), Some(before)) = (written, before)
            && self.config.entry(name) != Some(before.as_str())
        {
            let span = Span { end: value.span.end, ..written.span };
            self.warn(
                "setting-overridden",
                span,
                format!("{flag} on the command line counts, not the script's {before}"),
            );
        }
    }

    /// `name = value` of a config block.
    fn entry(&mut self, written: &str, name_span: Span, value: &ConfigValue) {
        let whole = Span { end: value.span.end, ..name_span };
        let (name, renamed) = key(written);
        if WITHOUT_EFFECT.contains(&name.as_str()) {
            let text = format!("{written} is deprecated and has no effect");
            return self.warn("setting-without-effect", whole, text);
        }
        if renamed {
            let text = format!("{written} has been renamed, please use {name}");
            self.warn("renamed-setting", whole, text);
        }
        let Some(setting) = find(&name) else { return self.no_such_setting(written, &name, whole) };
        if let Err(Refused { wants, words }) = self.set(setting, &value.text, value.quoted) {
            let d =
                Diagnostic::error("bad-setting", value.span, format!("{name} takes {wants}, not \"{}\"", value.text));
            self.report(Diagnostic { span: whole, ..d }.bpftrace(words));
        }
    }

    fn no_such_setting(&mut self, written: &str, name: &str, span: Span) {
        if ENVIRONMENT_ONLY.contains(&name) {
            let d =
                Diagnostic::error("unknown-setting", span, format!("{written} is set in the environment, not here"))
                    .bpftrace(format!("{written}: can only be set as an environment variable"));
            return self.report(d);
        }
        let near = crate::suggest::nearest(name, SETTINGS.iter().map(|s| s.name), 3);
        let mut d = Diagnostic::error("unknown-setting", span, format!("no setting {written}"))
            .bpftrace(format!("{written}: not a known configuration option"));
        if !near.is_empty() {
            d = d.near(near.join(", "));
        }
        self.report(d);
    }

    /// A setting of the environment or the command line. Other programs' variables may begin with `BPFTRACE_` too: only what
    /// looks like a slip is told.
    fn take_outside(&mut self, written: &str, value: &str) {
        let (name, _) = key(written);
        let Some(setting) = find(&name) else {
            let near = crate::suggest::nearest(&name, SETTINGS.iter().map(|s| s.name), 1);
            if let Some(near) = near.first() {
                let text = format!("the environment's BPFTRACE_{} is no setting", name.to_uppercase());
                let d = Diagnostic::warning("unknown-setting", Span::default(), text);
                self.report(d.near(format!("BPFTRACE_{}", near.to_uppercase())));
            }
            return;
        };
        if let Err(Refused { wants, words }) = self.set(setting, value, true) {
            let text =
                format!("BPFTRACE_{} in the environment: {name} takes {wants}, not \"{value}\"", name.to_uppercase());
            self.report(Diagnostic::error("bad-setting", Span::default(), text).bpftrace(words));
        }
    }

    /// Takes a value over; `quoted`: it may not be a bare number that stands for a flag.
    fn set(&mut self, setting: &'static Setting, value: &str, quoted: bool) -> Result<(), Refused> {
        let value = normal(setting, value, quoted)?;
        let count = || parse_number(&value).unwrap_or(0) as u32;
        let config = &mut self.config;
        match setting.name {
            "max_strlen" => config.max_strlen = count(),
            "max_map_keys" => config.max_map_keys = count(),
            "max_cat_bytes" => config.max_cat_bytes = count(),
            "ring_bytes" => config.ring_bytes = count().next_power_of_two(),
            "perf_rb_pages" if count() > 0 => config.ring_bytes = count().next_power_of_two() * 4096,
            "print_maps_on_exit" => config.print_maps_on_exit = value == "true",
            "missing_probes" => {
                config.missing_probes = match value.as_str() {
                    "warn" => Missing::Warn,
                    "ignore" => Missing::Ignore,
                    _ => Missing::Error,
                }
            }
            "stack_mode" => {
                config.stack_mode = match value.as_str() {
                    "perf" => StackMode::Perf,
                    "raw" => StackMode::Raw,
                    "build_id" => StackMode::BuildId,
                    _ => StackMode::Bpftrace,
                }
            }
            "str_trunc_trailer" => value.clone_into(&mut config.str_trunc_trailer),
            _ => {}
        }
        config.entries.retain(|(k, _)| k != setting.name);
        config.entries.push((setting.name.to_owned(), value));
        Ok(())
    }

    /// A setting's value as text.
    pub(crate) fn setting(&self, name: &str) -> &str {
        self.config.entry(name).or_else(|| find(name).map(|s| s.default)).unwrap_or_default()
    }

    /// Whether a feature that bpftrace may still change is allowed. Only what the script says itself counts: here they stay.
    pub(crate) fn unstable(&mut self, setting: &'static str, feature: &str, span: Span) -> bool {
        match self.config.entry(setting) {
            None | Some("enable") => true,
            Some("warn") => {
                let d = Diagnostic::warning("unstable", Span::default(), format!("the script uses {feature}"))
                    .bpftrace(format!(
                        "Script is using an unstable feature: {feature}. To prevent this warning you must explicitly enable it in the config e.g. {setting}=enable"
                    ));
                self.report(d);
                true
            }
            _ => {
                let d = Diagnostic::error("unstable", span, format!("the script's config switches {feature} off"))
                    .write(format!("config = {{ {setting} = enable }}"))
                    .bpftrace(format!(
                        "{feature} feature is not enabled by default. To enable this unstable feature, set the config flag to enable. {setting}=enable"
                    ));
                self.report(d);
                false
            }
        }
    }
}

/// What is said of a value that is none of a setting's words.
fn none_of(setting: &str, words: &[&str]) -> Refused {
    let shown: Vec<&str> = words.iter().copied().filter(|w| !matches!(*w, "0" | "1")).collect();
    let upper: Vec<String> = if setting == "cache_user_symbols" {
        shown.iter().map(|w| w.to_uppercase()).collect()
    } else {
        shown.iter().map(|w| (*w).to_owned()).collect()
    };
    let listed_upper = listed(&upper.iter().map(String::as_str).collect::<Vec<_>>(), "and").replace(" and", ", and");
    let words = format!("{setting}: Invalid value for {setting}: valid values are {listed_upper}.");
    Refused { wants: listed(&shown, "or"), words }
}

/// A value in its one spelling: numbers in decimal, flags as `true` and `false`, words in lower case.
fn normal(setting: &Setting, value: &str, quoted: bool) -> Result<String, Refused> {
    let lower = value.to_lowercase();
    let number = parse_number(value);
    let refused = |wants: String, words: String| Err(Refused { wants, words });
    match setting.takes {
        Takes::Text => Ok(value.to_owned()),
        Takes::Number { least, most } => match number.filter(|n| (least..=most).contains(n)) {
            Some(n) => Ok(n.to_string()),
            None => refused(
                if most == u64::MAX as i128 { "a number".into() } else { format!("a number from {least} to {most}") },
                match number {
                    None => format!("{}: expecting a number, got {value}", setting.name),
                    Some(_) => format!("{}: expecting a number from {least} to {most}, got {value}", setting.name),
                },
            ),
        },
        Takes::Flag => match parse_bool(value).or(number.filter(|_| !quoted).map(|n| n != 0)) {
            Some(flag) if !value.is_empty() => Ok(flag.to_string()),
            _ => refused(
                "true or false".into(),
                format!("{}: Invalid bool value: valid values are true, false, 1 or 0.", setting.name),
            ),
        },
        Takes::Words(words) if words.contains(&lower.as_str()) => Ok(match (setting.name, lower.as_str()) {
            ("cache_user_symbols", "0") => "none".into(),
            ("cache_user_symbols", "1") => setting.default.into(),
            _ => lower,
        }),
        Takes::Words(words) => Err(none_of(setting.name, words)),
        Takes::License if LICENSES.contains(&value) => Ok(value.to_owned()),
        Takes::License => refused(
            format!("a license that goes with the kernel's: {}", listed(LICENSES, "or")),
            format!("Invalid value for license. Found: {value}. Valid values: {}", LICENSES.join(", ")),
        ),
        Takes::Unstable => match (parse_bool(value), UNSTABLE.contains(&lower.as_str())) {
            (_, true) => Ok(lower),
            (Some(yes), _) if !value.is_empty() => Ok(if yes { "enable" } else { "error" }.into()),
            _ => refused(
                listed(UNSTABLE, "or"),
                format!(
                    "{}: Invalid value for unstable config: valid values are enable, warn, and error.",
                    setting.name
                ),
            ),
        },
    }
}

/// `a, b or c`
fn listed(words: &[&str], last: &str) -> String {
    match words.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => words.concat(),
    }
}
