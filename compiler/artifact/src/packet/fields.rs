//! The table of packet fields, by layer.

mod connection;
mod dns;
mod http;
mod http2;
mod identity;
mod link;
mod tcp;
mod tls;
mod turns;

use super::{FieldRow, FieldType, Read, needs};

/// Needs of the families of fields.
const H: u32 = needs::HEADERS;
const F: u32 = needs::HEADERS | needs::FLOW;
const A: u32 = F | needs::ANALYSIS;
const S: u32 = A | needs::SEGMENTS | needs::OPTIONS;
const P: u32 = needs::HEADERS | needs::PAYLOAD;
const O: u32 = needs::HEADERS | needs::OPTIONS;
/// HTTP asks the analysis which segments are retransmissions.
const M: u32 = A | needs::HTTP | needs::HTTP_MESSAGES;
const W: u32 = M | needs::HTTP_MORE;
/// Exchanges.
const X: u32 = A | needs::HTTP | needs::HTTP_MORE | needs::EXCHANGES;
const TLS: u32 = F | needs::TLS;
const DNS: u32 = H | needs::DNS;
const ICMP: u32 = H | needs::ICMP;
const W2: u32 = F | needs::HTTP2;

const fn row(name: &'static str, ty: FieldType, needs: u32, layers: u64, read: Read, doc: &'static str) -> FieldRow {
    FieldRow { name, ty, needs, layers, known: 0, read, kernel: None, doc }
}

/// A field of the view behind the view, which is there if these [`super::known`] bits are set.
const fn more(name: &'static str, ty: FieldType, needs: u32, known: u64, read: Read, doc: &'static str) -> FieldRow {
    FieldRow { name, ty, needs, layers: super::layer::FRAME, known, read, kernel: None, doc }
}

/// In the order of the documentation.
const FAMILIES: &[&[FieldRow]] = &[
    link::ROWS,
    tcp::ROWS,
    connection::ROWS,
    http::ROWS,
    http2::ROWS,
    turns::ROWS,
    tls::ROWS,
    dns::ROWS,
    identity::ROWS,
];

const COUNT: usize = {
    let (mut total, mut family) = (0, 0);
    while family < FAMILIES.len() {
        total += FAMILIES[family].len();
        family += 1;
    }
    total
};

#[allow(clippy::large_stack_arrays, reason = "run by the compiler, once")]
const fn all() -> [FieldRow; COUNT] {
    let families = FAMILIES;
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
