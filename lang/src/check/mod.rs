//! Resolving and typing: a syntax tree and the host's facts become a typed program.
//!
//! The walk ([`cx::Checker`]) runs in rounds. In each it goes over every probe and gives maps, variables and streams the
//! types that their uses ask for; these only grow. When a round changes nothing, one more round reports what is wrong and
//! gives the HIR. Nothing here fails: what cannot be understood is [`Ty::Error`], reported once, and quiet after.

mod absent;
mod address;
mod alert_rules;
mod alert_sinks;
mod alerts;
mod args;
mod attach;
mod attach_code;
mod attach_devices;
pub(crate) mod attach_events;
mod attach_kernel;
mod attach_missing;
mod attach_other;
mod attach_params;
mod attach_support;
mod attach_typed;
mod attach_user;
mod binary;
mod bounds;
pub(crate) mod call;
pub(crate) mod call_action;
pub(crate) mod call_compile;
pub(crate) mod call_func;
pub(crate) mod call_kernel;
pub(crate) mod call_map;
pub(crate) mod call_names;
pub(crate) mod call_path;
pub(crate) mod call_text;
pub(crate) mod call_user;
pub(crate) mod call_value;
mod casts;
pub(crate) mod config;
mod constants;
mod ctype_define;
mod ctype_names;
mod ctypes;
pub(crate) mod cx;
mod effect;
mod emitted;
mod expansion;
mod expr;
mod filter;
mod flags;
mod functions;
mod glob;
mod golang;
pub(crate) mod golang_value;
mod golang_watch;
mod headers;
mod hidden;
mod hints;
mod ident;
mod imports;
mod items;
mod join;
mod join_clauses;
mod join_legs;
mod join_names;
mod keys;
mod layout;
mod macros;
mod maps;
mod modules;
mod outlive;
mod params;
mod places;
mod process;
pub mod providers;
mod reach;
mod rules;
mod run;
mod scope;
mod settings;
mod sockets;
mod sockets_bio;
mod sockets_exchange;
mod sockets_go;
mod sockets_io_uring;
mod sockets_text;
mod sockets_tls;
mod stmt;
mod stream;
mod tuple;
mod turns;
mod typeinfo;
mod typeop;
mod types;
mod user;
pub(crate) mod value;
mod walk;
pub(crate) mod windows;

pub use alerts::{DeclaredAlert, declared_alerts};
pub use attach_events::{HARDWARE, SOFTWARE, counter_names};
pub use emitted::{Emitted, emitted};

use crate::ast::{Item, Script};
use crate::diag::Diagnostic;
use crate::hir::Program;
use crate::span::{FileId, SourceMap};
use crate::world::World;

pub(crate) use config::MAX_CAT_BYTES;
pub use flags::{Flag, flags};
pub use keys::{KEYS, KeyRow, MAX_STEPS, NAT, is_binding, is_key};
pub use modules::is_shown;
pub use sockets::exchange_fields;

/// Longest text of a whole joined record.
pub(crate) const JOIN_TEXT_CAP: u32 = 1024;

/// What the command line says about a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `$1`, `$2` …
    pub positional: Vec<String>,
    /// `--name=value`, in order; a bare `--name` has no value.
    pub named: Vec<(String, Option<String>)>,
    /// `--unsafe`
    pub unsafe_ok: bool,
    /// A run without `--write`: `capture()` has nowhere to write to.
    pub nowhere_to_write: bool,
    /// `-k`: reads and look-ups that fail at run time are told with their places.
    pub helper_warnings: bool,
    /// `--read FILE`: only pcap blocks run, and interfaces don't matter.
    pub reading_file: bool,
    /// Only `test:` blocks run, and what goes with them.
    pub only_tests: bool,
    /// Packets are captured in another network namespace (`--netns`, `-p`), whose interfaces aren't known here.
    pub other_network: bool,
    /// Settings that win over the script's config block (environment, flags).
    pub config: Vec<(String, String)>,
    /// Flags that stand for a setting, and win over both: the flag as written, setting, value.
    pub flags: Vec<(String, String, String)>,
    /// `-p PID`
    pub pid: Option<u32>,
    /// Process started by `-c`.
    pub child_pid: Option<u32>,
    /// Texts that were added to the script: their probes count for the script's own.
    pub hidden: Vec<FileId>,
    /// Processes whose stacks `dw_ustack` unwinds; None: any.
    pub unwound: Option<Vec<u32>>,
}

/// Checks a script. Modules that it imports are added to `sources`, and so are the values of its `#define`s. Without a
/// diagnostic of severity error the program is whole; with one it holds what could be understood.
pub fn analyze(
    script: &Script,
    sources: &mut SourceMap,
    world: &dyn World,
    opts: &Options,
) -> (Program, Vec<Diagnostic>) {
    let script = attach_params::written_out(script, sources, opts);
    let mut loaded = imports::load(&script, sources, world);
    let has_alerts = |script: &Script| script.items.iter().any(|item| matches!(item, Item::Alert(_)));
    let mut script = script;
    if loaded.scripts.iter().chain([&*script]).any(has_alerts) {
        let modules = loaded.scripts.iter_mut().map(|module| &mut module.items);
        alerts::write_out(modules.chain([&mut script.to_mut().items]));
    }
    let (mut script, mut opts) = (attach_devices::written_out(script), opts.clone());
    // With probes of ours beside the script's.
    let mut more = Vec::new();
    if let Some(asked) = sockets::asked(loaded.scripts.iter().chain([&*script])) {
        let flagged = sockets_go::has_flag(loaded.scripts.iter().chain([&*script]));
        let (items, diags) = sockets_text::items(&asked, flagged, sources, world, &mut opts);
        script.to_mut().items.extend(items);
        more = diags;
    }
    let (program, mut found) = run::run(&script, &loaded, sources, world, &opts, None);
    found.append(&mut more.clone());
    let Some(watch) = golang_watch::wanted(&program) else { return (program, found) };
    let mut script = script.into_owned();
    script.items.extend(golang_watch::items(&watch, sources, world, &mut opts));
    let (program, mut found) = run::run(&script, &loaded, sources, world, &opts, Some(&watch));
    found.append(&mut more);
    (program, found)
}

/// Types as scripts write them, for `list` and messages of other parts.
pub fn type_name(ty: &crate::hir::Ty) -> String {
    types::show_full(ty)
}

/// An operator as it is written.
pub(crate) fn operator(op: crate::hir::BinOp) -> &'static str {
    binary::symbol(op)
}

/// Whether a shell glob matches a whole text.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    glob::matches(glob, text)
}

#[cfg(test)]
mod rules_tests;
