//! Files as they are laid out; tests/keep.rs has tshark read them.

use super::*;
use std::os::unix::fs::PermissionsExt;
use weftrace_probes::packet::LinkType;

fn raw(data: &[u8], time_ns: u64) -> RawPacket<'_> {
    RawPacket { len: 100, interface: 3, time_ns, ..RawPacket::new(LinkType::ETHERNET, data, 1) }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("weftrace-keep-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("writable");
    folder
}

#[test]
fn blocks_are_whole_and_counted() {
    let mut out = pcapng::section();
    Interface::of(&raw(b"abcde", 1)).describe(&mut out);
    pcapng::packet(&mut out, 0, &raw(b"abcde", 1 << 33), b"why \xff");
    pcapng::packet(&mut out, 0, &raw(b"", 5), &vec![b'x'; 70_000]);
    assert_eq!(out.len() % 4, 0);
    assert_eq!(pcapng::packets(&out), 2);
    for cut in 0..out.len().min(300) {
        pcapng::packets(&out[..cut]);
    }
}

#[test]
fn a_file_that_is_read_is_not_overwritten() {
    let folder = folder("read");
    let path = folder.join("in.pcap");
    fs::write(&path, b"precious").expect("writable");
    // By another name, too.
    let link = folder.join("link.pcapng");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    for to in [&path, &link] {
        let options = KeepOptions { path: to.clone(), ..KeepOptions::default() };
        assert!(Keeper::new(options, std::slice::from_ref(&path)).is_err());
    }
    assert_eq!(fs::read(&path).expect("there"), b"precious");
    fs::remove_dir_all(folder).expect("removable");
}

/// They hold packets as they were.
#[test]
fn files_are_read_by_their_owner_only() {
    let folder = folder("owner");
    let path = folder.join("out.pcapng");
    fs::write(&path, b"older").expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
    for path in [path, folder.join("new.pcapng")] {
        Keeper::new(KeepOptions { path: path.clone(), ..KeepOptions::default() }, &[]).expect("opened");
        let there = fs::metadata(&path).expect("there");
        assert_eq!((there.permissions().mode() & 0o777, there.len()), (0o600, 0));
    }
    fs::remove_dir_all(folder).expect("removable");
}

#[test]
fn files_roll_by_size_and_only_the_last_stay() {
    let folder = folder("roll");
    let options = KeepOptions { path: folder.join("out.pcapng"), size: Some(200), every: None, files: Some(2) };
    let mut keeper = Keeper::new(options, &[]).expect("a folder");
    for time in 0..20 {
        if keeper.full(time) {
            if let Some(mut open) = keeper.open.take() {
                open.flush().expect("written");
            }
            keeper.open(time, "stamp").expect("opened");
        }
        keeper.packet(&raw(&[7; 60], time), b"").expect("kept");
    }
    let mut names: Vec<_> = fs::read_dir(&folder).expect("there").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[1].to_string_lossy(), format!("out_{:05}_stamp.pcapng", keeper.number));
    fs::remove_dir_all(folder).expect("removable");
}

#[test]
fn files_roll_by_time() {
    let options = KeepOptions { path: "out.pcapng".into(), size: None, every: Some(100), files: None };
    let mut keeper = Keeper::new(options, &[]).expect("a folder");
    assert!(keeper.full(0));
    let (pending, path) = (Vec::new(), PathBuf::new());
    let file = File::open("/dev/null").expect("there");
    keeper.open = Some(Open { file, path, written: 0, pending, since: 1000, interfaces: Vec::new() });
    assert!(!keeper.full(1099));
    assert!(keeper.full(1100));
}
