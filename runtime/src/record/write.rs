//! A run's packets and events to a file.
//!
//! Packets are held for a while, since what they belong to is known only when a join has closed: their comments say the process and the
//! trace. Everything else is held with them, so that the file keeps the order in which the run acted.

use super::{
    ENTERPRISE, MAGIC, VERSION,
    code::Writer,
    event::{self, Event, Field, Kept, Run, Stream},
    file::RecordFile,
    held::{Ends, Held, HeldPacket, Queue},
    redact::Redactor,
    sealed::Passphrase,
};
use crate::{
    join::JoinResult,
    pcapng::{self, Interface},
};
use std::{borrow::Cow, collections::BTreeSet, io, path::PathBuf};
use weftrace_artifact::{
    Artifact,
    action::StreamSpec,
    packet::{PacketView, needs},
    ty::{Field as Member, Type},
};
use weftrace_probes::packet::{Options, Pipeline, RawPacket, conn_key};

/// `weftrace record`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordOptions {
    pub path: PathBuf,
    /// Secrets, query strings and bodies are masked.
    pub redact: bool,
    /// The file is sealed by this.
    pub passphrase: Option<Passphrase>,
    /// What the command line gave the script, so that a replay compiles the same: (kind, name, value).
    pub arguments: Vec<(String, String, String)>,
}

/// Packets wait so long for their comments at most, ns of event time.
const HOLD_NS: u64 = 5_000_000_000;
/// And while so many bytes are held.
const HOLD_BYTES: usize = 32 << 20;
/// Events are gathered in one block for so long, ns, or until there are so many bytes.
const CLOSE_NS: u64 = 1_000_000_000;
const BLOCK_BYTES: usize = 64 << 10;
const MAX_INTERFACES: usize = 4096;

/// A recording in the making.
pub(crate) struct Recorder {
    path: PathBuf,
    file: RecordFile,
    redactor: Option<Redactor>,
    /// Dissects for the redactor and for comments.
    pipeline: Pipeline,
    view: Box<PacketView>,
    interfaces: Vec<Interface>,
    held: Queue,
    /// Joins may still say something of packets.
    holds: bool,
    /// Boot time of the newest packet.
    newest: u64,
    /// The same when events last became a block.
    closed: u64,
    events: Vec<u8>,
    /// Whole blocks to be written.
    ready: Vec<u8>,
    /// Sources that were told of.
    announced: BTreeSet<u32>,
    /// By source: the watermark that was written last.
    marks: Vec<u64>,
    failed: bool,
    error: Option<io::Error>,
    something: bool,
}

impl Recorder {
    pub(crate) fn new(options: &RecordOptions, artifact: &Artifact, run: Run) -> io::Result<Self> {
        let file = RecordFile::create(&options.path, options.passphrase.as_ref())?;
        let texts = artifact.sources.iter().map(|(_, text)| text.as_str());
        let mut recorder = Self {
            path: options.path.clone(),
            file,
            redactor: options.redact.then(|| Redactor::new(texts)),
            pipeline: Pipeline::new(needs::HEADERS | needs::PAYLOAD, Options::default()),
            view: Box::default(),
            interfaces: Vec::new(),
            held: Queue::default(),
            holds: !artifact.joins.is_empty(),
            newest: 0,
            closed: 0,
            events: Vec::new(),
            ready: pcapng::section(),
            announced: BTreeSet::new(),
            marks: Vec::new(),
            failed: false,
            error: None,
            something: false,
        };
        recorder.event(&Event::Run(Box::new(run)));
        Ok(recorder)
    }

    pub(crate) fn knows(&self, source: u32) -> bool {
        self.announced.contains(&source)
    }

    pub(crate) fn event(&mut self, event: &Event) {
        if let Event::Source { id, .. } = event {
            self.announced.insert(*id);
        }
        event.put(&mut self.events);
        self.something |= !matches!(event, Event::Wake);
        if self.events.len() >= BLOCK_BYTES {
            self.close_events();
        }
    }

    /// A round of the loop ended: said only if something happened in it, and if the loop goes on.
    pub(crate) fn wake(&mut self, stops: bool) {
        if !stops && std::mem::take(&mut self.something) {
            self.event(&Event::Wake);
        }
        self.release(false);
    }

    /// A watermark, if it has moved.
    pub(crate) fn mark(&mut self, source: u32, time: u64) -> bool {
        let at = source as usize;
        if self.marks.len() <= at {
            self.marks.resize(at + 1, 0);
        }
        let moved = self.marks[at] != time;
        if moved {
            self.marks[at] = time;
            // Time goes on where no packets come, too.
            self.newest = self.newest.max(time);
            self.event(&Event::Mark { source, time });
        }
        moved
    }

    /// What the joins see of a record: what is masked in the recording is masked for them too, so that both say the same.
    pub(crate) fn redacted<'a>(&self, spec: &StreamSpec, payload: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(redactor) = &self.redactor else { return Cow::Borrowed(payload) };
        let mut payload = payload.to_vec();
        redactor.record(spec, &mut payload);
        Cow::Owned(payload)
    }

    pub(crate) fn record(&mut self, stream: u32, derived: bool, time: u64, payload: &[u8]) {
        event::record(&mut self.events, stream, derived, time, payload);
        self.something = true;
        if self.events.len() >= BLOCK_BYTES {
            self.close_events();
        }
    }

    /// A packet that some block is run for.
    pub(crate) fn packet(&mut self, raw: &RawPacket<'_>, source: u32, owner: Option<(u32, &[u8])>) {
        if self.failed {
            return;
        }
        self.close_events();
        self.something = true;
        let interface = match self.interfaces.iter().position(|known| known.is_of(raw)) {
            Some(at) => at,
            None if self.interfaces.len() >= MAX_INTERFACES => 0,
            None => {
                self.interfaces.push(Interface::of(raw));
                self.held.push(Held::Interface(Interface::of(raw)));
                self.interfaces.len() - 1
            }
        };
        self.pipeline.process(raw, &mut self.view);
        let mut data = raw.data.to_vec();
        if let Some(redactor) = &mut self.redactor {
            redactor.packet(&self.view, &mut data);
        }
        let boot = raw.boot_ns.unwrap_or(raw.time_ns);
        let owned = owner.map(|(pid, comm)| (pid, comm.to_vec()));
        let comments = owned.iter().map(|(pid, comm)| format!("pid {pid} ({})", String::from_utf8_lossy(comm)));
        let comments = comments.collect();
        let mut kept = Vec::new();
        Kept { source, interface: raw.interface, netns: raw.netns, number: raw.number, boot, owner: owned }
            .put(&mut kept);
        let ends = conn_key(&self.view).map(|key| Ends::of(&key));
        self.newest = self.newest.max(boot);
        let interface = interface as u32;
        let packet = HeldPacket { interface, time_ns: raw.time_ns, boot, len: raw.len, data, kept, ends, comments };
        self.held.push(Held::Packet(Box::new(packet)));
    }

    /// A join has a result: the packets of it that are still here get a comment.
    pub(crate) fn result(&mut self, result: &JoinResult) {
        let conn = result.conn;
        self.held.result(result);
        let ids = result.id().to_owned();
        let conn = conn.map(|key| key.to_bytes().to_vec()).unwrap_or_default();
        let (join, begin, end) = (result.join.clone(), result.begin, result.end);
        self.event(&Event::Result { join, ids, begin, end, conn });
    }

    /// Events so far become a block, in their order among packets.
    fn close_events(&mut self) {
        self.closed = self.newest;
        if !self.events.is_empty() {
            let events = std::mem::take(&mut self.events);
            self.held.push(Held::Events(events));
        }
    }

    /// Writes what has waited long enough.
    fn release(&mut self, all: bool) {
        // Behind packets they wait for those. Where there are none, they need not be lost with a process that is killed.
        let due = self.held.is_empty() && self.newest.saturating_sub(self.closed) > CLOSE_NS;
        if all || !self.holds || due {
            self.close_events();
        }
        while let Some(first) = self.held.first() {
            let old = match first {
                Held::Packet(packet) => self.newest.saturating_sub(packet.boot) > HOLD_NS,
                Held::Events(_) | Held::Interface(_) => true,
            };
            if !(all || !self.holds || old || self.held.bytes() > HOLD_BYTES) {
                break;
            }
            if let Some(first) = self.held.pop() {
                self.write(&first);
            }
        }
        self.flush();
    }

    fn write(&mut self, held: &Held) {
        let out = &mut self.ready;
        match held {
            Held::Interface(interface) => interface.describe(out),
            Held::Events(events) => {
                pcapng::custom(out, ENTERPRISE, |out| {
                    out.extend(MAGIC);
                    out.extend(VERSION.to_le_bytes());
                    out.extend([0; 2]);
                    Writer(out).bytes(events);
                });
            }
            Held::Packet(p) => {
                pcapng::enhanced(out, p.interface, p.time_ns, (&p.data, p.len), |out| {
                    p.comments.iter().for_each(|comment| pcapng::comment(out, comment.as_bytes()));
                    let mut own = MAGIC.to_vec();
                    own.extend(&p.kept);
                    pcapng::custom_option(out, ENTERPRISE, &own);
                });
            }
        }
    }

    fn flush(&mut self) {
        if self.failed || self.ready.is_empty() {
            self.ready.clear();
            return;
        }
        if let Err(error) = self.file.append(&self.ready) {
            (self.failed, self.error) = (true, Some(error));
            self.held.clear();
        }
        self.ready.clear();
    }

    /// Everything goes to the file.
    pub(crate) fn finish(&mut self) {
        self.release(true);
        if !self.failed
            && let Err(error) = self.file.end()
        {
            (self.failed, self.error) = (true, Some(error));
        }
    }

    /// Why the recording ends here, once.
    pub(crate) fn take_error(&mut self) -> Option<String> {
        let error = self.error.take()?;
        Some(format!("recording {}: {error}; it ends here", self.path.display()))
    }
}

/// What a recording says of the artifact's streams.
pub(crate) fn streams(artifact: &Artifact) -> Vec<Stream> {
    let field = |field: &Member| Field {
        name: field.name.clone().unwrap_or_default(),
        offset: field.offset,
        size: field.ty.size(),
        ty: word(&field.ty),
    };
    let stream = |spec: &StreamSpec| Stream {
        name: spec.name.clone(),
        size: spec.size,
        fields: spec.fields.iter().map(field).collect(),
    };
    artifact.streams.iter().map(stream).collect()
}

/// A type in a word: `u64`, `str[256]`, `conn`.
pub(crate) fn word(ty: &Type) -> String {
    match ty {
        Type::Int { bytes, signed } => format!("{}{}", if *signed { 'i' } else { 'u' }, 8 * u32::from(*bytes)),
        Type::Enum { bytes, signed, .. } => format!("{}{}", if *signed { 'i' } else { 'u' }, 8 * u32::from(*bytes)),
        Type::Bool => "u8".into(),
        Type::Str { cap } => format!("str[{cap}]"),
        Type::Buf { cap } => format!("buf[{cap}]"),
        other => format!("{other:?}").to_ascii_lowercase(),
    }
}
