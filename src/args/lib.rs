//! `weftrace lib`.

use super::Format;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Lib {
    #[command(subcommand)]
    pub command: LibCommand,
}

#[derive(Debug, Subcommand)]
pub enum LibCommand {
    /// All scripts with their titles
    List(List),
    /// Scripts in whose header, flags or streams all words stand
    Search(Search),
    /// All that a script's header says, its flags, its streams
    Show(Show),
    /// Add a library: a git repository (path, file://, https://, ssh, host:path) at a tag, branch or commit
    Add(Add),
    /// Look where tags, branches and default branches are now, and lock that
    Update(Update),
    /// Take a library out
    Remove(Remove),
    /// Bring the libraries that weftrace.lock names and that are not here
    Fetch,
    /// Copy all libraries to vendor/, to keep them with the scripts
    Vendor,
}

#[derive(Debug, Args)]
pub struct Add {
    /// `https://example.org/team/probes.git@v1.2.0`
    #[arg(value_name = "URL[@REV]")]
    pub url: String,
    /// Tag, branch or commit, apart from the URL
    #[arg(long, value_name = "REV")]
    pub rev: Option<String>,
}

#[derive(Debug, Args)]
pub struct Update {
    /// Only these
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Remove {
    #[arg(value_name = "NAME")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct List {
    /// `tcp/*`
    #[arg(value_name = "PATTERN")]
    pub pattern: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Search {
    #[arg(value_name = "WORD", required = true)]
    pub words: Vec<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Show {
    /// `tcp/retransmit`
    #[arg(value_name = "NAME")]
    pub script: String,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
}
