use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weftrace-tree-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tree() -> Tree {
    let mut tree = Tree::default();
    for (path, content) in [("db.probe", "BEGIN { }"), ("a/b.probe", "END { }")] {
        tree.add(path, content.into()).expect("fine");
    }
    tree
}

#[test]
fn what_was_written_is_read() {
    let folder = Folder::new("same");
    tree().write(&folder.0).expect("written");
    let read = Tree::read(&folder.0).expect("read");
    assert_eq!(read, tree());
    assert_eq!(read.digest(), tree().digest());
    assert!(read.digest().starts_with("sha256:") && read.digest().len() == 7 + 64);
}

#[test]
fn digests_tell_names_from_content() {
    let of = |files: &[(&str, &str)]| {
        let mut tree = Tree::default();
        for (path, content) in files {
            tree.add(path, (*content).into()).expect("fine");
        }
        tree.digest()
    };
    assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
    assert_ne!(of(&[("a", "")]), of(&[]));
    assert_ne!(of(&[("a", "x"), ("b", "y")]), of(&[("a", "y"), ("b", "x")]));
}

#[test]
fn what_everybody_may_write_is_refused() {
    let folder = Folder::new("open");
    tree().write(&folder.0).expect("written");
    for path in [folder.0.clone(), folder.0.join("a"), folder.0.join("db.probe")] {
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o002)).expect("ours");
        let error = Tree::read(&folder.0).expect_err("refused");
        assert!(error.what.contains("everybody may write to"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
    }
    Tree::read(&folder.0).expect("fine again");
}

#[test]
fn links_and_names_that_lead_elsewhere_are_refused() {
    let folder = Folder::new("links");
    tree().write(&folder.0).expect("written");
    symlink("/etc/hostname", folder.0.join("link.probe")).expect("ours");
    assert!(Tree::read(&folder.0).is_err());
    for path in ["../x", "/x", "a//b", "a/./b", ".git/hooks/x", "a/.GIT/x", "a\nb", ""] {
        assert!(Tree::default().add(path, Vec::new()).is_err(), "{path}");
    }
}

/// Opening one waits for a writer, whom nobody promised.
#[test]
fn a_fifo_is_no_file() {
    let folder = Folder::new("fifo");
    tree().write(&folder.0).expect("written");
    let fifo = folder.0.join("fifo.probe");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    assert!(read_file(&fifo).expect_err("refused").what.contains("is no file"));
    assert!(Tree::read(&folder.0).expect_err("refused").what.contains("is neither a file nor a folder"));
}
