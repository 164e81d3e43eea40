//! The filter of one `pcap` block, run in user space: blocks of one script have different filters on one source.

use super::error::FilterError;
use crate::packet::{LinkType, RawPacket};

/// Written instead of tcpdump's flag names where they stand as predicates.
const FLAGS_HINT: &str = "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0";

/// A compiled filter, for each link type it meets.
pub struct BlockFilter {
    text: String,
    programs: Vec<(LinkType, Program)>,
    /// Packets of a link type that this filter cannot be compiled for.
    pub not_applicable: u64,
    /// Its words are of what lies outside: it isn't asked about what packets carry inside.
    of_outside: bool,
}

/// Words of tags and tunnels. To libpcap all that is written behind one of them is about what lies inside.
const TAGS: [&str; 6] = ["vlan", "mpls", "pppoes", "pppoed", "geneve", "vxlan"];
/// Words of the way that a packet goes.
const WAYS: [&str; 2] = ["inbound", "outbound"];

enum Program {
    #[cfg(feature = "live")]
    Compiled(pcap::BpfProgram),
    /// libpcap refuses the filter for this link type (`vlan` on raw IP): no packet matches.
    Refused,
}

impl BlockFilter {
    /// Checks and compiles a filter. `links`: the link types of the source where known; Ethernet stands for the rest.
    pub fn new(text: &str, links: &[LinkType]) -> Result<Self, FilterError> {
        let mut filter = Self::of(text);
        if filter.text.is_empty() {
            return Ok(filter);
        }
        if has_flag_as_predicate(&filter.text) {
            return Err(FilterError::BadFilter {
                message: "the name of a TCP flag is a number, not a test".into(),
                hint: Some(FLAGS_HINT),
                filter: filter.text,
            });
        }
        if links.is_empty() {
            return filter.for_any_link();
        }
        for &link in links {
            let program = compile(link, &filter.text)?;
            filter.programs.push((link, program));
        }
        Ok(filter)
    }

    /// Whether libpcap takes a filter; `Err` is its message.
    #[cfg(feature = "live")]
    pub fn check(text: &str) -> Result<(), String> {
        let filter = Self::of(text);
        if filter.text.is_empty() {
            return Ok(());
        }
        match filter.for_any_link() {
            Ok(_) => Ok(()),
            Err(FilterError::BadFilter { message, .. }) => Err(message),
            Err(FilterError::NotBuilt) => Err(FilterError::NotBuilt.to_string()),
        }
    }

    fn of(text: &str) -> Self {
        let text = text.trim().to_owned();
        // What is inside has neither: `not vlan` would always be true.
        let of_outside = has_word(&text, &TAGS) || has_word(&text, &WAYS) || text.contains("ether proto");
        Self { text, programs: Vec::new(), not_applicable: 0, of_outside }
    }

    /// Where the source is not known: a filter that is good for Ethernet, or for a link type that has words of its own.
    fn for_any_link(mut self) -> Result<Self, FilterError> {
        match compile(LinkType::ETHERNET, &self.text) {
            Ok(program) => self.programs.push((LinkType::ETHERNET, program)),
            Err(error) => {
                let others = [LinkType::IEEE802_11_RADIOTAP, LinkType::LINUX_SLL2, LinkType::PFLOG, LinkType::PPP];
                if others.into_iter().all(|link| compile(link, &self.text).is_err()) {
                    return Err(error);
                }
                self.programs.push((LinkType::ETHERNET, Program::Refused));
            }
        }
        Ok(self)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the packet passes.
    #[inline]
    pub fn matches(&mut self, packet: &RawPacket<'_>) -> bool {
        self.text.is_empty() || self.passes(packet)
    }

    /// Whether a packet that it refused passes for what it carries inside: an Ethernet frame of the innermost headers
    /// ([`crate::packet::Pipeline::look_inside`]).
    pub fn matches_inside(&mut self, packet: &RawPacket<'_>, inside: &[u8]) -> bool {
        let counted = self.not_applicable;
        let frame = RawPacket { link: LinkType::ETHERNET, data: inside, ..*packet };
        let passes = !self.of_outside && self.passes(&frame);
        // The packet was counted as it lies there, if the filter is none for its link type.
        let refused =
            |(link, program): &(LinkType, Program)| *link == packet.link && matches!(program, Program::Refused);
        let uncounted = passes && self.programs.iter().any(refused);
        self.not_applicable = counted - u64::from(uncounted);
        passes
    }

    fn passes(&mut self, packet: &RawPacket<'_>) -> bool {
        let known = self.programs.iter().position(|(link, _)| *link == packet.link);
        let at = known.unwrap_or_else(|| {
            let program = compile(packet.link, &self.text).unwrap_or(Program::Refused);
            self.programs.push((packet.link, program));
            self.programs.len() - 1
        });
        match self.programs.get(at) {
            #[cfg(feature = "live")]
            Some((_, Program::Compiled(program))) => program.filter(packet.data),
            _ => {
                self.not_applicable += 1;
                false
            }
        }
    }
}

/// Whether a filter asks which way packets go, which packets of this link type don't tell: libpcap leaves that to the kernel then, and
/// in user space nothing would match.
#[cfg(feature = "live")]
fn asks_for_the_way(link: LinkType, text: &str) -> bool {
    const TELL: [LinkType; 5] =
        [LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::PFLOG, LinkType::IPNET, LinkType::PPP_WITH_DIR];
    !TELL.contains(&link) && has_word(text, &WAYS)
}

fn has_word(text: &str, of: &[&str]) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c))).any(|word| of.contains(&word))
}

/// One filter for the kernel to run for all of these; empty: it can't be said, or everything is wanted.
///
/// Fragments have no ports but for the first: where some filter asks for ports all others pass too, for what is made of them.
pub fn union<'a>(filters: impl IntoIterator<Item = &'a str>) -> String {
    let mut filters: Vec<&str> = filters.into_iter().map(str::trim).collect();
    filters.sort_unstable();
    filters.dedup();
    // What is behind a tag's word is inside the tag.
    let tags = filters.iter().filter(|filter| has_word(filter, &TAGS)).count();
    if filters.contains(&"") || filters.len() > 1 && tags > 1 {
        return String::new();
    }
    filters.sort_by_key(|filter| has_word(filter, &TAGS));
    if filters.iter().any(|filter| filter.contains("port")) {
        filters.insert(0, "ip[6:2] & 0x1fff != 0 or ip6 proto 44");
    }
    match filters[..] {
        [one] => one.to_owned(),
        _ => filters.iter().map(|f| format!("({f})")).collect::<Vec<_>>().join(" or "),
    }
}

#[cfg(feature = "live")]
fn compile(link: LinkType, text: &str) -> Result<Program, FilterError> {
    if asks_for_the_way(link, text) {
        let message = "packets of this link type don't say which way they go".to_owned();
        return Err(FilterError::BadFilter { filter: text.to_owned(), message, hint: None });
    }
    let bad = |error: pcap::Error| FilterError::BadFilter {
        filter: text.to_owned(),
        message: super::live::message(&error),
        hint: None,
    };
    let dead = pcap::Capture::dead(pcap::Linktype(dlt(link))).map_err(bad)?;
    dead.compile(text, true).map(Program::Compiled).map_err(bad)
}

/// libpcap counts in DLT_ numbers, which differ from the LINKTYPE_ ones in files for a few old types.
#[cfg(feature = "live")]
fn dlt(link: LinkType) -> i32 {
    match link {
        LinkType::RAW => 12,
        LinkType::PPP_HDLC => 50,
        LinkType(other) => other as i32,
    }
}

#[cfg(not(feature = "live"))]
fn compile(_link: LinkType, _text: &str) -> Result<Program, FilterError> {
    Err(FilterError::NotBuilt)
}

/// `tcp-syn or tcp-ack`: to libpcap the names are numbers, so this is not what it looks like. They make sense only next to an
/// operator or inside brackets.
pub(super) fn has_flag_as_predicate(text: &str) -> bool {
    const FLAGS: [&str; 8] = ["tcp-fin", "tcp-syn", "tcp-rst", "tcp-push", "tcp-ack", "tcp-urg", "tcp-ece", "tcp-cwr"];
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_operator = |c: char| "&|=!<>+*/^[:-".contains(c);
    let mut at = 0;
    while let Some(found) = text[at..].find("tcp-") {
        let from = at + found;
        let word_end = text[from..].find(|c| !is_word(c)).map_or(text.len(), |end| from + end);
        at = word_end;
        let (before, after) = (&text[..from], &text[word_end..]);
        if !FLAGS.contains(&&text[from..word_end]) || before.ends_with(is_word) {
            continue;
        }
        let skipped = |c: char| c.is_whitespace() || c == '(' || c == ')';
        let left = before.trim_end_matches(skipped).chars().next_back();
        let right = after.trim_start_matches(skipped).chars().next();
        if !left.is_some_and(is_operator) && !right.is_some_and(is_operator) {
            return true;
        }
    }
    false
}

#[cfg(all(test, feature = "live"))]
mod tests;
