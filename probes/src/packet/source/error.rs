//! What can go wrong with a source, in the operator's words.

/// A capture file that is broken. Everything before the damage was delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: record {record} at {}byte {offset} {what}{}", if *.unpacked { "unpacked " } else { "" }, unread(*.unread_bytes))]
pub struct Damage {
    pub file: String,
    /// Number of the record (pcap) or block (pcapng) in the file, from 1.
    pub record: u64,
    /// Where it starts.
    pub offset: u64,
    /// The offset is one of what the file unpacks to.
    pub unpacked: bool,
    /// What is wrong, to follow "record N at byte M".
    pub what: String,
    /// Bytes of the file from `offset` on, where its size is known.
    pub unread_bytes: Option<u64>,
}

fn unread(bytes: Option<u64>) -> String {
    bytes.map(|bytes| format!("; the rest of the file was not read ({bytes} bytes)")).unwrap_or_default()
}

impl From<Damage> for SourceError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Damaged(Box<Damage>),
    #[error("{file}: {error}")]
    Io { file: String, error: std::io::Error },
    /// `seems`: what it looks like instead, and what to do then.
    #[error("{file} is no capture file (neither pcap nor pcapng){seems}")]
    NotACapture { file: String, seems: &'static str },
    #[error("no network device {name} here; there are: {}", .there.join(", "))]
    NoSuchDevice { name: String, there: Vec<String> },
    #[error("capturing on {device} needs CAP_NET_RAW")]
    NotPermitted { device: String },
    #[error("no network namespace {name}: {error}")]
    NoSuchNetNs { name: String, error: std::io::Error },
    #[error("entering the network namespace {name} needs CAP_SYS_ADMIN")]
    NetNsNotPermitted { name: String },
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A device of the name has come, whose packets begin with something else.
    #[error("{device} is a device of another kind now")]
    AnotherKind { device: String },
    /// What libpcap says.
    #[error("{device}: {message}")]
    Capture { device: String, message: String },
}

/// A packet filter that libpcap refuses, or that cannot mean what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("bad packet filter `{filter}`: {message}")]
    BadFilter {
        filter: String,
        message: String,
        /// What to write instead.
        hint: Option<&'static str>,
    },
    #[error("this build has no packet filters (built without the feature `live`)")]
    NotBuilt,
}
