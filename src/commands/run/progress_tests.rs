use super::*;
use std::io::{Seek, SeekFrom};

#[test]
fn the_kernel_knows_how_far_a_file_was_read() {
    let path = std::env::temp_dir().join(format!("weftrace-progress-{}", std::process::id()));
    fs::write(&path, vec![0; 1000]).expect("writable");
    let mut files = Files::of(std::slice::from_ref(&path)).expect("a file");
    files.look(Path::new("/proc/self"));
    assert_eq!((files.read(), files.all), (0, 1000));
    let mut file = fs::File::open(&path).expect("readable");
    file.seek(SeekFrom::Start(400)).expect("a file");
    files.look(Path::new("/proc/self"));
    assert_eq!(files.read(), 400);
    // Who reads looks back at times: it does not go back for that.
    file.seek(SeekFrom::Start(10)).expect("a file");
    files.look(Path::new("/proc/self"));
    assert_eq!(files.read(), 400);
    drop(file);
    files.look(Path::new("/proc/self"));
    assert_eq!(files.read(), 1000);
    fs::remove_file(&path).expect("ours");
    assert!(Files::of(&[path]).is_none() && Files::of(&[PathBuf::from("/dev/null")]).is_none());
}

#[test]
fn the_line_says_how_long_it_takes() {
    assert_eq!(
        line(4_000_000_000, 12_000_000_000, Duration::from_secs(5)),
        " 33 %  4.0 of 12.0 GB  0.80 GB/s  10 s left"
    );
    assert_eq!(line(0, 1_000_000_000, Duration::from_secs(1)), "  0 %  0.0 of 1.0 GB  0.00 GB/s");
}
