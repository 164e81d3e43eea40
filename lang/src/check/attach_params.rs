//! `$1` where a provider stands: `BEG$1 { }`, `$1 { }`. What a parameter holds may be several parts of an attach point, so
//! these are written out and read again before anything is checked.

use super::Options;
use crate::ast::{AttachPoint, Item, Probe, Script};
use crate::span::SourceMap;
use std::borrow::Cow;

/// The script, with such attach points replaced.
pub(super) fn written_out<'s>(script: &'s Script, sources: &mut SourceMap, opts: &Options) -> Cow<'s, Script> {
    let concerned = |i: &Item| matches!(i, Item::Probe(p) if asks(p));
    if !script.items.iter().any(concerned) {
        return Cow::Borrowed(script);
    }
    let mut script = script.clone();
    for item in &mut script.items {
        if let Item::Probe(probe) = item {
            replace(probe, sources, opts);
        }
    }
    Cow::Owned(script)
}

fn asks(probe: &Probe) -> bool {
    probe.points.iter().any(is_parameter) || probe.otherwise.as_deref().is_some_and(asks)
}

fn is_parameter(point: &AttachPoint) -> bool {
    point.provider.text.contains('$')
}

fn replace(probe: &mut Probe, sources: &mut SourceMap, opts: &Options) {
    if let Some(otherwise) = &mut probe.otherwise {
        replace(otherwise, sources, opts);
    }
    let points = std::mem::take(&mut probe.points);
    for point in points {
        if !is_parameter(&point) {
            probe.points.push(point);
            continue;
        }
        let mut text = with_values(&point.provider.text, &opts.positional);
        for segment in &point.segments {
            text.push(':');
            text.push_str(&segment.text);
        }
        let file = sources.add("the command line's parameters".to_owned(), text.clone());
        let found = crate::syntax::parse_attach_points(&text, file);
        // What can't be read stays as it was written: no provider has that name.
        match found {
            Some(read) => probe.points.extend(read.into_iter().map(|p| AttachPoint { span: point.span, ..p })),
            None => probe.points.push(point),
        }
    }
}

/// A text with `$1`, `$2` … as their values; nothing for those that are not given.
pub(super) fn with_values(text: &str, values: &[String]) -> String {
    let mut pieces = text.split('$');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let value = piece[..digits].parse::<usize>().ok().and_then(|n| values.get(n.checked_sub(1)?));
        out.push_str(value.map_or("", String::as_str));
        out.push_str(&piece[digits..]);
    }
    out
}
