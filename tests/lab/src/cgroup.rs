//! A control group for processors: a quota, and what its tasks used. Both versions of control groups.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

/// Removed when dropped; tasks that are still in it go back to its parent.
pub struct Cgroup {
    /// With the quota, and with the accounting: the same folder in version 2.
    cpu: PathBuf,
    accounts: PathBuf,
    version2: bool,
}

/// The mount point of a controller of version 1, or of version 2 (`None`).
fn mounted(controller: Option<&str>) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines.find_map(|words| {
        let [_, at, kind, options, ..] = words[..] else { return None };
        let here = match controller {
            None => kind == "cgroup2",
            Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        here.then(|| PathBuf::from(at))
    })
}

impl Cgroup {
    pub fn new(label: &str) -> io::Result<Self> {
        let name = format!("weftrace-lab-{label}-{}", std::process::id());
        let made = match (mounted(Some("cpu")), mounted(Some("cpuacct")), mounted(None)) {
            (Some(cpu), Some(accounts), _) => {
                Self { cpu: cpu.join(&name), accounts: accounts.join(&name), version2: false }
            }
            (_, _, Some(root)) => {
                fs::write(root.join("cgroup.subtree_control"), "+cpu")?;
                Self { cpu: root.join(&name), accounts: root.join(&name), version2: true }
            }
            _ => return Err(io::Error::other("no control groups with a cpu controller are mounted")),
        };
        fs::create_dir_all(&made.cpu)?;
        fs::create_dir_all(&made.accounts)?;
        Ok(made)
    }

    /// Moves a process, with all its threads, in here.
    pub fn add(&self, pid: u32) -> io::Result<()> {
        fs::write(self.cpu.join("cgroup.procs"), pid.to_string())?;
        fs::write(self.accounts.join("cgroup.procs"), pid.to_string())
    }

    /// A command whose process is in here from its first moment, with all that it starts.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && echo $$ >\"$1\" && shift && exec \"$@\""]);
        command.arg(self.cpu.join("cgroup.procs")).arg(self.accounts.join("cgroup.procs")).args(words);
        command
    }

    /// At most `quota_us` of each `period_us`; `None`: no limit.
    pub fn quota(&self, limit: Option<(u64, u64)>) -> io::Result<()> {
        if self.version2 {
            let text = limit.map_or("max 100000".to_owned(), |(quota, period)| format!("{quota} {period}"));
            return fs::write(self.cpu.join("cpu.max"), text);
        }
        if let Some((_, period)) = limit {
            fs::write(self.cpu.join("cpu.cfs_period_us"), period.to_string())?;
        }
        let quota = limit.map_or("-1".to_owned(), |(quota, _)| quota.to_string());
        fs::write(self.cpu.join("cpu.cfs_quota_us"), quota)
    }

    /// CPU time that its tasks have used, µs.
    pub fn used_us(&self) -> io::Result<u64> {
        if self.version2 {
            let text = fs::read_to_string(self.accounts.join("cpu.stat"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
            return line.and_then(|n| n.parse().ok()).ok_or_else(|| io::Error::other("cpu.stat has no usage_usec"));
        }
        let text = fs::read_to_string(self.accounts.join("cpuacct.usage"))?;
        text.trim().parse::<u64>().map(|ns| ns / 1000).map_err(io::Error::other)
    }
}

fn remove(folder: &Path) {
    let parent = folder.parent().unwrap_or(folder);
    for pid in fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
        let _ = fs::write(parent.join("cgroup.procs"), pid);
    }
    // A task that just ended may be in it for a moment.
    for _ in 0..50 {
        if fs::remove_dir(folder).is_ok() || !folder.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.quota(None);
        remove(&self.cpu);
        remove(&self.accounts);
    }
}
