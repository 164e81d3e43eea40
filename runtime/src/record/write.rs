//! A run's packets and events to a file.
//!
//! Packets are held for a while, since what they belong to is known only when a join has closed: their comments say the process and the
//! trace. Everything else is held with them, so that the file keeps the order in which the run acted.

use super::{
    BLOCK_BYTES, ENTERPRISE, MAGIC, Notes, VERSION,
    code::Writer,
    event::{self, Event, Kept},
    file::RecordFile,
    held::{Ends, Held, HeldPacket, Queue},
    redact::Redactor,
    run::{ActionSign, Compiled, Field, Run, Stream},
    sealed::Passphrase,
    values::{empty_samples, have_samples},
};
use crate::{
    join::JoinResult,
    names::digest,
    pcapng::{self, Interface},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
};
use weftrace_artifact::{
    Artifact,
    abi::RecordHeader,
    action::{Action, ActionKind, StreamSpec},
    map::{MapId, Role},
    packet::{PacketEnd, PacketView, needs},
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
    /// What the host answered when the script was compiled, so that a replay elsewhere compiles the same; packed by gzip. Empty: a
    /// replay asks its own host.
    pub world: Vec<u8>,
}

/// Packets wait so long for their comments at most, ns of event time.
const HOLD_NS: u64 = 5_000_000_000;
/// And while so many bytes are held.
const HOLD_BYTES: usize = 32 << 20;
/// Events are gathered in one block for so long, ns, or until there are so many bytes.
const CLOSE_NS: u64 = 1_000_000_000;
/// More than that isn't gathered, whoever is at it.
const TOO_MUCH: usize = 4 << 20;
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
    /// What comes before the packet and the events at hand, since those ask for it.
    pub(crate) notes: Notes,
    /// The packet whose blocks run: what they ask for comes before it.
    packet: Option<Box<HeldPacket>>,
    /// Whole blocks to be written.
    ready: Vec<u8>,
    /// Sources that were told of.
    announced: BTreeSet<u32>,
    /// By source: the watermark that was written last, and how sure its times are.
    marks: Vec<u64>,
    uncertain: BTreeMap<u32, u64>,
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
            notes: Notes::default(),
            packet: None,
            ready: pcapng::section(),
            announced: BTreeSet::new(),
            marks: Vec::new(),
            uncertain: BTreeMap::new(),
            failed: false,
            error: None,
            something: false,
        };
        recorder.event(&Event::Run(Box::new(run)));
        recorder.event(&Event::Compiled(Box::new(compiled(options, artifact))));
        recorder.close_events();
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
        self.close_if(TOO_MUCH);
    }

    /// Events become a block only where nothing is under way that may still ask for something, which would come too late in a replay.
    fn close_if(&mut self, bytes: usize) {
        if self.events.len() >= bytes {
            self.close_events();
        }
    }

    /// A record has been acted on.
    pub(crate) fn acted(&mut self) {
        self.close_if(BLOCK_BYTES);
    }

    /// A round of the loop ended: said only if something happened in it, and if the loop goes on.
    pub(crate) fn wake(&mut self, stops: bool) {
        if !stops && std::mem::take(&mut self.something) {
            self.event(&Event::Wake);
        }
        self.acted();
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

    /// How far a source's times may be from the true ones, if that was not written.
    pub(crate) fn uncertain(&mut self, source: u32, ns: u64) {
        if self.uncertain.insert(source, ns) != Some(ns) {
            self.event(&Event::Uncertain { source, ns });
        }
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
        self.close_if(TOO_MUCH);
    }

    /// What is shown of a block's values: what is masked in the recording is masked in the output too.
    pub(crate) fn masked<'a>(&mut self, action: &Action, payload: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(redactor) = &mut self.redactor else { return Cow::Borrowed(payload) };
        let mut payload = payload.to_vec();
        redactor.values(&action.args, &mut payload);
        Cow::Owned(payload)
    }

    /// What a block that a replay doesn't run wants done.
    pub(crate) fn action(&mut self, header: RecordHeader, action: &Action, payload: &[u8]) {
        if have_samples(&action.args) {
            let mut payload = payload.to_vec();
            empty_samples(&action.args, &mut payload);
            event::action(&mut self.events, header, &payload);
        } else {
            event::action(&mut self.events, header, payload);
        }
        self.something = true;
        self.close_if(TOO_MUCH);
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
        let ends = conn_key(&self.view, PacketEnd::Neither).map(|key| Ends::of(&key));
        self.newest = self.newest.max(boot);
        let interface = interface as u32;
        let packet = HeldPacket { interface, time_ns: raw.time_ns, boot, len: raw.len, data, kept, ends, comments };
        self.packet = Some(Box::new(packet));
    }

    /// A join has a result: the packets of it that are still here get a comment.
    pub(crate) fn result(&mut self, result: &JoinResult) {
        let conn = result.conn;
        self.held.result(result, self.packet.as_deref_mut());
        let ids = result.id().to_owned();
        let conn = conn.map(|key| key.to_bytes().to_vec()).unwrap_or_default();
        let (join, begin, end) = (result.join.clone(), result.begin, result.end);
        self.event(&Event::Result { join, ids, begin, end, conn });
    }

    /// Events so far become a block, in their order among packets.
    fn close_events(&mut self) {
        self.closed = self.newest;
        for told_ahead in self.notes.take() {
            self.held.push(Held::Events(told_ahead));
        }
        if let Some(packet) = self.packet.take() {
            self.held.push(Held::Packet(packet));
        }
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

fn compiled(options: &RecordOptions, artifact: &Artifact) -> Compiled {
    let scripts = artifact.maps.iter().take_while(|spec| spec.role == Role::Script);
    Compiled {
        world: options.world.clone(),
        actions: signs(artifact),
        probes: artifact.probes.iter().map(|plan| plan.name.clone()).collect(),
        maps: scripts.map(|spec| (spec.name.clone(), spec.key_size, spec.value_size)).collect(),
    }
}

/// By what the artifact's actions are found again.
pub(crate) fn signs(artifact: &Artifact) -> Vec<ActionSign> {
    let sign = |action: &Action| {
        let mut kind = format!("{:?}", action.kind);
        match &action.kind {
            ActionKind::PrintMap { map: MapId(n), .. }
            | ActionKind::PrintMapValue { map: MapId(n) }
            | ActionKind::Clear { map: MapId(n) }
            | ActionKind::Zero { map: MapId(n) }
            | ActionKind::Update { map: MapId(n), .. } => {
                let name = artifact.maps.get(*n as usize).map_or("", |spec| &spec.name);
                kind = kind.replace(&format!("MapId({n})"), name);
            }
            ActionKind::Alert { alert: n, .. } | ActionKind::AlertLooked { alert: n } => {
                let name = artifact.alerts.get(*n as usize).map_or("", |spec| &spec.name);
                kind = kind.replace(&format!("alert: {n}"), name);
            }
            _ => {}
        }
        let name = kind.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let args: Vec<_> = action.args.iter().map(|field| (word(&field.ty), field.offset, field.bits)).collect();
        let layout = format!("{args:?} {}", action.size);
        ActionSign {
            exact: digest([kind.as_bytes(), layout.as_bytes()]),
            loose: digest([name.as_bytes(), layout.as_bytes()]),
        }
    };
    artifact.actions.iter().map(sign).collect()
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
