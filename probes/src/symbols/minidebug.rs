//! Symbols that stay in a stripped program, compressed (`.gnu_debugdata`, "MiniDebugInfo"): Fedora, RHEL and their like have them. What is
//! compressed (xz) is an ELF file with a symbol table and no code.

use std::io::{Cursor, Read};
use std::num::NonZeroUsize;
use xz4rust::XzDecoder;

/// Bytes of such a section that are read; the largest program's are a few MB.
pub(super) const MOST_PACKED: u64 = 64 << 20;
/// Bytes that may come of it.
const MOST_UNPACKED: u64 = 256 << 20;
/// Largest window of the compression: that of `xz -9`.
const MOST_WINDOW: usize = 64 << 20;
const BUFFER: NonZeroUsize = NonZeroUsize::MIN.saturating_add((64 << 10) - 1);

/// The ELF file; None: it is damaged, or too large.
pub(super) fn unpack(packed: Vec<u8>) -> Option<Vec<u8>> {
    let decoder = XzDecoder::in_heap_with_alloc_dict_size(0, MOST_WINDOW);
    let reader = xz4rust::XzReader::new_with_buffer_size_and_decoder(Cursor::new(packed), BUFFER, decoder);
    let mut out = Vec::new();
    let len = reader.take(MOST_UNPACKED + 1).read_to_end(&mut out).ok()?;
    (len as u64 <= MOST_UNPACKED).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::unpack;

    /// `printf 'weftrace weftrace' | xz`
    const PACKED: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x16, 0x00,
        0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0xe0, 0x00, 0x10, 0x00, 0x0f, 0x5d, 0x00, 0x3b, 0x99, 0x49, 0x05, 0xe8,
        0x13, 0xab, 0x03, 0x78, 0xf1, 0x01, 0x5a, 0xe3, 0x00, 0x00, 0x00, 0x00, 0xe2, 0x5d, 0x92, 0x41, 0x65, 0x5a,
        0x52, 0xed, 0x00, 0x01, 0x2b, 0x11, 0xb0, 0x68, 0x46, 0x3c, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00,
        0x00, 0x04, 0x59, 0x5a,
    ];

    #[test]
    fn what_is_damaged_is_nothing() {
        assert_eq!(unpack(PACKED.to_vec()).as_deref(), Some(&b"weftrace weftrace"[..]));
        assert_eq!(unpack(Vec::new()), None);
        for len in 1..PACKED.len() {
            assert_ne!(unpack(PACKED[..len].to_vec()).as_deref(), Some(&b"weftrace weftrace"[..]), "{len}");
            let mut changed = PACKED.to_vec();
            changed[len] ^= 0x55;
            let _ = unpack(changed);
        }
    }
}
