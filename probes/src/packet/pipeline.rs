//! From raw packets to views: dissection, flows, analysis, HTTP; as much of it as the script's fields need.

use super::dissect::{ACK, Dissector, FIN, Found, Fragments, RST, SYN, Transport};
use super::flow::{Flow, Flows, Place};
use super::http::{self, HttpEngine, HttpFlow, HttpLimits, Sniff, TcpPacket};
use super::raw::RawPacket;
use weftrace_artifact::packet::{PacketView, StrRef, analysis, layer, needs};

/// Bounds of what a pipeline keeps.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Conversations in the flow table; beyond that one not used for long makes room.
    pub max_flows: usize,
    /// Segments in flight that are followed, over all conversations.
    pub max_segments: usize,
    /// Fragmented datagrams under way.
    pub max_datagrams: usize,
    pub http: HttpLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_flows: 1 << 20, max_segments: 4 << 20, max_datagrams: 256, http: HttpLimits::default() }
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
    /// Holes in HTTP streams.
    pub http_gaps: u64,
    pub http_malformed: u64,
    /// Exchanges given up with their connection's place in the table.
    pub http_dropped: u64,
}

/// Turns packets into views. One per stream of packets: state carries over from packet to packet.
pub struct Pipeline {
    needs: u32,
    dissector: Dissector,
    flows: Flows,
    http: HttpEngine,
    counters: Counters,
    part: u32,
    /// Next flow to look at in [`Pipeline::finish`].
    closing: usize,
    last_boot: u64,
}

impl Pipeline {
    /// `needs`: the union of [`needs`] bits of all fields used.
    pub fn new(needs: u32, options: Options) -> Self {
        let mut needs = needs;
        // Each analysis stands on the ones below.
        if needs & (needs::HTTP | needs::SEGMENTS) != 0 {
            needs |= needs::ANALYSIS;
        }
        if needs & needs::SEGMENTS != 0 {
            needs |= needs::OPTIONS; // SACK blocks are not in flight
        }
        if needs & needs::ANALYSIS != 0 {
            needs |= needs::FLOW;
        }
        if needs & (needs::FLOW | needs::OPTIONS) != 0 {
            needs |= needs::HEADERS;
        }
        Self {
            needs,
            dissector: Dissector { fragments: Fragments::new(options.max_datagrams) },
            flows: Flows::new(options.max_flows, options.max_segments),
            http: HttpEngine::new(options.http),
            counters: Counters::default(),
            part: 0,
            closing: 0,
            last_boot: 0,
        }
    }

    pub fn counters(&self) -> Counters {
        Counters {
            fragments_dropped: self.dissector.fragments.dropped,
            flows_evicted: self.flows.table.evicted,
            segments_dropped: self.flows.segments_dropped(),
            http_gaps: self.http.counters.gaps,
            http_malformed: self.http.counters.malformed,
            http_dropped: self.http.counters.dropped,
            ..self.counters
        }
    }

    /// Conversations in the table.
    pub fn flows(&self) -> usize {
        self.flows.table.len()
    }

    /// Fills `view` with the packet. Strings in it stay valid until the next call with this pipeline, and no longer than
    /// `raw.data`. Returns false if the packet could not be dissected (its frame fields are there).
    pub fn process(&mut self, raw: &RawPacket<'_>, view: &mut PacketView) -> bool {
        self.counters.packets += 1;
        *view = PacketView {
            layers: layer::FRAME | layer::BOOT_TIME,
            time_ns: raw.time_ns,
            boot_ns: raw.boot_ns.unwrap_or(raw.time_ns),
            number: raw.number,
            len: raw.len,
            cap_len: raw.data.len() as u32,
            interface: raw.interface,
            netns: raw.netns,
            data: StrRef::from(raw.data),
            ..PacketView::default()
        };
        if raw.live && raw.boot_ns.is_none() {
            view.layers &= !layer::BOOT_TIME;
        }
        if self.needs == 0 {
            return true;
        }
        self.last_boot = view.boot_ns;
        self.part = 0;
        self.http.next_packet();
        let (transport, payload) = match self.dissector.dissect(raw, self.needs, view) {
            Found::Transport(transport, payload) => (transport, payload),
            Found::Other => return true,
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
                tcp(&mut self.flows, &mut self.http, self.needs, payload, raw.live, view);
            }
            Transport::Udp if self.needs & needs::HTTP != 0 => udp(payload, view, &mut self.http),
            Transport::TcpCutShort => {
                self.counters.malformed += 1;
                if self.needs & needs::FLOW != 0 {
                    let place = place(&mut self.flows, &mut self.http, raw.live, view);
                    self.flows.mention(place, view);
                }
            }
            Transport::Tcp | Transport::Udp => {}
        }
        if let Some((layers, http)) = self.http.next_part() {
            view.layers |= layers;
            view.http = http;
        }
        true
    }

    /// Presents the next HTTP message or exchange that ended with the packet last processed: `view` keeps the packet's other
    /// fields, `http.part` counts up. Call until it returns false, for blocks that read `http.*`.
    pub fn next_part(&mut self, view: &mut PacketView) -> bool {
        const HTTP: u32 = layer::HTTP
            | layer::HTTP_REQUEST
            | layer::HTTP_RESPONSE
            | layer::HTTP_EXCHANGE
            | layer::HTTP_HOST
            | layer::HTTP_CONTENT_LENGTH;
        let Some((layers, http)) = self.http.next_part() else { return false };
        self.part += 1;
        view.layers = view.layers & !HTTP | layers;
        view.http = http;
        view.http.part = self.part;
        true
    }

    /// At the end of all packets: presents exchanges still open, each with its connection's endpoints but no packet. Call
    /// until it returns false.
    pub fn finish(&mut self, view: &mut PacketView) -> bool {
        loop {
            if let Some((layers, http)) = self.http.next_part() {
                view.layers =
                    view.layers & (layer::TCP | layer::FLOW | layer::BOOT_TIME | layer::IP | layer::IPV6) | layers;
                view.http = http;
                return true;
            }
            if self.closing >= self.flows.table.len() {
                self.dissector.fragments.close();
                return false;
            }
            let flow = self.flows.table.get_mut(self.closing as u32);
            self.closing += 1;
            if let Some(mut open) = flow.http.take() {
                flow.http_over = true;
                open.close(&mut self.http, Some(self.last_boot));
                *view = PacketView { time_ns: self.last_boot, boot_ns: self.last_boot, ..PacketView::default() };
                flow.endpoints(view);
            }
        }
    }
}

fn udp(payload: &[u8], view: &PacketView, engine: &mut HttpEngine) {
    /// SSDP speaks HTTP in datagrams.
    const SSDP: u16 = 1900;
    if view.udp_dst_port == SSDP || view.udp_src_port == SSDP {
        http::datagram(payload, engine);
    }
}

/// The packet's conversation; a former one between the same endpoints is closed.
fn place(flows: &mut Flows, engine: &mut HttpEngine, live: bool, view: &PacketView) -> Place {
    let place = flows.place(view, live, &mut |flow| {
        if let Some(mut http) = flow.http.take() {
            http.close(engine, None);
        }
    });
    if place.reopened {
        if let Some(mut http) = flows.table.get_mut(place.flow).http.take() {
            http.close(engine, Some(view.boot_ns));
        }
        flows.reopen(place, view);
    }
    place
}

fn tcp(flows: &mut Flows, engine: &mut HttpEngine, needs: u32, payload: &[u8], live: bool, view: &mut PacketView) {
    let place = place(flows, engine, live, view);
    let fwd = &mut flows.table.get_mut(place.flow).dirs[place.dir];
    let data_before = fwd.data_seen;
    fwd.data_seen |= view.tcp_len > 0;
    flows.follow(place, needs, view);
    if needs & needs::HTTP != 0 {
        follow_http(flows.table.get_mut(place.flow), engine, place, payload, data_before, view);
    }
}

fn follow_http(
    flow: &mut Flow,
    engine: &mut HttpEngine,
    place: Place,
    payload: &[u8],
    data_before: bool,
    view: &PacketView,
) {
    if flow.http_over {
        return;
    }
    let handshake_seen = flow.handshake_seen();
    let (fwd, rev) = flow.pair(place.dir);
    let origin = [fwd.base_seq.wrapping_add(1), rev.base_seq.wrapping_add(1)];
    let from_origin = fwd.syn_seen && !data_before;
    let seq = view.tcp_seq_raw.wrapping_add(u32::from(view.tcp_flags & SYN != 0));
    let answered = rev.seen;
    if flow.http.is_none() {
        // Most connections speak something else: they get no state. A first segment that is not at the stream's start
        // may be ahead of a head.
        let ahead = from_origin && view.tcp_len > 0 && seq != origin[0];
        if payload.is_empty() || (!ahead && Sniff::of(payload) == Sniff::No) {
            return;
        }
        flow.http = Some(Box::default());
    }
    let Some(http) = &mut flow.http else { return };
    let packet = TcpPacket {
        dir: place.dir,
        seq,
        ack: (view.tcp_flags & ACK != 0).then_some(view.tcp_ack_raw),
        payload,
        len: view.tcp_len,
        time: view.boot_ns,
        fin: view.tcp_flags & FIN != 0,
        reset: view.tcp_flags & RST != 0,
        origin: if place.dir == 0 { origin } else { [origin[1], origin[0]] },
        from_origin,
        answered,
        handshake_seen,
    };
    let (over, old) = http.packet(&packet, engine);
    if over {
        close(flow, engine);
    } else if old && view.analysis & analysis::FAST_RETRANSMISSION != 0 {
        http::repeated(payload, engine);
    }
}

fn close(flow: &mut Flow, engine: &mut HttpEngine) {
    if let Some(mut http) = flow.http.take() {
        HttpFlow::close(&mut http, engine, None);
    }
    flow.http_over = true;
}

#[cfg(test)]
mod tests {
    use super::Pipeline;

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
