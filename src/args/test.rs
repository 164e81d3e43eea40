//! `weftrace test`.

use super::values::duration;
use clap::{Args, ValueEnum};
use std::{path::PathBuf, time::Duration};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    #[default]
    Text,
    /// Test Anything Protocol, version 14
    Tap,
    /// XML as JUnit writes it
    Junit,
}

#[derive(Debug, Args)]
pub struct Test {
    /// Folders with scripts, or scripts [default: .]
    #[arg(value_name = "DIR|SCRIPT")]
    pub places: Vec<PathBuf>,
    /// Write what is expected anew
    #[arg(long)]
    pub bless: bool,
    /// How results are written
    #[arg(short, long, value_enum, default_value_t)]
    pub format: TestFormat,
    /// Write them to FILE, and text to stdout
    #[arg(short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Don't run each case once more to count which probes and branches it reaches
    #[arg(long)]
    pub no_coverage: bool,
    /// Name the probes and branches that no fixture reaches
    #[arg(short)]
    pub verbose: bool,
    /// A run that takes longer has failed
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub timeout: Duration,
}
