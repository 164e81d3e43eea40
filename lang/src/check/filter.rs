//! What libpcap says of a filter, at the words it is about.

use super::cx::Checker;
use super::hints;
use crate::diag::Diagnostic;
use crate::span::Span;

/// Words of libpcap's language.
const WORDS: &[&str] = &[
    "and",
    "arp",
    "broadcast",
    "dst",
    "ether",
    "gateway",
    "geneve",
    "greater",
    "host",
    "icmp",
    "icmp6",
    "igmp",
    "inbound",
    "ip",
    "ip6",
    "len",
    "less",
    "mpls",
    "multicast",
    "net",
    "not",
    "or",
    "outbound",
    "port",
    "portrange",
    "pppoes",
    "proto",
    "protochain",
    "rarp",
    "sctp",
    "src",
    "tcp",
    "udp",
    "vlan",
    "vxlan",
];

impl Checker<'_> {
    /// The diagnostic for a filter that libpcap refuses.
    pub(super) fn bad_filter(&self, text: &str, span: Span, message: &str) -> Diagnostic {
        let message = message.strip_prefix("can't parse filter expression: ").unwrap_or(message);
        if let Some((at, what)) = unpaired(text) {
            let text = format!("libpcap does not take this filter: {what}");
            return Diagnostic::error("bad-filter", self.in_string(span, at, 1), text);
        }
        let (at, len, label) = self.stumble(text, message);
        let d = Diagnostic::error(
            "bad-filter",
            self.in_string(span, at, len),
            format!("libpcap does not take this filter: {message}"),
        );
        let d = hints::for_filter(d.label(label), text);
        let word: String = text[at..].chars().take_while(|c| !c.is_whitespace() && *c != '(' && *c != ')').collect();
        match word.as_str() {
            "&" => d.write(text[..at].to_owned() + "and" + &text[at + 1..]),
            "|" => d.write(text[..at].to_owned() + "or" + &text[at + 1..]),
            word => match crate::suggest::nearest(word, WORDS.iter().copied(), 1).first() {
                Some(near) if !WORDS.contains(&word) => {
                    d.write(text[..at].to_owned() + near + &text[at + word.len()..])
                }
                _ => d,
            },
        }
    }

    /// A live filter that asks which way the packets of a device go: Ethernet doesn't say. Linux's own header, which packets of
    /// `any` have, does.
    pub(super) fn asks_for_the_way(&self, text: &str, span: Span) -> Option<Diagnostic> {
        let words = ["inbound", "outbound"].into_iter();
        let (at, word) = words.filter_map(|word| Some((word_at(text, word)?, word))).min()?;
        let d = Diagnostic::error(
            "bad-filter",
            self.in_string(span, at, word.len()),
            format!("{word}: the packets of one device don't say which way they go; those of any do"),
        );
        Some(d.write(format!("pcap:any:\"{text}\"")))
    }

    /// Where libpcap stumbled, as offset and length: the word that its message quotes, the number that it names, or what follows the
    /// longest part that it takes.
    fn stumble(&self, text: &str, message: &str) -> (usize, usize, &'static str) {
        let quoted = message.split('\'').nth(1).filter(|w| !w.is_empty());
        let number =
            || message.split_whitespace().find(|w| w.bytes().all(|b| b.is_ascii_digit()) && word_at(text, w).is_some());
        if let Some(word) = quoted.or_else(number)
            && let Some(at) = word_at(text, word).or_else(|| text.find(word))
        {
            return (at, word.len(), "");
        }
        let ends = text.char_indices().filter(|(_, c)| c.is_whitespace() || *c == ')').map(|(at, _)| at);
        let taken = ends.filter(|at| {
            let part = &text[..*at];
            let open = part.matches('(').count().saturating_sub(part.matches(')').count());
            !part.trim().is_empty() && self.world.pcap_filter(&format!("{part}{}", ")".repeat(open))).is_ok()
        });
        let Some(end) = taken.last() else { return (0, text.len(), "") };
        let rest = &text[end..];
        let at = end + (rest.len() - rest.trim_start().len());
        (at, text.trim_end().len().saturating_sub(at), "not from here on")
    }
}

/// Where `word` stands in a text as a word of its own.
fn word_at(text: &str, word: &str) -> Option<usize> {
    let inner = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.');
    text.match_indices(word)
        .map(|(at, _)| at)
        .find(|at| !inner(text[..*at].chars().next_back()) && !inner(text[at + word.len()..].chars().next()))
}

/// A bracket without its other half.
fn unpaired(text: &str) -> Option<(usize, &'static str)> {
    let mut open = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => open.push((at, c)),
            ')' | ']' => match open.pop() {
                Some((_, before)) if (before == '(') == (c == ')') => {}
                _ if c == ')' => return Some((at, "nothing is open that this bracket closes")),
                _ => return Some((at, "nothing is open that this square bracket closes")),
            },
            _ => {}
        }
    }
    let (at, c) = open.pop()?;
    Some((at, if c == '(' { "this bracket is not closed" } else { "this square bracket is not closed" }))
}
