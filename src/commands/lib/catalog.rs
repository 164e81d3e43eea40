//! Every script that can be run or imported by name, with its header.

use crate::{bundle, libraries::OfProject, printer};
use weftrace_lang::{
    check::{self, DeclaredAlert, Emitted, Flag},
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
    pub(super) alerts: Vec<DeclaredAlert>,
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
            alerts: check::declared_alerts(&script),
        }
    }

    /// Whether a word stands in what is said about it, whatever its case.
    pub(super) fn has(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let values = self.header.values.iter().map(|(_, value)| value.as_str());
        let flags = self.flags.iter().flat_map(|f| [f.name.as_str(), f.help.as_str()]);
        let streams = self.streams.iter().map(|s| s.stream.as_str());
        let alerts = self.alerts.iter().map(|a| a.name.as_str());
        std::iter::once(self.name.as_str())
            .chain(values)
            .chain(flags)
            .chain(streams)
            .chain(alerts)
            .any(|text| text.to_lowercase().contains(&word))
    }
}

/// By name: those of weftrace, then those of the libraries here. A library that can't be read is told.
pub(super) fn all() -> Vec<Entry> {
    let mut all: Vec<Entry> = bundle::SCRIPTS.iter().map(|(name, text)| Entry::new(name, "weftrace", text)).collect();
    for library in OfProject::new(None).each() {
        let library = match library {
            Ok(library) => library,
            Err(why) => {
                printer::err_line(&format!("warning: {why}"));
                continue;
            }
        };
        let origin = format!("{}@{}", library.name, library.commit);
        for (path, text) in library.texts.iter().filter(|(path, _)| !path.ends_with(".test.probe")) {
            if let Some(plain) = path.strip_suffix(".probe").or_else(|| path.strip_suffix(".bt")) {
                all.push(Entry::new(&format!("{}/{plain}", library.name), &origin, text));
            }
        }
    }
    all
}
