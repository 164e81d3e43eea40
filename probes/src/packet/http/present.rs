//! What is presented to handlers: messages and exchanges, as parts of the packet's view.

use super::exchange::Exchange;
use super::head::{Head, Kind};
use super::{HttpCounters, HttpLimits};
use std::collections::VecDeque;
use std::sync::Arc;
use weftrace_artifact::packet::{HttpView, layer};

/// One presentation: a message that ended, or an exchange.
#[derive(Default)]
pub(crate) struct Part {
    pub(super) message: Option<Arc<Head>>,
    pub(super) exchange: Option<Ended>,
}

/// An exchange that has ended.
pub(super) struct Ended {
    pub(super) exchange: Exchange,
    pub(super) complete: bool,
    /// One past the last byte of the response, and boot time of the end.
    pub(super) to: u64,
    pub(super) at: u64,
}

/// What all connections share: what is to be presented, and limits.
pub(crate) struct HttpEngine {
    pub(super) parts: VecDeque<Part>,
    /// The part in the view, whose strings must stay.
    presented: Option<Part>,
    pub(crate) limits: HttpLimits,
    pub(crate) counters: HttpCounters,
    pub(super) held_total: usize,
}

impl HttpEngine {
    pub(crate) fn new(limits: HttpLimits) -> Self {
        Self { parts: VecDeque::new(), presented: None, limits, counters: HttpCounters::default(), held_total: 0 }
    }

    /// Forgets what the last packet presented.
    pub(crate) fn next_packet(&mut self) {
        self.parts.clear();
        self.presented = None;
    }

    /// Layers and HTTP view of the next part. Its strings stay valid until the next call.
    pub(crate) fn next_part(&mut self) -> Option<(u32, HttpView)> {
        // The packet's own messages come before exchanges that its acknowledgement ends.
        let next = self.parts.iter().position(|part| part.message.is_some()).unwrap_or(0);
        let part = self.presented.insert(self.parts.remove(next)?);
        Some(part.view())
    }

    /// Presents a message that is no part of an exchange.
    pub(crate) fn present_message(&mut self, head: Head) {
        self.parts.push_back(Part { message: Some(Arc::new(head)), exchange: None });
    }
}

impl Part {
    fn view(&self) -> (u32, HttpView) {
        let (mut layers, mut http) = (0, HttpView::default());
        if let Some(ended) = &self.exchange {
            layers |= layer::HTTP_EXCHANGE;
            ended.fill(&mut http);
        }
        if let Some(head) = &self.message {
            layers |= layer::HTTP;
            fill_message(head, &mut layers, &mut http);
        }
        (layers, http)
    }
}

fn fill_message(head: &Head, layers: &mut u32, http: &mut HttpView) {
    match head.kind {
        Kind::Request => {
            *layers |= layer::HTTP_REQUEST;
            http.method = head.method();
            http.uri = head.uri();
        }
        Kind::Response => {
            *layers |= layer::HTTP_RESPONSE;
            http.status = head.status;
            http.phrase = head.phrase();
        }
    }
    http.version = head.version();
    http.headers = head.headers();
    if let Some(host) = head.host() {
        http.host = host;
        *layers |= layer::HTTP_HOST;
    }
    if let Some(length) = head.content_length {
        http.content_length = length;
        *layers |= layer::HTTP_CONTENT_LENGTH;
    }
}

impl Ended {
    fn fill(&self, http: &mut HttpView) {
        let exchange = &self.exchange;
        let request = &exchange.request;
        http.method = request.method();
        http.uri = request.uri();
        http.host = request.host().unwrap_or_default();
        http.version = request.version();
        http.headers = request.headers();
        http.request_headers = request.headers();
        http.start = exchange.start;
        http.request_end = if exchange.open { self.at } else { exchange.request_end };
        (http.request_from, http.request_to) = (exchange.from, exchange.to);
        http.end = self.at;
        http.duration = self.at.saturating_sub(exchange.start);
        http.first_on_conn = u32::from(exchange.first_on_conn);
        if let Some(response) = &exchange.response {
            http.status = response.head.status;
            http.phrase = response.head.phrase();
            http.response_headers = response.head.headers();
            http.first_byte = response.start;
            (http.response_from, http.response_to) = (response.from, self.to);
            http.complete = u32::from(self.complete && !response.unsure);
        }
    }
}
