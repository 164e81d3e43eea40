//! Echoes: how long a reply took.

use super::flow::innermost;
use super::pending::Pending;
use weftrace_artifact::packet::{PacketView, layer};

/// Requests that wait for their reply.
const MAX_PENDING: usize = 1 << 16;

/// Who asks whom, with identifier and sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    asking: [u8; 16],
    asked: [u8; 16],
    ident: u16,
    seq: u16,
    place: (u32, u32),
}

pub(super) struct Echoes(Pending<Key>);

impl Default for Echoes {
    fn default() -> Self {
        Self(Pending::new(MAX_PENDING))
    }
}

impl Echoes {
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped
    }

    /// A packet with an echo or its reply.
    pub(super) fn follow(&mut self, live: bool, view: &mut PacketView) {
        let v6 = view.layers & layer::ICMPV6 != 0;
        let (&src, &dst) = innermost(view);
        let is_reply = matches!((v6, view.icmp.kind), (false, 0) | (true, 129));
        let (asking, asked) = if is_reply { (dst, src) } else { (src, dst) };
        let place = if live { (view.netns, view.interface) } else { (0, 0) };
        let key = Key { asking, asked, ident: view.icmp.ident, seq: view.icmp.seq, place };
        if !is_reply {
            // The number comes again after 65536 requests, or if a program begins anew: the latest counts.
            self.0.answer(&key);
            self.0.ask(key, view.boot_ns, 0);
        } else if let Some(sent) = self.0.answer(&key) {
            view.layers |= layer::ICMP_DETAIL;
            view.icmp.resp_ns = view.boot_ns.saturating_sub(sent);
        }
    }
}
