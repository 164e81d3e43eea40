//! Wall-clock times from boot times, and strftime with bpftrace's fractions.
#![allow(unsafe_code, reason = "localtime_r, gmtime_r, strftime and clock_gettime of libc")]

mod table;

pub use table::{Pair, Step};

use std::{cell::RefCell, ffi::CString, fmt::Write, rc::Rc};
use table::Table;

/// How boot times become wall times and back. Clones are one clock.
#[derive(Clone, Debug)]
pub enum Clock {
    /// A table of readings of both clocks.
    Table(Rc<RefCell<Table>>),
    /// Times already are wall times (capture files).
    Wall,
}

/// Between two readings.
const EVERY_NS: u64 = 1_000_000_000;

/// Where a time asks for one.
const SOONEST_NS: u64 = EVERY_NS / 10;

/// ns of a clock (`libc::CLOCK_BOOTTIME` and the like).
pub fn now(clock: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec; an unknown clock leaves it zero.
    unsafe { libc::clock_gettime(clock, &raw mut ts) };
    (ts.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(ts.tv_nsec as u64)
}

impl Clock {
    /// This machine's: read now, and again whenever a time is asked for that is a second younger than the last reading.
    pub fn live() -> Self {
        let mut table = Table::new(true);
        table.add(sample());
        Self::Table(Rc::new(RefCell::new(table)))
    }

    /// Knows what it is told ([`Self::add`]).
    pub fn recorded() -> Self {
        Self::Table(Rc::new(RefCell::new(Table::new(false))))
    }

    pub fn add(&self, pair: Pair) {
        if let Self::Table(table) = self {
            table.borrow_mut().add(pair);
        }
    }

    /// Reads the clocks if that is due.
    pub fn tick(&self) {
        if let Self::Table(table) = self {
            let mut table = table.borrow_mut();
            if table.live && now(libc::CLOCK_BOOTTIME).saturating_sub(table.newest()) >= EVERY_NS {
                table.add(sample());
            }
        }
    }

    /// From now on wall times come from the readings that there are ([`Self::tick`] and [`Self::boot`] make more).
    pub fn be_explicit(&self) {
        if let Self::Table(table) = self {
            table.borrow_mut().explicit = true;
        }
    }

    /// Times at which the wall clock was set, since the last call.
    pub fn take_steps(&self) -> Vec<Step> {
        match self {
            Self::Table(table) => std::mem::take(&mut table.borrow_mut().steps),
            Self::Wall => Vec::new(),
        }
    }

    /// The local time zone where a recording was made: seconds east of UTC, and its name.
    pub fn set_zone(&self, offset: i32, name: &str) {
        if let Self::Table(table) = self {
            table.borrow_mut().zone = Some((offset, name.to_owned()));
        }
    }

    /// Appends a wall time by `fmt`, as [`strftime`] does, in local time: of the recording, if it is one.
    pub fn local(&self, wall_ns: u64, fmt: &str, out: &mut Vec<u8>) {
        let zone = if let Self::Table(table) = self { table.borrow().zone.clone() } else { None };
        format(wall_ns, fmt, zone.as_ref().map_or(Zone::Local, |(offset, name)| Zone::Fixed(*offset, name)), out);
    }

    /// How wide the readings were of late, ns: within that they don't say which time of one clock is which of the other.
    pub fn width(&self) -> u64 {
        match self {
            Self::Table(table) => table.borrow().width(),
            Self::Wall => 0,
        }
    }

    /// Readings since the last call.
    pub fn take_fresh(&self) -> Vec<Pair> {
        match self {
            Self::Table(table) => table.borrow_mut().take_fresh(),
            Self::Wall => Vec::new(),
        }
    }

    /// ns since the epoch.
    pub fn wall(&self, boot_ns: u64) -> u64 {
        let Self::Table(table) = self else { return boot_ns };
        let mut table = table.borrow_mut();
        if table.live && !table.explicit && boot_ns.saturating_sub(table.newest()) > EVERY_NS {
            table.add(sample());
        }
        table.wall(boot_ns)
    }

    /// CLOCK_BOOTTIME ns of a wall time that may be some seconds old.
    pub fn boot_of_past(&self, wall_ns: u64) -> u64 {
        self.tick();
        match self {
            Self::Table(table) => table.borrow().boot(wall_ns),
            Self::Wall => wall_ns,
        }
    }

    /// CLOCK_BOOTTIME ns of a wall time that is not in the future.
    pub fn boot(&self, wall_ns: u64) -> u64 {
        let Self::Table(table) = self else { return wall_ns };
        let mut table = table.borrow_mut();
        // Also when the wall clock was set back: then the last reading gives times far off. But packets that waited long are as far off:
        // not each of them is a reason to read again, which would push the older readings, which they need, out of the table.
        let boot = table.boot(wall_ns);
        if table.live
            && boot.abs_diff(table.newest()) >= EVERY_NS
            && now(libc::CLOCK_BOOTTIME).saturating_sub(table.newest()) >= SOONEST_NS
        {
            table.add(sample());
            return table.boot(wall_ns);
        }
        boot
    }
}

/// The tightest of five bracketed readings.
fn sample() -> Pair {
    let mut best = Pair { boot: 0, wall: 0, width: u64::MAX };
    for _ in 0..5 {
        let before = now(libc::CLOCK_BOOTTIME);
        let wall = now(libc::CLOCK_REALTIME);
        let after = now(libc::CLOCK_BOOTTIME);
        let width = after.saturating_sub(before);
        if width < best.width {
            best = Pair { boot: before + width / 2, wall, width };
        }
    }
    best
}

/// Appends a wall time as RFC 3339 has it, in UTC with nanoseconds.
pub fn rfc3339(wall_ns: u64, out: &mut Vec<u8>) {
    strftime(wall_ns, "%Y-%m-%dT%H:%M:%S.%kZ", true, out);
}

/// Appends `wall_ns` by `fmt`: strftime(3), and bpftrace's `%f` (microseconds), `%k` (nanoseconds), `%l` (milliseconds),
/// six, nine and three digits. Local time unless `utc`.
pub fn strftime(wall_ns: u64, fmt: &str, utc: bool, out: &mut Vec<u8>) {
    format(wall_ns, fmt, if utc { Zone::Utc } else { Zone::Local }, out);
}

#[derive(Clone, Copy)]
enum Zone<'a> {
    Local,
    Utc,
    /// Seconds east of UTC, and its name.
    Fixed(i32, &'a str),
}

/// The local time zone at a wall time: seconds east of UTC, and its name.
pub fn zone(wall_ns: u64) -> (i32, String) {
    let secs = (wall_ns / 1_000_000_000) as libc::time_t;
    // SAFETY: all-zero is a valid tm (its only pointer, tm_zone, may be null).
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live, distinct locals.
    let ok = unsafe { libc::localtime_r(&raw const secs, &raw mut tm) };
    if ok.is_null() || tm.tm_zone.is_null() {
        return (0, "UTC".to_owned());
    }
    // SAFETY: localtime_r points it to a NUL-terminated name that stays until the zone is read again.
    let name = unsafe { std::ffi::CStr::from_ptr(tm.tm_zone) };
    (tm.tm_gmtoff as i32, name.to_string_lossy().into_owned())
}

fn format(wall_ns: u64, fmt: &str, zone: Zone<'_>, out: &mut Vec<u8>) {
    let secs = (wall_ns / 1_000_000_000) as libc::time_t;
    let secs = if let Zone::Fixed(offset, _) = zone { secs + libc::time_t::from(offset) } else { secs };
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
        match zone {
            Zone::Local => libc::localtime_r(&raw const secs, &raw mut tm),
            Zone::Utc | Zone::Fixed(..) => libc::gmtime_r(&raw const secs, &raw mut tm),
        }
    };
    if ok.is_null() {
        return;
    }
    // It must stay until the time is formatted.
    let mut name = CString::default();
    if let Zone::Fixed(offset, of) = zone {
        name = CString::new(of).unwrap_or_default();
        tm.tm_gmtoff = libc::c_long::from(offset);
    }
    if !name.is_empty() {
        tm.tm_zone = name.as_ptr();
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

    /// The last reading is old: another is made, and no time is cut to what the old one allows.
    #[test]
    fn a_live_clock_is_read_again_when_times_go_on() {
        const AGO: u64 = 10 * EVERY_NS;
        let mut table = Table::new(true);
        let then = sample();
        table.add(Pair { boot: then.boot - AGO, wall: then.wall - AGO, ..then });
        let clock = Clock::Table(Rc::new(RefCell::new(table)));
        let (wall, boot) = (now(libc::CLOCK_REALTIME), now(libc::CLOCK_BOOTTIME));
        assert!(clock.boot(wall).abs_diff(boot) < EVERY_NS / 10, "{} {boot}", clock.boot(wall));
        let past = wall - AGO / 2;
        assert!(clock.boot(past).abs_diff(boot - AGO / 2) < EVERY_NS / 10);
    }

    /// A backlog of packets: they are not each a reason to read the clocks.
    #[test]
    fn old_packets_do_not_fill_the_table() {
        let clock = Clock::live();
        let wall = now(libc::CLOCK_REALTIME);
        for i in 0..10_000 {
            clock.boot(wall - 5 * EVERY_NS + i);
        }
        assert!(clock.take_fresh().len() < 20);
    }

    #[test]
    fn live_clock_gives_wall_time() {
        let boot = now(libc::CLOCK_BOOTTIME);
        let wall = Clock::live().wall(boot);
        assert!(now(libc::CLOCK_REALTIME).abs_diff(wall) < 1_000_000_000);
    }
}
