//! Readings of both clocks, and times between them.
//!
//! The wall clock runs at nearly the pace of the time since boot: between two readings a straight line is exact to some microseconds. If it is set, no
//! line holds: a new segment of the table begins.

use std::{collections::VecDeque, fmt};

/// Both clocks at one moment, ns; `width`: how far apart the readings may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub boot: u64,
    pub wall: u64,
    pub width: u64,
}

/// The wall clock was set between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Boot time of the readings before and after.
    pub between: (u64, u64),
    /// By so many ns.
    pub by: i64,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (way, ms) = (if self.by < 0 { "back" } else { "forward" }, self.by.unsigned_abs() / 1_000_000);
        let span = (self.between.1 - self.between.0) / 1_000_000;
        write!(
            f,
            "the wall clock was set {way} by {}.{:03} s; packets of the {span} ms around that may be misplaced by as much",
            ms / 1000,
            ms % 1000
        )
    }
}

/// Readings that are kept: more than an hour's, at one a second.
const MAX_PAIRS: usize = 4096;
/// Readings of late: those between which packets lie that are still to be compared.
const LATELY: usize = 16;
/// Steps that nobody took.
const MAX_STEPS: usize = 64;
/// The kernel slews the wall clock by at most so many parts of a million; twice that, to be sure.
const SLEW_PPM: u64 = 1000;
/// Of any reading.
const NOISE_NS: u64 = 10_000;

#[derive(Clone, Debug, Default)]
pub struct Table {
    /// By boot time; true: a segment begins.
    pairs: VecDeque<(Pair, bool)>,
    /// Readings may be added from this machine's clocks.
    pub(super) live: bool,
    pub(super) steps: Vec<Step>,
    fresh: Vec<Pair>,
    /// Readings are added when it is said, not when a wall time is asked for: what a recording has of them then is all that there is.
    pub(super) explicit: bool,
    /// Of a recording: where it was made.
    pub(super) zone: Option<(i32, String)>,
}

impl Table {
    pub(super) fn new(live: bool) -> Self {
        Self { live, ..Self::default() }
    }

    /// Adds a reading; older than the last, it is left out.
    pub(super) fn add(&mut self, pair: Pair) {
        let mut begins = true;
        if let Some((last, _)) = self.pairs.back() {
            if pair.boot <= last.boot {
                return;
            }
            let passed = pair.boot - last.boot;
            let by = pair.wall.wrapping_sub(last.wall.wrapping_add(passed)) as i64;
            let widths = pair.width.min(passed).saturating_add(last.width.min(passed));
            let slack = widths.saturating_add(passed / 1_000_000 * SLEW_PPM + NOISE_NS);
            begins = by.unsigned_abs() > slack;
            if begins && self.steps.len() < MAX_STEPS {
                self.steps.push(Step { between: (last.boot, pair.boot), by });
            }
        }
        if self.pairs.len() >= MAX_PAIRS {
            self.pairs.pop_front();
        }
        self.pairs.push_back((pair, begins));
        if self.fresh.len() < MAX_PAIRS {
            self.fresh.push(pair);
        }
    }

    pub(super) fn take_fresh(&mut self) -> Vec<Pair> {
        std::mem::take(&mut self.fresh)
    }

    /// The widest of the last readings.
    pub(super) fn width(&self) -> u64 {
        self.pairs.iter().rev().take(LATELY).map(|(pair, _)| pair.width).max().unwrap_or(0)
    }

    /// Boot time of the last reading.
    pub(super) fn newest(&self) -> u64 {
        self.pairs.back().map_or(0, |(pair, _)| pair.boot)
    }

    pub(super) fn wall(&self, boot: u64) -> u64 {
        let after = self.pairs.partition_point(|(pair, _)| pair.boot <= boot);
        let Some((first, _)) = self.pairs.get(after.saturating_sub(1)) else { return boot };
        match self.pairs.get(after) {
            Some((next, false)) if after > 0 => line((first.boot, first.wall), (next.boot, next.wall), boot),
            _ => shift(boot, first.boot, first.wall),
        }
    }

    /// The wall clock shows some times twice if it was set back: the later is meant, if it isn't in the future. Looked for from the newest
    /// reading on: what comes live lies behind it, and there may be thousands. A time that no segment has is where the last that begins before it
    /// ended: some time in the future, by a clock that is ahead, is now.
    pub(super) fn boot(&self, wall: u64) -> u64 {
        // The end of that segment, and by how much the time is beyond it.
        let mut beyond: Option<(u64, u64)> = None;
        let mut to = self.pairs.len();
        let mut limit = self.newest().saturating_add(super::EVERY_NS);
        while to > 0 {
            // The last reading of the segment that isn't after, or the one that begins it.
            let at = (0..to).rev().find(|i| self.pairs[*i].0.wall <= wall || self.pairs[*i].1).unwrap_or(0);
            let (here, begins) = self.pairs[at];
            let boot = match self.pairs.get(at + 1).filter(|_| at + 1 < to && here.wall <= wall) {
                Some((next, _)) => line((here.wall, here.boot), (next.wall, next.boot), wall),
                None => shift(wall, here.wall, here.boot),
            };
            if here.wall <= wall {
                if boot <= limit {
                    return boot;
                }
                beyond.get_or_insert((limit, boot - limit));
            }
            // Before the segment there was another; its last time is this one's beginning at the latest.
            to = if begins { at } else { (0..at).rev().find(|i| self.pairs[*i].1).unwrap_or(0) };
            if to == 0 {
                // (Before the first reading, if that is nearer.)
                let before = if here.wall <= wall { u64::MAX } else { here.wall - wall };
                return beyond.filter(|(_, by)| *by <= before).map_or(boot.min(limit), |(end, _)| end);
            }
            limit = self.pairs[to].0.boot;
        }
        wall
    }
}

/// The value at `x` of a line through two points.
fn line((x0, y0): (u64, u64), (x1, y1): (u64, u64), x: u64) -> u64 {
    // Recordings may claim times that no clock shows: all products fit.
    let (run, way) = (u128::from(x1.saturating_sub(x0).max(1)), u128::from(x.saturating_sub(x0)));
    let moved = (way * u128::from(y1.abs_diff(y0)) / run) as u64;
    if y1 >= y0 { y0.saturating_add(moved) } else { y0.saturating_sub(moved) }
}

/// `x` as far from `to` as it is from `from`.
fn shift(x: u64, from: u64, to: u64) -> u64 {
    if x >= from { to.saturating_add(x - from) } else { to.saturating_sub(from - x) }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
