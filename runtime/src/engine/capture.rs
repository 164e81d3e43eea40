//! `skboutput()`: packets appended to capture files.

use super::core::Core;
use crate::{decode, record::create_private};
use std::{collections::BTreeMap, fs::File, io::Write, path::Path};
use weftrace_artifact::action::Action;

/// LINKTYPE_RAW: packets begin with their IP header.
const LINKTYPE_RAW: u32 = 101;
/// Of the file's header: larger than any packet that is kept.
const SNAPSHOT: u32 = 262_144;

/// The files that a script writes, by the names it gives them; None: it can't be written, which has been said.
pub(super) type CaptureFiles = BTreeMap<String, Option<File>>;

/// A pcap file with its header: times in microseconds, numbers in this host's order.
fn create(path: &str) -> std::io::Result<File> {
    let mut file = create_private(Path::new(path))?;
    let mut header = Vec::with_capacity(24);
    header.extend(0xa1b2_c3d4_u32.to_ne_bytes());
    header.extend(2u16.to_ne_bytes());
    header.extend(4u16.to_ne_bytes());
    header.extend([0; 8]);
    header.extend(SNAPSHOT.to_ne_bytes());
    header.extend(LINKTYPE_RAW.to_ne_bytes());
    file.write_all(&header)?;
    Ok(file)
}

/// One packet as the file has it.
fn packet(wall_ns: u64, bytes: &[u8], length: u32) -> Vec<u8> {
    let mut record = Vec::with_capacity(16 + bytes.len());
    record.extend(((wall_ns / 1_000_000_000) as u32).to_ne_bytes());
    record.extend(((wall_ns % 1_000_000_000 / 1000) as u32).to_ne_bytes());
    record.extend((bytes.len() as u32).to_ne_bytes());
    record.extend(length.max(bytes.len() as u32).to_ne_bytes());
    record.extend(bytes);
    record
}

impl Core {
    /// Appends a packet to its file, made anew by the first.
    pub(super) fn keep_packet(&mut self, path: &str, boot_ns: u64, action: &Action, payload: &[u8]) {
        let kept = decode::u32_at(payload, 0) as usize;
        if kept == 0 {
            return;
        }
        let wall = self.names.wall(boot_ns);
        let record = packet(wall, decode::slice(payload, 8, kept), decode::u32_at(payload, 4));
        let mut failed = None;
        if !self.captures.contains_key(path) {
            let file = create(path).map_err(|e| failed = Some(e)).ok();
            self.captures.insert(path.to_owned(), file);
        }
        if let Some(file) = self.captures.get_mut(path)
            && let Some(open) = file
            && let Err(e) = open.write_all(&record)
        {
            failed = Some(e);
            *file = None;
        }
        if let Some(e) = failed {
            self.complain(action, &format!("skboutput: {path}: {e}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    /// They hold packets as they were: also one that others could read is its owner's from then on.
    #[test]
    fn a_file_is_read_by_its_owner_only() {
        let path = std::env::temp_dir().join(format!("weftrace-skboutput-{}.pcap", std::process::id()));
        fs::write(&path, b"older and longer than a header of a file").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        create(path.to_str().expect("text")).expect("created");
        let there = fs::metadata(&path).expect("there");
        assert_eq!((there.permissions().mode() & 0o777, there.len()), (0o600, 24));
        fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn a_packet_cut_to_what_was_kept() {
        let record = packet(1_500_000_123_456, b"abc", 9);
        let numbers: Vec<u32> =
            record[..16].chunks(4).map(|c| u32::from_ne_bytes(c.try_into().expect("four bytes"))).collect();
        assert_eq!(numbers, [1500, 123, 3, 9]);
        assert_eq!(&record[16..], b"abc");
    }
}
