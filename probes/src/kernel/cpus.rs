//! CPU numbers, as sysfs lists them.

use std::sync::OnceLock;

/// Possible CPUs: how many values per-CPU maps hold. Fixed from boot on.
pub fn possible() -> u32 {
    static COUNT: OnceLock<u32> = OnceLock::new();
    *COUNT.get_or_init(|| read("possible").last().map_or(1, |last| last + 1))
}

/// Online CPUs, ascending; at least one.
pub fn online() -> Vec<u32> {
    let list = read("online");
    if list.is_empty() { vec![0] } else { list }
}

fn read(which: &str) -> Vec<u32> {
    std::fs::read_to_string(format!("/sys/devices/system/cpu/{which}")).map(|text| parse(&text)).unwrap_or_default()
}

/// The kernel's list format: `0-3,5,7-8`. What isn't in that format is left out.
fn parse(text: &str) -> Vec<u32> {
    /// CONFIG_NR_CPUS has never been larger.
    const MAX: u32 = 1 << 16;
    let mut out = Vec::new();
    for part in text.trim().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.parse::<u32>(), to.parse::<u32>()) {
            out.extend(from..=to.min(MAX));
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

#[cfg(test)]
mod tests;
