//! Reports for other programs: what a script prints as JSON, and nothing around it (`config = { plain_json = true }`).

use super::{Buffered, Message, Sink, TextSink};
use crate::{join::show, json, maps, style::Style};
use std::io::{self, Write};

/// Values and maps to one writer, each alone on its line; text as it is; messages about the run to another, as text.
pub struct PlainJsonSink {
    out: Buffered,
    aside: TextSink,
}

impl PlainJsonSink {
    pub fn new(out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        Self { out: Buffered::new(out), aside: TextSink::new(Box::new(io::sink()), err, true) }
    }
}

impl Sink for PlainJsonSink {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()> {
        let out = self.out.bytes();
        let before = out.len();
        match message {
            Message::Map { map, top, div, explicit } => {
                maps::write_contents_json(out, map, *top, *div, *explicit, style);
            }
            Message::Value { ty, bytes } => json::write_value(out, ty, bytes, style),
            Message::Element { map, value } => maps::write_value_json(out, map, value, 1, style),
            Message::Joined(shown) | Message::Early(shown) => show::json::write(out, shown, style),
            Message::Printf(bytes)
            | Message::Time(bytes)
            | Message::Cat(bytes)
            | Message::Join(bytes)
            | Message::System(bytes) => {
                out.extend_from_slice(bytes);
                return self.out.write_if_full();
            }
            aside => return self.aside.message(aside, style),
        }
        if out.len() > before {
            out.push(b'\n');
        }
        self.out.write_if_full()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.aside.flush()
    }
}
