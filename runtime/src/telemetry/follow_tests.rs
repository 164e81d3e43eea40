use super::*;
use crate::telemetry::Wanted;
use std::{io::Write, sync::atomic::Ordering::Relaxed};
use tokio::sync::mpsc::Receiver;
use weftrace_artifact::telemetry::Signal;
use weftrace_probes::telemetry::Record;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weftrace-follow-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("made");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn line(name: &str) -> String {
    format!(
        r#"{{"type": "span", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "service": "a", "name": "{name}", "start": 5, "end": 6}}"#
    ) + "\n"
}

fn write(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).expect("writable");
    file.write_all(text.as_bytes()).expect("written");
}

struct Reading {
    followed: Followed,
    intake: Intake,
    queue: Receiver<Vec<Record>>,
}

impl Reading {
    fn of(path: &Path) -> Self {
        let (intake, queue) = Intake::new(vec![Wanted::new(Signal::Span, "*", "*")]);
        Self { followed: Followed::new(path.to_owned(), open(path).expect("readable")), intake, queue }
    }

    /// Names of the spans that there are now.
    fn names(&mut self) -> Vec<String> {
        while self.followed.step(&self.intake) {}
        self.queued()
    }

    fn queued(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Ok(records) = self.queue.try_recv() {
            names.extend(records.into_iter().map(|record| record.name));
        }
        names
    }

    fn lost(&self) -> u64 {
        self.intake.counts.malformed.load(Relaxed)
    }
}

#[test]
fn a_file_that_is_cut_is_read_anew() {
    let folder = Folder::new("cut");
    let path = folder.file("spans");
    write(&path, &(line("a") + &line("b")));
    let mut reading = Reading::of(&path);
    assert_eq!(reading.names(), ["a", "b"]);
    let cut = || fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(0)).expect("cut");
    cut();
    assert!(reading.names().is_empty());
    write(&path, &line("c"));
    assert_eq!((reading.names(), reading.lost()), (vec!["c".to_owned()], 0));
    // Half a line is lost with the file, and told; what comes then is whole.
    write(&path, &line("d")[..40]);
    assert!(reading.names().is_empty());
    cut();
    write(&path, &line("e"));
    assert_eq!((reading.names(), reading.lost()), (vec!["e".to_owned()], 1));
}

/// As logrotate does it by renaming: who writes goes on with the old file for a while.
#[test]
fn a_name_that_is_given_to_another_file() {
    let folder = Folder::new("renamed");
    let (path, old) = (folder.file("spans"), folder.file("spans.1"));
    write(&path, &line("a"));
    let mut reading = Reading::of(&path);
    assert_eq!(reading.names(), ["a"]);
    fs::rename(&path, &old).expect("renamed");
    write(&old, &line("b"));
    assert_eq!(reading.names(), ["b"], "there is no other yet");
    write(&path, "");
    write(&old, &line("c"));
    assert_eq!(reading.names(), ["c"]);
    write(&path, &line("d"));
    write(&old, &line("e"));
    let mut both = reading.names();
    both.sort();
    assert_eq!(both, ["d", "e"]);
    // Once more before the first is done with: its last line needs no end.
    write(&old, line("f").trim_end());
    assert!(reading.names().is_empty());
    fs::rename(&path, folder.file("spans.2")).expect("renamed");
    write(&path, &line("g"));
    let mut both = reading.names();
    both.sort();
    assert_eq!((both, reading.lost()), (vec!["f".to_owned(), "g".to_owned()], 0));
}

#[test]
fn what_cannot_be_read_is_told_once() {
    let folder = Folder::new("shut");
    let path = folder.file("spans");
    write(&path, &line("a"));
    let mut reading = Reading::of(&path);
    assert_eq!(reading.names(), ["a"]);
    fs::remove_file(&path).expect("there");
    fs::create_dir(&path).expect("made");
    assert!(reading.names().is_empty() && reading.names().is_empty());
    assert_eq!(reading.lost(), 1);
    // Reading a folder fails each time.
    reading.followed.now.file = fs::File::open(&folder.0).expect("opened");
    assert!(reading.names().is_empty() && reading.names().is_empty());
    assert_eq!(reading.lost(), 2);
}

/// What can't be read is lost for as long as that lasts: a request of any second of it may have had spans that nobody has seen.
#[test]
fn what_cannot_be_read_counts_again_every_second() {
    let folder = Folder::new("again");
    let path = folder.file("spans");
    write(&path, &line("a"));
    let mut reading = Reading::of(&path);
    assert_eq!(reading.names(), ["a"]);
    let later = |failing: &mut Failing| failing.0 = failing.0.and_then(|counted| counted.checked_sub(AGAIN));
    fs::rename(&path, folder.file("spans.1")).expect("renamed");
    fs::create_dir(&path).expect("made");
    for lost in 1..4 {
        assert!(reading.names().is_empty() && reading.names().is_empty());
        assert_eq!(reading.lost(), lost);
        later(&mut reading.followed.shut);
    }
    // Nobody knows what is written to a file that was not read, when another is to follow it.
    fs::remove_dir(&path).expect("empty");
    assert!(reading.names().is_empty());
    assert_eq!(reading.lost(), 4);
    write(&path, &line("b"));
    later(&mut reading.followed.shut);
    assert_eq!((reading.names(), reading.lost()), (vec!["b".to_owned()], 4));
    // While there is none its writer goes on with the last.
    fs::remove_file(&path).expect("there");
    assert!(reading.names().is_empty());
    assert_eq!(reading.lost(), 4);
    // Reading a folder fails each time.
    reading.followed.now.file = fs::File::open(&folder.0).expect("opened");
    for lost in 5..8 {
        assert!(reading.names().is_empty() && reading.names().is_empty());
        assert_eq!(reading.lost(), lost);
        later(&mut reading.followed.now.failing);
    }
}

/// Whether there is a file of this name isn't known where its folder can't be looked into (here the folder is none).
#[test]
fn a_folder_that_cannot_be_looked_into() {
    let folder = Folder::new("looked");
    let (inner, path) = (folder.file("logs"), folder.file("logs/spans"));
    fs::create_dir(&inner).expect("made");
    write(&path, &line("a"));
    let mut reading = Reading::of(&path);
    assert_eq!(reading.names(), ["a"]);
    fs::rename(&inner, folder.file("old")).expect("renamed");
    assert!(reading.names().is_empty());
    assert_eq!(reading.lost(), 0, "there is none of this name");
    fs::write(&inner, "").expect("written");
    assert!(reading.names().is_empty());
    assert_eq!(reading.lost(), 1);
    fs::remove_file(&inner).expect("there");
    fs::rename(folder.file("old"), &inner).expect("renamed");
    write(&path, &line("b"));
    assert_eq!((reading.names(), reading.lost()), (vec!["b".to_owned()], 1));
}

/// Nobody writes to it, somebody does, and then somebody else.
#[test]
fn a_pipe_stays_open() {
    let folder = Folder::new("pipe");
    let path = folder.file("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("coreutils").success());
    let mut reading = Reading::of(&path);
    assert!(reading.names().is_empty());
    for name in ["a", "b"] {
        let mut writer = fs::OpenOptions::new().write(true).open(&path).expect("read");
        writer.write_all(line(name).trim_end().as_bytes()).expect("written");
        assert!(reading.names().is_empty(), "the line may go on");
        drop(writer);
        assert_eq!(reading.names(), [name]);
    }
    reading.followed.finish(&reading.intake);
    assert!(reading.queued().is_empty() && !reading.followed.now.is_over && reading.lost() == 0);
}
