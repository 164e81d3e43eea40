//! UDP (RFC 768) and the tunnels on well-known ports.

use super::{Bytes, Context, Layer, Step, Transport, tunnel};
use weftrace_artifact::packet::{StrRef, layer};

pub(super) fn udp<'a>(bytes: Bytes<'a>, cx: &mut Context<'_>) -> Option<Step<'a>> {
    let h = bytes.header::<8>()?;
    let (src, dst) = (u16::from_be_bytes([h[0], h[1]]), u16::from_be_bytes([h[2], h[3]]));
    let length = u16::from_be_bytes([h[4], h[5]]);
    // 0: a jumbogram or segmentation offload.
    if length != 0 && length < 8 {
        return None;
    }
    let rest = if length == 0 { bytes } else { bytes.limit(length as usize) }.skip(8)?;
    cx.view.udp_src_port = src;
    cx.view.udp_dst_port = dst;
    cx.view.udp_length = length;
    cx.view.layers |= layer::UDP;
    if let Some(inner) = by_port(dst, rest).or_else(|| by_port(src, rest)) {
        return Some(Step::Next(inner));
    }
    let payload = rest.captured();
    cx.view.payload = StrRef::from(payload);
    Some(Step::Transport(Transport::Udp { payload }))
}

fn by_port(port: u16, bytes: Bytes<'_>) -> Option<Layer<'_>> {
    match port {
        2152 => tunnel::gtp_u(bytes),
        3544 => tunnel::teredo(bytes),
        4789 => tunnel::vxlan(bytes),
        4790 => tunnel::vxlan_gpe(bytes),
        6081 => tunnel::geneve(bytes),
        6635 => Some(Layer::Mpls(bytes)),
        _ => None,
    }
}
