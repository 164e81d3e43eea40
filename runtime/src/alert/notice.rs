//! What is said of a group that fires or no longer does, for people and for programs.

use super::engine::State;
use crate::{
    join::show::{escaped, json::rfc3339},
    json::write_string,
    sys::strftime,
    text::push,
};
use std::io::Write;
use weftrace_artifact::alert::AlertSpec;

/// Version of the JSON object: raised when a field changes its meaning or goes, not when one comes.
pub const SCHEMA: u32 = 1;
/// Longest message, in bytes.
const LONGEST: usize = 2048;
/// Longest value of a key.
const LONGEST_VALUE: usize = 256;

/// Ready for any sink: text from requests is escaped, and cut where it is too long.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) alert: usize,
    pub(crate) name: String,
    pub(crate) state: State,
    /// Keys of the group, then the alert's own labels.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) message: String,
    pub(crate) condition: String,
    /// Event time, CLOCK_REALTIME ns.
    pub(crate) since: u64,
    pub(crate) time: u64,
    pub(crate) untold: u64,
    /// The joined record that it fired at, redacted: as JSON, and in a line.
    pub(crate) record: Option<(String, String)>,
}

impl Notice {
    pub(crate) fn labels(spec: &AlertSpec, values: &[String]) -> Vec<(String, String)> {
        let keys = spec.group.iter().cloned().zip(values.iter().cloned());
        keys.chain(spec.labels.iter().cloned()).collect()
    }

    /// `09:14:31Z  ALERT  slow  10.0.3.7: 7 retransmits`
    pub(crate) fn line(&self) -> String {
        let mut out = Vec::new();
        strftime(self.time, "%H:%M:%SZ", true, &mut out);
        let mut line = String::from_utf8_lossy(&out).into_owned();
        line.push_str("  ");
        line.push_str(&self.text());
        line
    }

    /// The same without the time.
    pub(crate) fn text(&self) -> String {
        use std::fmt::Write;
        let word = if self.state == State::Resolved { "RESOLVED" } else { "ALERT" };
        let mut line = format!("{word}  {}  {}", self.name, self.message);
        let held = self.time.saturating_sub(self.since) / 1_000_000_000;
        match self.state {
            State::Resolved => drop(write!(line, "  after {held} s")),
            State::Still => drop(write!(line, "  for {held} s now")),
            State::Firing => {}
        }
        if self.untold > 0 {
            let _ = write!(line, "  ({} more times since it was last told)", self.untold);
        }
        if let Some((_, record)) = &self.record {
            line.push_str("  ");
            line.push_str(record);
        }
        line
    }

    /// The documented object.
    pub(crate) fn json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let _ = write!(out, "{{\"schema\": {SCHEMA}, \"alert\": ");
        write_string(&mut out, self.name.as_bytes());
        let state = if self.state == State::Resolved { "resolved" } else { "firing" };
        let _ = write!(out, ", \"state\": \"{state}\", \"again\": {}, \"labels\": {{", self.state == State::Still);
        for (n, (name, value)) in self.labels.iter().enumerate() {
            push(&mut out, if n > 0 { ", " } else { "" });
            write_string(&mut out, name.as_bytes());
            push(&mut out, ": ");
            write_string(&mut out, value.as_bytes());
        }
        push(&mut out, "}, \"message\": ");
        write_string(&mut out, self.message.as_bytes());
        push(&mut out, ", \"condition\": ");
        write_string(&mut out, self.condition.as_bytes());
        let (since, time) = (rfc3339(self.since), rfc3339(self.time));
        let _ =
            write!(out, ", \"since\": \"{since}\", \"time\": \"{time}\", \"untold\": {}, \"record\": ", self.untold);
        push(&mut out, self.record.as_ref().map_or("null", |(json, _)| json));
        push(&mut out, "}");
        out
    }
}

/// Text for people and chats, in one line: what could write into a terminal is shown as numbers, query strings are left out unless `open`.
pub(crate) fn clean(text: &str, open: bool) -> String {
    limited(text, open, LONGEST)
}

/// The same of a key's value.
pub(crate) fn clean_value(text: &str, open: bool) -> String {
    limited(text, open, LONGEST_VALUE)
}

fn limited(text: &str, open: bool, most: usize) -> String {
    let line = text.trim_end_matches('\n').replace('\n', " ");
    let line = if open { line } else { without_queries(&line) };
    cut(&escaped(&line), most)
}

/// At most so many bytes, with `…` where some are left out.
pub(crate) fn cut(text: &str, most: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most.saturating_sub(MARK.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{MARK}", &text[..end])
}

/// Words that are paths or addresses end before their `?`.
fn without_queries(text: &str) -> String {
    let word = |word: &str| {
        let target = word.find('/').is_some_and(|slash| word.find('?').is_some_and(|query| slash < query));
        match word.split_once('?') {
            Some((path, query)) if target && !query.is_empty() => format!("{path}?{}", crate::join::show::REDACTED),
            _ => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(state: State, message: &str) -> Notice {
        Notice {
            alert: 0,
            name: "slow".into(),
            state,
            labels: vec![("path".into(), "/a\"b".into())],
            message: message.into(),
            condition: "total > 1s".into(),
            since: 1_700_000_000_000_000_000,
            time: 1_700_000_060_000_000_000,
            untold: 0,
            record: None,
        }
    }

    #[test]
    fn lines_for_people() {
        assert_eq!(notice(State::Firing, "x").line(), "22:14:20Z  ALERT  slow  x");
        assert_eq!(notice(State::Resolved, "x").line(), "22:14:20Z  RESOLVED  slow  x  after 60 s");
        let again = Notice { untold: 3, ..notice(State::Still, "x") };
        assert_eq!(again.text(), "ALERT  slow  x  for 60 s now  (3 more times since it was last told)");
    }

    #[test]
    fn objects_for_programs() {
        let text = notice(State::Still, "a\u{1f600}").json();
        let object: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(object["labels"]["path"], "/a\"b");
        assert_eq!((object["state"].as_str(), object["again"].as_bool()), (Some("firing"), Some(true)));
        assert_eq!(object["since"], "2023-11-14T22:13:20.000000000Z");
        assert!(object["record"].is_null());
    }

    /// What a request holds can't write into a terminal, nor begin a line of its own.
    #[test]
    fn text_from_strangers() {
        assert_eq!(clean("GET /\x1b[2J\u{202e}x\nALERT  forged\n", false), "GET /\\x1b[2J\\u{202e}x ALERT  forged");
        assert_eq!(clean("/a?token=secret is slow? yes", false), "/a?[redacted] is slow? yes");
        assert_eq!(clean("https://h/a?x=1", false), "https://h/a?[redacted]");
        assert_eq!(clean("/a?x=1", true), "/a?x=1");
        let long = clean(&"é".repeat(2000), false);
        assert!((2040..=2048).contains(&long.len()) && long.ends_with("é…"), "{}", long.len());
        assert!(clean_value(&"x".repeat(1000), false).len() <= 256);
    }
}
