//! The command line, as typed. What it means is decided in `commands/`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{ffi::OsString, path::PathBuf, time::Duration};

const AFTER_HELP: &str = "\
`weftrace SCRIPT` and `weftrace -e 'PROGRAM'` are short for `weftrace run …`.

Exit codes: 0 ran (Ctrl-C after a clean drain too), 1 script error, 2 usage, 3 could not attach or no
permission, 5 input damaged (4 is kept for alerts); exit(n) in a script gives n.";

#[derive(Debug, Parser)]
#[command(name = "weftrace", version, about, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a script: a file, a bundled script's name, or -e 'PROGRAM'
    Run(Run),
    /// Check a script and say what is wrong with it
    Check(Check),
    /// Show what a script becomes
    Dump(Dump),
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

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub source: Source,
    /// Read packets from capture files (pcap, pcapng, `-` for stdin) instead of interfaces; needs no privileges
    #[arg(long, value_name = "FILE", num_args = 1)]
    pub read: Vec<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
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
    /// Only this process (uprobes), and its network namespace (packets)
    #[arg(short, value_name = "PID")]
    pub pid: Option<u32>,
    /// Capture packets in this network namespace (name of /run/netns, or a path)
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<PathBuf>,
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
    /// `tcp_*`, `tracepoint:tcp:*`, `kprobe:tcp_*`, `uprobe:/bin/bash:*`, `struct sock`, a script, `pcap:*` (fields), `builtins`,
    /// `scripts`; everything that the kernel has if there is none
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

const COMMANDS: &[&str] = &["run", "check", "dump", "fmt", "list", "doctor", "help"];

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

/// `500ms`, `30s`, `5m`, `1h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no duration; write 500ms, 30s, 5m or 1h"))?;
    let millis = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(format!("`{text}`: unknown unit `{unit}`; write 500ms, 30s, 5m or 1h")),
    };
    millis.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
