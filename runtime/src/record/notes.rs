//! Answers on their way into a recording: they come before what asked for them, so that a replay has them in time.

use super::{BLOCK_BYTES, event::Event};
use std::{cell::RefCell, rc::Rc};

/// Blocks of events; who notes and who writes them have one each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Rc<RefCell<Vec<Vec<u8>>>>);

impl Notes {
    pub(crate) fn note(&self, event: &Event) {
        let mut blocks = self.0.borrow_mut();
        if blocks.last().is_none_or(|block| block.len() >= BLOCK_BYTES) {
            blocks.push(Vec::new());
        }
        if let Some(block) = blocks.last_mut() {
            event.put(block);
        }
    }

    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}
