//! The command line, as typed. What it means is decided in `commands/`.

mod alerts;
mod help;
mod lib;
mod metrics;
mod otlp;
mod test;
mod values;

pub use alerts::{Alerts, AlertsTo};
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use help::{Completions, Explain, Manpages};
pub use lib::{Lib, LibCommand};
use metrics::Metrics;
use otlp::Otlp;
use std::{ffi::OsString, path::PathBuf, time::Duration};
pub use test::{Test, TestFormat};
pub use values::ListenAt;
use values::{duration, file_size, lateness, listen_at, size, uncertainty};
use weftrace_runtime::LinePlace;

const AFTER_HELP: &str = "\
`weftrace SCRIPT` and `weftrace -e 'PROGRAM'` are short for `weftrace run …`.

Exit codes: 0 ran (Ctrl-C after a clean drain too), 1 script error, 2 usage, 3 could not attach or no
permission, 4 an alert fired, 5 input damaged, 6 output, kept packets or a recording not written; exit(n) in a
script gives n.";

const TEST_HELP: &str = "\
Beside NAME.probe: NAME.pcap (also pcapng, gzip, zstd), NAME.recording (of weftrace record) or NAME.test.probe (with test: blocks) is what
it runs on, NAME.args has its arguments, NAME.expect what it prints. NAME.CASE.pcap, NAME.CASE.args, NAME.CASE.expect are further cases.

Exit codes: 0 all passed (or were skipped, which is told), 1 one failed, 2 usage, 6 output not written.";

#[derive(Debug, Parser)]
#[command(name = "weftrace", version, about, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one")]
pub enum Command {
    /// Run a script: a file, a bundled script's name, or -e 'PROGRAM'
    Run(Run),
    /// Run a script and record its packets, streams and clock in a pcapng file, from which `weftrace replay` makes the same joins again
    #[command(
        override_usage = "weftrace record -o FILE [OPTIONS] SCRIPT [ARGS]\n       weftrace record -o FILE [OPTIONS] -e PROGRAM",
        mut_arg("output", |a| a.help("Write the recording to FILE")),
        mut_arg("read", |a| a.hide(true)),
        mut_arg("dry_run", |a| a.hide(true)),
        after_help = "Unless --no-redact is given, the recording, and what the joins see meanwhile, has no values of headers but harmless ones \
            and those that\nthe script names, no query strings, and no bodies: they are overwritten with x."
    )]
    Record(Record),
    /// Replay a recording: with the script that made it, or another; needs no privileges
    #[command(
        mut_arg("read", |a| a.hide(true)),
        mut_arg("dry_run", |a| a.hide(true)),
        mut_arg("command", |a| a.hide(true)),
        mut_arg("pid", |a| a.hide(true)),
        mut_arg("netns", |a| a.hide(true)),
        mut_arg("promiscuous", |a| a.hide(true)),
        mut_arg("snaplen", |a| a.hide(true)),
        mut_arg("packet_buffer", |a| a.hide(true)),
        mut_arg("partial", |a| a.hide(true)),
        mut_arg("duration", |a| a.hide(true)),
        mut_arg("lateness", |a| a.hide(true)),
        mut_arg("uncertainty", |a| a.hide(true))
    )]
    Replay(Replay),
    /// Check a script and say what is wrong with it
    Check(Check),
    /// Show what a script becomes
    Dump(Dump),
    /// Run scripts on their fixtures and compare what they print with what is expected
    #[command(after_help = TEST_HELP)]
    Test(Test),
    /// Scripts by name: list, search, show; and libraries of them in git repositories
    Lib(Lib),
    /// Say what a finding means, by its number: E0207
    Explain(Explain),
    /// Print completions for a shell
    #[command(hide = true)]
    Completions(Completions),
    /// Write pages of the manual
    #[command(hide = true)]
    Manpages(Manpages),
    /// Lay scripts out anew, comments kept
    Fmt(Fmt),
    /// List probes, packet fields, builtins and bundled scripts
    List(List),
    /// Say what this machine can do, or what a script needs here and what is missing
    #[command(
        after_help = "Exit codes: 0 all that the script needs is here (without a script: always), 1 script error, 2 usage,\n3 a probe can't be attached here or a capability is missing."
    )]
    Doctor(Doctor),
}

/// Which script: a file or bundled name with its own arguments, or a program text.
#[derive(Debug, Args)]
pub struct Source {
    /// Program text instead of a file
    #[arg(short = 'e', value_name = "PROGRAM")]
    pub program: Option<String>,
    /// Look for programs' separate debug information in these directories too
    #[arg(long, value_name = "DIR[:DIR]")]
    pub debuginfo: Vec<String>,
    /// Script file or bundled name (`weftrace list scripts`), then the script's own arguments: `--threshold 5`, `10`
    #[arg(value_name = "SCRIPT [ARGS]", trailing_var_arg = true, allow_hyphen_values = true)]
    pub script: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// How a run writes what it has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text; results of joins are drawn on a terminal, and lines elsewhere
    #[default]
    Text,
    /// One JSON object a line (docs/output.md)
    Json,
    /// Text, with results of joins drawn wherever it goes
    Waterfall,
    /// Results of joins as a trace for ui.perfetto.dev; other output goes to stderr
    Perfetto,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub source: Source,
    /// Read packets from capture files (pcap, pcapng, also gzip and zstd; `-` for stdin), merged by time, instead of interfaces; needs no
    /// privileges
    #[arg(long, value_name = "FILE", num_args = 1)]
    pub read: Vec<PathBuf>,
    /// Decrypt TLS with the secrets in FILE, which programs write if SSLKEYLOGFILE names it; those that a pcapng file holds are used anyway
    #[arg(long, value_name = "FILE")]
    pub tls_keys: Option<PathBuf>,
    /// Spans and log records for `span` and `log` blocks: a file of JSON lines (followed as it grows), unix:PATH or tcp:ADDRESS:PORT to
    /// listen at (docs/spans.md)
    #[arg(long, value_name = "PLACE", num_args = 1, value_parser = LinePlace::parse)]
    pub spans: Vec<LinePlace>,
    /// Where `span` and `log` blocks take OTLP over gRPC; `off`: nowhere. Listens only if the script has such a block
    #[arg(long, value_name = "ADDRESS", value_parser = listen_at, default_value = "127.0.0.1:4317")]
    pub otlp_grpc: ListenAt,
    /// Where they take OTLP over HTTP
    #[arg(long, value_name = "ADDRESS", value_parser = listen_at, default_value = "127.0.0.1:4318")]
    pub otlp_http: ListenAt,
    /// Keep the packets that the script's capture() chooses in a pcapng file
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Begin a new file after so many bytes (100MB, 64MiB): FILE_00001_TIME, FILE_00002_TIME …
    #[arg(long, value_name = "SIZE", value_parser = file_size, requires = "write")]
    pub write_size: Option<u64>,
    /// Begin a new file after so much time
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "write")]
    pub write_every: Option<Duration>,
    /// Only the last N files stay (with --write-size or --write-every)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "write")]
    pub write_files: Option<u32>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Output,
    #[command(flatten)]
    pub otlp: Otlp,
    /// Show headers and query strings of joined requests as they are; otherwise their values are left out
    #[arg(long)]
    pub no_redact: bool,
    /// While no result of a join is printed, say so this often: 30s, 5m; 0: never
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub heartbeat: Duration,
    #[command(flatten)]
    pub metrics: Metrics,
    #[command(flatten)]
    pub alerts: Alerts,
    /// Write the output to FILE
    #[arg(short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Say nothing but the script's output
    #[arg(short)]
    pub quiet: bool,
    /// Say more: what runs where and how it is attached, and debugf()
    #[arg(short, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Run CMD once the probes are attached, and end with it
    #[arg(short, value_name = "CMD")]
    pub command: Option<String>,
    /// Only this process (probes of programs and of the kernel, timers, counters), and its network namespace (packets)
    #[arg(short, value_name = "PID")]
    pub pid: Option<u32>,
    /// Capture packets in this network namespace (name of /run/netns, or a path)
    #[arg(long, value_name = "NETNS", conflicts_with = "read")]
    pub netns: Option<PathBuf>,
    /// Capture packets that are for other machines too (config: pcap_promiscuous)
    #[arg(long, conflicts_with = "read")]
    pub promiscuous: bool,
    /// Capture at most so many bytes of each packet; 0: all (config: pcap_snaplen)
    #[arg(long, value_name = "BYTES", conflicts_with = "read")]
    pub snaplen: Option<u32>,
    /// Size of the kernel's packet buffer for each device: 512k, 64M (config: pcap_buffer_bytes) [default: 8M]
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "read")]
    pub packet_buffer: Option<u32>,
    /// Print what joins know at once where they wait for late sources (spans: seconds), marked [early]; the result follows
    #[arg(long)]
    pub early: bool,
    /// Joins wait so long for a source's records: kernel=50ms, packets=200ms, spans=10s
    #[arg(long, value_name = "SOURCE=TIME", value_parser = lateness)]
    pub lateness: Vec<(String, u64)>,
    /// A source's times are true to so much, for joins: packets=200us, spans=100ms
    #[arg(long, value_name = "SOURCE=TIME", value_parser = uncertainty)]
    pub uncertainty: Vec<(String, u64)>,
    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// End after this many lines or records of output
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Say what would run where, attach it, and end without running BEGIN
    #[arg(long)]
    #[expect(clippy::struct_field_names, reason = "the option is called so")]
    pub dry_run: bool,
    /// Allow system() and other actions that change the traced system
    #[arg(long)]
    pub r#unsafe: bool,
    /// Tell reads of memory and map look-ups that fail, with their place
    #[arg(short = 'k', long)]
    pub warnings: bool,
    /// Run even if some probes could not be attached
    #[arg(long)]
    pub partial: bool,
    /// Write to FILE how often each place of the script ran: for `weftrace test`
    #[arg(long, value_name = "FILE", hide = true)]
    pub coverage: Option<PathBuf>,
    /// Run the `test:` blocks, and nothing that waits for events: for `weftrace test`
    #[arg(long = "run-tests", hide = true)]
    pub only_tests: bool,
}

#[derive(Debug, Args)]
pub struct Record {
    #[command(flatten)]
    pub run: Run,
    /// Encrypt the recording by a passphrase, as `age -p` does
    #[arg(long)]
    pub encrypt: bool,
    /// The passphrase is the first line of FILE; otherwise it is what WEFTRACE_PASSPHRASE says
    #[arg(long, value_name = "FILE", requires = "encrypt")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// What `weftrace record` wrote; `-`: from stdin
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// Of an encrypted recording: the passphrase is the first line of FILE; otherwise it is what WEFTRACE_PASSPHRASE says
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub run: Run,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub source: Source,
    /// How findings are printed
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
    /// Check as for a capture file: kernel probes need not exist
    #[arg(long)]
    pub read: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    Ast,
    Hir,
    Ir,
    Bpf,
    Clif,
    Plan,
    /// The ELF object that bpftool, libbpf and aya load
    Elf,
}

#[derive(Debug, Args)]
pub struct Dump {
    #[command(flatten)]
    pub source: Source,
    #[arg(long, value_enum, default_value = "plan")]
    pub stage: Stage,
    /// Write to FILE (needed for elf)
    #[arg(short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Plan for a capture file
    #[arg(long)]
    pub read: bool,
}

#[derive(Debug, Args)]
pub struct Fmt {
    /// Script files
    #[arg(value_name = "SCRIPT", required = true)]
    pub scripts: Vec<PathBuf>,
    /// Write the files instead of printing them
    #[arg(short, long)]
    pub write: bool,
    /// Only say which files are not laid out so
    #[arg(long)]
    pub check: bool,
}

#[derive(Debug, Args)]
pub struct List {
    /// `tcp_*`, `tracepoint:tcp:*`, `kprobe:tcp_*`, `uprobe:/bin/bash:*`, `struct sock`, a script, `pcap:*` (fields), `join:*`
    /// [SCRIPT], `std/*` (the modules' streams), `builtins`, `scripts`; everything that the kernel has if there is none
    #[arg(value_name = "PATTERN")]
    pub pattern: Vec<String>,
    /// With arguments, fields and whole definitions
    #[arg(short)]
    pub verbose: bool,
    /// Only what this process has mapped, as it sees it
    #[arg(short, value_name = "PID")]
    pub pid: Option<u32>,
    /// Take the list of traceable kernel functions from FILE
    #[arg(long, value_name = "FILE")]
    pub traceable_functions: Option<PathBuf>,
    /// Look for programs' separate debug information in these directories too
    #[arg(long, value_name = "DIR[:DIR]")]
    pub debuginfo: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub source: Source,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
}

/// Help that was asked for, or a usage error.
#[derive(Debug)]
pub struct Early {
    pub text: String,
    pub usage_error: bool,
}

pub const COMMANDS: &[&str] = &[
    "run",
    "record",
    "replay",
    "check",
    "test",
    "lib",
    "explain",
    "completions",
    "manpages",
    "dump",
    "fmt",
    "list",
    "doctor",
    "help",
];

/// The whole command line, for what is made of it.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Reads the command line; `weftrace SCRIPT` and `weftrace -e …` become `weftrace run …`.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Command, Early> {
    let mut argv: Vec<OsString> = argv.into_iter().collect();
    let implicit_run = argv.get(1).is_some_and(|first| {
        let first = first.to_string_lossy();
        !COMMANDS.contains(&first.as_ref()) && !matches!(first.as_ref(), "-h" | "--help" | "-V" | "--version")
    });
    if implicit_run {
        argv.insert(1, "run".into());
    }
    match Cli::try_parse_from(argv) {
        Ok(cli) => Ok(cli.command),
        Err(error) => {
            let rendered = error.render();
            let text = if error.use_stderr() && crate::printer::stderr_colour() {
                rendered.ansi().to_string()
            } else {
                rendered.to_string()
            };
            Err(Early { text, usage_error: error.use_stderr() })
        }
    }
}

/// Whether `run` or `record` has a long option of this name.
pub fn is_option_of_run(name: &str) -> bool {
    let command = <Record as clap::Args>::augment_args(clap::Command::new("record"));
    name == "help" || command.get_arguments().any(|argument| argument.get_long() == Some(name))
}

/// Whether an option of `run` or `record`, as written without its value, takes one.
pub fn takes_value(option: &str) -> bool {
    let command = <Record as clap::Args>::augment_args(clap::Command::new("record"));
    let is = |argument: &&clap::Arg| match option.strip_prefix("--") {
        Some(name) => argument.get_long() == Some(name),
        None => argument.get_short() == option.chars().nth(1),
    };
    command.get_arguments().find(is).is_some_and(|argument| argument.get_action().takes_values())
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
