//! Captures of HTTP/2, presentation by presentation.

use super::strings;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use weftrace_artifact::packet::{PacketView, layer};
use weftrace_probes::packet::source::Captures;
use weftrace_probes::packet::{ALL_NEEDS, Options, Pipeline, RawPacket};

/// Every presentation of a capture, without the packets that `lost` names.
pub fn present(capture: &Path, lost: impl Fn(u64) -> bool, each: impl FnMut(&PacketView)) -> Pipeline {
    present_in(usize::MAX, capture, lost, each)
}

/// The same of a capture whose segments are cut into smaller ones: `lost` names these.
pub fn present_in(
    segment: usize,
    capture: &Path,
    lost: impl Fn(u64) -> bool,
    mut each: impl FnMut(&PacketView),
) -> Pipeline {
    let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
    let mut view = PacketView::default();
    let mut captures = Captures::new([capture.to_owned()]);
    let mut number = 0;
    while let Ok(Some((packet, secrets))) = captures.next_with_secrets() {
        for secrets in &secrets {
            pipeline.add_secrets(&secrets.data);
        }
        for data in segments(packet.data, segment) {
            number += 1;
            if lost(number) {
                continue;
            }
            pipeline.process(&RawPacket { number, data: &data, len: data.len() as u32, ..packet }, &mut view);
            each(&view);
            while pipeline.next_part(&mut view).is_some() || pipeline.next_given_up(&mut view).is_some() {
                each(&view);
            }
        }
    }
    while pipeline.finish(&mut view).is_some() {
        each(&view);
    }
    pipeline
}

/// A TCP segment in IPv4 and Ethernet as several of so many bytes.
fn segments(frame: &[u8], most: usize) -> Vec<Vec<u8>> {
    const TCP: usize = 34;
    let start = frame.get(TCP + 12).map_or(0, |offset| TCP + usize::from(offset >> 4) * 4);
    if most == usize::MAX || frame.len() <= start {
        return vec![frame.to_vec()];
    }
    let seq = u32::from_be_bytes(frame[TCP + 4..TCP + 8].try_into().unwrap());
    let mut all = Vec::new();
    for (i, payload) in frame[start..].chunks(most).enumerate() {
        let mut cut = [&frame[..start], payload].concat();
        let length = (cut.len() - 14) as u16;
        cut[16..18].copy_from_slice(&length.to_be_bytes());
        cut[TCP + 4..TCP + 8].copy_from_slice(&seq.wrapping_add((i * most) as u32).to_be_bytes());
        all.push(cut);
    }
    all
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http2")).join(name)
}

/// An exchange, with "?" for what is absent.
pub fn exchange(view: &PacketView) -> String {
    let h = &view.http;
    let known = |bit: u64, text: String| if view.layers & bit != 0 { text } else { "?".to_owned() };
    let mut line = format!(
        "{} {} {} {} {}",
        strings::text(h.version),
        known(layer::EXCHANGE_METHOD, strings::text(h.method)),
        known(layer::EXCHANGE_URI, strings::text(h.uri)),
        known(layer::EXCHANGE_STATUS, h.status.to_string()),
        if h.complete == 1 { "whole" } else { "cut" },
    );
    if view.layers & layer::EXCHANGE_ERROR != 0 {
        let _ = write!(line, " error {}", h.error);
    }
    if view.layers & layer::GRPC != 0 {
        let _ = write!(line, " grpc {}/{}", strings::text(h.grpc.service), strings::text(h.grpc.method));
        line += " ";
        line += &known(layer::GRPC_STATUS, format!("{} {}", h.grpc.status, strings::text(h.grpc.message)));
    }
    line
}
