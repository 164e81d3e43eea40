//! Loaded programs.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
};
use weftrace_artifact::Artifact;
use weftrace_probes::kernel::{
    Host, LoadError, Sources, load,
    program::{Many, TypedTarget},
};

/// By program and, for typed ones, what it is for: such a program is loaded for one event or function.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    loaded: BTreeMap<(u32, Option<TypedTarget>), OwnedFd>,
    /// Loaded for links that hold many functions.
    many: BTreeMap<(u32, Many), OwnedFd>,
    /// Loaded for one packet socket.
    sockets: Vec<(u32, OwnedFd)>,
}

impl Programs {
    /// Loads a program if it isn't yet.
    pub(crate) fn load(
        &mut self,
        artifact: &Artifact,
        program: u32,
        target: Option<&TypedTarget>,
        maps: &[RawFd],
        host: &Host,
    ) -> Result<BorrowedFd<'_>, LoadError> {
        let Some(image) = artifact.programs.get(program as usize) else {
            return Err(LoadError::Relocation {
                program: program.to_string(),
                what: "the artifact has no such program".into(),
            });
        };
        let target = target.filter(|_| image.prog_type.is_typed());
        let key = (program, target.cloned());
        if !self.loaded.contains_key(&key) {
            let sources = Sources { target, ..Sources::of(host, artifact) };
            let fd = load(image, maps, &sources)?;
            self.loaded.insert(key.clone(), fd);
        }
        Ok(self.loaded[&key].as_fd())
    }

    /// Loads a program for many functions by one link.
    pub(crate) fn load_for_many(
        &mut self,
        artifact: &Artifact,
        program: u32,
        what: Many,
        maps: &[RawFd],
        host: &Host,
    ) -> Option<BorrowedFd<'_>> {
        let image = artifact.programs.get(program as usize)?;
        let loaded: &OwnedFd = match self.many.entry((program, what)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let sources = Sources { many: Some(what), ..Sources::of(host, artifact) };
                place.insert(load(image, maps, &sources).ok()?)
            }
        };
        Some(loaded.as_fd())
    }

    /// One that was loaded so.
    pub(crate) fn for_many(&self, program: u32, what: Many) -> Option<BorrowedFd<'_>> {
        self.many.get(&(program, what)).map(AsFd::as_fd)
    }

    /// Keeps a program that was loaded for a packet socket.
    #[cfg_attr(not(feature = "live"), allow(dead_code, reason = "there are no devices"))]
    pub(crate) fn adopt(&mut self, program: u32, loaded: OwnedFd) {
        self.sockets.push((program, loaded));
    }

    pub(crate) fn get(&self, program: u32, target: Option<&TypedTarget>) -> Option<BorrowedFd<'_>> {
        self.loaded.get(&(program, target.cloned())).map(AsFd::as_fd)
    }

    /// By program, each as often as it was loaded.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        let one_by_one = self.loaded.iter().map(|((program, _), fd)| (*program, fd.as_fd()));
        let many = self.many.iter().map(|((program, _), fd)| (*program, fd.as_fd()));
        one_by_one.chain(many).chain(self.sockets.iter().map(|(program, fd)| (*program, fd.as_fd())))
    }
}
