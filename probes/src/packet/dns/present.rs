//! What is presented to handlers: messages.

use super::message::Message;
use super::{Key, PATIENCE};
use crate::packet::pending::Pending;
use crate::packet::stream::Part;
use weftrace_artifact::packet::{DnsView, PacketView, StrRef, layer, needs};

/// A message, and what is known of the one it belongs to.
pub(super) struct DnsPart {
    message: Message,
    /// An answer: ns since its question.
    time: Option<u64>,
    /// A question that was asked before.
    again: bool,
}

impl DnsPart {
    pub(super) fn paired(message: Message, key: Key, pending: &mut Pending<Key>, now: u64) -> Self {
        if message.is_response() {
            let asked = pending.answer(&key);
            return Self { message, time: asked.map(|asked| now.saturating_sub(asked)), again: false };
        }
        let again = pending.ask(key, now, PATIENCE).is_some();
        Self { message, time: None, again }
    }

    /// With what its connection knows.
    pub(super) fn new(message: Message, time: Option<u64>, again: bool) -> Self {
        Self { message, time, again }
    }
}

impl Part for DnsPart {
    fn family(&self) -> u32 {
        needs::DNS
    }

    fn present(&self, number: u32, view: &mut PacketView) {
        let message = &self.message;
        view.layers |= layer::DNS;
        let [queries, answers, authority, additional] = message.counts;
        view.dns = DnsView {
            id: message.id,
            flags: message.flags,
            queries,
            answers,
            authority,
            additional,
            qry_type: message.kind,
            qry_class: message.class,
            response: u32::from(message.is_response()),
            again: u32::from(self.again),
            part: number,
            opcode: (message.flags >> 11 & 0xf) as u8,
            rcode: (message.flags & 0xf) as u8,
            ..DnsView::default()
        };
        let dns = &mut view.dns;
        if let Some(name) = &message.name {
            view.layers |= layer::DNS_QUESTION;
            dns.qry_name = StrRef::from(name.as_bytes());
        }
        if let Some(name) = &message.cname {
            dns.cname = StrRef::from(name.as_bytes());
        }
        if let Some(address) = message.a {
            view.layers |= layer::DNS_A;
            dns.a[..4].copy_from_slice(&address);
        }
        if let Some(address) = message.aaaa {
            view.layers |= layer::DNS_AAAA;
            dns.aaaa = address;
        }
        if let Some(time) = self.time {
            view.layers |= layer::DNS_TIME;
            dns.time = time;
        }
    }
}
