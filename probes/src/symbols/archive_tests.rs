use super::*;
use std::io::Write;

/// A zip with one member; `method` 0 is stored.
fn zip(name: &str, content: &[u8], method: u16) -> Vec<u8> {
    let lens = |out: &mut Vec<u8>| {
        out.extend(0u32.to_le_bytes());
        out.extend((content.len() as u32).to_le_bytes());
        out.extend((content.len() as u32).to_le_bytes());
        out.extend((name.len() as u16).to_le_bytes());
        out.extend(0u16.to_le_bytes());
    };
    let mut out = Vec::from(LOCAL_MAGIC);
    out.extend([20, 0, 0, 0]);
    out.extend(method.to_le_bytes());
    out.extend([0; 4]);
    lens(&mut out);
    out.extend(name.as_bytes());
    out.extend(content);
    let directory = out.len() as u32;
    out.extend(CENTRAL_MAGIC);
    out.extend([20, 0, 20, 0, 0, 0]);
    out.extend(method.to_le_bytes());
    out.extend([0; 4]);
    lens(&mut out);
    out.extend([0; 14]);
    out.extend(name.as_bytes());
    let size = out.len() as u32 - directory;
    out.extend(END_MAGIC);
    out.extend([0, 0, 0, 0, 1, 0, 1, 0]);
    out.extend(size.to_le_bytes());
    out.extend(directory.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn file(bytes: &[u8], name: &str) -> (File, PathBuf) {
    let path = std::env::temp_dir().join(format!("weftrace-{name}-{}", std::process::id()));
    File::create(&path).and_then(|mut f| f.write_all(bytes)).expect("written");
    (File::open(&path).expect("opened"), path)
}

#[test]
fn a_stored_member_is_found() {
    let bytes = zip("lib/x.so", b"\x7fELF...", 0);
    let (f, path) = file(&bytes, "zip-stored");
    let (at, len) = member(&f, "lib/x.so").expect("there");
    assert_eq!(&bytes[at as usize..(at + len) as usize], b"\x7fELF...");
    let error = member(&f, "lib/y.so").expect_err("not there");
    assert_eq!(error.to_string(), "it has no member lib/y.so");
    let inside = PathBuf::from(format!("{}!/lib/x.so", path.display()));
    assert_eq!(split(&inside), Some((path.clone(), "lib/x.so".into())));
    assert_eq!(container(&inside), path);
    std::fs::remove_file(path).expect("removed");
}

#[test]
fn what_cannot_be_mapped_is_said() {
    let (f, path) = file(&zip("x", b"abc", 8), "zip-deflated");
    assert!(member(&f, "x").expect_err("compressed").to_string().contains("compressed"));
    std::fs::remove_file(path).expect("removed");
    let (f, path) = file(b"no zip at all", "zip-none");
    assert_eq!(member(&f, "x").expect_err("no zip").to_string(), "it is not a zip archive");
    std::fs::remove_file(path).expect("removed");
}
