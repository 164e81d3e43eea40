//! [`HostWorld`]: the facts of this host, for the checker and the compiler.
//!
//! Nothing is read before it is asked for, and everything asked for is kept.

mod answers;
mod debug;
mod golang;
mod headers;
mod memo;
mod modules;
mod packet;
mod refused;
mod user;

use crate::kernel::Host;
use crate::kernel::btf::Btf;
use crate::kernel::cpus;
use crate::kernel::feature::{Readiness, try_feature};
use crate::kernel::program::loaded_programs;
use crate::symbols::glob::{Glob, is_glob};
use crate::symbols::{self, kallsyms};
use answers::{from_btf, from_kallsyms, from_tracefs, split_module};
pub use headers::HeaderPath;
use memo::Memo;
pub use modules::{Libraries, LibraryTexts, ModulePath};
use std::path::Path;
use std::sync::Arc;
use user::Files;
use weftrace_lang::hir::{EnumDef, StructDef, Ty};
use weftrace_lang::world::{
    Answer, Feature, FnProto, GoFunction, Header, PacketFieldInfo, SourceLines, TraceEvent, UsdtProbe, UserAddress,
    UserPlace, UserProto, UserSymbol, World,
};

/// The running kernel, this process's view of files, and the script library it is given.
#[derive(Debug, Default)]
pub struct HostWorld {
    host: Arc<Host>,
    pid: Option<u32>,
    modules: ModulePath,
    headers: HeaderPath,
    /// PATH for programs' names.
    search: String,
    events: Memo<(String, String), TraceEvent>,
    event_lists: Memo<(String, String), Vec<String>>,
    raw: Memo<String, FnProto>,
    functions: Memo<String, Option<FnProto>>,
    function_lists: Memo<String, Vec<String>>,
    user: Memo<(String, String), Vec<UserSymbol>>,
    places: Memo<(String, u64), UserPlace>,
    user_names: Memo<(String, String), UserSymbol>,
    markers: Memo<(String, String, String), Vec<UsdtProbe>>,
    structs: Memo<String, StructDef>,
    enums: Memo<String, EnumDef>,
    enumerators: Memo<String, (EnumDef, i64)>,
    typedefs: Memo<String, Ty>,
    addresses: Memo<String, u64>,
    features: Memo<Feature, ()>,
    debug: debug::DebugFiles,
    go: golang::GoFiles,
    go_functions: Memo<(String, u64), GoFunction>,
    go_programs: Memo<String, Vec<String>>,
    protos: Memo<(String, u64), UserProto>,
}

/// PATH where none is given.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl HostWorld {
    pub fn new() -> Self {
        Self { search: DEFAULT_PATH.into(), ..Self::default() }
    }

    /// Binaries are those of this process's file system.
    pub fn with_pid(mut self, pid: Option<u32>) -> Self {
        self.pid = pid;
        self
    }

    /// The caller's PATH (this crate doesn't read the environment).
    pub fn with_search_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.search);
        self
    }

    /// Directories with separate debug information (`--debuginfo`), each also a list with colons between.
    pub fn with_debuginfo(mut self, directories: &[String]) -> Self {
        self.debug.directories = directories.to_vec();
        self
    }

    /// Where `#include` looks.
    pub fn with_headers(mut self, headers: HeaderPath) -> Self {
        self.headers = headers;
        self
    }

    /// Where imports are looked for.
    pub fn with_modules(mut self, modules: ModulePath) -> Self {
        self.modules = modules;
        self
    }

    /// The process whose files binaries are.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The facts that loading and attaching use too, so that nothing is read twice.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// What BTF says, in vmlinux or else in a module.
    fn types<T>(&self, look: impl Fn(&Btf) -> Option<T>) -> Answer<T> {
        let btf = match self.host.btf() {
            Ok(btf) => btf,
            Err(e) => return from_btf(&e),
        };
        let found = look(btf).or_else(|| self.host.module_btf().iter().find_map(|m| look(m)));
        found.map_or(Answer::NotThere, Answer::Found)
    }

    /// Functions by name; with a module's glob as `module:function`.
    fn btf_functions(&self, module: Option<&Glob>, bare: &Glob) -> Answer<Vec<String>> {
        match (self.host.btf(), module) {
            (Ok(btf), None) => Answer::Found(btf.functions(bare)),
            (Ok(btf), Some(module)) => {
                let all =
                    std::iter::once(btf).chain(self.host.module_btf()).filter(|m| module.matches(m.module_name()));
                let named = |m: &Arc<Btf>| {
                    let prefix = m.module_name().to_owned();
                    m.functions(bare).into_iter().map(move |f| format!("{prefix}:{f}"))
                };
                Answer::Found(all.flat_map(named).collect())
            }
            (Err(_), None) => kallsyms::functions(bare).map_or_else(|e| from_kallsyms(&e), Answer::Found),
            (Err(e), Some(_)) => from_btf(&e),
        }
    }

    /// Where programs and libraries are looked for.
    fn files(&self) -> Files<'_> {
        Files { pid: self.pid, search: &self.search }
    }

    /// The name under which a function was asked for, as the symbol table has it.
    fn symbol_at(&self, path: &str, file_offset: u64) -> String {
        let of = |s: &UserSymbol| s.path == path && s.file_offset == file_offset;
        self.user.find(|symbols| symbols.iter().find(|s| of(s)).map(|s| s.name.clone())).unwrap_or_default()
    }

    fn find_proto(&self, path: &str, file_offset: u64) -> Answer<UserProto> {
        let Ok(layout) = symbols::elf::layout(Path::new(path)) else { return Answer::NotThere };
        let Some(address) = layout.to_address(file_offset) else { return Answer::NotThere };
        let info = match self.debug.info(path) {
            Ok(Some(info)) => info,
            Ok(None) => return Answer::NotThere,
            Err(why) => return Answer::CouldNotTell(why),
        };
        let found = match self.go_function(path, file_offset) {
            Answer::Found(go) => {
                let pc = layout.to_address(go.entry).unwrap_or(address);
                info.go_proto(address, pc, go.abi)
            }
            _ => info.proto(address, &self.symbol_at(path, file_offset)),
        };
        match found {
            Ok(found) => found.map_or(Answer::NotThere, Answer::Found),
            Err(e) => Answer::CouldNotTell(e.to_string()),
        }
    }

    fn find_function(&self, name: &str) -> Answer<Option<FnProto>> {
        let (module, bare) = split_module(name);
        let typed = match module {
            None => self.types(|btf| btf.function(bare)),
            Some(module) => self.types(|btf| btf.function(bare).filter(|_| btf.module_name() == module)),
        };
        if let Answer::Found(proto) = typed {
            return Answer::Found(Some(proto));
        }
        // Not every function has type information.
        match kallsyms::has_function(name.strip_prefix("vmlinux:").unwrap_or(name)) {
            Ok(true) => Answer::Found(None),
            Ok(false) => Answer::NotThere,
            Err(e) => from_kallsyms(&e),
        }
    }
}

impl World for HostWorld {
    fn tracepoint(&self, category: &str, event: &str) -> Answer<TraceEvent> {
        self.events.get(&(category.to_owned(), event.to_owned()), || {
            from_tracefs(self.host.tracefs().and_then(|fs| fs.event(category, event)))
        })
    }

    fn tracepoints(&self, category: &str, event: &str) -> Answer<Vec<String>> {
        self.event_lists.get(&(category.to_owned(), event.to_owned()), || {
            from_tracefs(self.host.tracefs().and_then(|fs| fs.list(category, event)))
        })
    }

    fn raw_tracepoint(&self, event: &str) -> Answer<FnProto> {
        self.raw.get(&event.to_owned(), || self.types(|btf| btf.raw_tracepoint(event)))
    }

    fn raw_tracepoints(&self, event: &str) -> Answer<Vec<String>> {
        let glob = Glob::new(event);
        match self.host.btf() {
            Ok(btf) => Answer::Found(btf.raw_tracepoints(&glob)),
            Err(e) => from_btf(&e),
        }
    }

    fn kernel_function(&self, name: &str) -> Answer<Option<FnProto>> {
        self.functions.get(&name.to_owned(), || self.find_function(name))
    }

    fn kernel_functions(&self, glob: &str) -> Answer<Vec<String>> {
        self.function_lists.get(&glob.to_owned(), || {
            let (module, bare) = split_module(glob);
            let (module, bare) = (module.map(Glob::new), Glob::new(bare));
            if self.host.has_traceable_file() {
                return match self.host.functions() {
                    Ok(all) => Answer::Found(all.matching(module.as_ref(), &bare)),
                    Err(e) => from_kallsyms(&e),
                };
            }
            // Not all that there are can be probed.
            if let Some(all) = self.host.traceable() {
                return Answer::Found(all.matching(module.as_ref(), &bare));
            }
            // Functions with type information are those, nearly; kallsyms also has many that can't be.
            self.btf_functions(module.as_ref(), &bare)
        })
    }

    fn typed_functions(&self, glob: &str) -> Answer<Vec<String>> {
        let (module, bare) = split_module(glob);
        self.btf_functions(module.map(Glob::new).as_ref(), &Glob::new(bare))
    }

    fn bpf_programs(&self) -> Answer<Vec<(u32, String)>> {
        match loaded_programs() {
            Ok(all) => Answer::Found(all),
            Err(e) if e.is_permission() => Answer::NotPermitted(e.to_string()),
            Err(e) => Answer::CouldNotTell(e.to_string()),
        }
    }

    fn user_function(&self, binary: &str, symbol: &str) -> Answer<UserSymbol> {
        if is_glob(symbol) {
            return Answer::NotThere;
        }
        user::first(self.user_functions(binary, symbol))
    }

    fn user_functions(&self, binary: &str, glob: &str) -> Answer<Vec<UserSymbol>> {
        self.user.get(&(binary.to_owned(), glob.to_owned()), || self.files().functions(binary, glob))
    }

    fn user_place(&self, binary: &str, address: u64) -> Answer<UserPlace> {
        self.places.get(&(binary.to_owned(), address), || self.files().place(binary, address))
    }

    fn user_address(&self, path: &str, file_offset: u64) -> Answer<UserAddress> {
        user::address(path, file_offset)
    }

    fn user_instruction(&self, path: &str, start: u64, file_offset: u64) -> Answer<bool> {
        user::instruction(path, start, file_offset)
    }

    fn user_symbol(&self, binary: &str, name: &str) -> Answer<UserSymbol> {
        self.user_names.get(&(binary.to_owned(), name.to_owned()), || self.files().symbol(binary, name))
    }

    fn usdt_probes(&self, binary: &str, namespace: &str, name: &str) -> Answer<Vec<UsdtProbe>> {
        let key = (binary.to_owned(), namespace.to_owned(), name.to_owned());
        self.markers.get(&key, || self.files().markers(binary, namespace, name))
    }

    fn go_function(&self, path: &str, file_offset: u64) -> Answer<GoFunction> {
        let key = (path.to_owned(), file_offset);
        self.go_functions.get(&key, || self.go.function(path, file_offset, &self.symbol_at(path, file_offset)))
    }

    fn go_programs(&self, function: &str, known: &[&str]) -> Answer<Vec<String>> {
        self.go_programs.get(&[&[function], known].concat().join("\n"), || golang::running(self.pid, function, known))
    }

    fn running_with(&self, library: &str, function: &str, known: &[&str]) -> Answer<Vec<String>> {
        self.files().running_with(library, function, known)
    }

    fn go_types(&self, path: &str) -> Answer<i64> {
        self.go.types(path)
    }

    fn user_proto(&self, path: &str, file_offset: u64) -> Answer<UserProto> {
        self.protos.get(&(path.to_owned(), file_offset), || self.find_proto(path, file_offset))
    }

    fn user_struct(&self, path: &str, name: &str) -> Answer<StructDef> {
        self.debug.ask(path, |info| info.struct_def(name))
    }

    fn user_enum(&self, path: &str, name: &str) -> Answer<EnumDef> {
        self.debug.ask(path, |info| info.enum_named(name))
    }

    fn user_typedef(&self, path: &str, name: &str) -> Answer<Ty> {
        self.debug.ask(path, |info| info.typedef(name))
    }

    fn user_lines(&self, binary: &str, file: &str, line: u32, column: u32) -> Answer<SourceLines> {
        self.source_lines(binary, file, line, column)
    }

    fn kernel_struct(&self, name: &str) -> Answer<StructDef> {
        self.structs.get(&name.to_owned(), || self.types(|btf| btf.struct_def(name)))
    }

    fn kernel_enum(&self, name: &str) -> Answer<EnumDef> {
        self.enums.get(&name.to_owned(), || self.types(|btf| btf.enum_def(name)))
    }

    fn kernel_enumerator(&self, name: &str) -> Answer<(EnumDef, i64)> {
        self.enumerators.get(&name.to_owned(), || self.types(|btf| btf.enumerator(name)))
    }

    fn kernel_typedef(&self, name: &str) -> Answer<Ty> {
        self.typedefs.get(&name.to_owned(), || self.types(|btf| btf.typedef(name)))
    }

    fn kernel_symbol(&self, name: &str) -> Answer<u64> {
        self.addresses.get(&name.to_owned(), || match kallsyms::address_of(name) {
            Ok(found) => found.map_or(Answer::NotThere, Answer::Found),
            Err(e) => from_kallsyms(&e),
        })
    }

    fn kfunc(&self, name: &str) -> Answer<u32> {
        answers::id(&self.host, |btf| btf.kfunc_id(name))
    }

    fn kernel_struct_id(&self, name: &str) -> Answer<u32> {
        answers::id(&self.host, |btf| btf.struct_id(name))
    }

    fn kfunc_allowed(&self, name: &str, provider: &str) -> Answer<bool> {
        match self.kfunc(name) {
            Answer::Found(id) => answers::kfunc_allowed(id, provider, &self.host),
            Answer::NotThere => Answer::Found(false),
            Answer::NotPermitted(why) => Answer::NotPermitted(why),
            Answer::CouldNotTell(why) => Answer::CouldNotTell(why),
        }
    }

    fn cgroup_id(&self, path: &str) -> Answer<u64> {
        answers::cgroup_id(Path::new(path))
    }

    fn pid_namespace(&self) -> Option<(u64, u64)> {
        answers::pid_namespace()
    }

    fn feature(&self, feature: Feature) -> Answer<()> {
        self.features.get(&feature, || match try_feature(feature, &self.host) {
            Readiness::Ready => Answer::Found(()),
            Readiness::Unsupported(_) => Answer::NotThere,
            Readiness::NotPermitted { lacks, why } => match lacks.first() {
                Some(capability) => Answer::NotPermitted(format!("{why} (it needs {capability})")),
                None => Answer::NotPermitted(why),
            },
            Readiness::CouldNotTell(why) => Answer::CouldNotTell(why),
        })
    }

    fn syscall(&self, name: &str) -> Option<i64> {
        let names = weftrace_artifact::names::NameTable::Syscalls.names();
        // The last is what unknown numbers are called.
        names[..names.len() - 1].iter().position(|n| n == name).map(|n| n as i64)
    }

    fn kernel_release(&self) -> String {
        let read = |name: &str| {
            std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned()
        };
        format!("{} {} {}", read("ostype"), read("osrelease"), std::env::consts::ARCH)
    }

    fn cpus(&self) -> u32 {
        cpus::possible()
    }

    fn interfaces(&self) -> Answer<Vec<String>> {
        answers::interfaces(Path::new("/sys/class/net"))
    }

    fn user_file(&self, binary: &str) -> bool {
        self.files().exists(binary)
    }

    fn pcap_filter(&self, filter: &str) -> Result<(), String> {
        packet::compile_filter(filter)
    }

    fn packet_field(&self, name: &str) -> Option<Ty> {
        packet::field(name)
    }

    fn telemetry_field_table(&self) -> Vec<PacketFieldInfo> {
        packet::telemetry()
    }

    fn packet_field_table(&self) -> Vec<PacketFieldInfo> {
        packet::table()
    }

    fn header(&self, path: &str, system: bool) -> Answer<Header> {
        self.headers.find(path, system)
    }

    fn module_directory(&self, path: &str) -> Answer<Vec<String>> {
        self.modules.directory(path)
    }

    fn module(&self, path: &str) -> Answer<(String, String)> {
        self.modules.find(path, "")
    }

    fn module_from(&self, path: &str, from: &str) -> Answer<(String, String)> {
        self.modules.find(path, from)
    }

    fn is_bundled(&self, name: &str, text: &str) -> bool {
        self.modules.bundled.contains(&(name, text))
    }
}

/// A kernel symbol table, for printing stacks (about 4 MB).
pub fn kernel_symbols() -> Answer<symbols::KernelSymbols> {
    symbols::KernelSymbols::read().map_or_else(|e| from_kallsyms(&e), Answer::Found)
}

#[cfg(test)]
mod tests;
