//! What was run: the recording's first event.

use super::code::{Reader, Writer};

/// A stream's field: enough to find it, and to know whether it is the same in another version of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) offset: u32,
    pub(crate) size: u32,
    /// `u64`, `str[256]`, `conn` …
    pub(crate) ty: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) size: u32,
    pub(crate) fields: Vec<Field>,
}

/// What was run, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Of weftrace.
    pub(crate) version: String,
    pub(crate) little_endian: bool,
    pub(crate) redacted: bool,
    /// CLOCK_BOOTTIME ns at which BEGIN ran.
    pub(crate) start: u64,
    /// The first reading of the clocks: boot, wall, width; and the time zone, as in [`Event::Clock`].
    pub(crate) clock: [u64; 3],
    pub(crate) zone: (i32, String),
    /// `--count`; 0: no limit.
    pub(crate) count: u64,
    /// Texts by name: the script, then what it imports.
    pub(crate) sources: Vec<(String, String)>,
    /// What the command line gave it: (kind, name, value).
    pub(crate) arguments: Vec<(String, String, String)>,
    pub(crate) streams: Vec<Stream>,
}

pub(super) fn put(w: &mut Writer<'_>, run: &Run) {
    w.bytes(run.version.as_bytes());
    w.u8(u8::from(run.little_endian));
    w.u8(u8::from(run.redacted));
    w.u64(run.start);
    w.u64s(&run.clock);
    w.u32(run.zone.0 as u32);
    w.bytes(run.zone.1.as_bytes());
    w.u64(run.count);
    w.list(&run.sources, |w, (name, text)| {
        w.bytes(name.as_bytes());
        w.bytes(text.as_bytes());
    });
    w.list(&run.arguments, |w, (kind, name, value)| {
        for text in [kind, name, value] {
            w.bytes(text.as_bytes());
        }
    });
    w.list(&run.streams, |w, stream| {
        w.bytes(stream.name.as_bytes());
        w.u32(stream.size);
        w.list(&stream.fields, |w, field| {
            w.bytes(field.name.as_bytes());
            w.u32(field.offset);
            w.u32(field.size);
            w.bytes(field.ty.as_bytes());
        });
    });
}

pub(super) fn take(r: &mut Reader<'_>) -> Option<Run> {
    Some(Run {
        version: r.text()?,
        little_endian: r.u8()? != 0,
        redacted: r.u8()? != 0,
        start: r.u64()?,
        clock: [r.u64()?, r.u64()?, r.u64()?],
        zone: (r.u32()? as i32, r.text()?),
        count: r.u64()?,
        sources: r.list(|r| Some((r.text()?, r.text()?)))?,
        arguments: r.list(|r| Some((r.text()?, r.text()?, r.text()?)))?,
        streams: r.list(|r| {
            let (name, size) = (r.text()?, r.u32()?);
            let fields =
                r.list(|r| Some(Field { name: r.text()?, offset: r.u32()?, size: r.u32()?, ty: r.text()? }))?;
            Some(Stream { name, size, fields })
        })?,
    })
}

/// What the compiler made of the script, and of what: enough for a replay to make the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// The host's answers ([`super::RecordOptions::world`]).
    pub(crate) world: Vec<u8>,
    pub(crate) actions: Vec<ActionSign>,
    /// Their names.
    pub(crate) probes: Vec<String>,
    /// The script's maps: name, bytes of a key and of a value.
    pub(crate) maps: Vec<(String, u32, u32)>,
}

/// By what an action is found again, in a later version of the script too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActionSign {
    /// A digest of all that it is.
    pub(crate) exact: u64,
    /// Of what it does and how its payload is laid out: not of its texts.
    pub(crate) loose: u64,
}

pub(super) fn put_compiled(w: &mut Writer<'_>, compiled: &Compiled) {
    w.bytes(&compiled.world);
    w.list(&compiled.actions, |w, action| {
        w.u64s(&[action.exact, action.loose]);
    });
    w.list(&compiled.probes, |w, name| w.bytes(name.as_bytes()));
    w.list(&compiled.maps, |w, (name, key, value)| {
        w.bytes(name.as_bytes());
        w.u32(*key);
        w.u32(*value);
    });
}

pub(super) fn take_compiled(r: &mut Reader<'_>) -> Option<Compiled> {
    Some(Compiled {
        world: r.bytes()?.to_vec(),
        actions: r.list(|r| Some(ActionSign { exact: r.u64()?, loose: r.u64()? }))?,
        probes: r.list(Reader::text)?,
        maps: r.list(|r| Some((r.text()?, r.u32()?, r.u32()?)))?,
    })
}
