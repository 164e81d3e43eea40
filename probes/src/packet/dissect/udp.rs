//! UDP (RFC 768) and the tunnels on well-known ports.

use super::{Bytes, Context, Layer, Step, Transport, next, tunnel};
use weftrace_artifact::packet::{StrRef, known, layer};

pub(super) fn udp(at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    let (src, dst) = (at.be16(0)?, at.be16(2)?);
    cx.view.udp_src_port = src;
    cx.view.udp_dst_port = dst;
    cx.view.layers |= layer::UDP;
    let length = at.be16(4)?;
    (cx.view.udp_length, cx.view.known) = (length, cx.view.known | known::UDP_LENGTH);
    // 0: a jumbogram or segmentation offload.
    if length != 0 && length < 8 {
        return None;
    }
    if length != 0 {
        at.cap(length as usize);
    }
    at.advance(8)?;
    if let Some((inner, rest)) = by_port(dst, *at).or_else(|| by_port(src, *at)) {
        *at = rest;
        return next(inner);
    }
    cx.view.payload = StrRef::from(at.captured());
    Some(Step::Transport(Transport::Udp))
}

fn by_port(port: u16, bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    match port {
        1701 => tunnel::l2tp(bytes),
        2152 => tunnel::gtp_u(bytes),
        3544 => tunnel::teredo(bytes),
        4341 => tunnel::lisp(bytes),
        4342 => tunnel::lisp_control(bytes),
        4789 => tunnel::vxlan(bytes),
        4790 => tunnel::vxlan_gpe(bytes),
        5247 => tunnel::capwap(bytes),
        6081 => tunnel::geneve(bytes),
        6635 => Some((Layer::Mpls, bytes)),
        8472 => tunnel::vxlan_of_linux(bytes),
        37008 => tunnel::tzsp(bytes),
        _ => None,
    }
}
