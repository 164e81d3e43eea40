//! The host's own names.

use super::{KernelSymbols, Names, ProcessSymbols, Symbol, cgroup::CgroupPaths};
use crate::sys::{Clock, strftime};
use std::collections::BTreeMap;

/// Where stacks are read: the kernel's stack map.
pub type StackReader = Box<dyn FnMut(i64) -> Option<Vec<u64>>>;

/// Names of this host, each table loaded when first asked.
pub struct HostNames {
    clock: Clock,
    kernel: Option<KernelSymbols>,
    processes: ProcessSymbols,
    users: Option<BTreeMap<u32, String>>,
    stacks: Option<StackReader>,
    cgroups: CgroupPaths,
}

impl HostNames {
    pub fn new(clock: Clock, stacks: Option<StackReader>) -> Self {
        Self {
            clock,
            kernel: None,
            processes: ProcessSymbols::default(),
            users: None,
            stacks,
            cgroups: CgroupPaths::default(),
        }
    }
}

impl Names for HostNames {
    fn kernel(&mut self, addr: u64) -> Option<Symbol<'_>> {
        self.kernel.get_or_insert_with(KernelSymbols::load).find(addr)
    }

    fn user(&mut self, pid: u32, addr: u64) -> Option<Symbol<'_>> {
        self.processes.find(pid, addr)
    }

    fn stack(&mut self, id: i64) -> Option<Vec<u64>> {
        self.stacks.as_mut()?(id)
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        let users = self.users.get_or_insert_with(|| match std::fs::read("/etc/passwd") {
            Ok(text) => parse_passwd(&String::from_utf8_lossy(&text)),
            Err(_) => BTreeMap::new(),
        });
        users.get(&uid).cloned()
    }

    fn cgroup_path(&mut self, id: u64, hierarchies: &str) -> String {
        self.cgroups.find(id, hierarchies)
    }

    fn time(&mut self, boot_ns: u64, fmt: &str, out: &mut Vec<u8>) {
        let wall = self.clock.wall(boot_ns);
        strftime(wall, fmt, false, out);
    }
}

/// passwd(5): uid → the first name that has it.
fn parse_passwd(text: &str) -> BTreeMap<u32, String> {
    let mut users = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|f| f.parse().ok())) {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_name_of_a_uid() {
        let users = parse_passwd("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbad\nww:x:33:33:::\n");
        assert_eq!(users.get(&0).map(String::as_str), Some("root"));
        assert_eq!(users.get(&33).map(String::as_str), Some("ww"));
        assert_eq!(users.len(), 2);
    }
}
