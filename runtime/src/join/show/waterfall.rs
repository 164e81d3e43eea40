//! A result as a waterfall: a bar for each layer, on one scale of time.

use super::{
    Shown, line,
    line::{ms, value},
    overlap, pieces,
};
use crate::join::{result::JoinResult, verdict::Interval};
use std::fmt::Write;

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub colour: bool,
    /// Columns of the terminal.
    pub width: usize,
}

/// Layers' colours, by their place in `blame`; `app` and `unknown` have their own.
const LAYERS: [&str; 6] = ["\x1b[31m", "\x1b[35m", "\x1b[33m", "\x1b[36m", "\x1b[34m", "\x1b[91m"];
const APP: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// Bars are at least and at most so wide.
const BARS: std::ops::RangeInclusive<usize> = 16..=100;
/// What follows a bar: `exact(conn)`.
const VIA: usize = 20;

/// One line of the waterfall.
struct Row {
    name: String,
    value: String,
    colour: &'static str,
    /// Charged to this layer.
    solid: Vec<Interval>,
    /// The layer was there too, but a layer before it is charged.
    faint: Vec<Interval>,
    note: String,
}

/// The whole, without a newline at the end.
pub fn draw(shown: &Shown<'_>, look: Look) -> String {
    let result = shown.result;
    let rows = rows(result);
    let names = rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0);
    let values = rows.iter().map(|r| r.value.len()).filter(|n| *n <= 8).max().unwrap_or(0).max(4);
    let bar = look.width.saturating_sub(2 + names + 1 + values + 3 + VIA).clamp(*BARS.start(), *BARS.end());
    let paint = |colour: &str, text: &str| {
        if look.colour && !text.is_empty() { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    };
    let mut out = paint(BOLD, &line::head(shown));
    let verdict = line::verdict(result);
    let colour = rows.iter().find(|r| r.name == result.verdict().layer).map_or(PLAIN, |r| r.colour);
    let _ = write!(out, "\n  verdict  {}", paint(colour, &verdict));
    let total = format!("{} ms", ms(result.total()));
    let left = 2 + names + 1 + values + 2;
    let scale = format!("{}0{total:>width$}", " ".repeat(left), width = bar - 1);
    let _ = write!(out, "\n{}", paint(DIM, &scale));
    for row in &rows {
        let note = paint(DIM, &row.note);
        if row.solid.is_empty() && row.faint.is_empty() {
            let _ = write!(out, "\n  {:names$} {}", row.name, paint(DIM, &format!("{:>values$}", row.value)));
            if !row.note.is_empty() {
                let _ = write!(out, "  {note}");
            }
            continue;
        }
        let cells = cells(row, (result.begin, result.end), bar);
        let painted = paint(row.colour, &cells);
        let gap = if row.note.is_empty() { String::new() } else { format!(" {note}") };
        let _ = write!(out, "\n  {:names$} {:>values$} ▕{painted}▏{gap}", row.name, row.value);
    }
    out
}

fn rows(result: &JoinResult) -> Vec<Row> {
    let (charged, rest) = pieces(result);
    let mut rows = Vec::new();
    let mut layer = 0;
    for (i, blamed) in line::order(result) {
        let leg = &result.legs[i];
        let colour = if blamed { LAYERS[layer % LAYERS.len()] } else { DIM };
        layer += usize::from(blamed);
        let mut note = if leg.key.is_empty() { String::new() } else { format!("{}({})", leg.via.name(), leg.key) };
        if leg.approximate {
            note += " approx";
        }
        if leg.lost > 0 {
            let _ = write!(note, " lost {}", leg.lost);
        }
        rows.push(Row {
            name: leg.name.clone(),
            value: value(result, leg, blamed),
            colour,
            solid: charged[i].clone(),
            faint: leg.intervals().iter().filter_map(|piece| overlap(*piece, (result.begin, result.end))).collect(),
            note,
        });
    }
    let known = result.unknown == 0;
    let rest_row = |name: &str, ns: u64, colour, solid| Row {
        name: name.into(),
        value: ms(ns).to_string(),
        colour,
        solid,
        faint: Vec::new(),
        note: String::new(),
    };
    rows.push(rest_row("app", result.app, APP, if known { rest.clone() } else { Vec::new() }));
    rows.push(rest_row("unknown", result.unknown, DIM, if known { Vec::new() } else { rest }));
    rows
}

/// A character for each stretch of the total; a thin one where less than half of it is the layer's.
fn cells(row: &Row, (begin, end): Interval, width: usize) -> String {
    let total = u128::from(end - begin).max(1);
    let at = |i: usize| begin + (total * i as u128 / width as u128) as u64;
    let within = |pieces: &[Interval], cell: Interval| -> u64 {
        pieces.iter().filter_map(|piece| overlap(*piece, cell)).map(|(from, to)| to - from).sum()
    };
    let cell = |i: usize| {
        let cell = (at(i), at(i + 1).max(at(i) + 1));
        match (within(&row.solid, cell), within(&row.faint, cell)) {
            (0, 0) => ' ',
            (0, _) => '░',
            (solid, _) if solid * 2 >= cell.1 - cell.0 => '█',
            _ => '▏',
        }
    };
    (0..width).map(cell).collect()
}
