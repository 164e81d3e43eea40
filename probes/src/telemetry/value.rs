//! OTLP's AnyValue as text, the same whichever way it came: a string as it is, a number in digits, bytes in base64, anything else as
//! JSON (as the OpenTelemetry specification has it for protocols without such values).

use super::MAX_TEXT;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt::Write;

/// Lists within lists go so deep; what is deeper shows as `…`.
const MAX_DEPTH: u32 = 8;

/// What was read of a value; texts lie where they were read.
pub(super) enum Any<'a> {
    None,
    Text(&'a str),
    Flag(bool),
    Int(i64),
    Double(f64),
    /// In base64.
    Bytes(String),
    List(Vec<Any<'a>>),
    Pairs(Vec<(&'a str, Any<'a>)>),
    /// Lists in too many lists.
    Deep,
}

impl Any<'_> {
    pub(super) fn bytes(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(MAX_TEXT)];
        Self::Bytes(STANDARD.encode(bytes))
    }

    /// Nothing for none.
    pub(super) fn text(self) -> String {
        let mut out = String::new();
        match self {
            Self::None => {}
            Self::Text(text) => text.clone_into(&mut out),
            Self::Bytes(letters) => out = letters,
            Self::Double(number) if !number.is_finite() => out.push_str(special(number)),
            other => other.json(&mut out),
        }
        out
    }

    fn json(&self, out: &mut String) {
        if out.len() > MAX_TEXT {
            return;
        }
        match self {
            Self::None => out.push_str("null"),
            Self::Text(text) => quoted(out, text),
            Self::Bytes(letters) => quoted(out, letters),
            Self::Flag(flag) => drop(write!(out, "{flag}")),
            Self::Int(number) => drop(write!(out, "{number}")),
            Self::Double(number) => match serde_json::Number::from_f64(*number) {
                Some(number) => drop(write!(out, "{number}")),
                None => quoted(out, special(*number)),
            },
            Self::List(values) => listed(out, ('[', ']'), values, |out, value| value.json(out)),
            Self::Pairs(pairs) => listed(out, ('{', '}'), pairs, |out, (key, value)| {
                quoted(out, key);
                out.push(':');
                value.json(out);
            }),
            Self::Deep => out.push_str("\"…\""),
        }
    }
}

/// What JSON has no number for.
fn special(number: f64) -> &'static str {
    match number {
        n if n.is_nan() => "NaN",
        n if n > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

fn listed<T>(out: &mut String, (open, close): (char, char), all: &[T], each: impl Fn(&mut String, &T)) {
    out.push(open);
    for (i, one) in all.iter().enumerate() {
        if out.len() > MAX_TEXT {
            break;
        }
        out.push_str(if i == 0 { "" } else { "," });
        each(out, one);
    }
    out.push(close);
}

fn quoted(out: &mut String, text: &str) {
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// What one value may still hold, wherever in it: of more than its text has room for nothing is read.
pub(super) struct Room {
    values: usize,
    depth: u32,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { values: MAX_TEXT, depth: 0 }
    }

    /// What a list holds, as far as there is room; None: it is too deep.
    pub(super) fn list<S, T>(
        &mut self,
        of: impl Iterator<Item = S>,
        mut read: impl FnMut(S, &mut Self) -> T,
    ) -> Option<Vec<T>> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let mut all = Vec::new();
        for one in of {
            let Some(left) = self.values.checked_sub(1) else { break };
            self.values = left;
            all.push(read(one, self));
        }
        self.depth -= 1;
        Some(all)
    }
}
