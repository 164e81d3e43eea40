//! What each action does.

use super::core::{Core, PendingPrint};
use crate::{
    decode,
    format::printf,
    join::show::record::redacted,
    losses::LossKind,
    maps::{Merged, Snapshot},
    sink::{Location, Message},
    style::Style,
};
use std::{cell::OnceCell, collections::BTreeMap, io::Read, rc::Rc};
use weftrace_artifact::{
    Artifact,
    abi::{LossSlot, RecordHeader},
    action::{Action, ActionKind, LogLevel, Piece, StreamSpec},
    map::MapId,
    plan::{JoinEvent, Way},
    ty::Type,
};
use weftrace_probes::kernel::{detach_all, printk::TracePipe};

impl Core {
    /// Acts on a record of any kind but `emit`.
    #[expect(clippy::too_many_lines, reason = "a table: one arm per action")]
    pub(super) fn act(&mut self, header: RecordHeader, action: &Action, payload: &[u8]) {
        let is_output = !matches!(
            action.kind,
            ActionKind::Clear { .. }
                | ActionKind::Zero { .. }
                | ActionKind::Update { .. }
                | ActionKind::Exit
                | ActionKind::Unwatch
                | ActionKind::Capture { .. }
                | ActionKind::Alert { .. }
                | ActionKind::AlertLooked { .. }
                | ActionKind::Warn { .. }
        );
        if is_output {
            if self.limit_reached() {
                return;
            }
            self.printed += 1;
        }
        match &action.kind {
            ActionKind::Printf(pieces) => {
                let text = self.format(pieces, action, payload);
                self.say(&Message::Printf(&text));
                self.scratch = text;
            }
            ActionKind::Log { level, format } => {
                let at = self.locate(action.place);
                let text = self.format(format, action, payload);
                if *level == LogLevel::Debug {
                    self.trace(&text);
                }
                self.say(&Message::Log { level: *level, text: &text, at: &at });
                self.scratch = text;
            }
            ActionKind::PrintMapValue { map } if self.is_aggregate(*map) => {
                let sent = |at: usize| action.args.get(at).map(|f| decode::member(f, payload));
                self.print_element(*map, sent(0).unwrap_or_default(), sent(1));
            }
            ActionKind::PrintJoin => self.say_joined(),
            ActionKind::PrintValue | ActionKind::PrintMapValue { .. } => {
                self.native.store_mut().pass(header.time);
                if let Some(value) = action.args.last() {
                    self.print_value(header.probe, &value.ty, decode::member(value, payload));
                }
            }
            ActionKind::PrintMap { map, top, div } => {
                self.native.store_mut().pass(header.time);
                self.pending = Some(PendingPrint { map: *map, top: *top, div: *div, probe: header.probe });
            }
            ActionKind::Clear { map } => {
                let done = self.native.store_mut().clear(*map);
                self.map_cleared(*map);
                self.map_failed(*map, done.err().map(|e| e.to_string()));
            }
            ActionKind::Zero { map } => self.zero(*map),
            ActionKind::Update { map, how } => self.update(header, (*map, *how), action, payload),
            ActionKind::Time { fmt } => self.time(header.time, fmt),
            ActionKind::Exit => {
                let code = action.args.first().map_or(0, |f| decode::u64_at(decode::member(f, payload), 0) as i64);
                self.exit.get_or_insert(code);
            }
            ActionKind::Join { separator } => {
                let text = join_strings(action, payload, separator);
                self.say(&Message::Join(&text));
            }
            ActionKind::Packet { path } => self.keep_packet(path, header.time, action, payload),
            ActionKind::Cat(pieces) => self.cat(pieces, action, payload),
            ActionKind::System(pieces) => self.system(pieces, action, payload),
            ActionKind::Unwatch => {
                let address = action.args.first().map_or(0, |f| decode::u64_at(decode::member(f, payload), 0));
                self.unwatch(address, action);
            }
            ActionKind::Alert { .. } => self.alert(header, action, payload),
            ActionKind::AlertLooked { alert } => self.alert_looked(header.time, *alert),
            ActionKind::Warn { .. } => self.warning(header, action, payload),
            // Only where there is a packet: Core::run_packet.
            ActionKind::Capture { .. } => {}
            ActionKind::Emit { .. } => {}
        }
    }

    /// Prints a value. Nobody asked for a path's query who prints a whole record: it is left out as it is of results.
    fn print_value(&mut self, probe: u32, ty: &Type, bytes: &[u8]) {
        let artifact = Rc::clone(&self.artifact);
        let record = record_of(&artifact, probe).filter(|_| !self.options.open);
        match record.and_then(|spec| redacted(spec, ty, bytes)) {
            Some((ty, bytes)) => self.say(&Message::Value { ty: &ty, bytes: &bytes }),
            None => self.say(&Message::Value { ty, bytes }),
        }
    }

    /// A `clear(@m)` right after a `print(@m)` of the same block: prints and empties in one go, so that what is counted between
    /// the two is neither lost nor counted twice.
    pub(super) fn joined_clear(&mut self, header: RecordHeader, kind: &ActionKind) -> bool {
        let Some(print) = self.pending else { return false };
        let ActionKind::Clear { map } = *kind else { return false };
        if map != print.map || header.probe != print.probe {
            return false;
        }
        self.pending = None;
        self.print_map(print, true, true);
        true
    }

    /// Does a `print(@m)` that no `clear(@m)` followed.
    pub(crate) fn flush_pending(&mut self) {
        if let Some(print) = self.pending.take() {
            self.print_map(print, true, false);
        }
    }

    /// Prints a map as the script asks (`explicit`), or at the end.
    fn print_map(&mut self, print: PendingPrint, explicit: bool, take: bool) {
        if self.output.is_some() {
            self.unsaid += 1;
            return;
        }
        let artifact = Rc::clone(&self.artifact);
        // The sink, the names and the maps are parts of one struct that are borrowed at the same time here.
        let Self { native, sink, names, options, output, .. } = self;
        let read = if take { native.store_mut().take(print.map) } else { native.store().snapshot(print.map) };
        let failed = match read {
            Ok(snapshot) => {
                let mut style = Style::of(names, &artifact.options);
                style.escape = options.escape;
                let message = Message::Map { map: &snapshot, top: print.top, div: print.div, explicit };
                if let Err(error) = sink.message(&message, &mut style) {
                    *output = Some(error);
                }
                None
            }
            Err(e) => Some(e.to_string()),
        };
        if take {
            self.map_cleared(print.map);
        }
        self.map_failed(print.map, failed);
    }

    fn zero(&mut self, map: MapId) {
        let done = self.native.store_mut().zero(map);
        self.map_cleared(map);
        self.map_failed(map, done.err().map(|e| e.to_string()));
    }

    /// Its counts begin anew, for who is told them.
    fn map_cleared(&mut self, map: MapId) {
        if let Some(otlp) = &mut self.otlp {
            otlp.cleared(map);
        }
    }

    fn time(&mut self, boot_ns: u64, fmt: &str) {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        self.format_time(boot_ns, fmt, &mut text);
        self.say(&Message::Time(&text));
        self.scratch = text;
    }

    fn is_aggregate(&self, map: MapId) -> bool {
        self.native.store().spec(map).is_some_and(|s| s.value.is_aggregate())
    }

    /// `print(@m[k])` of an aggregate, whose parts are added up here, unless the block did so, which may have deleted it since.
    fn print_element(&mut self, map: MapId, key: &[u8], sent: Option<&[u8]>) {
        if self.output.is_some() {
            self.unsaid += 1;
            return;
        }
        let artifact = Rc::clone(&self.artifact);
        let Self { native, sink, names, options, output, .. } = self;
        let store = native.store();
        let known = sent.and_then(|_| store.spec(map)).map(|spec| Snapshot { spec, elements: Vec::new() });
        let failed = match known.map_or_else(|| store.snapshot(map), Ok) {
            Ok(snapshot) => {
                let mut value = Merged::empty(&snapshot.spec.value);
                if let Some(sent) = sent {
                    value.add(&snapshot.spec.value, sent);
                }
                let found = snapshot.elements.iter().find(|e| e.key.starts_with(key)).map_or(&value, |e| &e.value);
                let mut style = Style::of(names, &artifact.options);
                style.escape = options.escape;
                if let Err(error) = sink.message(&Message::Element { map: &snapshot, value: found }, &mut style) {
                    *output = Some(error);
                }
                None
            }
            Err(e) => Some(e.to_string()),
        };
        self.map_failed(map, failed);
    }

    /// All of the script's maps by name.
    pub(crate) fn print_maps(&mut self) {
        for map in self.native.store().script_maps() {
            self.print_map(PendingPrint { map, top: 0, div: 0, probe: 0 }, false, false);
        }
    }

    fn map_failed(&mut self, map: MapId, error: Option<String>) {
        let Some(error) = error else { return };
        let Some((name, place)) = self.native.store().spec(map).map(|s| (s.name.clone(), s.place)) else { return };
        let at = self.locate(place);
        self.say(&Message::Log { level: LogLevel::Error, text: format!("{name}: {error}").as_bytes(), at: &at });
    }

    /// Formats into the scratch buffer, which the caller gives back.
    pub(super) fn format(&mut self, pieces: &[Piece], action: &Action, payload: &[u8]) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        let artifact = Rc::clone(&self.artifact);
        let mut style = Style::of(&mut self.names, &artifact.options);
        style.escape = self.options.escape;
        printf(&mut text, pieces, &action.args, payload, &mut style);
        if style.cut {
            self.tell_cut(action);
        }
        text
    }

    /// Once per format: a 64-bit number was shown by a 32-bit conversion, and something of it is missing.
    fn tell_cut(&mut self, action: &Action) {
        if self.cut_told.contains(&action.place) {
            return;
        }
        self.cut_told.push(action.place);
        let at = self.locate(action.place);
        let text = "a number is larger than %d, %u, %x or %o show: they are 32 bits wide; write %ld, %lu, %lx or %lo";
        self.say(&Message::Warning { text, helper: None, at: &at, times: 1 });
    }

    /// Now, since it may not be allowed later.
    pub(crate) fn open_trace_pipe(&mut self) {
        self.trace_pipe = TracePipe::open().ok().into();
    }

    /// A line for the kernel's trace pipe, where debugf() writes. Where it can't be written, it is only shown with -v.
    fn trace(&mut self, line: &[u8]) {
        if let Some(open) = self.trace_pipe.get_or_init(|| TracePipe::open().ok())
            && open.write(line).is_err()
        {
            self.trace_pipe = OnceCell::from(None);
        }
    }

    fn cat(&mut self, pieces: &[Piece], action: &Action, payload: &[u8]) {
        let path = String::from_utf8_lossy(&self.format(pieces, action, payload)).into_owned();
        if self.replayed.is_some() && !self.options.allow_unsafe {
            // A stranger's recording isn't to read files here, and what they say now isn't what they said.
            return self.complain(action, "cat() of this machine's files runs in a replay only with --unsafe");
        }
        self.slow = true;
        let mut text = Vec::new();
        let opened = weftrace_probes::privilege::open_text(std::path::Path::new(&path));
        let read = opened.and_then(|f| f.take(self.options.max_cat_bytes).read_to_end(&mut text));
        match read {
            Ok(_) => self.say(&Message::Cat(&text)),
            // A device that has no more to say at the moment.
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock && !text.is_empty() => self.say(&Message::Cat(&text)),
            Err(e) => {
                let why = e.raw_os_error().map_or_else(|| e.to_string(), weftrace_probes::kernel::sys::errno_text);
                // The path says which cat() it was.
                let text = format!("failed to open file '{path}' ({why})");
                self.say(&Message::Log { level: LogLevel::Error, text: text.as_bytes(), at: &Location::default() });
            }
        }
    }

    fn system(&mut self, pieces: &[Piece], action: &Action, payload: &[u8]) {
        if !self.options.allow_unsafe {
            return self.complain(action, "system() runs only with --unsafe");
        }
        let command = String::from_utf8_lossy(&self.format(pieces, action, payload)).into_owned();
        self.slow = true;
        // What we have said comes before what the command says.
        self.flush_pending();
        self.flush_output();
        match std::process::Command::new("sh").arg("-c").arg(&command).stderr(std::process::Stdio::inherit()).output() {
            Ok(output) => self.say(&Message::System(&output.stdout)),
            Err(e) => self.complain(action, &format!("system: {command}: {e}")),
        }
    }

    /// Detaches the watchpoints at an address. Events that were on their way may ask for it again: that is no error.
    fn unwatch(&mut self, address: u64, action: &Action) {
        let here = |way: &Way| matches!(way, Way::Watchpoint { address: its, .. } if *its == address);
        if !self.artifact.probes.iter().any(|plan| here(&plan.best.way)) {
            return self.complain(action, &format!("unwatch: the script has no watchpoint at {address:#x}"));
        }
        let found: Vec<_> = self.watchpoints.extract_if(.., |(its, _)| *its == address).map(|(_, link)| link).collect();
        self.slow |= !found.is_empty();
        detach_all(found);
    }

    pub(super) fn complain(&mut self, action: &Action, text: &str) {
        let at = self.locate(action.place);
        self.say(&Message::Log { level: LogLevel::Error, text: text.as_bytes(), at: &at });
    }

    /// Native handlers' losses into the table.
    pub(crate) fn native_losses<'a>(&mut self, artifact: &'a Artifact) -> BTreeMap<(&'a str, LossKind), u64> {
        let mut rows = BTreeMap::new();
        for (probe, slots) in artifact.probes.iter().zip(&self.native.host().losses) {
            for (kind, &count) in SLOT_KINDS.iter().zip(slots) {
                *rows.entry((&*probe.name, *kind)).or_default() += count;
            }
        }
        rows
    }
}

/// By [`weftrace_artifact::abi::LossSlot`]; the last slot is no loss.
pub(crate) const SLOT_KINDS: [LossKind; LossSlot::Caught as usize] = [
    LossKind::RingFull,
    LossKind::MapFull,
    LossKind::Read,
    LossKind::Stack,
    LossKind::Nested,
    LossKind::Analysis("headers"),
];

/// The stream whose records a join's block runs for, where these are no results.
fn record_of(artifact: &Artifact, probe: u32) -> Option<&StreamSpec> {
    let Way::Join { join, on } = artifact.probes.get(probe as usize)?.best.way else { return None };
    let join = artifact.joins.get(join as usize)?;
    let stream = match on {
        JoinEvent::Result => return None,
        JoinEvent::Orphan(leg) => join.legs.get(leg as usize)?.stream,
        JoinEvent::Late => join.anchor,
    };
    artifact.streams.get(stream.0 as usize)
}

/// The strings of an array up to the first empty one.
fn join_strings(action: &Action, payload: &[u8], separator: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let Some(field) = action.args.first() else { return text };
    let Type::Array { elem, len } = &field.ty else { return text };
    let Type::Str { cap } = **elem else { return text };
    let bytes = decode::member(field, payload);
    for i in 0..*len as usize {
        let (part, _) = decode::string(decode::slice(bytes, i * cap as usize, cap as usize), cap);
        if part.is_empty() {
            break;
        }
        if i > 0 {
            text.extend_from_slice(separator.as_bytes());
        }
        text.extend_from_slice(part);
    }
    text
}
