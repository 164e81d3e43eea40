//! `pcap:eth0,eth1:"tcp"`: the commas of a list of devices are those between attach points too. What follows a `pcap` point and names
//! no provider is another device of it; a filter behind the last holds for all of them.

use super::providers;
use crate::ast::{AttachPoint, Item, Probe, Script, Segment};
use std::borrow::Cow;

/// The script with one attach point for each device.
pub(super) fn written_out(script: Cow<'_, Script>) -> Cow<'_, Script> {
    if !script.items.iter().any(|i| matches!(i, Item::Probe(p) if asks(p))) {
        return script;
    }
    let mut script = script.into_owned();
    for item in &mut script.items {
        if let Item::Probe(probe) = item {
            replace(probe);
        }
    }
    Cow::Owned(script)
}

fn asks(probe: &Probe) -> bool {
    probe.points.iter().any(|p| lists(p) || is_device(p)) || probe.otherwise.as_deref().is_some_and(asks)
}

/// `pcap:"eth0,br-lan"`
fn lists(point: &AttachPoint) -> bool {
    point.provider.text == "pcap" && point.segments.first().is_some_and(|s| s.text.contains(','))
}

/// No provider, nor a slip in writing one.
fn is_device(point: &AttachPoint) -> bool {
    let name = &point.provider.text;
    let filter_quoted = point.segments.first().is_none_or(|s| s.quoted);
    point.label.is_none()
        && point.segments.len() <= 1
        && providers::find(name).is_none()
        && !name.contains('$')
        && (filter_quoted || crate::suggest::nearest(name, providers::names(), 1).is_empty())
}

fn replace(probe: &mut Probe) {
    if let Some(otherwise) = &mut probe.otherwise {
        replace(otherwise);
    }
    let mut points = std::mem::take(&mut probe.points).into_iter().peekable();
    while let Some(first) = points.next() {
        let begins = first.provider.text == "pcap" && first.segments.len() == 1;
        if !begins && !lists(&first) {
            probe.points.push(first);
            continue;
        }
        let (provider, mut filter) = (first.provider.clone(), first.segments.get(1).cloned());
        let mut devices: Vec<Segment> = first.segments.into_iter().take(1).collect();
        while filter.is_none()
            && let Some(more) = points.next_if(is_device)
        {
            devices.push(Segment { text: more.provider.text, quoted: false, span: more.provider.span });
            filter = more.segments.into_iter().next();
        }
        for list in devices {
            for device in list.text.split(',').map(str::trim).filter(|d| !d.is_empty()) {
                let device = Segment { text: device.to_owned(), ..list.clone() };
                let span = if filter.is_none() && list.text == device.text { first.span } else { list.span };
                let segments = std::iter::once(device).chain(filter.clone()).collect();
                probe.points.push(AttachPoint { label: None, provider: provider.clone(), segments, span });
            }
        }
    }
}

#[cfg(test)]
mod tests;
