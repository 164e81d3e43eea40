//! What tells about findings and the command line itself.

use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Explain {
    /// `E0207`, or the finding's name in JSON; all are listed if there is none
    #[arg(value_name = "NUMBER")]
    pub kinds: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct Manpages {
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
