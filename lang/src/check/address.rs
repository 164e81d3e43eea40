//! Addresses written as literals: `10.0.0.0/8`, `"fe80::1"`, `"00:11:22:33:44:55"`.

use super::cx::Checker;
use super::value::Val;
use crate::diag::Diagnostic;
use crate::hir::{Expr, ExprKind, Func, Ty};
use crate::span::Span;
use core::net::IpAddr;

pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;

/// A network: family, address in network order, prefix length.
pub(crate) fn parse_net(text: &str) -> Option<(u16, [u8; 16], u8)> {
    let (addr, prefix) = match text.split_once('/') {
        Some((a, p)) => (a, Some(p.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let mut net = [0u8; 16];
    let (family, most) = match addr.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => {
            net[..4].copy_from_slice(&v4.octets());
            (AF_INET, 32)
        }
        IpAddr::V6(v6) => {
            net = v6.octets();
            (AF_INET6, 128)
        }
    };
    let prefix = prefix.unwrap_or(most);
    (prefix <= most).then_some((family, net, prefix))
}

fn parse_mac(text: &str) -> Option<Vec<u8>> {
    let bytes: Option<Vec<u8>> =
        text.split([':', '-']).map(|b| (b.len() == 2).then(|| u8::from_str_radix(b, 16).ok()).flatten()).collect();
    bytes.filter(|b| b.len() == 6)
}

impl Checker<'_> {
    /// Comparisons of an address with a literal; None where neither side is an address.
    pub(crate) fn compare_address(&mut self, l: &Val, r: &Val, equal: bool, span: Span) -> Option<Val> {
        let (addr, text) = match (r.text(), l.text()) {
            (Some(t), None) => (l, t),
            (None, Some(t)) => (r, t),
            _ => return None,
        };
        match &addr.e.ty {
            Ty::Inet => Some(self.net_match(addr.e.clone(), text, equal, span)),
            // Raw bytes of an address, as tracepoints have them.
            Ty::Array { elem, len: 4 | 16 } if **elem == Ty::U8 => {
                parse_net(text)?;
                let family = if matches!(addr.e.ty, Ty::Array { len: 4, .. }) { AF_INET } else { AF_INET6 };
                let af = Expr { kind: ExprKind::Int(i64::from(family)), ty: Ty::U64, span };
                let kind = ExprKind::Call { func: Func::Ntop, args: vec![af, addr.e.clone()] };
                let addr = Expr { kind, ty: Ty::Inet, span: addr.e.span };
                Some(self.net_match(addr, text, equal, span))
            }
            Ty::Mac => {
                let Some(bytes) = parse_mac(text) else {
                    self.error(
                        "bad-address",
                        span,
                        format!("\"{text}\" is no MAC address: six hexadecimal bytes with colons"),
                    );
                    return Some(Val::error(span));
                };
                let right =
                    Expr { kind: ExprKind::Bytes(bytes), ty: Ty::Array { elem: Box::new(Ty::U8), len: 6 }, span };
                let kind = ExprKind::StrEq { left: Box::new(addr.e.clone()), right: Box::new(right), len: 6, equal };
                Some(Val::new(kind, Ty::Bool, span))
            }
            _ => None,
        }
    }

    fn net_match(&mut self, addr: Expr, text: &str, equal: bool, span: Span) -> Val {
        let Some((family, net, prefix)) = parse_net(text) else {
            let d = Diagnostic::error("bad-address", span, format!("\"{text}\" is no IP address or network"))
                .write("10.0.0.0/8, \"fe80::/10\"");
            self.report(d);
            return Val::error(span);
        };
        Val::new(ExprKind::NetMatch { addr: Box::new(addr), family, net, prefix, equal }, Ty::Bool, span)
    }
}
