//! The file of a recording: whole blocks, sealed if there is a passphrase.

use super::sealed::{Passphrase, SEALED_PIECE, Seal};
use std::{
    fs::{File, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

pub(super) struct RecordFile {
    file: File,
    seal: Option<Seal>,
    /// Sealed bytes on their way.
    sealed: Vec<u8>,
    /// Bytes in the file, all of whole blocks, or of whole sealed pieces.
    written: u64,
}

/// A new file that only its owner reads, since it is somebody's traffic; one that was there loses what others may.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.set_len(0)?;
    }
    Ok(file)
}

impl RecordFile {
    pub(super) fn create(path: &Path, passphrase: Option<&Passphrase>) -> io::Result<Self> {
        let mut file = Self { file: create_private(path)?, seal: None, sealed: Vec::new(), written: 0 };
        if let Some(passphrase) = passphrase {
            let (seal, head) = Seal::new(passphrase)?;
            write(&mut file.file, &mut file.written, &head)?;
            file.seal = Some(seal);
        }
        Ok(file)
    }

    /// Writes blocks, all or none of them. Of what is sealed, less than a piece waits.
    pub(super) fn append(&mut self, blocks: &[u8]) -> io::Result<()> {
        let Some(seal) = &mut self.seal else { return write(&mut self.file, &mut self.written, blocks) };
        seal.add(blocks, &mut self.sealed);
        self.write_sealed()
    }

    fn write_sealed(&mut self) -> io::Result<()> {
        // One by one: those before the one that finds no room stay.
        let mut pieces = self.sealed.chunks(SEALED_PIECE);
        let done = pieces.try_for_each(|piece| write(&mut self.file, &mut self.written, piece));
        self.sealed.clear();
        done
    }

    /// The file is whole, and on the disk.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if let Some(seal) = &mut self.seal {
            seal.end(&mut self.sealed);
            self.write_sealed()?;
        }
        match self.file.sync_data() {
            // Pipes and devices have nothing to sync.
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(error),
            _ => Ok(()),
        }
    }
}

/// What was written in part is taken back, so that the file ends with something whole. A pipe's reader has it already.
fn write(file: &mut File, written: &mut u64, bytes: &[u8]) -> io::Result<()> {
    match file.write_all(bytes) {
        Ok(()) => *written += bytes.len() as u64,
        Err(error) => {
            let _ = file.set_len(*written);
            return Err(error);
        }
    }
    Ok(())
}
