//! How a program on a packet socket reads fields, and which packets it leaves to user space.
//!
//! Such a program knows *plain* packets: Ethernet (up to two VLAN tags), raw IP or cooked, then IPv4 or IPv6 without extension
//! headers, whole, then TCP, UDP or something that no dissector goes into. What is not plain ([`goes_on`]: tunnels, fragments,
//! extension headers, frames that contradict themselves) it hands to user space, where the same block runs on it.

/// How a program in the kernel reads a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelRead {
    /// `(big-endian number of `bytes` bytes at `at` >> shift) & mask`
    Number { header: Header, at: u32, bytes: u32, shift: u32, mask: u32 },
    /// Address bytes as they lie in the header.
    Bytes(Header, u32),
    /// What dissecting the packet tells anyway.
    Found(Found),
}

/// A header that the program has copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Ethernet,
    Ipv4,
    Ipv6,
    Tcp,
    Udp,
}

impl Header {
    /// Bytes of it that are copied: without options.
    pub const fn size(self) -> u32 {
        match self {
            Self::Ethernet => 14,
            Self::Ipv4 | Self::Tcp => 20,
            Self::Ipv6 => 40,
            Self::Udp => 8,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    FrameLen,
    Interface,
    EtherType,
    VlanId,
    /// Total length, the frame's where the header says 0.
    Ipv4Len,
    /// Payload by the IP length.
    TcpLen,
}

impl KernelRead {
    /// A whole number of 1, 2 or 4 bytes.
    pub(super) const fn number(header: Header, at: u32, bytes: u32) -> Self {
        Self::Number { header, at, bytes, shift: 0, mask: u32::MAX }
    }

    /// Some of its bits.
    pub(super) const fn bits(header: Header, at: u32, bytes: u32, shift: u32, mask: u32) -> Self {
        Self::Number { header, at, bytes, shift, mask }
    }
}

/// What a packet socket's packets begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    Ethernet = 1,
    /// The network header, with its type beside it (`any`).
    Cooked = 2,
    /// The network header alone (tun, WireGuard).
    RawIp = 3,
}

/// Layers that some dissector goes into, so that fields of the packet may be those of a packet inside.
pub mod goes_on {
    /// EtherTypes of VLAN tags.
    pub const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
    /// PPP, MPLS, PPPoE, Ethernet in Ethernet (bridging, backbone, FabricPath, TRILL), tags of devices (MACsec, VN-Tag, E-Tag, HSR, metadata),
    /// NSH, frame relay. Values below 0x600 are no types.
    pub const ETHERTYPES: [u16; 15] = [
        0x880b, 0x8847, 0x8848, 0x8864, 0x6558, 0x6559, 0x88e5, 0x88e7, 0x8903, 0x8909, 0x8926, 0x892f, 0x893f, 0x894f,
        0x22f3,
    ];
    /// IP in IP, GRE, AH, extension headers and fragments, Ethernet in IP, PIM (which quotes packets), MPLS in IP.
    pub const PROTOCOLS: [u8; 15] = [0, 4, 41, 43, 44, 47, 51, 60, 97, 103, 135, 137, 139, 140, 143];
    /// L2TP, GTP, Teredo, LISP, VXLAN, VXLAN-GPE, CAPWAP, GENEVE, MPLS in UDP, VXLAN of Linux, TZSP: as source or destination.
    pub const UDP_PORTS: [u16; 12] = [1701, 2152, 3544, 4341, 4342, 4789, 4790, 5247, 6081, 6635, 8472, 37008];
}
