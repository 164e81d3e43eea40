//! The kernel's own tracer beside weftrace.
//!
//! Some machines keep process 1 out of BPF programs' sight (that of a sandbox, which runs the tests themselves): its system calls aren't seen, and neither is what
//! interrupts bring while one of its threads is on the processor, retransmissions among that. tracefs shows those, with the thread.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

const TRACEFS: &str = "/sys/kernel/tracing";

/// An instance of ftrace with one event; removed when dropped.
pub struct Witness {
    instance: PathBuf,
    event: &'static str,
    /// Where tracefs was mounted for it.
    mounted: Option<PathBuf>,
}

impl Witness {
    /// `event`: `tcp/tcp_retransmit_skb`. Needs CAP_SYS_ADMIN.
    pub fn of(event: &'static str) -> io::Result<Self> {
        let there = Path::new(TRACEFS).join("instances").is_dir();
        let mounted = if there { None } else { Some(mount()?) };
        let root = mounted.as_deref().unwrap_or(Path::new(TRACEFS));
        let instance = root.join(format!("instances/weftrace-lab-{}", std::process::id()));
        let witness = Self { instance, event, mounted };
        fs::create_dir(&witness.instance)?;
        witness.enable("1")?;
        Ok(witness)
    }

    fn enable(&self, on: &str) -> io::Result<()> {
        fs::write(self.instance.join(format!("events/{}/enable", self.event)), on)
    }

    /// How often the event came while a thread of process 1 was on the processor.
    pub fn within_init(&self) -> io::Result<usize> {
        let threads: Vec<String> = fs::read_dir("/proc/1/task")?
            .filter_map(|entry| Some(format!("-{}", entry.ok()?.file_name().to_str()?)))
            .collect();
        let name = self.event.rsplit('/').next().unwrap_or_default();
        let said = fs::read_to_string(self.instance.join("trace"))?;
        // `            nginx-23261   [001] ..s1. 15426.006460: tcp_retransmit_skb: …`
        let of_init = |line: &&str| {
            let task = line.split(" [").next().unwrap_or_default().trim_end();
            line.contains(name) && threads.iter().any(|thread| task.ends_with(thread))
        };
        Ok(said.lines().filter(|line| !line.starts_with('#')).filter(of_init).count())
    }
}

fn mount() -> io::Result<PathBuf> {
    let at = std::env::temp_dir().join(format!("weftrace-lab-tracefs-{}", std::process::id()));
    fs::create_dir_all(&at)?;
    let done = Command::new("mount").args(["-t", "tracefs", "none"]).arg(&at).status()?.success();
    if done { Ok(at) } else { Err(io::Error::other("tracefs can't be mounted")) }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.enable("0");
        let _ = fs::remove_dir(&self.instance);
        if let Some(at) = &self.mounted {
            let _ = Command::new("umount").arg(at).status();
            let _ = fs::remove_dir(at);
        }
    }
}
