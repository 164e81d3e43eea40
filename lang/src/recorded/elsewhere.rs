//! A script that is compiled by what another host answered.

use crate::hir::{EnumDef, StructDef, Ty};
use crate::world::{
    Answer, Feature, FnProto, GoFunction, Header, PacketFieldInfo, SourceLines, TraceEvent, UsdtProbe, UserAddress,
    UserPlace, UserProto, UserSymbol, World,
};

/// The facts of one world, which may be written down; of another the modules, which a recording has besides, and what is the same in all worlds:
/// fields of packets and of spans.
pub struct Elsewhere<'w> {
    pub facts: &'w dyn World,
    pub texts: &'w dyn World,
}

/// Questions, and which of the two answers them.
macro_rules! answered_by {
    ($($whose:ident: fn $name:ident($($arg:ident: $ty:ty),*) -> $answer:ty;)*) => {
        impl World for Elsewhere<'_> {
            $(fn $name(&self, $($arg: $ty),*) -> $answer {
                self.$whose.$name($($arg),*)
            })*
        }
    };
}

answered_by! {
    facts: fn tracepoint(category: &str, event: &str) -> Answer<TraceEvent>;
    facts: fn tracepoints(category: &str, event: &str) -> Answer<Vec<String>>;
    facts: fn raw_tracepoint(event: &str) -> Answer<FnProto>;
    facts: fn raw_tracepoints(event: &str) -> Answer<Vec<String>>;
    facts: fn kernel_function(name: &str) -> Answer<Option<FnProto>>;
    facts: fn kernel_functions(glob: &str) -> Answer<Vec<String>>;
    facts: fn typed_functions(glob: &str) -> Answer<Vec<String>>;
    facts: fn bpf_programs() -> Answer<Vec<(u32, String)>>;
    facts: fn user_function(binary: &str, symbol: &str) -> Answer<UserSymbol>;
    facts: fn user_functions(binary: &str, glob: &str) -> Answer<Vec<UserSymbol>>;
    facts: fn user_place(binary: &str, address: u64) -> Answer<UserPlace>;
    facts: fn user_address(path: &str, file_offset: u64) -> Answer<UserAddress>;
    facts: fn user_instruction(path: &str, start: u64, file_offset: u64) -> Answer<bool>;
    facts: fn user_symbol(binary: &str, name: &str) -> Answer<UserSymbol>;
    facts: fn usdt_probes(binary: &str, namespace: &str, name: &str) -> Answer<Vec<UsdtProbe>>;
    facts: fn go_function(path: &str, file_offset: u64) -> Answer<GoFunction>;
    facts: fn go_programs(function: &str, known: &[&str]) -> Answer<Vec<String>>;
    facts: fn running_with(library: &str, function: &str, known: &[&str]) -> Answer<Vec<String>>;
    facts: fn go_types(path: &str) -> Answer<i64>;
    facts: fn user_proto(path: &str, file_offset: u64) -> Answer<UserProto>;
    facts: fn user_struct(path: &str, name: &str) -> Answer<StructDef>;
    facts: fn user_enum(path: &str, name: &str) -> Answer<EnumDef>;
    facts: fn user_typedef(path: &str, name: &str) -> Answer<Ty>;
    facts: fn user_lines(binary: &str, file: &str, line: u32, column: u32) -> Answer<SourceLines>;
    facts: fn kernel_struct(name: &str) -> Answer<StructDef>;
    facts: fn kernel_enum(name: &str) -> Answer<EnumDef>;
    facts: fn kernel_enumerator(name: &str) -> Answer<(EnumDef, i64)>;
    facts: fn kernel_typedef(name: &str) -> Answer<Ty>;
    facts: fn kernel_symbol(name: &str) -> Answer<u64>;
    facts: fn kfunc(name: &str) -> Answer<u32>;
    facts: fn kernel_struct_id(name: &str) -> Answer<u32>;
    facts: fn kfunc_allowed(name: &str, provider: &str) -> Answer<bool>;
    facts: fn cgroup_id(path: &str) -> Answer<u64>;
    facts: fn pid_namespace() -> Option<(u64, u64)>;
    facts: fn feature(feature: Feature) -> Answer<()>;
    facts: fn syscall(name: &str) -> Option<i64>;
    facts: fn kernel_release() -> String;
    facts: fn cpus() -> u32;
    facts: fn interfaces() -> Answer<Vec<String>>;
    facts: fn user_file(binary: &str) -> bool;
    facts: fn pcap_filter(filter: &str) -> Result<(), String>;
    texts: fn packet_field(name: &str) -> Option<Ty>;
    texts: fn packet_fields() -> Vec<(String, Ty)>;
    texts: fn packet_field_table() -> Vec<PacketFieldInfo>;
    texts: fn telemetry_field_table() -> Vec<PacketFieldInfo>;
    facts: fn header(path: &str, system: bool) -> Answer<Header>;
    texts: fn module_directory(path: &str) -> Answer<Vec<String>>;
    texts: fn module(path: &str) -> Answer<(String, String)>;
    texts: fn module_from(path: &str, from: &str) -> Answer<(String, String)>;
    texts: fn is_bundled(name: &str, text: &str) -> bool;
}
