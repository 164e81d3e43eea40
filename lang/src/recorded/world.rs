//! A world made of a log.

use super::{WorldLog, header_key, pair};
use crate::hir::{EnumDef, StructDef, Ty};
use crate::world::{
    Answer, Feature, FnProto, GoFunction, Header, PacketFieldInfo, SourceLines, TraceEvent, UsdtProbe, UserAddress,
    UserPlace, UserProto, UserSymbol, World,
};
use std::collections::BTreeMap;

/// A world made of answers that were written down. A question that was never asked could not be told, except for globs:
/// they are answered from the single names in the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedWorld {
    log: WorldLog,
    complete: bool,
}

impl RecordedWorld {
    pub fn new(log: WorldLog) -> Self {
        Self { log, complete: false }
    }

    /// A world that is all in the log: what isn't there doesn't exist (for fixtures written by hand).
    pub fn whole(log: WorldLog) -> Self {
        Self { log, complete: true }
    }

    pub fn log(&self) -> &WorldLog {
        &self.log
    }
}

impl RecordedWorld {
    fn absent<T>(&self, asked: &str) -> Answer<T> {
        if self.complete { Answer::NotThere } else { Answer::CouldNotTell(format!("{asked} was not recorded")) }
    }

    fn one<T: Clone>(&self, table: &BTreeMap<String, Answer<T>>, key: &str) -> Answer<T> {
        table.get(key).cloned().unwrap_or_else(|| self.absent(key))
    }

    /// Names in a table that a glob matches.
    fn names<T>(&self, table: &BTreeMap<String, Answer<T>>, glob: &str) -> Answer<Vec<String>> {
        let all = table.iter().filter(|(name, answer)| answer.is_found() && crate::check::glob_matches(glob, name));
        let found: Vec<String> = all.map(|(name, _)| name.clone()).collect();
        match (found.is_empty(), table.is_empty()) {
            (false, _) => Answer::Found(found),
            (true, false) => Answer::NotThere,
            (true, true) => self.absent(glob),
        }
    }
}

impl World for RecordedWorld {
    fn tracepoint(&self, category: &str, event: &str) -> Answer<TraceEvent> {
        self.one(&self.log.tracepoint, &pair(category, event))
    }
    fn tracepoints(&self, category: &str, event: &str) -> Answer<Vec<String>> {
        let key = pair(category, event);
        self.log.tracepoints.get(&key).cloned().unwrap_or_else(|| self.names(&self.log.tracepoint, &key))
    }
    fn raw_tracepoint(&self, event: &str) -> Answer<FnProto> {
        self.one(&self.log.raw_tracepoint, event)
    }
    fn raw_tracepoints(&self, event: &str) -> Answer<Vec<String>> {
        self.log.raw_tracepoints.get(event).cloned().unwrap_or_else(|| self.names(&self.log.raw_tracepoint, event))
    }
    fn kernel_function(&self, name: &str) -> Answer<Option<FnProto>> {
        self.one(&self.log.kernel_function, name)
    }
    fn kernel_functions(&self, glob: &str) -> Answer<Vec<String>> {
        self.log.kernel_functions.get(glob).cloned().unwrap_or_else(|| self.names(&self.log.kernel_function, glob))
    }
    fn typed_functions(&self, glob: &str) -> Answer<Vec<String>> {
        self.log.typed_functions.get(glob).cloned().unwrap_or_else(|| self.kernel_functions(glob))
    }
    fn user_function(&self, binary: &str, symbol: &str) -> Answer<UserSymbol> {
        self.one(&self.log.user_function, &pair(binary, symbol))
    }
    fn user_functions(&self, binary: &str, glob: &str) -> Answer<Vec<UserSymbol>> {
        if let Some(answer) = self.log.user_functions.get(&pair(binary, glob)) {
            return answer.clone();
        }
        match self.names(&self.log.user_function, &pair(binary, glob)) {
            Answer::Found(keys) => {
                Answer::Found(keys.iter().filter_map(|k| self.log.user_function[k].clone().found()).collect())
            }
            Answer::NotThere => Answer::NotThere,
            Answer::NotPermitted(why) => Answer::NotPermitted(why),
            Answer::CouldNotTell(why) => Answer::CouldNotTell(why),
        }
    }
    fn user_place(&self, binary: &str, address: u64) -> Answer<UserPlace> {
        self.one(&self.log.user_place, &pair(binary, &address.to_string()))
    }
    fn user_instruction(&self, path: &str, start: u64, file_offset: u64) -> Answer<bool> {
        self.one(&self.log.user_instruction, &pair(path, &format!("{start}+{file_offset}")))
    }
    fn user_address(&self, path: &str, file_offset: u64) -> Answer<UserAddress> {
        self.one(&self.log.user_address, &pair(path, &file_offset.to_string()))
    }
    fn user_symbol(&self, binary: &str, name: &str) -> Answer<UserSymbol> {
        self.one(&self.log.user_symbol, &pair(binary, name))
    }
    fn usdt_probes(&self, binary: &str, namespace: &str, name: &str) -> Answer<Vec<UsdtProbe>> {
        self.one(&self.log.usdt_probes, &pair(binary, &pair(namespace, name)))
    }
    // Programs without debug information are the rule: what was not asked has none.
    fn user_proto(&self, path: &str, file_offset: u64) -> Answer<UserProto> {
        self.log.user_proto.get(&format!("{path}:{file_offset}")).cloned().unwrap_or(Answer::NotThere)
    }
    fn go_function(&self, path: &str, file_offset: u64) -> Answer<GoFunction> {
        self.log.go_function.get(&format!("{path}:{file_offset}")).cloned().unwrap_or(Answer::NotThere)
    }
    fn go_programs(&self, function: &str, _known: &[&str]) -> Answer<Vec<String>> {
        self.log.go_programs.get(function).cloned().unwrap_or(Answer::NotThere)
    }
    fn running_with(&self, library: &str, function: &str, _known: &[&str]) -> Answer<Vec<String>> {
        self.log.running_with.get(&pair(library, function)).cloned().unwrap_or(Answer::NotThere)
    }
    fn go_types(&self, path: &str) -> Answer<i64> {
        self.log.go_types.get(path).cloned().unwrap_or(Answer::NotThere)
    }
    fn user_struct(&self, path: &str, name: &str) -> Answer<StructDef> {
        let key = pair(path, name.split_once('@').map_or(name, |(bare, _)| bare));
        self.log
            .user_struct
            .get(&key)
            .or_else(|| self.log.user_struct.get(&pair(path, name)))
            .cloned()
            .unwrap_or(Answer::NotThere)
    }
    fn user_enum(&self, path: &str, name: &str) -> Answer<EnumDef> {
        self.log.user_enum.get(&pair(path, name)).cloned().unwrap_or(Answer::NotThere)
    }
    fn user_typedef(&self, path: &str, name: &str) -> Answer<Ty> {
        self.log.user_typedef.get(&pair(path, name)).cloned().unwrap_or(Answer::NotThere)
    }
    fn user_lines(&self, binary: &str, file: &str, line: u32, column: u32) -> Answer<SourceLines> {
        self.one(&self.log.user_lines, &format!("{binary}:{file}:{line}:{column}"))
    }
    fn kernel_struct(&self, name: &str) -> Answer<StructDef> {
        self.one(&self.log.kernel_struct, name)
    }
    fn kernel_enum(&self, name: &str) -> Answer<EnumDef> {
        self.one(&self.log.kernel_enum, name)
    }
    fn kernel_enumerator(&self, name: &str) -> Answer<(EnumDef, i64)> {
        self.one(&self.log.kernel_enumerator, name)
    }
    fn kernel_typedef(&self, name: &str) -> Answer<Ty> {
        self.one(&self.log.kernel_typedef, name)
    }
    fn kernel_symbol(&self, name: &str) -> Answer<u64> {
        self.one(&self.log.kernel_symbol, name)
    }
    fn kfunc(&self, name: &str) -> Answer<u32> {
        self.one(&self.log.kfunc, name)
    }
    fn kernel_struct_id(&self, name: &str) -> Answer<u32> {
        self.one(&self.log.kernel_struct_id, name)
    }
    fn kfunc_allowed(&self, name: &str, provider: &str) -> Answer<bool> {
        self.one(&self.log.kfunc_allowed, &pair(name, provider))
    }
    fn cgroup_id(&self, path: &str) -> Answer<u64> {
        self.one(&self.log.cgroup_id, path)
    }
    fn pid_namespace(&self) -> Option<(u64, u64)> {
        self.log.pid_namespace
    }
    fn feature(&self, feature: Feature) -> Answer<()> {
        match self.log.feature.get(&feature) {
            Some(answer) => answer.clone(),
            None => self.absent(&format!("{feature:?}")),
        }
    }
    fn kernel_release(&self) -> String {
        self.log.kernel_release.clone()
    }
    fn cpus(&self) -> u32 {
        self.log.cpus
    }
    fn syscall(&self, name: &str) -> Option<i64> {
        self.log.syscall.get(name).copied().flatten()
    }
    fn bpf_programs(&self) -> Answer<Vec<(u32, String)>> {
        self.log.bpf_programs.clone().unwrap_or_else(|| self.absent("bpf_programs"))
    }
    fn interfaces(&self) -> Answer<Vec<String>> {
        self.log.interfaces.clone().unwrap_or_else(|| self.absent("interfaces"))
    }
    fn user_file(&self, binary: &str) -> bool {
        self.log.user_file.get(binary).copied().unwrap_or_else(|| self.user_functions(binary, "*").is_found())
    }
    fn pcap_filter(&self, filter: &str) -> Result<(), String> {
        self.log.pcap_filter.get(filter).cloned().unwrap_or(Ok(()))
    }
    fn telemetry_field_table(&self) -> Vec<PacketFieldInfo> {
        self.log.telemetry_fields.clone()
    }
    fn packet_field_table(&self) -> Vec<PacketFieldInfo> {
        self.log.packet_fields.clone()
    }
    fn header(&self, path: &str, system: bool) -> Answer<Header> {
        self.log.header.get(&header_key(path, system)).cloned().unwrap_or(Answer::NotThere)
    }
    fn module_directory(&self, path: &str) -> Answer<Vec<String>> {
        self.log.module_directory.get(path).cloned().unwrap_or(Answer::NotThere)
    }
    fn module(&self, path: &str) -> Answer<(String, String)> {
        self.one(&self.log.module, path)
    }
    fn module_from(&self, path: &str, from: &str) -> Answer<(String, String)> {
        self.log.module.get(&pair(from, path)).cloned().unwrap_or_else(|| self.module(path))
    }
}
