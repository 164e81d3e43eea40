//! What all functions of a script share: maps, actions, streams, and the host's facts.

use super::layout::{layout, map_value};
use crate::place::{MapPlace, Placement};
use std::cell::OnceCell;
use weftrace_artifact::{
    Place,
    action::{Action, ActionId, ActionKind, StreamId, StreamSpec},
    map::{Home, Kind, MapId, MapSpec, RING_SLOT_BYTES, Ring, Role, Ttl, Value},
    names::{NAME_CAP, NameTable},
    ty::{Type, lay_out},
};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{self, MapKind, Program},
    span::Span,
    world::World,
};

/// Offsets in the one entry of the [`Role::Config`] map.
pub mod config {
    /// u64: CLOCK_BOOTTIME ns when the script started.
    pub const START_BOOT_NS: i32 = 0;
    /// i64: what to add to CLOCK_BOOTTIME ns for the wall clock.
    pub const WALL_NS: i32 = 8;
}

/// Makes a typed pointer of any address, for reading.
const CASTER: &str = "bpf_rdonly_cast";

/// Entries of the stack map: distinct stacks per run.
const STACKS: u32 = 8192;

/// The tables that lowering fills.
pub struct Module<'a> {
    pub program: &'a Program,
    pub world: &'a dyn World,
    pub placement: &'a Placement,
    /// The script's maps by [`hir::MapRef`], then internal ones.
    pub maps: Vec<MapSpec>,
    pub actions: Vec<Action>,
    pub streams: Vec<StreamSpec>,
    pub packet_needs: u32,
    /// Addresses of processes get names when they print.
    pub user_names: bool,
    /// What blocks count is told, where they may know a trace.
    pub exemplars: bool,
    /// Id of bpf_rdonly_cast (Linux 6.2), once it was asked for; None: there is none, or BTF-typed programs (as of fentry) may not call it.
    caster: OnceCell<Option<u32>>,
}

impl<'a> Module<'a> {
    /// Lays out maps and streams. What cannot be laid out (after an error of the checker) is reported.
    pub fn new(
        program: &'a Program,
        world: &'a dyn World,
        placement: &'a Placement,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut module = Self {
            program,
            world,
            placement,
            maps: vec![],
            actions: vec![],
            streams: vec![],
            packet_needs: 0,
            user_names: false,
            exemplars: false,
            caster: OnceCell::new(),
        };
        for (index, def) in program.maps.iter().enumerate() {
            let spec = module.map_spec(def, placement.maps.get(index).copied()).unwrap_or_else(|| {
                diagnostics.push(not_yet(def.span, format!("@{}: maps of this type", def.name)));
                placeholder(def)
            });
            module.maps.push(spec);
        }
        for def in &program.streams {
            let spec = module.stream_spec(def).unwrap_or_else(|| {
                diagnostics.push(not_yet(def.span, format!("{}: streams with fields of this type", def.name)));
                StreamSpec { name: def.name.clone(), fields: vec![], size: 0 }
            });
            module.streams.push(spec);
        }
        module
    }

    /// What it takes to have the verifier take an address for that of a kernel struct: the kernel function, and the struct's id.
    pub(crate) fn cast(&self, name: &str) -> Option<(u32, u32)> {
        let caster = self.caster.get_or_init(|| {
            let id = self.world.kfunc(CASTER).found()?;
            self.world.kfunc_allowed(CASTER, "fentry").found()?.then_some(id)
        });
        Some(((*caster)?, self.world.kernel_struct_id(name).found()?))
    }

    fn map_spec(&self, def: &hir::MapDef, placed: Option<MapPlace>) -> Option<MapSpec> {
        let value = map_value(self.program, &def.value)?;
        let key = match &def.key {
            Some(ty) => Some(layout(self.program, ty)?),
            None => None,
        };
        // Per CPU, unless a kernel program must see the whole of what can be added up atomically.
        let whole = placed.is_some_and(|p| p.kernel_reads)
            && matches!(value, Value::Count | Value::Sum { .. } | Value::Avg { .. } | Value::Stats { .. })
            // An element's end is one moment, not one on each CPU.
            || def.ttl_ns.is_some();
        let percpu = value.is_aggregate() && !whole;
        let kind = match (def.kind, &key) {
            (_, None) if percpu => Kind::PercpuArray,
            (_, None) => Kind::Array,
            (None, Some(_)) if percpu => Kind::PercpuHash,
            (None | Some(MapKind::Hash), Some(_)) => Kind::Hash,
            (Some(MapKind::LruHash), Some(_)) if percpu && def.ring.is_some_and(|r| r.only) => Kind::LruPercpuHash,
            (Some(MapKind::LruHash), Some(_)) => Kind::LruHash,
            (Some(MapKind::PercpuHash), Some(_)) => Kind::PercpuHash,
            (Some(MapKind::LruPercpuHash), Some(_)) => Kind::LruPercpuHash,
        };
        let size = value.size();
        let mut end = size;
        let mut behind = |bytes: u32| {
            let at = end.next_multiple_of(8);
            end = at + bytes;
            at
        };
        let ring = def.ring.map(|r| Ring {
            offset: behind(r.slots * RING_SLOT_BYTES),
            bucket_ns: r.bucket.max(1),
            slots: r.slots,
            only_ns: r.only.then_some(r.window),
        });
        let presence = key.is_none().then(|| behind(8));
        let ttl = def.ttl_ns.filter(|_| presence.is_none()).map(|ns| Ttl { offset: behind(8), ns });
        Some(MapSpec {
            name: format!("@{}", def.name),
            role: Role::Script,
            kind,
            home: placed.map_or(Home::User, |p| p.home),
            // The kernel hashes whole words faster than bytes, and compares eight bytes at once: 8 ns a look-up instead of 11.
            key_size: key.as_ref().map_or(4, |ty| ty.size().next_multiple_of(8)),
            key,
            value,
            value_size: end,
            max_entries: if presence.is_some() { 1 } else { def.max_entries.max(1) },
            presence,
            ring,
            ttl,
            place: place(def.span),
        })
    }

    fn stream_spec(&self, def: &hir::StreamDef) -> Option<StreamSpec> {
        let members: Option<Vec<_>> =
            def.fields.iter().map(|(name, ty)| Some((Some(name.clone()), layout(self.program, ty)?))).collect();
        let (fields, size) = lay_out(members?);
        Some(StreamSpec { name: def.name.clone(), fields, size })
    }

    /// The internal map of a role, made when first asked for; `kernel`: which side uses it.
    pub fn internal(&mut self, role: Role, kernel: bool) -> MapId {
        let home = if kernel { Home::Kernel } else { Home::User };
        if let Some(at) = self.maps.iter().position(|m| m.role == role) {
            if self.maps[at].home != home {
                self.maps[at].home = Home::Both;
            }
            return MapId(at as u32);
        }
        self.maps.push(internal_spec(role, home));
        MapId(self.maps.len() as u32 - 1)
    }

    /// The internal map of a role if something uses it.
    pub fn find(&self, role: Role) -> Option<MapId> {
        self.maps.iter().position(|m| m.role == role).map(|i| MapId(i as u32))
    }

    /// Makes the entry of the zeros map at least as large as this.
    pub(crate) fn need_zeros(&mut self, map: MapId, bytes: u32) {
        let spec = &mut self.maps[map.0 as usize];
        spec.value_size = spec.value_size.max(bytes.next_multiple_of(8));
        spec.value = Value::Plain(Type::Array { elem: Box::new(Type::U64), len: spec.value_size / 8 });
    }

    /// The map of all probes' names: the full one in so many bytes, then the function's.
    pub(crate) fn probe_names(&mut self) -> (MapId, u32, u32) {
        let targets = || self.program.probes.iter().flat_map(|p| &p.targets);
        let cap = |longest: Option<usize>| (longest.unwrap_or(0) as u32 + 1).next_multiple_of(8);
        let name_cap = cap(targets().map(|t| t.name.len()).max());
        let func_cap = cap(targets().map(|t| super::strings::function_of(&t.provider).len()).max());
        let entries = targets().map(|t| match &t.provider {
            hir::Provider::Usdt { sites, .. } => sites.len().max(1) as u32,
            _ => 1,
        });
        let entries = entries.sum();
        let map = self.internal(Role::Probes { name_cap }, true);
        let spec = &mut self.maps[map.0 as usize];
        spec.value_size = name_cap + func_cap;
        spec.value = Value::Plain(Type::Array { elem: Box::new(Type::U64), len: spec.value_size / 8 });
        spec.max_entries = entries;
        (map, name_cap, func_cap)
    }

    /// A new map from numbers of system calls to probes.
    pub(crate) fn syscalls(&mut self) -> MapId {
        let table = self.maps.iter().filter(|m| matches!(m.role, Role::Syscalls { .. })).count();
        self.internal(Role::Syscalls { table: table as u32 }, true)
    }

    /// A new action with arguments of these types.
    pub fn action(&mut self, kind: ActionKind, args: impl IntoIterator<Item = Type>, span: Span) -> ActionId {
        let (args, size) = lay_out(args.into_iter().map(|t| (None, t)));
        self.push_action(Action { kind, args, size, place: place(span) })
    }

    /// `emit`: the payload is the stream's record.
    pub fn emit_action(&mut self, stream: StreamId, span: Span) -> ActionId {
        let spec = &self.streams[stream.0 as usize];
        let (args, size) = (spec.fields.clone(), spec.size);
        self.push_action(Action { kind: ActionKind::Emit { stream }, args, size, place: place(span) })
    }

    fn push_action(&mut self, action: Action) -> ActionId {
        self.actions.push(action);
        ActionId(self.actions.len() as u32 - 1)
    }

    /// A kernel struct whose layout the script did not define itself: its member offsets are relocated at load.
    pub(crate) fn is_kernel_struct(&self, name: &str) -> bool {
        let Some(def) = self.program.struct_def(name) else { return false };
        self.world.kernel_struct(name).found().is_some_and(|k| k.size == def.size && k.fields == def.fields)
    }
}

fn internal_spec(role: Role, home: Home) -> MapSpec {
    let words = |n: u32| Value::Plain(Type::Array { elem: Box::new(Type::U64), len: n });
    let (name, kind, key_size, value_size, max_entries) = match role {
        Role::Events | Role::Script => ("events", Kind::Ringbuf, 0, 0, 256 * 1024),
        Role::Losses => ("losses", Kind::PercpuArray, 4, 8, 1),
        Role::Scratch => ("scratch", Kind::PercpuArray, 4, 8, 1),
        Role::Zeros => ("zeros", Kind::Array, 4, 8, 1),
        Role::Stacks { frames, build_id, second } => {
            let bytes = frames * if build_id { 32 } else { 8 };
            ("stacks", Kind::StackTrace, 4, bytes, if second { STACKS / 2 } else { STACKS })
        }
        Role::Config => ("config", Kind::Array, 4, 16, 1),
        Role::Warnings => ("warnings", Kind::PercpuArray, 4, 8, 1),
        // Between a program and its copy there is one event for each that nests on a CPU; the rest are those that a copy never came to.
        Role::Twins => ("twins", Kind::LruHash, 32, 8, 2048),
        Role::Probes { .. } => ("probes", Kind::Array, 4, 8, 1),
        Role::Syscalls { .. } => ("syscalls", Kind::Array, 4, 8, NameTable::Syscalls.entries()),
        Role::Names(table) => ("names", Kind::Array, 4, NAME_CAP, table.entries()),
    };
    MapSpec {
        name: name.to_owned(),
        role,
        kind,
        home,
        key: None,
        value: words(value_size / 8),
        key_size,
        value_size,
        max_entries,
        presence: None,
        ring: None,
        ttl: None,
        place: Place::default(),
    }
}

/// Stands for a map whose type was already reported, so that indexes stay.
fn placeholder(def: &hir::MapDef) -> MapSpec {
    MapSpec {
        name: format!("@{}", def.name),
        role: Role::Script,
        place: place(def.span),
        ..internal_spec(Role::Config, Home::User)
    }
}

/// A span as the artifact keeps it.
pub fn place(span: Span) -> Place {
    Place { file: span.file.0, start: span.start, end: span.end, expansion: span.expansion }
}

/// The finding for what the language has and this compiler has not.
pub fn not_yet(span: Span, what: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error("not-supported-yet", span, format!("{what}: not supported yet"))
}
