//! `weftrace doctor`: what this machine can do, asked by trying, and what a script needs.

mod machine;
mod script;
mod trial;

use super::needs;
use crate::{args::Doctor, exit::ExitStatus};
use serde_json::{Value, json};
use weftrace_lang::world::World;
use weftrace_probes::{
    kernel::caps::{self, CapSet},
    world::HostWorld,
};

pub fn run(args: &Doctor) -> ExitStatus {
    let head = Head::now();
    if args.source.program.is_none() && args.source.script.is_empty() {
        machine::print(&head, args.format);
        return ExitStatus::Ok;
    }
    script::run(&head, args)
}

/// Whom and what it is about.
struct Head {
    kernel: String,
    uid: u32,
    capabilities: CapSet,
}

impl Head {
    fn now() -> Self {
        Self { kernel: HostWorld::new().kernel_release(), uid: caps::user_id(), capabilities: CapSet::effective() }
    }

    fn text(&self) -> String {
        let capabilities = match self.capabilities.0.count_ones() {
            0 => "no capabilities".to_owned(),
            1..=10 => needs::list(self.capabilities),
            n => format!("{n} capabilities"),
        };
        format!("{}, user {}, {capabilities}\n", self.kernel, self.uid)
    }

    fn json(&self) -> Value {
        json!({ "kernel": self.kernel, "uid": self.uid, "capabilities": self.capabilities.names() })
    }
}
