//! Recordings made by hand.

/// A recording in the making: what it says of itself, then blocks of events, and packets.
pub(super) struct ByHand(Vec<u8>);

/// As an event has it.
pub(super) fn said(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

impl ByHand {
    /// Of a run with these scripts, and no streams.
    pub(super) fn new(sources: &[(&str, &str)]) -> Self {
        let mut run = [&[1][..], &said("1"), &[1, 0], &[0; 36], &said("UTC"), &[0; 8]].concat();
        run.extend((sources.len() as u32).to_le_bytes());
        for (name, script) in sources {
            run.extend([said(name), said(script)].concat());
        }
        run.extend([0; 8]);
        let mut made = Self(Vec::new());
        made.block(0x0a0d_0d0a, &[&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat());
        made.events(&run);
        made
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let out = &mut self.0;
        let len = (body.len().next_multiple_of(4) + 12) as u32;
        out.extend([kind.to_le_bytes(), len.to_le_bytes()].concat());
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(len.to_le_bytes());
    }

    pub(super) fn events(&mut self, events: &[u8]) {
        let mut own = 32_473u32.to_le_bytes().to_vec();
        own.extend(b"weftrace");
        own.extend([1, 0, 0, 0]);
        own.extend((events.len() as u32).to_le_bytes());
        own.extend(events);
        self.block(0x4000_0bad, &own);
    }

    /// Packets of one interface more are of this type of link.
    pub(super) fn interface(&mut self, link: u16) {
        self.block(1, &[&link.to_le_bytes()[..], &[0; 6]].concat());
    }

    /// A source's packet at `ms` of CLOCK_BOOTTIME, which is CLOCK_REALTIME too.
    pub(super) fn packet(&mut self, source: u32, interface: u32, ms: u64, data: &[u8]) {
        let len = data.len() as u32;
        let mut body = [interface, 0, ms as u32 * 1000, len, len].map(u32::to_le_bytes).concat();
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        let kept = [source, interface, 0].map(u32::to_le_bytes).concat();
        let times = [ms, ms * 1_000_000].map(u64::to_le_bytes).concat();
        let own = [&32_473u32.to_le_bytes()[..], b"weftrace", &kept, &times].concat();
        body.extend([2989u16, own.len() as u16].map(u16::to_le_bytes).concat());
        body.extend(own);
        body.extend([0; 4]);
        self.block(6, &body);
    }
}
