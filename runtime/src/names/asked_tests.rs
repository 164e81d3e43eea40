use super::*;
use crate::{
    names::{KernelNames, Settings},
    record::code::Reader,
    sys::Clock,
};

fn names(answers: Answers) -> HostNames {
    let mut names = HostNames::new(Clock::recorded(), None, Settings::default(), KernelNames::default());
    names.answers = answers;
    names
}

#[test]
fn a_replay_shows_what_the_host_said() {
    let notes = Notes::default();
    let mut live = names(Answers::noted(notes.clone()));
    let root = live.user_name(0);
    assert_eq!(root.as_deref(), Some("root"));
    assert_eq!(live.user_name(0), root);
    assert_eq!(live.user_name(4_000_000_000), None);
    let blocks = notes.take();
    let mut replayed = names(Answers::recorded());
    let mut n = 0;
    for block in &blocks {
        let mut reader = Reader(block);
        while !reader.0.is_empty() {
            let Some(Event::Name(named)) = Event::take(&mut reader) else { panic!("no name") };
            replayed.answers.learn(named);
            n += 1;
        }
    }
    assert_eq!(n, 2, "each name is noted once");
    assert_eq!(replayed.user_name(0), root);
    // Of this host nothing is shown.
    assert_eq!(replayed.user_name(1), None);
    assert!(replayed.user(std::process::id(), a_replay_shows_what_the_host_said as *const () as u64).is_none());
}

#[test]
fn copies_of_stacks_differ() {
    assert_eq!(digest([b"ab", b"c"]), digest([b"a", b"bc"]));
    assert_ne!(digest([b"ab", b"c"]), digest([b"ab", b"d"]));
}
