//! Wall-clock times from boot times, and strftime with bpftrace's fractions.
#![allow(unsafe_code, reason = "localtime_r, gmtime_r, strftime and clock_gettime of libc")]

use std::{ffi::CString, fmt::Write};

/// How boot times become wall times.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// CLOCK_REALTIME − CLOCK_BOOTTIME, sampled now and then, as the wall clock may step.
    Live { offset: i64, sampled: u64 },
    /// Times already are wall times (capture files).
    Wall,
}

/// ns of a clock (`libc::CLOCK_BOOTTIME` and the like).
pub fn now(clock: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec; an unknown clock leaves it zero.
    unsafe { libc::clock_gettime(clock, &raw mut ts) };
    (ts.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(ts.tv_nsec as u64)
}

impl Clock {
    pub fn live() -> Self {
        let (offset, sampled) = sample();
        Self::Live { offset, sampled }
    }

    /// ns since the epoch.
    pub fn wall(&mut self, boot_ns: u64) -> u64 {
        match self {
            Self::Wall => boot_ns,
            Self::Live { offset, sampled } => {
                if boot_ns.saturating_sub(*sampled) > 1_000_000_000 {
                    (*offset, *sampled) = sample();
                }
                boot_ns.wrapping_add_signed(*offset)
            }
        }
    }

    /// CLOCK_BOOTTIME ns of a wall time.
    pub fn boot(&mut self, wall_ns: u64) -> u64 {
        match self {
            Self::Wall => wall_ns,
            Self::Live { offset, sampled } => {
                let boot = wall_ns.wrapping_add_signed(offset.wrapping_neg());
                // Also when the wall clock was set back: then the old offset gives times far off.
                if boot.abs_diff(*sampled) > 1_000_000_000 {
                    (*offset, *sampled) = sample();
                }
                wall_ns.wrapping_add_signed(offset.wrapping_neg())
            }
        }
    }
}

/// The tightest of five bracketed readings: (realtime − boottime, boottime).
fn sample() -> (i64, u64) {
    let mut best = (0i64, 0u64, u64::MAX);
    for _ in 0..5 {
        let before = now(libc::CLOCK_BOOTTIME);
        let wall = now(libc::CLOCK_REALTIME);
        let after = now(libc::CLOCK_BOOTTIME);
        let width = after.saturating_sub(before);
        if width < best.2 {
            let middle = before + width / 2;
            best = (wall.wrapping_sub(middle) as i64, after, width);
        }
    }
    (best.0, best.1)
}

/// Appends `wall_ns` by `fmt`: strftime(3), and bpftrace's `%f` (microseconds), `%k` (nanoseconds), `%l` (milliseconds),
/// six, nine and three digits. Local time unless `utc`.
pub fn strftime(wall_ns: u64, fmt: &str, utc: bool, out: &mut Vec<u8>) {
    let secs = (wall_ns / 1_000_000_000) as libc::time_t;
    let nanos = wall_ns % 1_000_000_000;
    let fmt = fractions(fmt, nanos);
    let Ok(fmt) = CString::new(fmt) else { return };
    if fmt.is_empty() {
        return;
    }
    // SAFETY: all-zero is a valid tm (its only pointer, tm_zone, may be null).
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live, distinct locals.
    let ok = unsafe {
        if utc { libc::gmtime_r(&raw const secs, &raw mut tm) } else { libc::localtime_r(&raw const secs, &raw mut tm) }
    };
    if ok.is_null() {
        return;
    }
    let start = out.len();
    let room = 256 + fmt.as_bytes().len() * 4;
    out.resize(start + room, 0);
    // SAFETY: the buffer has `room` bytes, the format is NUL-terminated, `tm` was filled above.
    let len = unsafe { libc::strftime(out[start..].as_mut_ptr().cast(), room, fmt.as_ptr(), &raw const tm) };
    out.truncate(start + len);
}

fn fractions(fmt: &str, nanos: u64) -> String {
    let mut text = String::with_capacity(fmt.len() + 8);
    let mut chars = fmt.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('f') => drop(write!(text, "{:06}", nanos / 1000)),
            Some('k') => drop(write!(text, "{nanos:09}")),
            Some('l') => drop(write!(text, "{:03}", nanos / 1_000_000)),
            Some(other) => text.extend(['%', other]),
            None => text += "%%",
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_a_second() {
        let mut out = Vec::new();
        strftime(1_700_000_000_012_345_678, "%Y-%m-%d %H:%M:%S.%f|%k|%l|%%f", true, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "2023-11-14 22:13:20.012345|012345678|012|%f");
        out.clear();
        strftime(5, "", true, &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn live_clock_gives_wall_time() {
        let boot = now(libc::CLOCK_BOOTTIME);
        let wall = Clock::live().wall(boot);
        assert!(now(libc::CLOCK_REALTIME).abs_diff(wall) < 1_000_000_000);
    }
}
