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
