//! Facts of the host, asked by the checker and the compiler.
//!
//! `weftrace-probes` answers from the running kernel. Every answer can be written down and replayed
//! (`recorded::RecordedWorld`), so that a script is checked for another host and tests are deterministic.

mod debug;
mod golang;
mod user;

use crate::hir::{EnumDef, StructDef, Ty};
pub use debug::{ArgPiece, ArgPlace, SourceLines, UserParam, UserProto};
pub use golang::{GoAbi, GoFunction, GoRecovery, GoRuntime};
use serde::{Deserialize, Serialize};
pub use user::{UsdtArg, UsdtPlace, UsdtProbe, UsdtSite, UserAddress, UserPlace, UserSymbol};

/// An answer. "Not there" is knowledge; "not permitted" and "could not tell" are not, and a check that
/// gets them says so instead of guessing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer<T> {
    Found(T),
    NotThere,
    NotPermitted(String),
    CouldNotTell(String),
}

impl<T> Answer<T> {
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(x) => Some(x),
            Self::NotThere | Self::NotPermitted(_) | Self::CouldNotTell(_) => None,
        }
    }
    pub fn is_found(&self) -> bool {
        matches!(self, Self::Found(_))
    }
}

/// A field of a tracepoint's record (tracefs `format` file).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceField {
    pub name: String,
    /// C type as the format file writes it, for messages.
    pub c_type: String,
    pub ty: Ty,
    pub offset: u32,
    pub size: u32,
    /// `__data_loc`: the u32 at `offset` is (length << 16 | offset of the bytes in the record).
    pub data_loc: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEvent {
    pub category: String,
    pub name: String,
    pub fields: Vec<TraceField>,
    /// Bytes of the fixed part of the record.
    pub size: u32,
}

/// A C header's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// For messages.
    pub name: String,
    pub text: String,
    /// Of the user, who named its directory or has it beside the script; else of the system.
    pub own: bool,
}

/// A named parameter of a function, from BTF (kernel) or DWARF (user space).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    pub name: String,
    pub ty: Ty,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FnProto {
    pub name: String,
    pub params: Vec<Param>,
    pub ret: Ty,
}

/// What kind of probe a kernel may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Feature {
    Kprobe,
    KprobeMulti,
    Fentry,
    Tracepoint,
    RawTracepoint,
    TracepointBtf,
    Uprobe,
    UprobeMulti,
    PerfEvent,
    PacketSocket,
    /// Programs on packet sockets, with maps
    PacketFilter,
    Ringbuf,
    BpfLoop,
    /// Cookies on perf links (`bpf_get_attach_cookie`), and the traced function's address (`bpf_get_func_ip`): both are of Linux 5.15.
    AttachCookie,
    /// bpf_get_socket_cookie in tracing programs
    SocketCookie,
    /// Signed division in eBPF (cpu v4).
    SignedDiv,
    /// Iterators over the tasks of one process.
    IterOfProcess,
    /// Atomic operations that give what was there before.
    AtomicFetch,
    /// The current task with its type (bpf_get_current_task_btf).
    CurrentTask,
}

/// A packet field as scripts see it (a row of weftrace-artifact's table).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketFieldInfo {
    /// Full dotted name: `tcp.analysis.retransmission`.
    pub name: String,
    pub ty: Ty,
    pub doc: String,
}

/// The facts. Implementations are cheap to ask twice (they remember), and ask the kernel by trying, never by its version.
pub trait World {
    fn tracepoint(&self, category: &str, event: &str) -> Answer<TraceEvent>;
    /// Names matching globs (`*`, `?`), sorted, as `category:event`.
    fn tracepoints(&self, category: &str, event: &str) -> Answer<Vec<String>>;
    /// Arguments of a raw tracepoint, from BTF (`btf_trace_NAME`, without the first, hidden one).
    fn raw_tracepoint(&self, event: &str) -> Answer<FnProto>;
    fn raw_tracepoints(&self, event: &str) -> Answer<Vec<String>>;
    /// A kernel function that can be probed, with its prototype if BTF has it.
    fn kernel_function(&self, name: &str) -> Answer<Option<FnProto>>;
    fn kernel_functions(&self, glob: &str) -> Answer<Vec<String>>;
    /// Functions with type information, whether they can be probed or not.
    fn typed_functions(&self, glob: &str) -> Answer<Vec<String>> {
        self.kernel_functions(glob)
    }
    /// BPF programs that are loaded now: (number, name of the function).
    fn bpf_programs(&self) -> Answer<Vec<(u32, String)>> {
        Answer::NotThere
    }
    /// `binary` as the script wrote it (path, name in PATH, library short name).
    fn user_function(&self, binary: &str, symbol: &str) -> Answer<UserSymbol>;
    /// All functions matching a glob. `binary` may have wildcards too; `*` (or nothing, with a process given) is every file that
    /// the process has mapped. A glob that begins with `cpp:` is matched against C++ names: without their parameters, if it has none.
    fn user_functions(&self, binary: &str, glob: &str) -> Answer<Vec<UserSymbol>>;
    /// What is at an address of a program or library, as its file counts addresses.
    fn user_place(&self, _binary: &str, _address: u64) -> Answer<UserPlace> {
        Answer::NotThere
    }
    /// The address of a place in a file's code.
    fn user_address(&self, _path: &str, _file_offset: u64) -> Answer<UserAddress> {
        Answer::NotThere
    }
    /// Whether an instruction begins at an offset in a file, in the function whose code begins at `start`.
    fn user_instruction(&self, _path: &str, _start: u64, _file_offset: u64) -> Answer<bool> {
        Answer::CouldNotTell("code is not looked at here".into())
    }
    /// A function or variable of a program or library.
    fn user_symbol(&self, binary: &str, name: &str) -> Answer<UserSymbol> {
        self.user_function(binary, name)
    }
    /// Static markers whose file, namespace and name match: `binary` as in [`World::user_functions`].
    fn usdt_probes(&self, _binary: &str, _namespace: &str, _name: &str) -> Answer<Vec<UsdtProbe>> {
        Answer::NotThere
    }
    /// The function that an offset in a file lies in, if that is a Go program's own code.
    fn go_function(&self, _path: &str, _file_offset: u64) -> Answer<GoFunction> {
        Answer::NotThere
    }
    /// Go programs that run now (with a process given: that one's) and have a function, each once and none that is the file of a path of `known`: paths as [`UserSymbol::path`].
    fn go_programs(&self, _function: &str, _known: &[&str]) -> Answer<Vec<String>> {
        Answer::NotThere
    }
    /// Programs that run now (with a process given: that one's) and have a function themselves, and libraries of a name that begins so which they have mapped and which have
    /// it, each once and none that these names mean: paths as [`UserSymbol::path`].
    fn running_with(&self, _library: &str, _function: &str, _known: &[&str]) -> Answer<Vec<String>> {
        Answer::NotThere
    }
    /// Where a Go program's types begin: bytes from where the process's first code begins.
    fn go_types(&self, _path: &str) -> Answer<i64> {
        Answer::NotThere
    }
    /// The function whose code begins at an offset in a file, by the file's debug information (DWARF).
    fn user_proto(&self, _path: &str, _file_offset: u64) -> Answer<UserProto> {
        Answer::NotThere
    }
    /// Layout of a struct, union or class of a program, by debug information. Its name, as types in answers have it, ends in
    /// `@` and the file's path.
    fn user_struct(&self, _path: &str, _name: &str) -> Answer<StructDef> {
        Answer::NotThere
    }
    fn user_enum(&self, _path: &str, _name: &str) -> Answer<EnumDef> {
        Answer::NotThere
    }
    fn user_typedef(&self, _path: &str, _name: &str) -> Answer<Ty> {
        Answer::NotThere
    }
    /// Code of `file:line[:column]` in a program. `column` 0: any.
    fn user_lines(&self, _binary: &str, _file: &str, _line: u32, _column: u32) -> Answer<SourceLines> {
        Answer::NotThere
    }
    /// Layout of a kernel struct or union, members shallow (nested structs as [`Ty::Struct`] names).
    fn kernel_struct(&self, name: &str) -> Answer<StructDef>;
    fn kernel_enum(&self, name: &str) -> Answer<EnumDef>;
    /// The value of an enumerator of any kernel enum.
    fn kernel_enumerator(&self, name: &str) -> Answer<(EnumDef, i64)>;
    fn kernel_typedef(&self, name: &str) -> Answer<Ty>;
    /// Address of a kernel symbol.
    fn kernel_symbol(&self, name: &str) -> Answer<u64>;
    /// Id of the type of a kernel function that programs may call (a kfunc).
    fn kfunc(&self, name: &str) -> Answer<u32> {
        Answer::CouldNotTell(format!("this world has no kernel function {name}"))
    }
    /// Id of the type of a kernel struct.
    fn kernel_struct_id(&self, name: &str) -> Answer<u32> {
        Answer::CouldNotTell(format!("this world has no ids of structs ({name})"))
    }
    /// Whether programs of a provider (by its name) may call a kfunc.
    fn kfunc_allowed(&self, name: &str, provider: &str) -> Answer<bool> {
        Answer::CouldNotTell(format!("this world tries no kernel function {name} for {provider}"))
    }
    /// Id of the cgroup at a path.
    fn cgroup_id(&self, path: &str) -> Answer<u64> {
        Answer::CouldNotTell(format!("this world has no cgroup {path}"))
    }
    /// Device and inode of the pid namespace that scripts count in, if it is not the initial one (whose numbers programs get
    /// without asking).
    fn pid_namespace(&self) -> Option<(u64, u64)> {
        None
    }
    fn feature(&self, feature: Feature) -> Answer<()>;
    /// `Linux 6.18.44 x86_64`, for messages.
    /// The number of a system call by its name.
    fn syscall(&self, _name: &str) -> Option<i64> {
        None
    }
    fn kernel_release(&self) -> String;
    fn cpus(&self) -> u32;
    /// Network interfaces, for `pcap:` attach points.
    fn interfaces(&self) -> Answer<Vec<String>>;
    /// Whether there is a program or library of this name, with or without symbols.
    fn user_file(&self, binary: &str) -> bool {
        self.user_functions(binary, "*").is_found()
    }
    /// Compiles a libpcap filter; `Err` is libpcap's message.
    fn pcap_filter(&self, filter: &str) -> Result<(), String>;
    /// The type of a packet field by its full dotted name. Addresses are [`Ty::Inet`], times integers in ns.
    fn packet_field(&self, name: &str) -> Option<Ty> {
        self.packet_field_table().into_iter().find(|f| f.name == name).map(|f| f.ty)
    }
    /// All packet fields, in the table's order: (name, type).
    fn packet_fields(&self) -> Vec<(String, Ty)> {
        self.packet_field_table().into_iter().map(|f| (f.name, f.ty)).collect()
    }
    /// All packet fields with their documentation; a world without packets has none.
    fn packet_field_table(&self) -> Vec<PacketFieldInfo> {
        Vec::new()
    }
    /// Fields of spans (`span.*`), log records (`log.*`) and both.
    fn telemetry_field_table(&self) -> Vec<PacketFieldInfo> {
        Vec::new()
    }
    /// The script's positional and named parameters come from the command line, not from here.
    /// A C header: `system` for `<…>`. Headers of the kernel and the C library need not be there.
    fn header(&self, _path: &str, _system: bool) -> Answer<Header> {
        Answer::NotThere
    }
    /// Paths of the modules in a directory that a script imports whole, sorted.
    fn module_directory(&self, _path: &str) -> Answer<Vec<String>> {
        Answer::NotThere
    }
    /// Text of an imported module: `std/http`, `./local`.
    fn module(&self, path: &str) -> Answer<(String, String)>;
    /// The same for the text called `from`: what a library imports is looked for in the library.
    fn module_from(&self, path: &str, _from: &str) -> Answer<(String, String)> {
        self.module(path)
    }
    /// Whether this text, of this name, is one of weftrace's own: it reads nothing but what the kernel vouches for.
    fn is_bundled(&self, _name: &str, _text: &str) -> bool {
        false
    }
}
