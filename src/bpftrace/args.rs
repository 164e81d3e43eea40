//! bpftrace's options, as its manual lists them.

use crate::printer;
use clap::{ArgAction, Parser, error::ErrorKind};
use std::{ffi::OsString, path::PathBuf};

/// bpftrace takes a letter's value attached or not (`-fjson`), options after the script's name, and `-lv`.
#[derive(Debug, Parser)]
#[command(name = "bpftrace", disable_help_flag = true, disable_version_flag = true, max_term_width = 110)]
#[command(
    override_usage = "bpftrace [options] filename\n       bpftrace [options] - <stdin input>\n       bpftrace [options] -e 'program'"
)]
#[command(
    after_help = "Use -- after the filename or -e 'program' for named script parameters.\nThis is weftrace under bpftrace's name: `weftrace --help` shows what else it can do."
)]
pub struct Args {
    /// Execute this program
    #[arg(short = 'e', value_name = "program", allow_hyphen_values = true, overrides_with = "program")]
    pub program: Option<String>,
    /// List probes: those matching a pattern, or those of a program
    #[arg(short, long)]
    pub list: bool,
    /// Verbose messages; with -l, probe arguments too
    #[arg(short, long)]
    pub verbose: bool,
    /// Show this help message
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
    /// bpftrace's version whose behaviour this is
    #[arg(short = 'V', long)]
    version: bool,
    /// What this kernel supports
    #[arg(long)]
    pub info: bool,
    /// Filter actions and enable USDT probes on PID
    #[arg(short, long, value_name = "PID", allow_hyphen_values = true)]
    pub pid: Option<String>,
    /// Run CMD and enable USDT probes on its process
    #[arg(short, long, value_name = "CMD")]
    pub cmd: Option<String>,
    /// Add PIDs to the DWARF unwinder
    #[arg(long, value_name = "PID")]
    pub dwarf_pid: Vec<String>,
    /// Activate USDT semaphores by file path
    #[arg(long)]
    pub usdt_file_activation: bool,
    /// Redirect output to FILE
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Output format ('text', 'json')
    #[arg(short, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Output buffering mode ('line', 'full', 'none')
    #[arg(short = 'B', value_name = "MODE")]
    pub buffering: Option<String>,
    /// Keep messages quiet
    #[arg(short, long)]
    pub quiet: bool,
    /// Warn when probe read helpers return an error
    #[arg(short = 'k', long, action = ArgAction::Count)]
    pub warnings: u8,
    /// Disable all warning messages
    #[arg(long)]
    pub no_warnings: bool,
    /// Add DIR to the include search path
    #[arg(short = 'I', value_name = "DIR")]
    pub include_dirs: Vec<PathBuf>,
    /// Add an #include file before preprocessing
    #[arg(long = "include", value_name = "FILE")]
    pub include_files: Vec<PathBuf>,
    /// Add directories to the debug info search path
    #[arg(long, value_name = "DIR[:DIR]")]
    pub debuginfo: Vec<String>,
    /// Load the list of traceable kernel functions from FILE
    #[arg(long, value_name = "FILE")]
    pub traceable_functions: Option<PathBuf>,
    /// Allow unsafe/destructive functionality
    #[arg(long)]
    pub r#unsafe: bool,
    /// Disable use of detected features
    #[arg(long, value_name = "FEATURE[,FEATURE]")]
    pub no_feature: Vec<String>,
    /// Used for benchmarking and testing ('codegen', 'compiler-bench', 'bench', 'test', 'format')
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Run all test: probes
    #[arg(long)]
    pub test: bool,
    /// Run all bench: probes
    #[arg(long)]
    pub bench: bool,
    /// Only run probes whose name matches REGEX
    #[arg(long, value_name = "REGEX")]
    pub probe_filter: Option<String>,
    /// Format the script and print it
    #[arg(long)]
    pub fmt: bool,
    /// End right after attaching all the probes
    #[arg(long)]
    pub dry_run: bool,
    /// Accepted; there is no LLVM here
    #[arg(long, hide = true)]
    verify_llvm_ir: bool,
    /// Accepted; BTF is always used
    #[arg(short = 'b', long, hide = true)]
    btf: bool,
    /// Debug info for stages ('ast', 'types', 'verifier', 'all')
    #[arg(short, long, value_name = "STAGE")]
    pub debug: Vec<String>,
    /// (dry run) Write the ELF object with the BPF programs to FILE
    #[arg(long, value_name = "FILE")]
    pub emit_elf: Option<PathBuf>,
    /// Not here: there is no LLVM
    #[arg(long, value_name = "FILE", hide = true)]
    pub emit_llvm: Option<PathBuf>,
    /// Not here: scripts start in milliseconds
    #[arg(long, value_name = "FILE", hide = true)]
    pub aot: Option<PathBuf>,
    /// filename, and the script's parameters
    #[arg(value_name = "filename [parameters]")]
    pub rest: Vec<OsString>,
}

/// What ends the process before anything runs.
#[derive(Debug)]
pub struct Early {
    out: String,
    err: String,
    code: i32,
}

impl Early {
    /// `ERROR: USAGE: …`
    fn usage(text: &str) -> Self {
        Self { out: String::new(), err: format!("ERROR: USAGE: {text}\n"), code: 1 }
    }

    fn refused(text: &str) -> Self {
        Self { out: String::new(), err: format!("ERROR: {text}\n"), code: 1 }
    }

    pub fn print(&self) -> i32 {
        printer::out(&self.out);
        printer::err(&self.err);
        self.code
    }
}

pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Args, Early> {
    let argv: Vec<OsString> = argv.into_iter().collect();
    if argv.len() <= 1 {
        return Err(Early { out: String::new(), err: help(), code: 1 });
    }
    let args = Args::try_parse_from(argv).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp => Early { out: help(), err: String::new(), code: 0 },
        // bpftrace prints its usage; the reason first helps more.
        _ => Early { out: String::new(), err: format!("{}\n\n{}", reason(&error), help()), code: 1 },
    })?;
    if args.version {
        return Err(Early { out: format!("bpftrace v{}\n", super::VERSION), err: String::new(), code: 0 });
    }
    check(&args)?;
    Ok(args)
}

/// The first line of what clap says: what is wrong, without its own usage.
fn reason(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    format!("ERROR: {}", line.strip_prefix("error: ").unwrap_or(line))
}

/// The whole usage text: "USAGE:" stands on a line of its own, as tools look for it.
fn help() -> String {
    const TEMPLATE: &str = "USAGE:\n    bpftrace [options] filename\n    bpftrace [options] - <stdin input>\n    bpftrace [options] -e 'program'\n\nOPTIONS:\n{options}\n\n{after-help}\n";
    let command = <Args as clap::CommandFactory>::command().help_template(TEMPLATE);
    command.clone().render_help().to_string()
}

fn check(args: &Args) -> Result<(), Early> {
    if args.pid.is_some() && args.cmd.is_some() {
        return Err(Early::usage(&format!("Cannot use both -c and -p.\n{}", help())));
    }
    if args.warnings > 1 {
        return Err(Early::usage(
            "-kk has been deprecated. Use a single -k for runtime warnings for errors in map lookups and probe reads.",
        ));
    }
    if args.warnings > 0 && args.no_warnings {
        return Err(Early::usage("-k, --warnings conflicts with --no-warnings"));
    }
    if let Some(mode) = args.buffering.as_deref().filter(|m| !matches!(*m, "line" | "full" | "none")) {
        return Err(Early::usage(&format!("-B must be either 'line', 'full', or 'none'. Found: {mode}")));
    }
    let known = ["kprobe_multi", "kprobe_session", "uprobe_multi"];
    if args.no_feature.iter().flat_map(|list| list.split(',')).any(|name| !known.contains(&name)) {
        return Err(Early::usage("--no-feature can only have values 'kprobe_multi,kprobe_session,uprobe_multi'."));
    }
    match args.mode.as_deref() {
        None | Some("bench" | "test" | "format" | "codegen") => {}
        Some("compiler-bench") => {
            return Err(Early::refused(
                "--mode compiler-bench measures LLVM, which is not used here; see `make bench`",
            ));
        }
        Some(_) => {
            return Err(Early::usage("--mode can only be 'codegen', 'compiler-bench', 'bench', 'test' or 'format'."));
        }
    }
    if usize::from(args.test) + usize::from(args.bench) + usize::from(args.fmt) + usize::from(args.mode.is_some()) > 1 {
        return Err(Early::usage("--test, --bench, --fmt and --mode exclude each other"));
    }
    if args.emit_llvm.is_some() {
        return Err(Early::refused(
            "--emit-llvm: there is no LLVM here; -d codegen's place is `weftrace dump --stage ir`",
        ));
    }
    if args.aot.is_some() {
        return Err(Early::refused(
            "--aot: not here: a script starts in milliseconds; --emit-elf FILE writes its programs",
        ));
    }
    if !args.list && !args.info && args.program.is_none() && args.rest.is_empty() {
        return Err(Early::usage("filename or -e 'program' required."));
    }
    Ok(())
}

impl Args {
    /// What `--mode` and its short forms say.
    pub fn mode(&self) -> &str {
        match self.mode.as_deref() {
            Some(mode) => mode,
            None if self.test => "test",
            None if self.bench => "bench",
            None if self.fmt => "format",
            None => "",
        }
    }
}
