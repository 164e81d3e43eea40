//! Every script that can be run or imported by name, with its header.

use crate::bundle;
use weftrace_lang::{
    check::{self, Emitted, Flag},
    header::Header,
    span::FileId,
    syntax,
};

pub(super) struct Entry {
    pub(super) name: String,
    /// Where it is from: `weftrace`, or a library.
    pub(super) origin: String,
    pub(super) header: Header,
    pub(super) flags: Vec<Flag>,
    /// What it emits.
    pub(super) streams: Vec<Emitted>,
}

impl Entry {
    fn new(name: &str, origin: &str, text: &str) -> Self {
        let (script, _) = syntax::parse(text, FileId(0));
        Self {
            name: name.to_owned(),
            origin: origin.to_owned(),
            header: bundle::header(text),
            flags: check::flags(&script, text),
            streams: check::emitted(&script),
        }
    }

    /// Whether a word stands in what is said about it, whatever its case.
    pub(super) fn has(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let values = self.header.values.iter().map(|(_, value)| value.as_str());
        let flags = self.flags.iter().flat_map(|f| [f.name.as_str(), f.help.as_str()]);
        let streams = self.streams.iter().map(|s| s.stream.as_str());
        std::iter::once(self.name.as_str())
            .chain(values)
            .chain(flags)
            .chain(streams)
            .any(|text| text.to_lowercase().contains(&word))
    }
}

/// By name.
pub(super) fn all() -> Vec<Entry> {
    bundle::SCRIPTS.iter().map(|(name, text)| Entry::new(name, "weftrace", text)).collect()
}
