//! What it would take to see what this process was refused.

use super::HostWorld;
use crate::kernel::{
    caps::{CapSet, Capability},
    tracefs::Access,
};

impl HostWorld {
    /// The capabilities for what was asked and not told.
    pub fn lacks(&self) -> CapSet {
        let mut needed = Vec::new();
        if self.events.is_unanswered() || self.event_lists.is_unanswered() {
            needed.push(Capability::DacReadSearch);
            if self.host.tracefs_access() == Access::NotMounted {
                needed.push(Capability::SysAdmin);
            }
        }
        // Addresses are zeros there.
        if self.addresses.is_refused(|_| true) || self.function_lists.is_refused(|_| true) {
            needed.push(Capability::Syslog);
        }
        let refused = |process: bool| {
            let of = |binary: &str| (self.pid.is_some() || binary.starts_with("/proc/") || binary == "*") == process;
            self.user.is_refused(|(binary, _)| of(binary))
                || self.user_names.is_refused(|(binary, _)| of(binary))
                || self.places.is_refused(|(binary, _)| of(binary))
                || self.protos.is_refused(|(binary, _)| of(binary))
                || self.go_functions.is_refused(|(binary, _)| of(binary))
                || self.markers.is_refused(|(binary, ..)| of(binary))
        };
        // Another user's process, and a file that only its owner may read.
        needed.extend(refused(true).then_some(Capability::SysPtrace));
        needed.extend(refused(false).then_some(Capability::DacReadSearch));
        CapSet::of(&needed)
    }
}
