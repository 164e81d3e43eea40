//! The typed program: names resolved, types known, constants folded where the language demands it.
//! Produced by `check::analyze`, consumed by the compiler's `place` and `lower`.

use crate::span::Span;
use serde::{Deserialize, Serialize};

/// Where a pointer points: decides how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Space {
    Kernel,
    User,
    /// The program's context (tracepoint record, pt_regs): read directly.
    Ctx,
    /// BPF-owned memory (map values, scratch variables): `&$x`, `&@m[k]`.
    Bpf,
    /// Not known: by probe type, else kernel.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ty {
    /// No value.
    Void,
    Bool,
    /// bits: 8, 16, 32, 64
    Int { bits: u8, signed: bool },
    Enum { name: String, bits: u8, signed: bool },
    /// NUL-terminated, `cap` bytes with the NUL.
    Str { cap: u32 },
    Buf { cap: u32 },
    Ptr { to: Box<Ty>, space: Space },
    /// By name; layout from [`Program::structs`].
    Struct(String),
    Array { elem: Box<Ty>, len: u32 },
    Tuple(Vec<Ty>),
    Record(Vec<(String, Ty)>),
    Ksym,
    Usym,
    KStack { mode: StackMode, limit: u32 },
    UStack { mode: StackMode, limit: u32 },
    Inet,
    Mac,
    /// strftime
    Time { fmt: String },
    Username,
    Conn,
    Headers,
    /// An aggregate (only as a map's value).
    Agg(Agg),
    /// What could not be typed: an error was reported, stay quiet about it.
    Error,
}

impl Ty {
    pub const U8: Self = Self::Int { bits: 8, signed: false };
    pub const U16: Self = Self::Int { bits: 16, signed: false };
    pub const U32: Self = Self::Int { bits: 32, signed: false };
    pub const U64: Self = Self::Int { bits: 64, signed: false };
    pub const I32: Self = Self::Int { bits: 32, signed: true };
    pub const I64: Self = Self::Int { bits: 64, signed: true };

    pub fn is_int(&self) -> bool {
        matches!(self, Self::Int { .. } | Self::Bool | Self::Enum { .. })
    }

    /// Held in a 64-bit register (rather than in memory by address).
    pub fn is_scalar(&self) -> bool {
        matches!(self, Self::Bool | Self::Int { .. } | Self::Enum { .. } | Self::Ptr { .. } | Self::Ksym | Self::Time { .. } | Self::Username)
    }
}


#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StackMode {
    #[default]
    Bpftrace,
    Perf,
    Raw,
}

/// Aggregations, with what their bytes mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Agg {
    Count,
    Sum { signed: bool },
    Min { signed: bool },
    Max { signed: bool },
    Avg { signed: bool },
    Stats { signed: bool },
    Hist { bits: u8 },
    Lhist { min: i64, max: i64, step: i64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructDef {
    pub name: String,
    pub union: bool,
    pub size: u32,
    pub align: u32,
    pub fields: Vec<StructField>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructField {
    /// Empty for anonymous members, whose own fields are found through them.
    pub name: String,
    pub ty: Ty,
    /// Bytes.
    pub offset: u32,
    /// (first bit within the little-endian word at `offset`, width)
    pub bits: Option<(u8, u8)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumDef {
    pub name: String,
    pub bits: u8,
    pub signed: bool,
    pub variants: Vec<(String, i64)>,
}

/// A checked program.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub probes: Vec<ProbeDef>,
    pub maps: Vec<MapDef>,
    pub streams: Vec<StreamDef>,
    pub joins: Vec<JoinDef>,
    pub structs: Vec<StructDef>,
    pub enums: Vec<EnumDef>,
    pub config: Config,
    /// The script's flags: `param` and `getopt`, in order of appearance.
    pub params: Vec<ParamDef>,
}

/// A flag of the script (`param slow = 500ms "help"`, `getopt("slow", 5, "help")`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamDef {
    pub name: String,
    pub ty: Ty,
    /// The default as text, the way it would be given on the command line.
    pub default: String,
    pub help: String,
    pub span: Span,
}

impl Program {
    pub fn struct_def(&self, name: &str) -> Option<&StructDef> {
        self.structs.iter().find(|s| s.name == name)
    }
    pub fn enum_def(&self, name: &str) -> Option<&EnumDef> {
        self.enums.iter().find(|e| e.name == name)
    }
}

/// Settings of the config block (and BPFTRACE_* environment, given by src/).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub max_strlen: u32,
    pub max_map_keys: u32,
    pub missing_probes: Missing,
    pub print_maps_on_exit: bool,
    pub stack_mode: StackMode,
    pub str_trunc_trailer: String,
    pub ring_bytes: u32,
    /// All entries as written, for those that only other parts read.
    pub entries: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_strlen: 1024,
            max_map_keys: 4096,
            missing_probes: Missing::Error,
            print_maps_on_exit: true,
            stack_mode: StackMode::Bpftrace,
            str_trunc_trailer: "..".into(),
            ring_bytes: 256 * 1024,
            entries: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Error,
    Warn,
    Ignore,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $name {
            pub fn index(self) -> usize { self.0 as usize }
        }
    };
}
id!(/** Index into [`Program::maps`]. */ MapRef);
id!(/** Index into [`Program::streams`]. */ StreamRef);
id!(/** Index into [`Program::joins`]. */ JoinRef);
id!(/** Index into [`ProbeDef::vars`]. */ VarRef);

#[derive(Clone, Debug)]
pub struct MapDef {
    /// Without the `@`.
    pub name: String,
    /// None: scalar. Several written keys are one [`Ty::Tuple`].
    pub key: Option<Ty>,
    pub value: Ty,
    /// Declared by `let @m = kind(n)`.
    pub kind: Option<MapKind>,
    pub max_entries: u32,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    Hash,
    LruHash,
    PercpuHash,
    LruPercpuHash,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StreamDef {
    pub name: String,
    pub fields: Vec<(String, Ty)>,
    pub span: Span,
}

/// One program: a body typed for one kind of attach point.
#[derive(Clone, Debug)]
pub struct ProbeDef {
    /// Every place it attaches; all give the same types to `args` etc.
    pub targets: Vec<Target>,
    /// Predicate, as written in `/…/`.
    pub predicate: Option<Expr>,
    pub body: Block,
    /// Types of the scratch variables.
    pub vars: Vec<VarDef>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct VarDef {
    pub name: String,
    pub ty: Ty,
    pub span: Span,
}

/// A resolved attach point.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Full name as `probe` prints it.
    pub name: String,
    pub provider: Provider,
    pub wildcard: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Provider {
    Begin,
    End,
    Interval { ns: u64 },
    Profile { rate: Rate },
    Tracepoint { category: String, event: String },
    RawTracepoint { event: String },
    Kprobe { function: String, module: Option<String>, offset: u64, ret: bool },
    /// `offset` in the file.
    Uprobe { path: String, symbol: String, offset: u64, ret: bool, pid: Option<u32> },
    Pcap { interface: String, filter: Option<(String, Span)> },
    Join { join: JoinRef, on: JoinEvent },
    Signal { number: i32, name: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    PeriodNs(u64),
    Hz(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinEvent {
    Result,
    /// Leg by index.
    Orphan(u32),
    Late,
}

#[derive(Clone, Debug, Default)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    pub tail: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum StmtKind {
    /// Evaluated for its effect.
    Expr(Expr),
    SetVar { var: VarRef, value: Expr },
    /// Plain value into a map; compound assignment has been expanded (`@x += 1` is `@x = @x + 1`).
    SetMap { map: MapRef, key: Option<Expr>, value: Expr },
    /// `@m[k] = count()` and the like: `arg` is what is counted or summed.
    Aggregate { map: MapRef, key: Option<Expr>, arg: Option<Expr> },
    /// `@x++` and `@x--` as statements: one atomic add
    AddMap { map: MapRef, key: Option<Expr>, delta: i64 },
    DeleteMap { map: MapRef, key: Option<Expr> },
    If { cond: Expr, then: Block, otherwise: Option<Block> },
    While { cond: Expr, body: Block },
    ForRange { var: VarRef, from: Expr, to: Expr, body: Block },
    ForMap { var: VarRef, map: MapRef, body: Block },
    Unroll { count: u32, body: Block },
    Break,
    Continue,
    Return,
    /// printf and every other asynchronous action.
    Action { action: Action, args: Vec<Expr> },
    Emit { stream: StreamRef, fields: Vec<Expr> },
}

/// Asynchronous actions: a record is sent, user space acts.
#[derive(Clone, Debug)]
pub enum Action {
    Printf(Format),
    Log { level: LogLevel, format: Format },
    /// `print(e)`
    PrintValue,
    /// `print(@m[k])`: args are [key, value]
    PrintMapValue { map: MapRef },
    PrintMap { map: MapRef, top: u32, div: u32 },
    Clear { map: MapRef },
    Zero { map: MapRef },
    Time { fmt: String },
    /// One argument: the code.
    Exit,
    Join { separator: String },
    Cat(Format),
    System(Format),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warning,
    Debug,
}

/// A checked format string; mirrors `weftrace_artifact::action::Piece`.
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Text(String),
    Arg { index: u32, spec: Spec },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    pub minus: bool,
    pub zero: bool,
    pub plus: bool,
    pub space: bool,
    pub alternate: bool,
    pub width: Option<u32>,
    pub precision: Option<u32>,
    /// d u o x X c p s r, `R` for rx, `H` for rh
    pub conv: char,
    /// hh = 1, h = 2, none = 4 (None where bpftrace doesn't truncate), l/ll/j/z/t = 8
    pub length: Option<u8>,
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: Ty,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    Int(i64),
    Str(String),
    Var(VarRef),
    /// Value of a map (missing: 0 or ""); reading an aggregate reads all CPUs.
    MapGet { map: MapRef, key: Option<Box<Expr>> },
    HasKey { map: MapRef, key: Box<Expr> },
    MapLen(MapRef),
    /// Operands have been converted to a common type; the result's type is `ty`.
    Unary { op: UnOp, expr: Box<Expr> },
    Binary { op: BinOp, left: Box<Expr>, right: Box<Expr> },
    /// Short-circuit.
    Logical { and: bool, left: Box<Expr>, right: Box<Expr> },
    /// Strings or byte sequences: equal (or not) over at most `len` bytes.
    StrEq { left: Box<Expr>, right: Box<Expr>, len: u32, equal: bool },
    Cond { cond: Box<Expr>, then: Box<Expr>, otherwise: Box<Expr> },
    /// `a ?? b`
    Coalesce { left: Box<Expr>, right: Box<Expr> },
    /// Integer conversion (truncate or extend by the *source's* signedness), pointer ↔ integer, reinterpretation.
    Cast(Box<Expr>),
    /// Member of a struct lvalue at a byte offset. `base` has type Struct (by address) – reads through pointers are
    /// `Field(Deref(p))`.
    Field { base: Box<Expr>, name: String, offset: u32, bits: Option<(u8, u8)> },
    /// `*p`; of a struct type: the place, not a copy.
    Deref(Box<Expr>),
    /// Element of an array place.
    Index { base: Box<Expr>, index: Box<Expr> },
    /// p + n, scaled by the size of the pointee
    PtrAdd { ptr: Box<Expr>, count: Box<Expr> },
    TupleField { base: Box<Expr>, index: u32 },
    AddrOf(Box<Expr>),
    Tuple(Vec<Expr>),
    Record(Vec<(String, Expr)>),
    /// A builtin value or function: row index into `builtins::TABLE`, evaluated arguments.
    Call { func: Func, args: Vec<Expr> },
    /// `args.f` of a tracepoint: offset in the record.
    TraceArg { field: String, offset: u32, data_loc: bool },
    /// `argN` or `args.name` of kprobe and uprobe (by the calling convention), raw tracepoint argument N.
    Arg(u32),
    Retval,
    /// `reg("ip")`: offset in pt_regs
    Reg { offset: u32 },
    /// `ip.src`: row of weftrace_artifact's packet field table, by name
    Packet(String),
    /// `http.header["name"]`, name in lower case
    Header { headers: Box<Expr>, name: String },
    /// Inside joins: field of the anchor's record.
    Anchor { field: String },
    /// Inside joins: a leg's value.
    LegValue { leg: u32 },
    /// Inside `join:NAME:orphan:LEG`: field of the leg's record.
    LegField { leg: u32, field: String },
    /// total, id, verdict, app, begin, end, status, text of the join result
    JoinPart(JoinPart),
    /// Statement-expressions: `{ …; e }`, `if` as an expression, `$x++` (value before or after).
    Block(Box<Block>),
    /// `$x++`, `--$x` …
    IncVar { var: VarRef, delta: i64, prefix: bool },
    /// Constant bytes of an array of uint8 (`pton("10.0.0.1")`: network order).
    Bytes(Vec<u8>),
    /// `ip.src == 10.0.0.0/8`: whether an address (type Inet) lies in a network (or not, if `!equal`). `family` is AF_INET = 2
    /// or AF_INET6 = 10; `net` in network order, IPv4 in the first four bytes; a whole address has prefix 32 or 128.
    NetMatch { addr: Box<Expr>, family: u16, net: [u8; 16], prefix: u8, equal: bool },
    /// `@x++` used as a value
    IncMap { map: MapRef, key: Option<Box<Expr>>, delta: i64, prefix: bool },
}

/// Builtin values and functions that lower to code (not asynchronous actions). Names, signatures, where valid, docs: `builtins::TABLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Func {
    Pid,
    Tid,
    Uid,
    Gid,
    Comm,
    Nsecs(Clock),
    Elapsed,
    Cpu,
    Rand,
    Ncpus,
    Curtask,
    Cgroup,
    /// `func`: a string constant per target for now
    FuncName,
    ProbeName,
    KStack,
    UStack,
    /// `str(p[, n])`
    Str,
    /// `buf(p[, n])`
    Buf,
    /// `ntop([af,] addr)`
    Ntop,
    Macaddr,
    Ksym,
    Usym,
    Strftime,
    Bswap,
    Strlen,
    /// `strncmp(a, b, n)`: 0 if equal
    Strncmp,
    Strcontains,
    /// `conn(sk)`: the connection key of a kernel socket
    Conn,
    /// `sock_cookie(sk)` / socket_cookie
    SockCookie,
    Username,
    /// kptr, uptr: change the space
    Kptr,
    Uptr,
    /// start of the program in boot ns (elapsed = nsecs - this)
    StartTime,
    Ppid,
    Signed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    Boot,
    Monotonic,
    Tai,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinPart {
    Id,
    Total,
    Verdict,
    App,
    Unknown,
    Begin,
    End,
    Status,
    Text,
}

pub use crate::ast::{BinOp, UnOp};

/// A checked join; expressions see the anchor by [`ExprKind::Anchor`].
#[derive(Clone, Debug)]
pub struct JoinDef {
    pub name: String,
    pub anchor: StreamRef,
    /// `from …(port=8080)` as one condition on the anchor.
    pub filter: Option<Expr>,
    pub total: Vec<(Expr, Option<Expr>)>,
    /// Field or Header expressions on the anchor.
    pub ids: Vec<Expr>,
    pub legs: Vec<LegDef>,
    pub blame: Vec<u32>,
    pub keep: Keep,
    pub max_anchors: u32,
    pub max_bytes: u64,
    pub timeout_ns: u64,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct LegDef {
    pub name: String,
    pub stream: StreamRef,
    /// None for `count(stream)`.
    pub field: Option<String>,
    pub agg: LegAgg,
    /// Key field names present in both streams, in order of preference.
    pub by: Vec<String>,
    pub since_ns: Option<u64>,
    pub side: Side,
    pub ty: Ty,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegAgg {
    Last,
    First,
    Sum,
    Count,
    Min,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Any,
    Client,
    Server,
}

#[derive(Clone, Debug)]
pub enum Keep {
    All,
    If(Expr),
    Slowest { count: u32, per_ns: u64 },
}

