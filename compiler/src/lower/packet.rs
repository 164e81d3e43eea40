//! Packet fields: reading the view by the table, and presence.

use super::{
    cx::{Cx, R},
    mem::Mem,
};
use crate::ir::{BinaryOp, Block, Cond, Helper, Mem as Width, Value};
use std::mem::offset_of;
use weftrace_artifact::{
    abi,
    packet::{self, FieldRow, FieldType, PacketView, Read, layer},
};
use weftrace_lang::{
    hir::{Expr, ExprKind as E},
    span::Span,
};

const LAYERS: i32 = offset_of!(PacketView, layers) as i32;
const STR_LEN: i32 = offset_of!(packet::StrRef, len) as i32;
const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;

impl Cx<'_, '_> {
    fn row(&mut self, name: &str, span: Span) -> R<&'static FieldRow> {
        let Some(row) = packet::field(name) else {
            return self.not_yet(span, format!("the packet field {name}"));
        };
        self.need_packet(row);
        Ok(row)
    }

    /// Notes what must be computed for a field.
    pub(crate) fn need_packet(&mut self, row: &FieldRow) {
        self.m.packet_needs |= row.needs;
    }

    /// A field as a number; 0 if it is absent.
    pub(crate) fn packet_scalar(&mut self, name: &str, span: Span) -> R<Value> {
        let row = self.row(name, span)?;
        let view = self.packet_view(span)?;
        let value = match row.read {
            Read::Load(offset) => self.b.load(width(row.ty), view, offset as i32),
            Read::Bit(offset, mask) => {
                let word = self.b.load(Width::U32, view, offset as i32);
                let bit = self.b.binary_imm(BinaryOp::Band, word, i64::from(mask));
                self.b.icmp_imm(Cond::Ne, bit, 0)
            }
            Read::Bytes(_) | Read::Str(_) | Read::Conn => return self.not_yet(span, format!("{name} as a number")),
        };
        Ok(match self.layers_present(row.layers) {
            Some(present) => {
                let zero = self.iconst(0);
                self.b.select(present, value, zero)
            }
            None => value,
        })
    }

    pub(crate) fn packet_view(&mut self, span: Span) -> R<Value> {
        match self.subject {
            super::cx::Subject::Packet => Ok(self.b.ctx()),
            _ => self.elsewhere(span, "a packet field"),
        }
    }

    /// A field that lives in memory.
    pub(crate) fn packet_into(&mut self, name: &str, dst: Mem, zeroed: bool, span: Span) -> R<()> {
        let row = self.row(name, span)?;
        let view = self.packet_view(span)?;
        let size = match row.ty {
            FieldType::Ipv4 | FieldType::Ipv6 => 20,
            FieldType::Mac => 6,
            FieldType::Conn => abi::CONN_KEY_SIZE,
            FieldType::Headers => abi::HEADERS_CAP,
            _ => return self.not_yet(span, format!("{name} in memory")),
        };
        if let Read::Str(_) = row.read {
            let (ptr, len) = self.packet_slice(name, span)?;
            let (at, cap) = (self.addr(dst), self.iconst(i64::from(size)));
            self.b.call(Helper::CopyStr, &[at, cap, ptr, len]);
            return Ok(());
        }
        if !zeroed {
            self.fill(dst, size);
        }
        let done = self.block();
        self.guard_layers(row.layers, done);
        match (row.read, row.ty) {
            (Read::Bytes(offset), FieldType::Mac) => self.copy(dst, Mem::new(view, offset as i32), 6),
            (Read::Bytes(offset), ty) => {
                let v6 = ty == FieldType::Ipv6;
                let family = self.iconst(if v6 { AF_INET6 } else { AF_INET });
                self.store(4, family, dst);
                self.copy(dst.at(4), Mem::new(view, offset as i32), if v6 { 16 } else { 4 });
            }
            (Read::Conn, _) => {
                let at = self.addr(dst);
                self.b.call(Helper::PacketConn, &[view, at]);
            }
            _ => {}
        }
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// Address and length of a string field; the length is 0 if it is absent.
    pub(crate) fn packet_slice(&mut self, name: &str, span: Span) -> R<(Value, Value)> {
        let row = self.row(name, span)?;
        let view = self.packet_view(span)?;
        let Read::Str(offset) = row.read else { return self.not_yet(span, format!("{name} as text")) };
        let ptr = self.b.load_ptr(view, offset as i32);
        let len = self.b.load(Width::U64, view, offset as i32 + STR_LEN);
        let len = match self.layers_present(row.layers) {
            Some(present) => {
                let zero = self.iconst(0);
                self.b.select(present, len, zero)
            }
            None => len,
        };
        Ok((ptr, len))
    }

    // Presence.

    /// Whether all these layers are in the packet; None: they always are.
    fn layers_present(&mut self, layers: u32) -> Option<Value> {
        let layers = layers & !layer::FRAME;
        if layers == 0 {
            return None;
        }
        let view = self.b.ctx();
        let have = self.b.load(Width::U32, view, LAYERS);
        let have = self.b.binary_imm(BinaryOp::Band, have, i64::from(layers));
        Some(if layers.is_power_of_two() {
            self.b.icmp_imm(Cond::Ne, have, 0)
        } else {
            self.b.icmp_imm(Cond::Eq, have, i64::from(layers))
        })
    }

    /// Goes to `absent` unless the layers are there.
    pub(crate) fn guard_layers(&mut self, layers: u32, absent: Block) {
        if let Some(present) = self.layers_present(layers) {
            let go_on = self.block();
            self.brif(present, go_on, absent);
            self.start(go_on);
        }
    }

    /// Whether all packet fields that two operands read are present; None: there are none that could be absent.
    pub(crate) fn present(&mut self, left: &Expr, right: &Expr) -> Option<Value> {
        self.layers_present(layers_of(left) | layers_of(right))
    }

    /// Whether a value is there at all, for `??`; None: it always is.
    pub(crate) fn presence_of(&mut self, e: &Expr) -> R<Option<Value>> {
        if let E::LegValue { leg } = e.kind {
            return self.leg_known(leg, e.span).map(Some);
        }
        Ok(self.layers_present(layers_of(e)))
    }

    // Headers.

    /// `http.header["name"]` as a string: its length, or negative if there is no such header.
    pub(crate) fn header_into(
        &mut self,
        headers: &Expr,
        name: &str,
        dst: Mem,
        cap: u32,
        zeroed: bool,
        span: Span,
    ) -> R<Value> {
        if !zeroed {
            self.fill(dst, cap);
        }
        let (ptr, len) = if let E::Packet(field) = &headers.kind {
            self.packet_slice(field, headers.span)?
        } else {
            let m = self.memory_of(headers)?;
            (self.addr(m), self.iconst(i64::from(abi::HEADERS_CAP)))
        };
        let wanted = name.to_ascii_lowercase().into_bytes();
        if wanted.is_empty() {
            return self.not_yet(span, "a header without a name");
        }
        let key = self.temp(wanted.len() as u32);
        self.b.store_data(&wanted, key.ptr, key.offset);
        let (at, cap) = (self.addr(dst), self.iconst(i64::from(cap)));
        let name_len = self.iconst(wanted.len() as i64);
        let key = self.addr(key);
        Ok(self.b.call(Helper::HeaderGet, &[ptr, len, key, name_len, at, cap]))
    }
}

/// The layers of all packet fields in an expression, except behind `??`, which copes with absence itself.
fn layers_of(e: &Expr) -> u32 {
    match &e.kind {
        E::Packet(name) => packet::field(name).map_or(0, |row| row.layers),
        E::Coalesce { .. } | E::Block(_) => 0,
        _ => crate::place::walk::children(e).into_iter().map(layers_of).fold(0, |a, b| a | b),
    }
}

fn width(ty: FieldType) -> Width {
    match ty {
        FieldType::Bool | FieldType::U8 => Width::U8,
        FieldType::U16 => Width::U16,
        FieldType::U32 => Width::U32,
        FieldType::I32 => Width::I32,
        _ => Width::U64,
    }
}
