//! Output that waits until the probes are attached: bpftrace says so before it shows what `begin` printed.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
};

/// More than this isn't held back: what `begin` prints has no other bound.
const MOST: usize = 1 << 20;

struct Held {
    /// None once the gate is open.
    bytes: Option<Vec<u8>>,
    to: Box<dyn Write>,
}

impl Held {
    fn open(&mut self) -> io::Result<()> {
        match self.bytes.take() {
            Some(bytes) => self.to.write_all(&bytes),
            None => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A run that ended before anything was attached still shows what it has.
        let _ = self.open();
    }
}

/// A writer, and the hand that opens it.
#[derive(Clone)]
pub struct Gate(Rc<RefCell<Held>>);

impl Gate {
    pub fn new(to: Box<dyn Write>) -> Self {
        Self(Rc::new(RefCell::new(Held { bytes: Some(Vec::new()), to })))
    }

    /// Bytes held back; 0 if the gate is open.
    pub fn held(&self) -> usize {
        self.0.borrow().bytes.as_ref().map_or(0, Vec::len)
    }

    /// Opens; what was held from `first` on comes before the rest.
    pub fn open(&self, first: usize) -> io::Result<()> {
        let mut held = self.0.borrow_mut();
        if let Some(bytes) = &mut held.bytes {
            let first = first.min(bytes.len());
            bytes.rotate_left(first);
        }
        held.open()
    }
}

impl Write for Gate {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut held = self.0.borrow_mut();
        match &mut held.bytes {
            Some(bytes) if bytes.len() + data.len() <= MOST => {
                bytes.extend_from_slice(data);
                Ok(data.len())
            }
            _ => {
                held.open()?;
                held.to.write(data)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut held = self.0.borrow_mut();
        if held.bytes.is_none() { held.to.flush() } else { Ok(()) }
    }
}
