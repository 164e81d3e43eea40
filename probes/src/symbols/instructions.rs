//! Where instructions begin: a probe within one breaks the program that is traced.

use super::elf::{self, ElfError};
use super::golang;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Code that is decoded up to a probe, at most.
const MOST: u64 = 1 << 20;
/// No instruction is longer.
const LONGEST: u64 = 15;

/// Whether an instruction begins at an offset in a file, as far as one can say: by decoding from `start` on, where a function begins. None:
/// what comes before isn't only code, or isn't known here.
pub fn begins_at(path: &Path, start: u64, at: u64) -> Result<Option<bool>, ElfError> {
    let Some(len) = at.checked_sub(start).filter(|len| *len <= MOST) else { return Ok(None) };
    let machine = elf::layout(path)?.machine;
    let io = |source| ElfError::Io { path: path.display().to_string(), source };
    let file = crate::privilege::open(&super::archive::container(path)).map_err(io)?;
    let mut bytes = vec![0; (len + LONGEST) as usize];
    let read = file.read_at(&mut bytes, start).map_err(io)?;
    bytes.truncate(read);
    Ok(golang::begins_at(machine, &bytes, len))
}

#[cfg(test)]
mod tests {
    use super::golang::{Machine, begins_at};

    #[test]
    fn instructions_of_a_function() {
        // mov eax, edi; lea edx, [rdi+rdi]; nop; ret; what is no instruction
        let code = [0x89, 0xf8, 0x8d, 0x14, 0x3f, 0x90, 0xc3, 0x06, 0x90];
        let begins = |at| begins_at(Machine::X86_64, &code, at);
        assert_eq!((0..7).filter(|at| begins(*at) == Some(true)).collect::<Vec<_>>(), [0, 2, 5, 6]);
        assert_eq!((begins(4), begins(8)), (Some(false), None));
        // Cut off: what is there doesn't decode.
        assert_eq!(begins_at(Machine::X86_64, &code[..3], 4), None);
        let four = [0x1f, 0x20, 0x03, 0xd5, 0xc0, 0x03, 0x5f, 0xd6];
        assert_eq!(begins_at(Machine::Aarch64, &four, 4), Some(true));
        assert_eq!(begins_at(Machine::Aarch64, &four, 2), Some(false));
        assert_eq!(begins_at(Machine::Other, &four, 4), None);
    }
}
