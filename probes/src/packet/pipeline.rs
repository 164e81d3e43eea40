//! From raw packets to views: dissection, flows, analysis, applications; as much of it as the script's fields need.

mod last;
mod more;
mod tcp;

use super::dissect::{Dissector, Found, Transport};
use super::dns;
use super::echo::Echoes;
use super::flow::{Ends, Flows};
use super::http::{self, HttpLimits, PassedOver};
use super::http2::{Http2Counters, Http2Limits};
use super::raw::RawPacket;
use super::stream::{Shared, StreamLimits};
use super::tls::SecretSource;
use last::Last;
use weftrace_artifact::join::Bound;
use weftrace_artifact::packet::{MoreView, PacketView, StrRef, layer, needs};

/// Bounds of what a pipeline keeps.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Conversations in the flow table; beyond that one not used for long makes room.
    pub max_flows: usize,
    /// Segments in flight that are followed, over all conversations.
    pub max_segments: usize,
    /// Fragmented datagrams under way.
    pub max_datagrams: usize,
    pub stream: StreamLimits,
    pub http: HttpLimits,
    pub http2: Http2Limits,
    pub community_id_seed: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_flows: 1 << 20,
            max_segments: 4 << 20,
            max_datagrams: 256,
            stream: StreamLimits::default(),
            http: HttpLimits::default(),
            http2: Http2Limits::default(),
            community_id_seed: 0,
        }
    }
}

/// What was seen, and what was lost on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub packets: u64,
    /// Headers cut short or contradicting themselves.
    pub malformed: u64,
    /// Packets of a link type without dissector.
    pub unknown_link: u64,
    /// IP fragments whose datagram was never complete.
    pub fragments_dropped: u64,
    pub flows_evicted: u64,
    /// Segments not followed for round trip times because the list was full.
    pub segments_dropped: u64,
    /// Holes in HTTP streams; bytes of messages that were not captured, where more than a body was among them.
    pub http_gaps: u64,
    pub http_cut: u64,
    pub http_malformed: u64,
    /// Exchanges given up with their connection's place in the table.
    pub http_dropped: u64,
    /// Holes in TLS streams.
    pub tls_gaps: u64,
    pub tls_malformed: u64,
    /// TLS secrets that were not kept: of too many sessions.
    pub secrets_dropped: u64,
    /// TLS records not read, as connections held too much together.
    pub tls_refused: u64,
    pub tls_compressed: u64,
    /// What HTTP/2 could not do.
    pub http2: Http2Counters,
    /// Parts that were too many for one packet.
    pub parts_dropped: u64,
    /// Ends of connections that nobody took in time.
    pub ends_dropped: u64,
    /// DNS queries and echo requests forgotten before an answer came.
    pub questions_dropped: u64,
    pub dns_malformed: u64,
}

/// Turns packets into views. One per stream of packets: state carries over from packet to packet.
pub struct Pipeline {
    needs: u32,
    dissector: Dissector,
    flows: Flows,
    shared: Shared,
    echoes: Echoes,
    counters: Counters,
    last: Last,
    last_boot: u64,
    /// What few scripts ask for.
    more: Box<MoreView>,
    seed: u16,
    /// Next flow to look at in [`Pipeline::end_more`].
    ending: usize,
}

impl Pipeline {
    /// `needs`: the union of [`needs`] bits of all fields used.
    pub fn new(needs: u32, options: Options) -> Self {
        let mut needs = needs;
        // Each analysis stands on the ones below.
        if needs & needs::FLOW_END != 0 {
            needs |= needs::FLOW_STATS;
        }
        if needs & (needs::HTTP | needs::SEGMENTS | needs::FLOW_STATS) != 0 {
            needs |= needs::ANALYSIS;
        }
        if needs & needs::SEGMENTS != 0 {
            needs |= needs::OPTIONS; // SACK blocks are not in flight
        }
        if needs & (needs::ANALYSIS | needs::STREAMS) != 0 {
            needs |= needs::FLOW;
        }
        if needs & (needs::FLOW | needs::OPTIONS) != 0 {
            needs |= needs::HEADERS;
        }
        let mut flows = Flows::new(options.max_flows, options.max_segments);
        flows.ends = Ends::new(needs & needs::FLOW_END != 0);
        Self {
            needs,
            dissector: Dissector::new(options.max_datagrams),
            flows,
            shared: Shared::new(needs, options.stream, options.http, options.http2),
            echoes: Echoes::default(),
            counters: Counters::default(),
            last: Last::default(),
            last_boot: 0,
            more: Box::default(),
            seed: options.community_id_seed,
            ending: 0,
        }
    }

    pub fn counters(&self) -> Counters {
        Counters {
            fragments_dropped: self.dissector.fragments.dropped,
            flows_evicted: self.flows.table.evicted,
            segments_dropped: self.flows.segments_dropped(),
            http_gaps: self.shared.http.gaps,
            http_cut: self.shared.http.cut,
            http_malformed: self.shared.http.malformed,
            http_dropped: self.shared.http.dropped,
            tls_gaps: self.shared.tls.counters.gaps,
            tls_malformed: self.shared.tls.counters.malformed,
            secrets_dropped: self.shared.tls.secrets.dropped,
            tls_refused: self.shared.tls.counters.refused,
            tls_compressed: self.shared.tls.counters.compressed,
            http2: self.shared.http2,
            parts_dropped: self.shared.parts.dropped,
            ends_dropped: self.flows.ends.dropped,
            questions_dropped: self.shared.dns.pending.dropped + self.shared.dns.forgotten + self.echoes.dropped(),
            dns_malformed: self.shared.dns.malformed,
            ..self.counters
        }
    }

    /// Secrets of TLS sessions, lines as in SSLKEYLOGFILE: what they open is read.
    pub fn add_secrets(&mut self, text: &[u8]) {
        self.shared.tls.secrets.add(text);
        self.shared.decrypt();
    }

    /// The same from a log that grows.
    pub fn follow_secrets(&mut self, source: Box<dyn SecretSource>) {
        self.shared.tls.secrets.follow(source);
        self.shared.decrypt();
    }

    /// The earliest end of an exchange that is presented once its response was acknowledged.
    pub fn oldest_unsettled(&self) -> Option<u64> {
        self.shared.parts.oldest_owed()
    }

    /// Which exchanges are of interest at all; None: all of them. Others are counted instead of presented.
    pub fn pass_over(&mut self, bound: Option<Bound>) {
        self.shared.passing.bound = bound;
    }

    /// Exchanges that the packet last processed has ended, and that are of no interest.
    pub fn passed(&mut self) -> Option<PassedOver> {
        self.shared.passing.take()
    }

    /// Conversations in the table.
    pub fn flows(&self) -> usize {
        self.flows.table.len()
    }

    /// Fills `view` with the packet. Strings in it stay valid until the next call with this pipeline, and no longer than
    /// `raw.data`. Returns false if the packet could not be dissected (its frame fields are there).
    pub fn process(&mut self, raw: &RawPacket<'_>, view: &mut PacketView) -> bool {
        self.counters.packets += 1;
        view.begin();
        view.layers = layer::FRAME | layer::BOOT_TIME;
        view.time_ns = raw.time_ns;
        view.boot_ns = raw.boot_ns.unwrap_or(raw.time_ns);
        view.number = raw.number;
        view.len = raw.len;
        view.cap_len = raw.data.len() as u32;
        view.interface = raw.interface;
        view.netns = raw.netns;
        view.data = StrRef::from(raw.data);
        if raw.live && raw.boot_ns.is_none() {
            view.layers &= !layer::BOOT_TIME;
        }
        if self.needs == 0 {
            return true;
        }
        self.last_boot = view.boot_ns;
        self.shared.next_packet();
        let understood = self.dissect(raw, view);
        if self.needs & more::MORE != 0 {
            self.identify(view);
            self.flows.end_due(view.boot_ns, raw.live);
        }
        if raw.live {
            self.look_for_last(view.boot_ns);
        }
        understood
    }

    fn dissect(&mut self, raw: &RawPacket<'_>, view: &mut PacketView) -> bool {
        let (transport, payload) = match self.dissector.dissect(raw, self.needs, view) {
            Found::Transport(transport, payload) => (transport, payload),
            Found::Other => {
                if self.needs & needs::ICMP != 0 && view.layers & layer::ICMP_ECHO != 0 {
                    self.echoes.follow(raw.live, view);
                }
                return true;
            }
            Found::Quoted(ends) => {
                if self.needs & needs::FLOW != 0 {
                    tcp::quote(&mut self.flows, &mut self.shared, raw.live, &ends, view);
                }
                return true;
            }
            Found::Malformed => {
                self.counters.malformed += 1;
                return false;
            }
            Found::UnknownLink => {
                self.counters.unknown_link += 1;
                return false;
            }
        };
        match transport {
            Transport::Tcp if self.needs & needs::FLOW != 0 => {
                let place =
                    tcp::tcp(&mut self.flows, &mut self.shared, &mut self.last, self.needs, (payload, raw.live), view);
                if self.needs & needs::FLOW_STATS != 0 {
                    self.flows.account(place, self.shared.wanted, view, &mut self.more.connection);
                }
            }
            Transport::Udp => udp(payload, raw.live, view, &mut self.shared),
            Transport::TcpCutShort => {
                self.counters.malformed += 1;
                if self.needs & needs::FLOW != 0 {
                    let place = tcp::place(&mut self.flows, &mut self.shared, &mut self.last, raw.live, view);
                    self.flows.mention(place, view);
                }
            }
            Transport::TcpPorts => self.counters.malformed += 1,
            Transport::Tcp => {}
        }
        self.shared.describe(view);
        self.shared.parts.first(view);
        true
    }

    /// Presents the next message that ended with the packet last processed: `view` keeps the packet's other fields,
    /// `http.part` counts up. Says the family of fields it is for, a bit of [`needs`]: it is presented to blocks that read any of
    /// these. Call until it returns none.
    pub fn next_part(&mut self, view: &mut PacketView) -> Option<u32> {
        self.shared.parts.next(view)
    }
}

/// Messages in datagrams, by port.
fn udp(payload: &[u8], live: bool, view: &PacketView, shared: &mut Shared) {
    /// SSDP speaks HTTP in datagrams.
    const SSDP: u16 = 1900;
    let is = |port: u16| view.udp_dst_port == port || view.udp_src_port == port;
    if shared.needs & needs::HTTP != 0 && is(SSDP) {
        http::datagram(payload, shared);
    }
    if shared.needs & needs::DNS != 0 && (dns::is_port(view.udp_dst_port) || dns::is_port(view.udp_src_port)) {
        dns::datagram(payload, live, view, shared);
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Pipeline};
    use crate::packet::ALL_NEEDS;

    /// What is dropped below is among the pipeline's counters.
    #[test]
    fn secrets_that_were_not_kept_are_counted() {
        let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        pipeline.shared.tls.secrets.dropped = 3;
        assert_eq!(pipeline.counters().secrets_dropped, 3);
    }

    /// A pipeline may be made in one thread and run in another.
    #[test]
    fn pipelines_can_be_sent() {
        fn send<T: Send>() {}
        send::<Pipeline>();
        #[cfg(feature = "live")]
        send::<crate::packet::source::LiveSource>();
        send::<crate::packet::source::Captures>();
        send::<crate::packet::source::BlockFilter>();
    }
}
