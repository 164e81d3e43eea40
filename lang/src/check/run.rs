//! The rounds: from items to a program.

use super::Options;
use super::attach::Instance;
use super::ctypes::TypeTable;
use super::cx::{ArgsCx, Checker, ProbeCx, Sink};
use super::golang_watch::Watch;
use super::imports::Loaded;
use super::items::{CDef, Items};
use super::join_names::{JoinStage, LegUses};
use super::maps::MapTable;
use super::providers::PROVIDERS;
use super::rules;
use super::scope::{Cells, Frame};
use super::stream::StreamTable;
use crate::ast::{CTypeKind, Script};
use crate::diag::{Diagnostic, Severity};
use crate::hir::{AlertDef, Config, JoinDef, ProbeDef, Program, Space};
use crate::span::{FileId, SourceMap, Span};
use crate::world::World;

/// Types grow at most a few times each; scripts that need more rounds have not been seen.
const MOST_ROUNDS: usize = 64;

pub(crate) fn run(
    script: &Script,
    loaded: &Loaded,
    sources: &SourceMap,
    world: &dyn World,
    opts: &Options,
    watch: Option<&Watch>,
) -> (Program, Vec<Diagnostic>) {
    let scripts: Vec<&Script> = loaded.scripts.iter().chain([script]).collect();
    let items = Items::collect(&scripts, &loaded.defines, &loaded.macros);
    let mut c = Checker::new(&items, sources, world, opts);
    c.watch = watch;
    c.sink.on = true;
    for d in &loaded.diags {
        c.report(d.clone());
    }
    c.read_config();
    c.define_types();
    c.declare_maps();
    c.collect_joins();
    c.check_macros();
    let instances = c.instances();
    c.sink.on = false;
    c.settle(&instances);
    c.sink.on = true;
    c.note_params();
    c.check_functions();
    let (probes, joins) = c.round(&instances);
    c.unknown_flags();
    c.untyped_maps();
    c.check_declared();
    c.check_windows();
    let alerts = c.check_alerts();
    c.program(probes, joins, alerts)
}

impl<'a> Checker<'a> {
    fn new(items: &'a Items<'a>, sources: &'a SourceMap, world: &'a dyn World, opts: &'a Options) -> Self {
        let nowhere = ProbeCx {
            row: &PROVIDERS[0],
            targets: Vec::new(),
            args: ArgsCx::None,
            space: Space::Unknown,
            instance: u32::MAX,
            span: Span::default(),
        };
        Self {
            world,
            sources,
            opts,
            items,
            config: Config::default(),
            types: TypeTable::default(),
            maps: MapTable::default(),
            streams: StreamTable::default(),
            joins: Vec::new(),
            join_stage: JoinStage::Block,
            leg_uses: LegUses::default(),
            params: Vec::new(),
            by_hand: std::collections::HashMap::new(),
            packets: None,
            cells: Cells::default(),
            sink: Sink::default(),
            changed: false,
            probe: nowhere,
            frames: vec![Frame::root()],
            cur: 0,
            locals: Vec::new(),
            defining: Vec::new(),
            loops: 0,
            depth: 0,
            expanded: 0,
            unrolled: 0,
            dropped: false,
            unevaluated: 0,
            newstate: None,
            task_told: Span::default(),
            watch: None,
            off: std::collections::HashSet::new(),
            empty_flags: Vec::new(),
            headers: std::collections::BTreeSet::new(),
        }
    }

    /// The script's own structs, unions and enums.
    fn define_types(&mut self) {
        let items = self.items;
        for def in &items.ctypes {
            match def {
                CDef::Alias(alias) => self.define_alias(alias),
                CDef::Type(def) if def.kind == CTypeKind::Enum => self.define_enum(def),
                CDef::Type(def) => self.define_struct(&def.name.text, def),
            }
        }
    }

    fn declare_maps(&mut self) {
        let items = self.items;
        for decl in &items.map_decls {
            self.declare_map(decl);
        }
    }

    /// Rounds until no type grows.
    fn settle(&mut self, instances: &[Instance<'a>]) {
        for _ in 0..MOST_ROUNDS {
            self.round(instances);
            if !self.changed && !self.maps.default_values() {
                return;
            }
        }
    }

    /// Maps whose values only depend on each other.
    fn untyped_maps(&mut self) {
        if self.sink.diags.iter().any(|d| d.severity == Severity::Error) {
            return;
        }
        let found: Vec<(String, Span)> = self.maps.untyped().map(|m| (m.name.clone(), m.span)).collect();
        for (name, span) in found {
            self.error(
                "untyped-map",
                span,
                format!("nothing says what @{name} holds: it is only copied to and from itself"),
            );
        }
    }

    /// Starts a probe: no variables, no macros.
    pub(crate) fn enter(&mut self, cx: ProbeCx) {
        self.probe = cx;
        self.frames.clear();
        self.frames.push(Frame::root());
        self.cur = 0;
        self.locals.clear();
        self.loops = 0;
        self.depth = 0;
        self.expanded = 0;
        self.unrolled = 0;
    }

    fn round(&mut self, instances: &[Instance<'a>]) -> (Vec<ProbeDef>, Vec<JoinDef>) {
        self.changed = false;
        for m in &mut self.maps.maps {
            (m.poisoned, m.waits) = (false, false);
        }
        let mut probes = Vec::new();
        for i in instances {
            if matches!(i.cx.args, ArgsCx::Ghost) {
                self.quietly(|c| c.check_probe(i));
            } else {
                probes.push(self.check_probe(i));
            }
        }
        let items = self.items;
        // A join that is no join is an error: indexes only matter where there is none.
        let joins = items.joins.iter().enumerate().filter_map(|(i, j)| self.check_join(i, j)).collect();
        (probes, joins)
    }

    fn check_probe(&mut self, instance: &Instance<'a>) -> ProbeDef {
        let probe = instance.probe;
        self.enter(instance.cx.clone());
        self.go_pairs_by_thread(probe);
        let predicate = probe.predicate.as_ref().map(|p| {
            self.rule_task_filter(p);
            let cond = self.condition(p);
            self.rule_counter_compare(p);
            cond
        });
        let predicate = self.of_process(predicate, probe.span);
        self.newstate = probe.predicate.as_ref().and_then(rules::fixed_newstate);
        let body = self.block(&probe.body);
        self.rule_leg_unknown();
        self.newstate = None;
        let hidden = self.opts.hidden.contains(&probe.span.file);
        let ours = hidden || self.is_bundled(probe.span.file);
        let targets = instance.cx.targets.clone();
        ProbeDef { hidden, ours, targets, predicate, body, vars: self.var_defs(), span: probe.span }
    }

    fn is_bundled(&self, file: FileId) -> bool {
        let text = self.sources.file(file);
        self.world.is_bundled(&text.name, &text.text)
    }

    fn program(self, probes: Vec<ProbeDef>, joins: Vec<JoinDef>, alerts: Vec<AlertDef>) -> (Program, Vec<Diagnostic>) {
        let program = Program {
            probes,
            maps: self.maps.defs(self.config.max_map_keys),
            streams: self.streams.defs(),
            joins,
            alerts,
            structs: self.types.structs.values().flatten().map(|s| (**s).clone()).collect(),
            enums: self.types.enums.into_values().collect(),
            config: self.config,
            params: self.params,
            empty_flags: self.empty_flags,
            headers: self.headers,
            expansions: self.cells.calls(),
        };
        let mut diags = self.sink.diags;
        diags.sort_by_key(|d| (d.span.file, d.span.start, d.span.end));
        (program, diags)
    }
}
