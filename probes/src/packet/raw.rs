//! A packet as a source hands it over.

/// The type of a capture's outermost layer: a LINKTYPE_ (or DLT_) number of the tcpdump group's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    pub const NULL: Self = Self(0);
    pub const ETHERNET: Self = Self(1);
    pub const PPP: Self = Self(9);
    pub const RAW_BSD: Self = Self(12);
    pub const RAW_OPENBSD: Self = Self(14);
    pub const PPP_HDLC: Self = Self(50);
    pub const PPP_ETHER: Self = Self(51);
    pub const RAW: Self = Self(101);
    pub const C_HDLC: Self = Self(104);
    pub const IEEE802_11: Self = Self(105);
    pub const LOOP: Self = Self(108);
    pub const LINUX_SLL: Self = Self(113);
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    pub const IPV4: Self = Self(228);
    pub const IPV6: Self = Self(229);
    pub const NFLOG: Self = Self(239);
    pub const LINUX_SLL2: Self = Self(276);
}

/// One captured packet. Times are ns; CLOCK_REALTIME unless they say boot.
#[derive(Clone, Copy, Debug)]
pub struct RawPacket<'a> {
    pub data: &'a [u8],
    /// Length on the wire.
    pub len: u32,
    pub link: LinkType,
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
