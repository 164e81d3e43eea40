//! Live capture by libpcap: one device, `lo` or `any`.
//!
//! On loopback the kernel shows each packet twice, leaving and arriving; libpcap passes on only the arriving one, also on
//! `any`, so that a packet counts once, as with tcpdump. On `any` the cooked header version 2 tells the interface, and flows
//! are keyed by it: a packet that crosses a bridge is seen once per interface and is not a retransmission.

use super::error::{FilterError, SourceError};
use super::netns::{self, NetNs};
use crate::kernel::sys::{
    SyscallError, be_promiscuous, bind_to_device, bound_device, device_of_socket, network_namespace, refuse_all,
};
use crate::packet::{LinkType, RawPacket};
use pcap::{Active, Capture, Linktype, Precision};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use weftrace_artifact::packet::needs;

/// How soon packets are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Each at once.
    Immediate,
    /// In blocks, after at most so many ms: cheaper at high rates.
    Block(u16),
}

/// How to open a device.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// `any`: all devices.
    pub device: String,
    pub netns: Option<NetNs>,
    /// Bytes captured of each packet; 0: all.
    pub snaplen: u32,
    pub promiscuous: bool,
    /// Bytes of the ring shared with the kernel.
    pub buffer_bytes: u32,
    pub latency: Latency,
    /// A filter that the kernel runs; empty: none.
    pub filter: String,
}

impl LiveOptions {
    /// Captures no more of each packet than the fields used need (bits of [`weftrace_artifact::packet::needs`]): a ring of the
    /// same size holds many more packets that way.
    pub fn for_needs(device: impl Into<String>, used: u32) -> Self {
        /// Ethernet, a tunnel, IPv6 with extensions, TCP with all options.
        const HEADERS: u32 = 320;
        let mut options = Self::new(device);
        if used & (needs::STREAMS | needs::PAYLOAD) == 0 {
            options.snaplen = HEADERS;
        } else {
            // Segments that the kernel put together can be 64 kB; the ring has a place of that size for each packet.
            options.buffer_bytes = 32 << 20;
        }
        options
    }

    pub fn new(device: impl Into<String>) -> Self {
        Self {
            device: device.into(),
            netns: None,
            snaplen: MAX_SNAPLEN,
            promiscuous: false,
            buffer_bytes: 8 << 20,
            latency: Latency::Immediate,
            filter: String::new(),
        }
    }
}

/// What libpcap and tcpdump take for "all": segments that the kernel put together can be larger than 64 KiB.
const MAX_SNAPLEN: u32 = 262_144;

/// Since the source was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveCounters {
    pub received: u64,
    /// The ring was full.
    pub dropped_kernel: u64,
    pub dropped_interface: u64,
}

/// An open device. Its descriptor becomes readable when packets are there; then drain with [`LiveSource::next_packet`].
pub struct LiveSource {
    capture: Capture<Active>,
    device: String,
    link: LinkType,
    netns: u32,
    index: u32,
    loopback: u32,
    snaplen: u32,
    promiscuous: bool,
    /// Kind of the device's hardware.
    hardware: u16,
    filter: String,
    number: u64,
    counters: LiveCounters,
    /// The last 32-bit values of libpcap.
    last: [u32; 3],
}

impl LiveSource {
    pub fn open(options: &LiveOptions) -> Result<Self, SourceError> {
        match &options.netns {
            None => open_here(options),
            Some(netns) => netns.run(|| open_here(options))?,
        }
    }

    /// Takes the next packet that is there; None: poll the descriptor again. `time_ns` is CLOCK_REALTIME; the caller
    /// converts it to boot time.
    pub fn next_packet(&mut self) -> Result<Option<RawPacket<'_>>, SourceError> {
        let packet = match self.capture.next_packet() {
            Ok(packet) => packet,
            Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => return Ok(None),
            Err(error) => return Err(SourceError::Capture { device: self.device.clone(), message: message(&error) }),
        };
        self.number += 1;
        // With nanosecond precision the fraction holds nanoseconds.
        let time_ns = packet.header.ts.tv_sec as u64 * 1_000_000_000 + packet.header.ts.tv_usec as u64;
        Ok(Some(RawPacket {
            data: packet.data,
            len: packet.header.len,
            link: self.link,
            device: &self.device,
            interface: self.index,
            netns: self.netns,
            number: self.number,
            time_ns,
            boot_ns: None,
            live: true,
        }))
    }

    /// Whether the device was removed, or moved to another network namespace; where it is only down that is no error.
    pub fn is_gone(&self) -> bool {
        bound_device(self.as_fd()).is_ok_and(|bound| bound.index < 0)
    }

    /// Where it has gone: captures on the device of that name that is there now, if there is one. The socket stays, with its ring and
    /// whatever filters it, so that no privilege is needed.
    pub fn come_back(&mut self) -> Result<bool, SourceError> {
        let failed =
            |error: SyscallError| SourceError::Capture { device: self.device.clone(), message: error.to_string() };
        let Some(index) = device_of_socket(self.as_fd(), &self.device) else { return Ok(false) };
        bind_to_device(self.as_fd(), index).map_err(failed)?;
        if bound_device(self.as_fd()).map_err(failed)?.hardware != self.hardware {
            // Its packets would be taken for something else.
            refuse_all(self.as_fd()).map_err(failed)?;
            return Err(SourceError::AnotherKind { device: self.device.clone() });
        }
        if self.promiscuous {
            be_promiscuous(self.as_fd(), index).map_err(failed)?;
        }
        self.index = index as u32;
        Ok(true)
    }

    /// Replaces the filter that the kernel runs.
    pub fn set_filter(&mut self, filter: &str) -> Result<(), SourceError> {
        if super::filter::has_flag_as_predicate(filter) {
            super::BlockFilter::new(filter, &[self.link])?;
        }
        self.capture.filter(filter, true).map_err(|error| bad_filter(filter, &error))?;
        filter.clone_into(&mut self.filter);
        Ok(())
    }

    /// From now on nothing comes; what has come is still read.
    pub fn stop(&self) {
        // It is the run's end: where that can't be done the packets that still come are left out by their times.
        let _ = refuse_all(self.as_fd());
    }

    /// The filter that the kernel runs; empty: none.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Bytes captured of each packet.
    pub fn snaplen(&self) -> u32 {
        self.snaplen
    }

    /// Index of the device `lo` where it captures; 0: there is none.
    pub(super) fn loopback(&self) -> u32 {
        self.loopback
    }

    pub fn link(&self) -> LinkType {
        self.link
    }

    /// Inode of the network namespace it captures in.
    pub fn netns(&self) -> u32 {
        self.netns
    }

    /// How many packets that the kernel has taken so far have not been returned; None: not known, where there is a loopback device, of
    /// whose packets libpcap leaves out one copy of two.
    pub fn waiting(&mut self) -> Option<u64> {
        let counters = self.counters();
        let loops = self.device == "any" || self.index == self.loopback;
        (!loops).then(|| counters.received.saturating_sub(counters.dropped_kernel).saturating_sub(self.number))
    }

    /// Reads what the kernel counted. The kernel's 32-bit counters may wrap between calls, once.
    pub fn counters(&mut self) -> LiveCounters {
        if let Ok(stats) = self.capture.stats() {
            let now = [stats.received, stats.dropped, stats.if_dropped];
            let mut more = now.iter().zip(self.last).map(|(now, last)| u64::from(now.wrapping_sub(last)));
            self.counters.received += more.next().unwrap_or(0);
            self.counters.dropped_kernel += more.next().unwrap_or(0);
            // A device that has come anew counts from 0.
            self.counters.dropped_interface += more.next().filter(|more| *more <= u64::from(u32::MAX / 2)).unwrap_or(0);
            self.last = now;
        }
        self.counters
    }
}

impl AsRawFd for LiveSource {
    fn as_raw_fd(&self) -> RawFd {
        self.capture.as_raw_fd()
    }
}

impl AsFd for LiveSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }
}

fn open_here(options: &LiveOptions) -> Result<LiveSource, SourceError> {
    let device = options.device.as_str();
    let there = netns::devices();
    if device != "any" && !there.iter().any(|name| name == device) {
        return Err(SourceError::NoSuchDevice { name: device.to_owned(), there });
    }
    let failed = |error: pcap::Error| open_error(device, &error);
    let clamp = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let mut inactive = Capture::from_device(device)
        .map_err(failed)?
        .promisc(options.promiscuous && device != "any")
        .snaplen(clamp(if options.snaplen == 0 { MAX_SNAPLEN } else { options.snaplen }))
        .buffer_size(clamp(options.buffer_bytes))
        .precision(Precision::Nano);
    inactive = match options.latency {
        Latency::Immediate => inactive.immediate_mode(true),
        Latency::Block(ms) => inactive.timeout(i32::from(ms.max(1))),
    };
    let mut capture = inactive.open().map_err(failed)?;
    if device == "any" {
        // An older libpcap has only version 1, without the interface: then all interfaces count as one.
        let _ = capture.set_datalink(Linktype(LinkType::LINUX_SLL2.0 as i32));
    }
    let link = match capture.get_datalink().0 {
        12 => LinkType::RAW,
        other => LinkType(other as u32),
    };
    let capture = capture.setnonblock().map_err(failed)?;
    let hardware = bound_device(capture.as_fd()).map_or(0, |bound| bound.hardware);
    let mut source = LiveSource {
        capture,
        device: device.to_owned(),
        link,
        netns: network_namespace(),
        index: netns::index(device),
        loopback: netns::index("lo"),
        snaplen: options.snaplen,
        promiscuous: options.promiscuous && device != "any",
        hardware,
        filter: String::new(),
        number: 0,
        counters: LiveCounters::default(),
        last: [0; 3],
    };
    if !options.filter.is_empty() {
        source.set_filter(&options.filter)?;
    }
    Ok(source)
}

fn bad_filter(filter: &str, error: &pcap::Error) -> SourceError {
    FilterError::BadFilter { filter: filter.to_owned(), message: message(error), hint: None }.into()
}

/// libpcap tells errors apart only by their text.
fn open_error(device: &str, error: &pcap::Error) -> SourceError {
    let message = message(error);
    let denied = ["permission", "Permission", "not permitted", "CAP_NET_RAW"];
    if denied.iter().any(|word| message.contains(word)) {
        SourceError::NotPermitted { device: device.to_owned() }
    } else {
        SourceError::Capture { device: device.to_owned(), message }
    }
}

/// libpcap's own words, without the crate's prefix.
pub(super) fn message(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}
