//! What packets show on both sides of a translation.

use super::{Hit, Interval, Store};
use crate::join::UNSAID_NS;

/// Packets that are captured on both sides of a translation are the same ones: those of the anchor's own tuple count, others only where
/// none of these is at the same time. (Sockets are one end each.) What goes is put into `twice`.
pub(super) fn once(store: &Store, hits: &mut Vec<Hit>, twice: &mut Vec<u32>) {
    let of_packets = |hit: &Hit| hit.ends.local == 0;
    if !hits.iter().any(|hit| hit.translated && of_packets(hit)) {
        return;
    }
    let own = hits.iter().filter(|hit| !hit.translated && of_packets(hit));
    let mut own: Vec<Interval> = own.map(|hit| store.get(hit.id).interval).collect();
    own.sort_unstable();
    // The last end of those that begin so early.
    let mut last = 0;
    for (_, end) in &mut own {
        last = last.max(*end);
        *end = last;
    }
    hits.retain(|hit| {
        let (from, to) = store.get(hit.id).interval;
        let begun = own.partition_point(|(begin, _)| *begin <= to.saturating_add(UNSAID_NS));
        let there = own[..begun].last().is_some_and(|(_, end)| end.saturating_add(UNSAID_NS) >= from);
        let again = hit.translated && of_packets(hit) && there;
        if again {
            twice.push(hit.id);
        }
        !again
    });
}
