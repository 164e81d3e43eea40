//! Results of joins as OpenTelemetry spans, sent to a collector: the anchor is a span, its layers are children, its legs events, and where the
//! request names a trace the spans are in that trace, below the caller's span, with a link to it.

mod message;

pub(crate) use message::attributes;

use super::{Message, Sink};
use crate::{
    otlp::{Endpoint, Named, Sender, weftrace},
    style::Style,
};
use std::io::{self, Write};

/// Passes everything on, and sends results besides.
pub struct OtlpSink {
    inner: Box<dyn Sink>,
    err: Box<dyn Write>,
    sender: Sender,
}

impl OtlpSink {
    /// `err`: where it is told what could not be sent.
    pub fn new(inner: Box<dyn Sink>, endpoint: Endpoint, err: Box<dyn Write>) -> Self {
        let named = Named { option: "--otlp-out", what: "results" };
        Self { inner, err, sender: Sender::new(named, endpoint, weftrace()) }
    }
}

impl Sink for OtlpSink {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()> {
        match message {
            Message::Joined(shown) => {
                // The thread begins with the first: by then privileges have been given up.
                self.sender.start();
                self.sender.send(message::spans(shown), 1);
            }
            Message::End => {
                if let Some(said) = self.sender.wait() {
                    let _ = writeln!(self.err, "WARNING: {said}");
                }
            }
            _ => {}
        }
        self.inner.message(message, style)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
