//! Updates of maps whose keys are made here: of stacks that user space unwinds.

use super::core::Core;
use crate::{
    decode::{self, slice, u32_at},
    losses::LossKind,
    maps::merge_into,
    names::Names,
};
use std::rc::Rc;
use weftrace_artifact::{
    abi::{RecordHeader, StackSample},
    action::{Action, UpdateHow},
    map::{MapId, Value},
    ty::{Field, Type},
};

impl Core {
    pub(super) fn update(
        &mut self,
        header: RecordHeader,
        (map, how): (MapId, UpdateHow),
        action: &Action,
        payload: &[u8],
    ) {
        let artifact = Rc::clone(&self.artifact);
        let (Some(spec), [key, value]) = (artifact.maps.get(map.0 as usize), &action.args[..]) else { return };
        let Some(wanted) = &spec.key else { return };
        let mut bytes = vec![0; spec.key_size as usize];
        if !convert(&mut self.names, &key.ty, decode::member(key, payload), wanted, &mut bytes) {
            self.losses.add(probe_name(&artifact, header), LossKind::Stack, 1);
            return;
        }
        let part = decode::member(value, payload);
        let Some(user) = self.native.store_mut().home_mut(map).and_then(|home| home.user.as_mut()) else { return };
        let stored = match how {
            UpdateHow::Set => user.update(&bytes, part, 0) == 0,
            UpdateHow::Merge => user.change(&bytes, |words| merge_into(&spec.value, words, part)),
            UpdateHow::Add => user.change(&bytes, |words| {
                let width = if let Value::Plain(ty) = &spec.value { ty.size() } else { 8 };
                if let Some(word) = words.first_mut() {
                    let sum = word.wrapping_add(decode::u64_at(part, 0));
                    *word = if width < 8 { sum & ((1 << (8 * width)) - 1) } else { sum };
                }
            }),
        };
        if !stored {
            self.losses.add(probe_name(&artifact, header), LossKind::MapFull, 1);
        }
    }
}

fn probe_name(artifact: &weftrace_artifact::Artifact, header: RecordHeader) -> &str {
    artifact.probes.get(header.probe as usize).map_or("", |probe| &probe.name)
}

/// A record's key as the map has it; false: a stack could not be kept.
fn convert(names: &mut dyn Names, from: &Type, bytes: &[u8], to: &Type, out: &mut [u8]) -> bool {
    let members = |from: &[Field], to: &[Field], out: &mut [u8], names: &mut dyn Names| {
        from.iter().zip(to).all(|(f, t)| {
            let end = (t.offset as usize).saturating_add(t.ty.size() as usize);
            let Some(room) = out.get_mut(t.offset as usize..end) else { return false };
            convert(names, &f.ty, decode::member(f, bytes), &t.ty, room)
        })
    };
    match (from, to) {
        (Type::Sample { limit, .. }, Type::UStack { .. }) => {
            let used = u32_at(bytes, StackSample::USED as usize) as usize;
            let registers = slice(bytes, StackSample::REGISTERS as usize, StackSample::REGISTERS_SIZE as usize);
            let stack = slice(bytes, StackSample::STACK as usize, used);
            let pid = u32_at(bytes, 0);
            let Some(id) = names.keep_unwound(pid, registers, stack, *limit as usize) else { return false };
            let all = id.to_ne_bytes().into_iter().chain(pid.to_ne_bytes()).chain([0; 4]);
            out.iter_mut().zip(all).for_each(|(out, byte)| *out = byte);
            true
        }
        (Type::Tuple { fields: from, .. }, Type::Tuple { fields: to, .. })
        | (Type::Record { fields: from, .. }, Type::Record { fields: to, .. }) => members(from, to, out, names),
        _ => {
            out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = *byte);
            true
        }
    }
}
