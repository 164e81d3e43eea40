//! A session: an artifact made ready ([`Session`]), attached and running ([`Running`]), and what came of it ([`Outcome`]).

mod attach;
mod by_hand;
mod event_loop;
mod options;
mod prepare;
mod privileges;
mod programs;
mod progress;
mod running;
mod together;
mod unique;

pub use attach::AttachFailure;
pub use options::{ByHand, SessionOptions};
pub use privileges::Privileges;
pub(crate) use programs::Programs;
pub(crate) use running::Sources;
pub use running::{Ended, Outcome, Running};

use crate::{
    alert::{AlertTargets, Alerts},
    engine::{Core, CoreOptions, Keeper, StreamConsumer},
    error::Error,
    maps::Store,
    metrics::MetricsFeed,
    names::{HostNames, Settings, Stack, StackReader},
    native::Native,
    otlp::OtlpOut,
    record::Recorded,
    sink::Sink,
    sys::{Child, Clock, Ring},
};
use aya::maps::{Map, MapData, StackTraceMap};
use std::{io, os::fd::AsFd, path::Path, rc::Rc};
use weftrace_artifact::{
    Artifact,
    abi::SECOND_STACKS,
    map::{MapId, Role},
    names::NameTable,
    plan::{ProbePlan, Unit, Way},
};
use weftrace_probes::{
    kernel::{Host, sys::MapFd},
    symbols::elf,
};

/// Maps are there, handlers are mapped, the child waits; nothing runs yet.
pub struct Session {
    artifact: Rc<Artifact>,
    options: SessionOptions,
    host: Host,
    native: Native,
    ring: Option<Ring>,
    child: Option<Child>,
    consumer: Option<Box<dyn StreamConsumer>>,
    recorded: Option<Recorded>,
    privileges: Privileges,
}

impl Session {
    /// Creates maps, maps code, forks the child of `-c`. Reading capture files needs no kernel, so no privileges.
    pub fn new(artifact: Artifact, options: SessionOptions) -> Result<Self, Error> {
        Self::with_host(artifact, options, Host::new())
    }

    /// With a host whose facts were read already (what the plan needs).
    pub fn with_host(artifact: Artifact, options: SessionOptions, host: Host) -> Result<Self, Error> {
        let child = if options.command.is_empty() { None } else { Some(Child::prepare(&options.command)?) };
        let privileges = Privileges::prepare(&artifact, &options);
        let loads = |(index, plan): (u32, &ProbePlan)| {
            matches!(plan.best.unit, Unit::Kernel(_)) && !options.refused.contains_key(&index)
        };
        let kernel = options.read.is_empty() && (0u32..).zip(&artifact.probes).any(loads);
        let store = Store::create(&artifact.maps, kernel.then_some(&host))?;
        let ring = match store.kernel_by_role(Role::Events) {
            Some(map) => Some(Ring::new(map.as_fd(), map.max_entries()).map_err(Error::Ring)?),
            None => None,
        };
        let native = Native::new(&artifact, store, options.cost)?;
        Ok(Self {
            artifact: Rc::new(artifact),
            options,
            host,
            native,
            ring,
            child,
            consumer: None,
            recorded: None,
            privileges,
        })
    }

    /// Also hands every emitted record to this.
    pub fn consume(&mut self, consumer: Box<dyn StreamConsumer>) {
        self.consumer = Some(consumer);
    }

    /// Takes a child that was made before, so that the script could know its number; instead of [`SessionOptions::command`].
    #[must_use]
    pub fn adopt(mut self, child: Child) -> Self {
        self.child = Some(child);
        self
    }

    /// Takes the recording that [`SessionOptions::replay`] asks for.
    #[must_use]
    pub fn replay(mut self, recorded: Recorded) -> Self {
        self.recorded = Some(recorded);
        self
    }

    /// Process id of the child of `-c`.
    pub fn child_pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::pid)
    }

    /// Loads, runs BEGIN, attaches, says so, starts the child.
    pub fn start(self, sink: Box<dyn Sink>) -> Result<Running, Error> {
        Running::start(self, sink)
    }

    fn into_core(self, sink: Box<dyn Sink>) -> Result<(Core, Parts), Error> {
        let clock = match (self.options.read.is_empty(), self.options.replay) {
            (true, _) => Clock::live(),
            (false, Some(_)) => Clock::recorded(),
            (false, None) => Clock::Wall,
        };
        let stacks = stack_reader(self.native.store())?;
        let options = CoreOptions {
            escape: self.options.terminal,
            allow_unsafe: self.options.allow_unsafe,
            count: self.options.count,
            open: self.options.open,
            early: self.options.early,
            heartbeat: self.options.heartbeat.filter(|_| self.options.read.is_empty()),
            max_cat_bytes: self.artifact.options.max_cat_bytes.into(),
        };
        let mut settings = name_settings(&self.artifact);
        // Packets in files have no processes.
        settings.watch &= self.options.read.is_empty();
        settings.only = self.options.pid;
        let names = HostNames::new(clock, stacks, settings, self.privileges.kernel_names());
        let mut core = Core::new(self.artifact, self.native, names, sink, options);
        core.consumer = self.consumer;
        let specs = &core.artifact.alerts;
        if !specs.is_empty() {
            let targets = match &self.options.alerts {
                given if given.of.len() == specs.len() && !self.options.dry_run => given.clone(),
                given => AlertTargets::only_stderr(&given.script, specs),
            };
            core.alerts = Some(Box::new(Alerts::new(specs, targets).map_err(Error::Output)?));
        }
        if let Some(metrics) = &self.options.metrics {
            let feed = MetricsFeed::bind(metrics).map_err(|e| Error::Metrics(format!("{}: {e}", metrics.address)))?;
            core.metrics = Some(Box::new(feed));
            core.native.keep_exemplars();
        }
        core.otlp = OtlpOut::new(&self.options.otlp).filter(|_| !self.options.dry_run).map(Box::new);
        if core.otlp.as_ref().is_some_and(|otlp| otlp.due().is_some()) {
            core.native.keep_exemplars();
        }
        if let Some(keep) = &self.options.keep {
            let at = keep.path.display().to_string();
            let keeper = Keeper::new(keep.clone(), &self.options.read)
                .map_err(|e| Error::Packets { source_name: format!("--write {at}"), why: e.to_string() })?;
            core.keeper = Some(Box::new(keeper));
        }
        if self.privileges.later.trace_pipe {
            core.open_trace_pipe();
        }
        let Self { options, host, ring, child, privileges, recorded, .. } = self;
        Ok((core, Parts { options, host, ring, child, privileges, recorded }))
    }
}

/// What [`Running`] takes over besides the core.
struct Parts {
    options: SessionOptions,
    host: Host,
    ring: Option<Ring>,
    child: Option<Child>,
    privileges: Privileges,
    recorded: Option<Recorded>,
}

/// Fills the arrays of names that the script's programs look up.
fn write_names(core: &mut Core) -> Result<(), Error> {
    let store = core.native.store_mut();
    let asked: Vec<(MapId, NameTable)> = (0..)
        .map(MapId)
        .zip(store.specs())
        .filter_map(|(map, spec)| if let Role::Names(table) = spec.role { Some((map, table)) } else { None })
        .collect();
    for (map, table) in asked {
        for (number, name) in (0u32..).zip(table.names()) {
            store.set(map, &number.to_ne_bytes(), name.as_bytes())?;
        }
    }
    Ok(())
}

/// Fills the array of probes' names, if a program serves so many that it looks them up.
fn write_probes(core: &mut Core) -> Result<(), Error> {
    let artifact = Rc::clone(&core.artifact);
    let store = core.native.store_mut();
    let asked = (0..).map(MapId).zip(store.specs()).find_map(|(map, spec)| match spec.role {
        Role::Probes { name_cap } => Some((map, name_cap as usize, spec.value_size as usize)),
        _ => None,
    });
    let Some((map, name_cap, size)) = asked else { return Ok(()) };
    for (index, plan) in (0u32..).zip(&artifact.probes) {
        let mut entry = vec![0; size];
        let (name, func) = entry.split_at_mut(name_cap.min(size));
        let function = plan.best.way.function();
        for (to, text) in [(name, plan.name.as_bytes()), (func, function.as_bytes())] {
            // Always with a NUL.
            let len = text.len().min(to.len().saturating_sub(1));
            to[..len].copy_from_slice(&text[..len]);
        }
        store.set(map, &index.to_ne_bytes(), &entry)?;
    }
    Ok(())
}

/// Writes the script's start into the config map: {u64 CLOCK_BOOTTIME ns, i64 wall clock minus that clock}.
fn write_start(core: &mut Core, start: u64, wall_ns: i64) -> Result<(), Error> {
    let store = core.native.store_mut();
    if let Some(map) = store.by_role(Role::Config) {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&start.to_ne_bytes());
        value[8..].copy_from_slice(&wall_ns.to_ne_bytes());
        store.set(map, &0u32.to_ne_bytes(), &value)?;
    }
    Ok(())
}

/// Stacks by their ids, by descriptors of its own.
fn stack_reader(store: &Store) -> Result<Option<StackReader>, Error> {
    let mut maps = Vec::new();
    for spec in store.specs() {
        if let Role::Stacks { frames, build_id, second } = spec.role
            && let Some(map) = store.kernel_by_role(spec.role)
        {
            let reader = if build_id { build_ids(map)? } else { addresses(map)? };
            maps.push((Stack { frames, build_id }, second, reader));
        }
    }
    if maps.is_empty() {
        return Ok(None);
    }
    Ok(Some(Box::new(move |stack, id| {
        let id = u32::try_from(id).ok()?;
        let second = id & SECOND_STACKS != 0;
        let (.., reader) = maps.iter_mut().find(|(s, which, _)| *s == stack && *which == second)?;
        reader(id & !SECOND_STACKS)
    })))
}

/// A stack's bytes by its id in one map.
type OneReader = Box<dyn FnMut(u32) -> Option<Vec<u8>>>;

/// Stacks of addresses, as aya reads them.
fn addresses(map: &MapFd) -> Result<OneReader, Error> {
    let fd = map.as_fd().try_clone_to_owned().map_err(Error::Loop)?;
    let data = MapData::from_fd(fd).and_then(Map::from_map_data);
    let stacks = data.and_then(StackTraceMap::try_from).map_err(|e| Error::Loop(io::Error::other(e)))?;
    Ok(Box::new(move |id| {
        let trace = stacks.get(&id, 0).ok()?;
        Some(trace.frames().iter().flat_map(|frame| frame.ip.to_ne_bytes()).collect())
    }))
}

/// Stacks of build ids, which aya doesn't know.
fn build_ids(map: &MapFd) -> Result<OneReader, Error> {
    let fd = map.as_fd().try_clone_to_owned().map_err(Error::Loop)?;
    let map = MapFd::adopt(fd).map_err(|e| Error::Loop(io::Error::from_raw_os_error(e.errno)))?;
    Ok(Box::new(move |id| {
        let mut value = vec![0; map.value_bytes()];
        map.lookup(&id.to_ne_bytes(), &mut value).ok()?.then_some(value)
    }))
}

/// What the script says about names, and where its user probes are.
fn name_settings(artifact: &Artifact) -> Settings {
    let places = artifact.probes.iter().filter_map(|p| match &p.best.way {
        Way::Uprobe { path, offset, .. } => {
            let layout = elf::layout(Path::new(path)).ok()?;
            Some((path.clone(), layout.to_address(*offset)?))
        }
        _ => None,
    });
    // Only stacks ask.
    let stacks = artifact.maps.iter().any(|m| matches!(m.role, Role::Stacks { .. }));
    Settings {
        debug_info: artifact.options.show_debug_info,
        cpp: artifact.options.cpp_demangle,
        unwound: artifact.options.unwound.clone(),
        watch: artifact.options.user_names,
        only: None,
        places: if stacks { places.take(1024).collect() } else { Vec::new() },
    }
}

/// Used by tests and `weftrace dump`.
impl Session {
    pub fn maps(&self) -> impl Iterator<Item = (MapId, &weftrace_artifact::map::MapSpec)> {
        self.artifact.maps.iter().enumerate().map(|(i, spec)| (MapId(i as u32), spec))
    }
}
