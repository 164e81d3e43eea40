//! /etc/ld.so.cache (glibc: sysdeps/generic/dl-cache.h, the "new" format).

/// Start of the new format, which may follow an old one.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// struct cache_file_new up to its entries, and one entry.
const HEADER: usize = 48;
const ENTRY: usize = 24;

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
}

fn text(bytes: &[u8], at: usize) -> Option<&str> {
    let rest = bytes.get(at..)?;
    std::str::from_utf8(&rest[..memchr::memchr(0, rest)?]).ok()
}

/// Paths of the libraries whose soname is wanted, in the cache's order (the newest version first). Empty if the cache is
/// malformed.
pub(super) fn paths(cache: &[u8], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let Some(start) = memchr::memmem::find(cache, MAGIC) else { return Vec::new() };
    let cache = &cache[start..];
    let count = word(cache, MAGIC.len()).unwrap_or(0).min(cache.len() / ENTRY);
    let mut out = Vec::new();
    for i in 0..count {
        let at = HEADER + i * ENTRY;
        // Entry: i32 flags, u32 soname, u32 path, u32 osversion, u64 hwcap; strings count from the new format's start.
        let (Some(name), Some(path)) = (word(cache, at + 4), word(cache, at + 8)) else { break };
        let (Some(name), Some(path)) = (text(cache, name), text(cache, path)) else { continue };
        if wanted(name) {
            out.push(path.to_owned());
        }
    }
    out
}
