//! The table of packet fields, by layer.

mod http;
mod link;
mod tcp;

use super::{FieldRow, FieldType, Read, needs};

/// Needs of the families of fields.
const H: u32 = needs::HEADERS;
const F: u32 = needs::HEADERS | needs::FLOW;
const A: u32 = F | needs::ANALYSIS;
const S: u32 = A | needs::SEGMENTS | needs::OPTIONS;
const P: u32 = needs::HEADERS | needs::PAYLOAD;
const O: u32 = needs::HEADERS | needs::OPTIONS;
/// HTTP asks the analysis which segments are retransmissions.
const W: u32 = A | needs::HTTP;

const fn row(name: &'static str, ty: FieldType, needs: u32, layers: u32, read: Read, doc: &'static str) -> FieldRow {
    FieldRow { name, ty, needs, layers, read, doc }
}

const COUNT: usize = link::ROWS.len() + tcp::ROWS.len() + http::ROWS.len();

const fn all() -> [FieldRow; COUNT] {
    let families: [&[FieldRow]; 3] = [link::ROWS, tcp::ROWS, http::ROWS];
    let mut rows = [link::ROWS[0]; COUNT];
    let (mut family, mut at) = (0, 0);
    while family < families.len() {
        let mut i = 0;
        while i < families[family].len() {
            rows[at] = families[family][i];
            at += 1;
            i += 1;
        }
        family += 1;
    }
    rows
}

static ALL: [FieldRow; COUNT] = all();

/// Every field a `pcap` block can name.
pub static FIELDS: &[FieldRow] = &ALL;
