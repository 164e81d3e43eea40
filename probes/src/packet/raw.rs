//! A packet as a source hands it over.

/// The type of a capture's outermost layer: a LINKTYPE_ (or DLT_) number of the tcpdump group's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    pub const NULL: Self = Self(0);
    pub const ETHERNET: Self = Self(1);
    pub const TOKEN_RING: Self = Self(6);
    pub const PPP: Self = Self(9);
    pub const FDDI: Self = Self(10);
    pub const RAW_BSD: Self = Self(12);
    pub const RAW_OPENBSD: Self = Self(14);
    pub const PPP_HDLC: Self = Self(50);
    pub const PPP_ETHER: Self = Self(51);
    pub const ATM_RFC1483: Self = Self(100);
    pub const RAW: Self = Self(101);
    pub const C_HDLC: Self = Self(104);
    pub const IEEE802_11: Self = Self(105);
    pub const FRELAY: Self = Self(107);
    pub const LOOP: Self = Self(108);
    pub const ENC: Self = Self(109);
    pub const LINUX_SLL: Self = Self(113);
    pub const PFLOG: Self = Self(117);
    pub const PRISM: Self = Self(119);
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// Where Apple's tools wrote PKTAP before it had a number.
    pub const USER2: Self = Self(149);
    pub const AVS: Self = Self(163);
    pub const JUNIPER_ETHER: Self = Self(178);
    pub const PPI: Self = Self(192);
    pub const PPP_WITH_DIR: Self = Self(204);
    pub const MPLS: Self = Self(219);
    pub const IPNET: Self = Self(226);
    pub const IPV4: Self = Self(228);
    pub const IPV6: Self = Self(229);
    pub const NFLOG: Self = Self(239);
    pub const NETANALYZER: Self = Self(240);
    pub const IPOIB: Self = Self(242);
    pub const PKTAP: Self = Self(258);
    pub const ETHERNET_MPACKET: Self = Self(274);
    pub const LINUX_SLL2: Self = Self(276);
    pub const DSA_BRCM: Self = Self(281);
    pub const DSA_BRCM_PREPEND: Self = Self(282);
    pub const DSA: Self = Self(284);
    pub const EDSA: Self = Self(285);
}

/// One captured packet. Times are ns; CLOCK_REALTIME unless they say boot.
#[derive(Clone, Copy, Debug)]
pub struct RawPacket<'a> {
    pub data: &'a [u8],
    /// Length on the wire.
    pub len: u32,
    pub link: LinkType,
    /// Name of the device it was captured on, `any` too; "": a file.
    pub device: &'a str,
    /// Interface index (live) or number in the file (pcapng).
    pub interface: u32,
    /// Inode of the source's network namespace; 0: a file.
    pub netns: u32,
    /// From 1, over all files.
    pub number: u64,
    pub time_ns: u64,
    /// CLOCK_BOOTTIME, if the source's owner could convert; else the time in the file serves.
    pub boot_ns: Option<u64>,
    /// Captured now: the same connection seen on two interfaces is two flows.
    pub live: bool,
}

impl<'a> RawPacket<'a> {
    /// A whole packet of a file, each a millisecond behind the one before: as tests and fuzzers make them.
    pub fn new(link: LinkType, data: &'a [u8], number: u64) -> Self {
        Self {
            data,
            len: data.len() as u32,
            link,
            device: "",
            interface: 0,
            netns: 0,
            number,
            time_ns: number * 1_000_000,
            boot_ns: None,
            live: false,
        }
    }
}
