//! A script's header: the comment that it begins with, from which `weftrace lib`, a script's `--help` and docs/scripts.md are made.
//!
//! ```text
//! // title:   what it shows, in one line
//! // answers: the question that it answers
//! // layers:  kernel, packets, application
//! // needs:   capabilities; what else
//! // sample:  (a remark)
//! //   what it prints
//! ```
//!
//! A value goes on in lines that are indented as values are. A script without such a comment has no header, which is nothing wrong:
//! whoever keeps scripts for others asks for one.

use crate::diag::Diagnostic;
use crate::span::{FileId, Span};

/// One kind of line.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub key: &'static str,
    /// A header without it isn't whole.
    pub required: bool,
    pub doc: &'static str,
}

const fn row(key: &'static str, required: bool, doc: &'static str) -> Row {
    Row { key, required, doc }
}

/// All kinds, in the order in which they are shown.
pub static KEYS: &[Row] = &[
    row("title", true, "What it shows, in one line."),
    row("answers", true, "The question that somebody has who should run it."),
    row("layers", true, "Where it looks: kernel, packets, application."),
    row("needs", false, "Capabilities, and what else must be there."),
    row("emits", false, "Streams that a module emits."),
    row("joins", false, "Joins that a module has."),
    row("params", false, "Its positional arguments, $1, $2 …; flags are read from `param` items."),
    row("sample", false, "What it prints: the lines below, indented; then remarks, not indented."),
];

/// A header that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// (key, value), in the text's order; without the sample.
    pub values: Vec<(&'static str, String)>,
    /// Behind `sample:` in its line.
    pub sample_remark: String,
    /// Lines below it, without `//` and one blank; those that begin with a blank are output, others remarks.
    pub sample: Vec<String>,
}

impl Header {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(k, _)| *k == key).map(|(_, value)| value.as_str())
    }

    pub fn title(&self) -> &str {
        self.get("title").unwrap_or_default()
    }
}

/// The header of a text, if it has one, and what is wrong with it.
pub fn parse(text: &str, file: FileId) -> (Option<Header>, Vec<Diagnostic>) {
    let mut reading = Reading { file, header: Header::default(), diags: Vec::new(), in_sample: false, first: None };
    let mut at = 0;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end_matches(['\n', '\r']);
        let start = at;
        at += whole.len();
        if start == 0 && (line.starts_with("#!") || line.trim_start_matches('\u{feff}').starts_with("#!")) {
            continue;
        }
        let Some(comment) = line.strip_prefix("//") else { break };
        reading.line(comment, start + 2);
    }
    let Some(first) = reading.first else { return (None, reading.diags) };
    for row in KEYS.iter().filter(|row| row.required) {
        if reading.header.get(row.key).is_none() {
            let d = Diagnostic::error("header-missing", first, format!("the header has no line `{}`", row.key));
            reading.diags.push(d.write(format!("// {}: …", row.key)).note(row.doc));
        }
    }
    (Some(reading.header), reading.diags)
}

struct Reading {
    file: FileId,
    header: Header,
    diags: Vec<Diagnostic>,
    in_sample: bool,
    /// The first line of the header.
    first: Option<Span>,
}

impl Reading {
    /// A line's text behind `//`, and where that begins.
    fn line(&mut self, comment: &str, at: usize) {
        if self.in_sample {
            self.header.sample.push(comment.strip_prefix(' ').unwrap_or(comment).to_owned());
            return;
        }
        let text = comment.trim_start();
        let key_at = at + comment.len() - text.len();
        // Of a value it is the rest.
        let indented = comment.len() - text.len() > 2;
        match text.split_once(':').filter(|(key, _)| !indented && is_word(key)) {
            Some((key, value)) => self.entry(key, value.trim(), key_at),
            None if indented && self.first.is_some() => {
                if let Some((_, value)) = self.header.values.last_mut() {
                    value.push(' ');
                    value.push_str(text.trim_end());
                }
            }
            None => {}
        }
    }

    fn entry(&mut self, key: &str, value: &str, at: usize) {
        let span = Span::new(self.file, at, at + key.len());
        let Some(row) = KEYS.iter().find(|row| row.key == key) else {
            return self.unknown(key, span);
        };
        self.first.get_or_insert(span);
        if row.key == "sample" {
            self.in_sample = true;
            value.clone_into(&mut self.header.sample_remark);
            return;
        }
        if self.header.get(key).is_some() {
            self.diags.push(Diagnostic::error("header-twice", span, format!("the header has two lines `{key}`")));
            return;
        }
        if value.is_empty() {
            let d = Diagnostic::error("header-empty", span, format!("the header's `{key}` says nothing"));
            self.diags.push(d.note(row.doc));
        }
        self.header.values.push((row.key, value.to_owned()));
    }

    /// A word that is none of the keys: in a header, or one that is nearly one.
    fn unknown(&mut self, key: &str, span: Span) {
        let near = crate::suggest::nearest(key, KEYS.iter().map(|row| row.key), 1);
        if self.first.is_none() && near.is_empty() {
            return;
        }
        self.first.get_or_insert(span);
        let d = Diagnostic::error("header-key", span, format!("a header has no line `{key}`"));
        self.diags.push(match near.first() {
            Some(near) => d.near(near.clone()),
            None => d.note(format!("there are {}", KEYS.iter().map(|row| row.key).collect::<Vec<_>>().join(", "))),
        });
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
