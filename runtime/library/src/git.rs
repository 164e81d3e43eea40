//! The one door to `git`: a repository is copied into a folder of its own, without a work tree, and files are read out of it.
//!
//! Nothing of the repository runs: no checkout (so no filters and no hooks), no submodules, no helper programs that a URL names. What is
//! the user's own stays: keys, credential helpers, proxies.

use crate::{
    Error, Result, Tree,
    names::{check_rev, check_url, is_path},
    tree,
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Transports that git may use, whatever the user's settings say: none that starts a program which the URL names.
const TRANSPORTS: &str = "file:git:http:https:ssh";

/// Of the environment: what would send git to another repository than the one that is meant.
const ELSEWHERE: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_TEMPLATE_DIR",
];

/// A commit and its files.
#[derive(Debug)]
pub struct Fetched {
    /// Its full name.
    pub commit: String,
    pub tree: Tree,
    /// Links and submodules, which are left out.
    pub left_out: Vec<String>,
}

/// What `rev` (a tag, branch or commit; None: the default branch) of a repository is. `base`: where relative paths begin. `scratch`: a folder
/// that isn't there, and is gone afterwards.
pub fn fetch(url: &str, rev: Option<&str>, base: &Path, scratch: &Path) -> Result<Fetched> {
    check_url(url)?;
    check_rev(rev.unwrap_or("HEAD"))?;
    let copied = copy(url, base, scratch).and_then(|()| {
        let commit = commit(url, rev.unwrap_or("HEAD"), scratch)?;
        let (tree, left_out) = read(&commit, scratch)?;
        Ok(Fetched { commit, tree, left_out })
    });
    let _ = std::fs::remove_dir_all(scratch);
    copied.map_err(|error| {
        if error.what.contains(url) { error } else { Error { what: format!("{url}: {}", error.what), ..error } }
    })
}

fn git() -> Command {
    let mut command = Command::new("git");
    let settings = [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "protocol.ext.allow=never",
        "submodule.recurse=false",
        "fetch.recurseSubmodules=false",
        "gc.auto=0",
        "maintenance.auto=false",
    ];
    for setting in settings {
        command.args(["-c", setting]);
    }
    for name in ELSEWHERE {
        command.env_remove(name);
    }
    command.env("GIT_ALLOW_PROTOCOL", TRANSPORTS).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Runs git; what it says on stderr is the error.
fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().map_err(|error| not_started(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(|l| l.trim_start_matches("fatal: ")).filter(|l| !l.is_empty()).collect();
    Err(Error::new(format!("git says: {}", lines.join("; ").escape_debug())))
}

fn not_started(error: &std::io::Error) -> Error {
    Error::new(format!("git could not be started: {error}")).note("libraries are fetched by the program `git`")
}

fn copy(url: &str, base: &Path, scratch: &Path) -> Result<()> {
    // A relative path is the project's, wherever weftrace was started.
    let url = if is_path(url) { base.join(url).into_os_string() } else { url.into() };
    let mut command = git();
    // Over the protocol also from this machine: nothing is linked, and its files are not looked at.
    command.args(["clone", "--quiet", "--bare", "--no-local", "--template=", "--no-recurse-submodules", "--"]);
    run(command.arg(url).arg(scratch)).map(drop)
}

fn commit(url: &str, rev: &str, repository: &Path) -> Result<String> {
    let mut command = git();
    command.arg("--git-dir").arg(repository);
    command.args(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{rev}^{{commit}}")]);
    let found = run(&mut command).map_err(|_| Error::new(format!("{url} has no tag, branch or commit `{rev}`")))?;
    let commit = String::from_utf8_lossy(&found).trim().to_owned();
    if commit.len() >= 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(commit);
    }
    Err(Error::new(format!("git names a commit `{}`", commit.escape_debug())))
}

/// The files of a commit, and what is none.
fn read(commit: &str, repository: &Path) -> Result<(Tree, Vec<String>)> {
    let mut command = git();
    command.arg("--git-dir").arg(repository).args(["ls-tree", "-r", "-z", "--full-tree", "--long", commit]);
    let listed = run(&mut command)?;
    let (mut tree, mut left_out) = (Tree::default(), Vec::new());
    let mut objects = Objects::open(repository)?;
    for entry in listed.split(|b| *b == 0).filter(|e| !e.is_empty()) {
        let entry = std::str::from_utf8(entry).map_err(|_| Error::new("a file's name is no text"))?;
        let (facts, path) = entry.split_once('\t').ok_or_else(|| Error::new("git's list of files can't be read"))?;
        let mut facts = facts.split_whitespace();
        match (facts.next(), facts.next(), facts.next(), facts.next().and_then(|size| size.parse::<u64>().ok())) {
            (Some("100644" | "100755"), Some("blob"), Some(object), Some(size)) if size <= tree::MOST_BYTES => {
                tree.add(path, objects.read(object, size)?)?;
            }
            (Some("100644" | "100755"), ..) => {
                return Err(Error::new(format!("{path} has more than {} MiB", tree::MOST_BYTES >> 20)));
            }
            _ => left_out.push(path.to_owned()),
        }
    }
    Ok((tree, left_out))
}

/// `git cat-file --batch`: objects by their names.
struct Objects {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Objects {
    fn open(repository: &Path) -> Result<Self> {
        let mut command = git();
        command.arg("--git-dir").arg(repository).args(["cat-file", "--batch"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| not_started(&error))?;
        let answers = child.stdout.take().ok_or_else(|| Error::new("git has no output"))?;
        Ok(Self { child, answers: BufReader::new(answers) })
    }

    fn read(&mut self, object: &str, size: u64) -> Result<Vec<u8>> {
        let failed = |_| Error::new(format!("git does not give the object {object}"));
        let mut ask = self.child.stdin.as_ref().ok_or_else(|| Error::new("git has no input"))?;
        ask.write_all(format!("{object}\n").as_bytes()).and_then(|()| ask.flush()).map_err(failed)?;
        let mut head = String::new();
        self.answers.by_ref().take(256).read_line(&mut head).map_err(failed)?;
        if head.trim_end() != format!("{object} blob {size}") {
            return Err(Error::new(format!(
                "git does not give the object {object}: {}",
                head.trim_end().escape_debug()
            )));
        }
        // And the line's end behind it.
        let mut content = vec![0; size as usize + 1];
        self.answers.read_exact(&mut content).map_err(failed)?;
        content.pop();
        Ok(content)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
