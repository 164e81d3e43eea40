//! What isn't written of a script's own values: HTTP that it shows, and copies of stacks.

use super::redact::Redactor;
use crate::{
    decode::{self, slice, u32_at},
    names::digest,
};
use weftrace_artifact::{
    abi::StackSample,
    ty::{Field, Type},
};

impl Redactor {
    /// Texts and buffers that are messages of HTTP/1: as in packets.
    pub(crate) fn values(&mut self, args: &[Field], payload: &mut [u8]) {
        each(args, payload, &mut |ty, bytes| {
            let text = match *ty {
                Type::Str { cap } => 0..decode::string(bytes, cap).0.len(),
                Type::Buf { cap } => 4..4 + decode::buffer(bytes, cap).len(),
                _ => return,
            };
            if let Some(text) = bytes.get_mut(text) {
                self.message(text);
            }
        });
    }
}

/// Where a process's registers and its stack were copied only what tells copies apart stays: what comes of them is noted besides.
pub(crate) fn empty_samples(args: &[Field], payload: &mut [u8]) {
    each(args, payload, &mut |ty, bytes| {
        if !matches!(ty, Type::Sample { .. }) {
            return;
        }
        let (registers, size) = (StackSample::REGISTERS as usize, StackSample::REGISTERS_SIZE as usize);
        let used = u32_at(bytes, StackSample::USED as usize) as usize;
        let stack = slice(bytes, StackSample::STACK as usize, used);
        let digest = digest([slice(bytes, registers, size), stack]);
        bytes[registers..].fill(0);
        bytes[registers..registers + 8].copy_from_slice(&digest.to_ne_bytes());
    });
}

/// Whether there is a copy of a stack among them.
pub(crate) fn have_samples(args: &[Field]) -> bool {
    args.iter().any(|field| match &field.ty {
        Type::Sample { .. } => true,
        Type::Tuple { fields, .. } | Type::Record { fields, .. } | Type::Struct { fields, .. } => have_samples(fields),
        _ => false,
    })
}

/// Goes through the values in a payload, and what they are made of.
fn each(fields: &[Field], bytes: &mut [u8], act: &mut impl FnMut(&Type, &mut [u8])) {
    for field in fields {
        let (from, size) = (field.offset as usize, field.ty.size() as usize);
        let Some(bytes) = bytes.get_mut(from..from.saturating_add(size)) else { continue };
        one(&field.ty, bytes, act);
    }
}

fn one(ty: &Type, bytes: &mut [u8], act: &mut impl FnMut(&Type, &mut [u8])) {
    match ty {
        Type::Tuple { fields, .. } | Type::Record { fields, .. } | Type::Struct { fields, .. } => {
            each(fields, bytes, act);
        }
        Type::Array { elem, .. } => {
            for bytes in bytes.chunks_exact_mut((elem.size() as usize).max(1)) {
                one(elem, bytes, act);
            }
        }
        _ => act(ty, bytes),
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
