//! The host as these tests know it.

use std::collections::BTreeMap;
use weftrace_lang::hir::{EnumDef, StructDef, Ty};
use weftrace_lang::world::{Answer, Feature, FnProto, TraceEvent, UserSymbol, World};

/// A host that knows some structs and nothing else.
#[derive(Default)]
pub struct TestWorld {
    pub structs: BTreeMap<String, StructDef>,
    /// A kernel before 5.17.
    pub no_bpf_loop: bool,
    pub pid_namespace: Option<(u64, u64)>,
}

impl World for TestWorld {
    fn tracepoint(&self, _: &str, _: &str) -> Answer<TraceEvent> {
        Answer::NotThere
    }
    fn tracepoints(&self, _: &str, _: &str) -> Answer<Vec<String>> {
        Answer::NotThere
    }
    fn raw_tracepoint(&self, _: &str) -> Answer<FnProto> {
        Answer::NotThere
    }
    fn raw_tracepoints(&self, _: &str) -> Answer<Vec<String>> {
        Answer::NotThere
    }
    fn kernel_function(&self, _: &str) -> Answer<Option<FnProto>> {
        Answer::NotThere
    }
    fn kernel_functions(&self, _: &str) -> Answer<Vec<String>> {
        Answer::NotThere
    }
    fn user_function(&self, _: &str, _: &str) -> Answer<UserSymbol> {
        Answer::NotThere
    }
    fn user_functions(&self, _: &str, _: &str) -> Answer<Vec<UserSymbol>> {
        Answer::NotThere
    }
    fn kernel_struct(&self, name: &str) -> Answer<StructDef> {
        self.structs.get(name).cloned().map_or(Answer::NotThere, Answer::Found)
    }
    fn kernel_enum(&self, _: &str) -> Answer<EnumDef> {
        Answer::NotThere
    }
    fn kernel_enumerator(&self, _: &str) -> Answer<(EnumDef, i64)> {
        Answer::NotThere
    }
    fn kernel_typedef(&self, _: &str) -> Answer<Ty> {
        Answer::NotThere
    }
    fn kernel_symbol(&self, _: &str) -> Answer<u64> {
        Answer::NotThere
    }
    fn pid_namespace(&self) -> Option<(u64, u64)> {
        self.pid_namespace
    }
    fn feature(&self, feature: Feature) -> Answer<()> {
        // What every kernel has that these tests run on.
        let has = match feature {
            Feature::BpfLoop => !self.no_bpf_loop,
            Feature::AtomicFetch | Feature::CurrentTask => true,
            _ => false,
        };
        if has { Answer::Found(()) } else { Answer::NotThere }
    }
    fn kernel_release(&self) -> String {
        "test".into()
    }
    fn cpus(&self) -> u32 {
        2
    }
    fn interfaces(&self) -> Answer<Vec<String>> {
        Answer::NotThere
    }
    fn pcap_filter(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn module(&self, _: &str) -> Answer<(String, String)> {
        Answer::NotThere
    }
}
