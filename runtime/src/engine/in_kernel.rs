//! Packet blocks with a program on their socket.

#[cfg(feature = "live")]
use super::packets::{BlockSpec, Feed};
use crate::session::Programs;
use std::os::fd::RawFd;
use weftrace_artifact::Artifact;
use weftrace_probes::kernel::Host;
#[cfg(feature = "live")]
use weftrace_probes::{
    kernel::{LoadError, Sources, load},
    packet::source::in_kernel::{attach, program_for},
};

/// Why a block runs in user space alone.
#[cfg_attr(not(feature = "live"), allow(dead_code, reason = "there are no sockets"))]
pub(crate) struct NotTaken {
    pub(crate) why: String,
    /// It should have been possible.
    pub(crate) failed: bool,
}

/// How blocks get their programs onto their sources.
#[cfg_attr(not(feature = "live"), allow(dead_code, reason = "there are no sockets"))]
pub(crate) struct InKernel<'a> {
    pub(crate) artifact: &'a Artifact,
    pub(crate) maps: &'a [RawFd],
    pub(crate) host: &'a Host,
    pub(crate) programs: &'a mut Programs,
    /// What came of it, by probe.
    pub(crate) came_of_it: Vec<(u32, Result<(), NotTaken>)>,
}

#[cfg(feature = "live")]
impl InKernel<'_> {
    /// Packets that arrived before are handled in user space, those that arrive from now on by the program: none twice, none not at all.
    pub(super) fn take_over(&mut self, feed: &mut Feed, block: &BlockSpec) {
        let (Feed::Live(live), Some(program)) = (feed, block.program) else { return };
        // Other blocks on the device have a source, and losses, of their own.
        live.name = format!("{}, block {}", live.name, block.probe + 1);
        let came = self.attach(live, program);
        live.program = came.is_ok();
        self.came_of_it.push((block.probe, came));
    }

    fn attach(&mut self, live: &super::packets::LiveFeed, program: u32) -> Result<(), NotTaken> {
        let unsuited = |why: String| NotTaken { why, failed: false };
        let failed = |why: String| NotTaken { why, failed: true };
        let image = self.artifact.programs.get(program as usize);
        let image = image.ok_or_else(|| failed("the artifact has no such program".into()))?;
        let image = program_for(&live.source, image).map_err(unsuited)?;
        let loaded = load(&image, self.maps, &Sources::of(self.host, self.artifact));
        let loaded = loaded.map_err(|e: LoadError| failed(e.to_string()))?;
        attach(&live.source, std::os::fd::AsFd::as_fd(&loaded)).map_err(|e| failed(e.to_string()))?;
        self.programs.adopt(program, loaded);
        Ok(())
    }
}
