//! Packet fields: reading the view by the table, and presence.

use super::{
    asked,
    cx::{Cx, R},
    mem::Mem,
};
use crate::ir::{BinaryOp, Block, Cond, Helper, Mem as Width, Value};
use std::mem::offset_of;
use weftrace_artifact::{
    abi, headers,
    packet::{self, Asked, FieldRow, FieldType, KernelRead, PacketView, Read, known, layer},
    telemetry,
};
use weftrace_lang::{
    hir::{Expr, ExprKind as E},
    span::Span,
};

const KNOWN: i32 = offset_of!(PacketView, known) as i32;
const LAYERS: i32 = offset_of!(PacketView, layers) as i32;
const STR_LEN: i32 = offset_of!(packet::StrRef, len) as i32;
const MORE: i32 = offset_of!(PacketView, more) as i32;
const TEXT_LEN: i32 = offset_of!(packet::Text, len) as i32;
const TEXT_BYTES: i32 = offset_of!(packet::Text, bytes) as i32;
const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;

impl Cx<'_, '_> {
    fn row(&mut self, name: &str, span: Span) -> R<&'static FieldRow> {
        let Some(row) = field(name) else {
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
        if self.kernel {
            let value = self.number_in_kernel(row, span)?;
            return Ok(self.if_there(row, value));
        }
        let view = self.packet_view(span)?;
        if let Read::More(offset) = row.read {
            let zero = self.iconst(0);
            return Ok(self.of_more(row, |cx, more| cx.b.load(width(row.ty), more, offset as i32), zero));
        }
        let value = match row.read {
            Read::Load(offset) => self.b.load(width(row.ty), view, offset as i32),
            Read::Bit(offset, mask) => {
                let word = self.b.load(Width::U32, view, offset as i32);
                let bit = self.b.binary_imm(BinaryOp::Band, word, i64::from(mask));
                self.b.icmp_imm(Cond::Ne, bit, 0)
            }
            Read::Layer(mask) | Read::Known(mask) => {
                let word = if matches!(row.read, Read::Known(_)) { KNOWN } else { LAYERS };
                let have = self.b.load(Width::U64, view, word);
                let bit = self.b.binary_imm(BinaryOp::Band, have, mask as i64);
                self.b.icmp_imm(Cond::Ne, bit, 0)
            }
            Read::Bytes(_) | Read::Str(_) | Read::Conn(_) | Read::ByteRanges(_) | Read::More(_) => {
                return self.not_yet(span, format!("{name} as a number"));
            }
        };
        Ok(self.if_there(row, value))
    }

    /// The value, or 0 where the field is absent.
    fn if_there(&mut self, row: &FieldRow, value: Value) -> Value {
        match self.is_there(Asked::by(row)) {
            Some(present) => {
                let zero = self.iconst(0);
                self.b.select(present, value, zero)
            }
            None => value,
        }
    }

    fn number_in_kernel(&mut self, row: &FieldRow, span: Span) -> R<Value> {
        let plain = self.plain(span)?;
        let value = row.kernel.and_then(|read| self.plain_scalar(&plain, read, row.ty == FieldType::Bool));
        value.map_or_else(|| self.elsewhere(span, row.name), Ok)
    }

    /// Where an address's bytes lie; None: the field is no address.
    pub(crate) fn packet_bytes(&mut self, row: &FieldRow, span: Span) -> R<Option<Mem>> {
        let Read::Bytes(offset) = row.read else { return Ok(None) };
        if !self.kernel {
            return Ok(Some(Mem::new(self.packet_view(span)?, offset as i32)));
        }
        match row.kernel {
            Some(KernelRead::Bytes(header, at)) => Ok(Some(self.plain(span)?.header(header).at(at))),
            _ => self.elsewhere(span, row.name),
        }
    }

    pub(crate) fn packet_view(&mut self, span: Span) -> R<Value> {
        match self.subject {
            super::cx::Subject::Packet if !self.kernel => Ok(self.b.ctx()),
            _ => self.elsewhere(span, "a packet field"),
        }
    }

    /// A field that lives in memory.
    pub(crate) fn packet_into(&mut self, name: &str, dst: Mem, zeroed: bool, span: Span) -> R<()> {
        let row = self.row(name, span)?;
        let size = match row.ty {
            FieldType::Ipv4 | FieldType::Ipv6 => 20,
            FieldType::Mac => 6,
            FieldType::Flow => abi::FLOW_VALUE_SIZE,
            FieldType::Conn => abi::CONN_KEY_SIZE,
            FieldType::ByteRanges => abi::BYTES_KEY_SIZE,
            FieldType::Headers => return self.headers_into(name, dst, span),
            _ => return self.not_yet(span, format!("{name} in memory")),
        };
        if !zeroed {
            self.fill(dst, size);
        }
        let done = self.block();
        self.guard_field(row, done);
        match (self.packet_bytes(row, span)?, row.read, row.ty) {
            (Some(bytes), _, FieldType::Mac) => self.copy(dst, bytes, 6),
            (Some(bytes), _, ty) => {
                let v6 = ty == FieldType::Ipv6;
                let family = self.iconst(if v6 { AF_INET6 } else { AF_INET });
                self.store(4, family, dst);
                self.copy(dst.at(4), bytes, if v6 { 16 } else { 4 });
            }
            (None, Read::More(offset), FieldType::Flow) => {
                let view = self.packet_view(span)?;
                let more = self.b.load_ptr(view, MORE);
                self.copy(dst, Mem::new(more, offset as i32), size);
            }
            (None, Read::Conn(whose), _) => {
                let (view, at, whose) = (self.packet_view(span)?, self.addr(dst), self.iconst(whose as i64));
                self.b.call(Helper::PacketConn, &[view, whose, at]);
            }
            (None, Read::ByteRanges(which), _) => {
                let (view, at, which) = (self.packet_view(span)?, self.addr(dst), self.iconst(which as i64));
                self.b.call(Helper::PacketBytes, &[view, which, at]);
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
        if let Read::More(offset) = row.read {
            let word = crate::ir::Ty::I64;
            let (done, absent) = (self.block_with(&[crate::ir::Ty::Ptr(crate::ir::Space::Data), word]), self.block());
            self.guard_field(row, absent);
            let more = self.b.load_ptr(view, MORE);
            let len = self.b.load(Width::U64, more, offset as i32 + TEXT_LEN);
            let text = self.b.ptr_add(more, offset as i32 + TEXT_BYTES);
            self.jump_with(done, &[text, len]);
            self.start(absent);
            let (none, zero) = (self.b.load_ptr(view, MORE), self.iconst(0));
            self.jump_with(done, &[none, zero]);
            self.start(done);
            return Ok((self.b.param(done, 0), self.b.param(done, 1)));
        }
        let Read::Str(offset) = row.read else { return self.not_yet(span, format!("{name} as text")) };
        let ptr = self.b.load_ptr(view, offset as i32);
        let len = self.b.load(Width::U64, view, offset as i32 + STR_LEN);
        let len = match self.is_there(Asked::by(row)) {
            Some(present) => {
                let zero = self.iconst(0);
                self.b.select(present, len, zero)
            }
            None => len,
        };
        Ok((ptr, len))
    }

    /// A number of the view behind the view; `otherwise` where the field is absent, and with it perhaps that view.
    fn of_more(&mut self, row: &FieldRow, load: impl FnOnce(&mut Self, Value) -> Value, otherwise: Value) -> Value {
        let (done, absent) = (self.block_with(&[crate::ir::Ty::I64]), self.block());
        self.guard_field(row, absent);
        let view = self.b.ctx();
        let more = self.b.load_ptr(view, MORE);
        let value = load(self, more);
        self.jump_with(done, &[value]);
        self.start(absent);
        self.jump_with(done, &[otherwise]);
        self.start(done);
        self.b.param(done, 0)
    }

    // Presence.

    /// Whether all of this is in the packet; None: it always is.
    pub(super) fn is_there(&mut self, asked: Asked) -> Option<Value> {
        let layers = self.all_set(LAYERS, asked.layers & !layer::FRAME);
        // Of plain packets, which are all that the kernel sees, the headers are whole.
        let whole = if self.plain.is_some() { known::HEADERS } else { 0 };
        let known = self.all_set(KNOWN, asked.known & !whole);
        match (layers, known) {
            (Some(a), Some(b)) => Some(self.b.band(a, b)),
            (one, other) => one.or(other),
        }
    }

    fn all_set(&mut self, offset: i32, bits: u64) -> Option<Value> {
        if bits == 0 {
            return None;
        }
        // The kernel's fields ask for layers only.
        let have = if let Some(plain) = self.plain {
            plain.layers
        } else {
            let view = self.b.ctx();
            self.b.load(Width::U64, view, offset)
        };
        let have = self.b.binary_imm(BinaryOp::Band, have, bits as i64);
        Some(if bits.is_power_of_two() {
            self.b.icmp_imm(Cond::Ne, have, 0)
        } else {
            self.b.icmp_imm(Cond::Eq, have, bits as i64)
        })
    }

    /// Goes to `absent` unless the field is there.
    pub(crate) fn guard_field(&mut self, row: &FieldRow, absent: Block) {
        if let Some(present) = self.is_there(Asked::by(row)) {
            let go_on = self.block();
            self.brif(present, go_on, absent);
            self.start(go_on);
        }
    }

    /// Whether all packet fields and legs that two operands read are known; None: there are none that could be absent.
    pub(crate) fn present(&mut self, left: &Expr, right: &Expr) -> Option<Value> {
        let fields = self.is_there(asked::value(left).and(asked::value(right)));
        let legs = self.legs_known(&[left, right]);
        match (fields, legs) {
            (Some(a), Some(b)) => Some(self.b.band(a, b)),
            (one, other) => one.or(other),
        }
    }

    // Headers.

    /// All headers of a message, those first that the script reads.
    fn headers_into(&mut self, name: &str, dst: Mem, span: Span) -> R<()> {
        let (ptr, len) = self.packet_slice(name, span)?;
        let wanted = headers::names(self.m.program.headers.iter().map(String::as_bytes));
        let names = self.temp(wanted.len() as u32);
        if !wanted.is_empty() {
            self.b.store_data(&wanted, names.ptr, names.offset);
        }
        let (at, cap) = (self.addr(dst), self.iconst(i64::from(abi::HEADERS_CAP)));
        let (names, names_len) = (self.addr(names), self.iconst(wanted.len() as i64));
        let lost = self.b.call(Helper::CopyHeaders, &[at, cap, ptr, len, names, names_len]);
        let (count, done) = (self.block(), self.block());
        self.brif(lost, count, done);
        self.start(count);
        self.count_loss(abi::LossSlot::Header);
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// `http.header["name"]` as a string: its length, or negative if there is no such header.
    pub(crate) fn header_into(&mut self, headers: &Expr, name: &str, dst: Mem, cap: u32, span: Span) -> R<Value> {
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
        let (key, name_len) = (self.addr(key), self.iconst(wanted.len() as i64));
        Ok(self.cut_visibly(dst, cap, |cx, dst, cap| {
            cx.fill(dst, cap);
            let (at, cap) = (cx.addr(dst), cx.iconst(i64::from(cap)));
            cx.b.call(Helper::HeaderGet, &[ptr, len, key, name_len, at, cap])
        }))
    }
}

/// Of a packet, a span or a log record.
pub(super) fn field(name: &str) -> Option<&'static FieldRow> {
    packet::field(name).or_else(|| telemetry::field(name))
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
