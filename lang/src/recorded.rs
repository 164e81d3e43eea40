//! The world's answers, written down and replayed.
//!
//! [`Recorder`] asks another world and keeps what it says; [`RecordedWorld`] answers from such a log alone, so that a script
//! can be checked for another host, and tests need none.

mod elsewhere;
mod sound;
mod world;

pub use elsewhere::Elsewhere;
pub use world::RecordedWorld;

use crate::hir::{EnumDef, StructDef, Ty};
use crate::world::{
    Answer, Feature, FnProto, GoFunction, Header, PacketFieldInfo, SourceLines, TraceEvent, UsdtProbe, UserAddress,
    UserPlace, UserProto, UserSymbol, World,
};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Questions and answers. Keys are what was asked, several parts with a colon between them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorldLog {
    pub kernel_release: String,
    pub cpus: u32,
    pub tracepoint: BTreeMap<String, Answer<TraceEvent>>,
    pub tracepoints: BTreeMap<String, Answer<Vec<String>>>,
    pub raw_tracepoint: BTreeMap<String, Answer<FnProto>>,
    pub raw_tracepoints: BTreeMap<String, Answer<Vec<String>>>,
    pub kernel_function: BTreeMap<String, Answer<Option<FnProto>>>,
    pub kernel_functions: BTreeMap<String, Answer<Vec<String>>>,
    pub typed_functions: BTreeMap<String, Answer<Vec<String>>>,
    pub user_function: BTreeMap<String, Answer<UserSymbol>>,
    pub user_functions: BTreeMap<String, Answer<Vec<UserSymbol>>>,
    #[serde(default)]
    pub user_file: BTreeMap<String, bool>,
    pub user_place: BTreeMap<String, Answer<UserPlace>>,
    pub user_address: BTreeMap<String, Answer<UserAddress>>,
    #[serde(default)]
    pub user_instruction: BTreeMap<String, Answer<bool>>,
    pub user_symbol: BTreeMap<String, Answer<UserSymbol>>,
    pub usdt_probes: BTreeMap<String, Answer<Vec<UsdtProbe>>>,
    pub user_proto: BTreeMap<String, Answer<UserProto>>,
    pub go_function: BTreeMap<String, Answer<GoFunction>>,
    pub go_types: BTreeMap<String, Answer<i64>>,
    #[serde(default)]
    pub go_programs: BTreeMap<String, Answer<Vec<String>>>,
    #[serde(default)]
    pub running_with: BTreeMap<String, Answer<Vec<String>>>,
    pub user_struct: BTreeMap<String, Answer<StructDef>>,
    pub user_enum: BTreeMap<String, Answer<EnumDef>>,
    pub user_typedef: BTreeMap<String, Answer<Ty>>,
    pub user_lines: BTreeMap<String, Answer<SourceLines>>,
    pub kernel_struct: BTreeMap<String, Answer<StructDef>>,
    pub kernel_enum: BTreeMap<String, Answer<EnumDef>>,
    pub kernel_enumerator: BTreeMap<String, Answer<(EnumDef, i64)>>,
    pub kernel_typedef: BTreeMap<String, Answer<Ty>>,
    pub kernel_symbol: BTreeMap<String, Answer<u64>>,
    pub cgroup_id: BTreeMap<String, Answer<u64>>,
    pub kfunc: BTreeMap<String, Answer<u32>>,
    pub kernel_struct_id: BTreeMap<String, Answer<u32>>,
    pub kfunc_allowed: BTreeMap<String, Answer<bool>>,
    pub pid_namespace: Option<(u64, u64)>,
    pub feature: BTreeMap<Feature, Answer<()>>,
    pub syscall: BTreeMap<String, Option<i64>>,
    pub bpf_programs: Option<Answer<Vec<(u32, String)>>>,
    pub interfaces: Option<Answer<Vec<String>>>,
    pub pcap_filter: BTreeMap<String, Result<(), String>>,
    pub module: BTreeMap<String, Answer<(String, String)>>,
    pub module_directory: BTreeMap<String, Answer<Vec<String>>>,
    pub header: BTreeMap<String, Answer<Header>>,
    pub packet_fields: Vec<PacketFieldInfo>,
    pub telemetry_fields: Vec<PacketFieldInfo>,
}

/// Asks a world and writes every answer down.
pub struct Recorder<'w> {
    world: &'w dyn World,
    log: RefCell<WorldLog>,
}

impl<'w> Recorder<'w> {
    pub fn new(world: &'w dyn World) -> Self {
        Self::after(world, WorldLog::default())
    }

    /// Goes on with what was written down before.
    pub fn after(world: &'w dyn World, log: WorldLog) -> Self {
        Self { world, log: RefCell::new(log) }
    }

    /// What was asked and answered.
    pub fn into_log(self) -> WorldLog {
        self.log.into_inner()
    }
}

fn header_key(path: &str, system: bool) -> String {
    if system { format!("<{path}>") } else { path.to_owned() }
}

fn pair(a: &str, b: &str) -> String {
    format!("{a}:{b}")
}

/// One question: ask the world, write down, answer.
macro_rules! noted {
    ($self:ident, $field:ident, $key:expr, $ask:expr) => {{
        let answer = $ask;
        $self.log.borrow_mut().$field.insert($key, answer.clone());
        answer
    }};
}

impl World for Recorder<'_> {
    fn tracepoint(&self, category: &str, event: &str) -> Answer<TraceEvent> {
        noted!(self, tracepoint, pair(category, event), self.world.tracepoint(category, event))
    }
    fn tracepoints(&self, category: &str, event: &str) -> Answer<Vec<String>> {
        noted!(self, tracepoints, pair(category, event), self.world.tracepoints(category, event))
    }
    fn raw_tracepoint(&self, event: &str) -> Answer<FnProto> {
        noted!(self, raw_tracepoint, event.to_owned(), self.world.raw_tracepoint(event))
    }
    fn raw_tracepoints(&self, event: &str) -> Answer<Vec<String>> {
        noted!(self, raw_tracepoints, event.to_owned(), self.world.raw_tracepoints(event))
    }
    fn kernel_function(&self, name: &str) -> Answer<Option<FnProto>> {
        noted!(self, kernel_function, name.to_owned(), self.world.kernel_function(name))
    }
    fn kernel_functions(&self, glob: &str) -> Answer<Vec<String>> {
        noted!(self, kernel_functions, glob.to_owned(), self.world.kernel_functions(glob))
    }
    fn syscall(&self, name: &str) -> Option<i64> {
        noted!(self, syscall, name.to_owned(), self.world.syscall(name))
    }
    fn typed_functions(&self, glob: &str) -> Answer<Vec<String>> {
        noted!(self, typed_functions, glob.to_owned(), self.world.typed_functions(glob))
    }
    fn user_function(&self, binary: &str, symbol: &str) -> Answer<UserSymbol> {
        noted!(self, user_function, pair(binary, symbol), self.world.user_function(binary, symbol))
    }
    fn user_functions(&self, binary: &str, glob: &str) -> Answer<Vec<UserSymbol>> {
        noted!(self, user_functions, pair(binary, glob), self.world.user_functions(binary, glob))
    }
    fn user_place(&self, binary: &str, address: u64) -> Answer<UserPlace> {
        noted!(self, user_place, pair(binary, &address.to_string()), self.world.user_place(binary, address))
    }
    fn user_instruction(&self, path: &str, start: u64, file_offset: u64) -> Answer<bool> {
        let key = pair(path, &format!("{start}+{file_offset}"));
        noted!(self, user_instruction, key, self.world.user_instruction(path, start, file_offset))
    }
    fn user_address(&self, path: &str, file_offset: u64) -> Answer<UserAddress> {
        noted!(self, user_address, pair(path, &file_offset.to_string()), self.world.user_address(path, file_offset))
    }
    fn user_symbol(&self, binary: &str, name: &str) -> Answer<UserSymbol> {
        noted!(self, user_symbol, pair(binary, name), self.world.user_symbol(binary, name))
    }
    fn usdt_probes(&self, binary: &str, namespace: &str, name: &str) -> Answer<Vec<UsdtProbe>> {
        let key = pair(binary, &pair(namespace, name));
        noted!(self, usdt_probes, key, self.world.usdt_probes(binary, namespace, name))
    }
    fn user_proto(&self, path: &str, file_offset: u64) -> Answer<UserProto> {
        noted!(self, user_proto, format!("{path}:{file_offset}"), self.world.user_proto(path, file_offset))
    }
    fn go_function(&self, path: &str, file_offset: u64) -> Answer<GoFunction> {
        noted!(self, go_function, format!("{path}:{file_offset}"), self.world.go_function(path, file_offset))
    }
    fn go_programs(&self, function: &str, known: &[&str]) -> Answer<Vec<String>> {
        noted!(self, go_programs, function.to_owned(), self.world.go_programs(function, known))
    }
    fn running_with(&self, library: &str, function: &str, known: &[&str]) -> Answer<Vec<String>> {
        noted!(self, running_with, pair(library, function), self.world.running_with(library, function, known))
    }
    fn go_types(&self, path: &str) -> Answer<i64> {
        noted!(self, go_types, path.to_owned(), self.world.go_types(path))
    }
    fn user_struct(&self, path: &str, name: &str) -> Answer<StructDef> {
        noted!(self, user_struct, pair(path, name), self.world.user_struct(path, name))
    }
    fn user_enum(&self, path: &str, name: &str) -> Answer<EnumDef> {
        noted!(self, user_enum, pair(path, name), self.world.user_enum(path, name))
    }
    fn user_typedef(&self, path: &str, name: &str) -> Answer<Ty> {
        noted!(self, user_typedef, pair(path, name), self.world.user_typedef(path, name))
    }
    fn user_lines(&self, binary: &str, file: &str, line: u32, column: u32) -> Answer<SourceLines> {
        let key = format!("{binary}:{file}:{line}:{column}");
        noted!(self, user_lines, key, self.world.user_lines(binary, file, line, column))
    }
    fn kernel_struct(&self, name: &str) -> Answer<StructDef> {
        noted!(self, kernel_struct, name.to_owned(), self.world.kernel_struct(name))
    }
    fn kernel_enum(&self, name: &str) -> Answer<EnumDef> {
        noted!(self, kernel_enum, name.to_owned(), self.world.kernel_enum(name))
    }
    fn kernel_enumerator(&self, name: &str) -> Answer<(EnumDef, i64)> {
        noted!(self, kernel_enumerator, name.to_owned(), self.world.kernel_enumerator(name))
    }
    fn kernel_typedef(&self, name: &str) -> Answer<Ty> {
        noted!(self, kernel_typedef, name.to_owned(), self.world.kernel_typedef(name))
    }
    fn kernel_symbol(&self, name: &str) -> Answer<u64> {
        noted!(self, kernel_symbol, name.to_owned(), self.world.kernel_symbol(name))
    }
    fn kfunc(&self, name: &str) -> Answer<u32> {
        noted!(self, kfunc, name.to_owned(), self.world.kfunc(name))
    }
    fn kernel_struct_id(&self, name: &str) -> Answer<u32> {
        noted!(self, kernel_struct_id, name.to_owned(), self.world.kernel_struct_id(name))
    }
    fn kfunc_allowed(&self, name: &str, provider: &str) -> Answer<bool> {
        noted!(self, kfunc_allowed, pair(name, provider), self.world.kfunc_allowed(name, provider))
    }
    fn cgroup_id(&self, path: &str) -> Answer<u64> {
        noted!(self, cgroup_id, path.to_owned(), self.world.cgroup_id(path))
    }
    fn pid_namespace(&self) -> Option<(u64, u64)> {
        let namespace = self.world.pid_namespace();
        self.log.borrow_mut().pid_namespace = namespace;
        namespace
    }
    fn feature(&self, feature: Feature) -> Answer<()> {
        noted!(self, feature, feature, self.world.feature(feature))
    }
    fn kernel_release(&self) -> String {
        let release = self.world.kernel_release();
        self.log.borrow_mut().kernel_release.clone_from(&release);
        release
    }
    fn cpus(&self) -> u32 {
        let cpus = self.world.cpus();
        self.log.borrow_mut().cpus = cpus;
        cpus
    }
    fn bpf_programs(&self) -> Answer<Vec<(u32, String)>> {
        let all = self.world.bpf_programs();
        self.log.borrow_mut().bpf_programs = Some(all.clone());
        all
    }
    fn interfaces(&self) -> Answer<Vec<String>> {
        let all = self.world.interfaces();
        self.log.borrow_mut().interfaces = Some(all.clone());
        all
    }
    fn user_file(&self, binary: &str) -> bool {
        noted!(self, user_file, binary.to_owned(), self.world.user_file(binary))
    }
    fn pcap_filter(&self, filter: &str) -> Result<(), String> {
        noted!(self, pcap_filter, filter.to_owned(), self.world.pcap_filter(filter))
    }
    fn telemetry_field_table(&self) -> Vec<PacketFieldInfo> {
        let table = self.world.telemetry_field_table();
        self.log.borrow_mut().telemetry_fields.clone_from(&table);
        table
    }
    fn packet_field_table(&self) -> Vec<PacketFieldInfo> {
        let table = self.world.packet_field_table();
        self.log.borrow_mut().packet_fields.clone_from(&table);
        table
    }
    fn header(&self, path: &str, system: bool) -> Answer<Header> {
        noted!(self, header, header_key(path, system), self.world.header(path, system))
    }
    fn module_directory(&self, path: &str) -> Answer<Vec<String>> {
        noted!(self, module_directory, path.to_owned(), self.world.module_directory(path))
    }
    fn module(&self, path: &str) -> Answer<(String, String)> {
        noted!(self, module, path.to_owned(), self.world.module(path))
    }
    fn module_from(&self, path: &str, from: &str) -> Answer<(String, String)> {
        noted!(self, module, pair(from, path), self.world.module_from(path, from))
    }
    fn is_bundled(&self, name: &str, text: &str) -> bool {
        self.world.is_bundled(name, text)
    }
}
