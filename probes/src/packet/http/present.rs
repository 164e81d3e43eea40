//! What is presented to handlers: messages and exchanges, as parts of the packet's view.

use super::exchange::Exchange;
use super::head::{Head, Kind};
use crate::packet::stream::{Part, Parts, Shared};
use std::collections::VecDeque;
use std::sync::Arc;
use weftrace_artifact::join::Bound;
use weftrace_artifact::packet::{HttpView, PacketView, layer, needs};

/// A message that ended.
pub(super) struct Message(pub(super) Arc<Head>);

/// An exchange that has ended.
pub(crate) struct Ended {
    pub(crate) exchange: Exchange,
    pub(crate) complete: bool,
    /// One past the last byte of the response, and boot time of the end.
    pub(crate) to: u64,
    pub(crate) at: u64,
    /// When it was answered first: bytes of the response that are sent again move its end.
    pub(crate) answered: u64,
    /// Of bytes that were sent again.
    pub(crate) again: Option<Again>,
    /// HTTP/2: the stream was reset.
    pub(crate) error: Option<u32>,
    /// Bytes that may have been of the response are missing.
    pub(crate) damaged: bool,
}

/// A response's bytes were sent again, perhaps for nothing: its end before the last time, and where that began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    before: u64,
    from: u64,
}

/// Answered exchanges whose response the other side has not acknowledged to its end: it may have to be sent again.
#[derive(Default)]
pub(crate) struct Awaiting(VecDeque<Ended>);

/// Exchanges that need not be presented: they are counted.
#[derive(Default)]
pub(crate) struct Passing {
    /// Which are of interest at all; None: all of them.
    pub(crate) bound: Option<Bound>,
    /// What was not, since somebody asked.
    passed: Option<PassedOver>,
}

/// Exchanges that nobody was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOver {
    pub count: u64,
    /// When the last of them ended.
    pub end: u64,
}

impl Passing {
    /// Counts an exchange that is of no interest; the first of a connection may have begun before it was sent.
    fn takes(&mut self, ended: &Ended) -> bool {
        let (took, exchange) = (ended.at.saturating_sub(ended.exchange.start), &ended.exchange);
        let status = exchange.response.as_ref().map_or(0, |response| response.head.outline.status);
        let takes = self.bound.is_some_and(|bound| !exchange.first_on_conn && !bound.allows(took, status));
        if takes {
            let before = self.passed.take().unwrap_or(PassedOver { count: 0, end: 0 });
            self.passed = Some(PassedOver { count: before.count + 1, end: before.end.max(ended.at) });
        }
        takes
    }

    pub(crate) fn take(&mut self) -> Option<PassedOver> {
        self.passed.take()
    }
}

/// Presents an exchange, if anybody may want it.
pub(crate) fn present(ended: Ended, shared: &mut Shared) {
    if !shared.passing.takes(&ended) {
        shared.parts.push(ended);
    }
}

/// Presents a message, if anybody wants messages by themselves.
pub(super) fn message(head: &Arc<Head>, shared: &mut Shared) {
    if shared.asked & needs::HTTP_MESSAGES != 0 {
        shared.parts.push(Message(Arc::clone(head)));
    }
}

/// Presents what was awaiting; it was owed since it was answered.
fn settle(ended: Ended, shared: &mut Shared) {
    shared.parts.paid(ended.answered);
    present(ended, shared);
}

impl Awaiting {
    /// Beyond `most` the oldest is presented: acknowledgements that were not captured must not keep them for ever.
    pub(crate) fn push(&mut self, ended: Ended, most: usize, shared: &mut Shared) {
        shared.parts.owe(ended.answered);
        self.0.push_back(ended);
        if self.0.len() > most {
            self.0.pop_front().into_iter().for_each(|ended| settle(ended, shared));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Offset of the first request in direction `dir` that is still to be presented.
    pub(crate) fn open_from(&self, dir: usize) -> Option<u64> {
        self.0
            .iter()
            .map(|ended| &ended.exchange)
            .filter(|exchange| exchange.dir == dir)
            .map(|exchange| exchange.from)
            .min()
    }

    /// The sender of requests in direction `dir` has acknowledged the other direction up to `acked`: exchanges whose response lies
    /// before have ended, with the last packet that carried bytes of it.
    pub(crate) fn acknowledged(&mut self, dir: usize, acked: u64, shared: &mut Shared) {
        while let Some(mut ended) = self.0.pop_front_if(|ended| ended.exchange.dir == dir && ended.to <= acked) {
            // They had come already when they were sent the last time.
            if let Some(again) = ended.again.filter(|_| shared.duplicate) {
                ended.at = again.before;
            }
            settle(ended, shared);
        }
    }

    /// Bytes in direction `dir`: where they belong to a response that was not acknowledged yet, it ends now.
    pub(crate) fn sent(&mut self, dir: usize, at: u64, to: u64, now: u64) {
        // Responses of one direction ended in order: those before one that is not reached aren't either.
        let mine = self.0.iter_mut().rev().filter(|ended| ended.exchange.dir != dir);
        for ended in mine.take_while(|ended| at < ended.to) {
            let from = ended.exchange.response.as_ref().map_or(ended.to, |response| response.from);
            if to > from {
                // Segments that follow each other are sent again at once.
                let again = ended.again.filter(|again| at > again.from);
                let before = again.map_or(ended.at, |again| again.before);
                ended.again = Some(Again { before, from: at });
                ended.at = now;
            }
        }
    }

    /// Nothing will be acknowledged any more.
    pub(crate) fn present_all(&mut self, shared: &mut Shared) {
        self.0.drain(..).for_each(|ended| settle(ended, shared));
    }

    /// None of them will be presented.
    pub(crate) fn forget(&mut self, parts: &mut Parts) {
        self.0.drain(..).for_each(|ended| parts.paid(ended.answered));
    }
}

impl Part for Message {
    fn family(&self) -> u32 {
        needs::HTTP
    }

    fn present(&self, number: u32, view: &mut PacketView) {
        view.http = HttpView { part: number, ..HttpView::default() };
        view.layers |= layer::HTTP;
        fill_message(&self.0, &mut view.layers, &mut view.http);
    }
}

impl Part for Ended {
    fn family(&self) -> u32 {
        needs::HTTP
    }

    /// The packet's own messages come before exchanges that its acknowledgement ends.
    fn late(&self) -> bool {
        true
    }

    fn present(&self, number: u32, view: &mut PacketView) {
        view.http = HttpView { part: number, ..HttpView::default() };
        view.http.conn_opened = if self.exchange.opening_seen { view.conn_opened } else { 0 };
        self.fill(&mut view.layers, &mut view.http);
    }
}

fn fill_message(head: &Head, layers: &mut u64, http: &mut HttpView) {
    match head.outline.kind {
        Kind::Request => {
            *layers |= layer::HTTP_REQUEST;
            http.method = head.method();
            http.uri = head.uri();
        }
        Kind::Response => {
            *layers |= layer::HTTP_RESPONSE;
            http.status = head.outline.status;
            http.phrase = head.phrase();
        }
    }
    http.version = head.version();
    http.headers = head.headers();
    if let Some(host) = head.host() {
        http.host = host;
        *layers |= layer::HTTP_HOST;
    }
    if let Some(length) = head.outline.content_length {
        http.content_length = length;
        *layers |= layer::HTTP_CONTENT_LENGTH;
    }
}

impl Ended {
    fn fill(&self, layers: &mut u64, http: &mut HttpView) {
        let exchange = &self.exchange;
        *layers |= self.layers();
        let request = &exchange.request;
        http.method = request.method();
        http.uri = request.uri();
        http.host = request.host().unwrap_or_default();
        http.version = request.version();
        http.headers = request.headers();
        http.request_headers = request.headers();
        (http.trace_id, http.parent_span_id) = request.trace();
        if let Some(route) = &exchange.route {
            http.route = route.get_or_init(|| request.route()).as_bytes().into();
        }
        http.start = exchange.start;
        http.request_end = if exchange.open { self.at } else { exchange.request_end };
        (http.request_from, http.request_to) = (exchange.from, exchange.to);
        http.request_dir = exchange.dir as u32 & 1;
        http.end = self.at;
        http.duration = self.at.saturating_sub(exchange.start);
        http.first_on_conn = u32::from(exchange.first_on_conn);
        if let Some(response) = &exchange.response {
            http.status = response.head.outline.status;
            http.phrase = response.head.phrase();
            http.response_headers = response.head.headers();
            http.first_byte = response.start;
            (http.response_from, http.response_to) = (response.from, self.to);
            http.complete = u32::from(self.complete);
        }
        http.stream = exchange.stream;
        http.frames = exchange.frames.as_ref().map(|frames| frames.view(exchange.dir)).unwrap_or_default();
        http.error = self.error.unwrap_or(0);
        if request.is_grpc() {
            (http.grpc.service, http.grpc.method) = request.grpc_call();
        }
        if let Some((status, head)) = self.grpc_status() {
            http.grpc.status = status;
            http.grpc.message = head.grpc_message();
        }
    }

    /// What is known of it.
    fn layers(&self) -> u64 {
        let request = &self.exchange.request;
        let have = |is: bool, bit: u64| if is { bit } else { 0 };
        // A response that was not seen is known to be none only where all bytes were seen.
        let status =
            self.exchange.response.as_ref().map_or(!self.damaged, |response| response.head.outline.status != 0);
        layer::HTTP_EXCHANGE
            | have(request.has_method(), layer::EXCHANGE_METHOD)
            | have(request.has_uri(), layer::EXCHANGE_URI)
            | have(request.has_host() || request.extra().is_none_or(|extra| extra.unknown == 0), layer::HTTP_HOST)
            | have(status, layer::EXCHANGE_STATUS)
            | have(self.error.is_some(), layer::EXCHANGE_ERROR)
            | have(request.is_grpc() && request.has_uri(), layer::GRPC)
            | have(self.grpc_status().is_some(), layer::GRPC_STATUS)
    }

    /// In the trailers, or in the head of a response without a body.
    fn grpc_status(&self) -> Option<(u32, &Head)> {
        let response = self.exchange.response.as_ref()?;
        let mut heads = response.trailers.iter().chain(std::iter::once(&response.head));
        heads.find_map(|head| Some((head.extra()?.grpc_status?, &**head)))
    }
}
