use super::*;
use crate::alert::{AlertTargets, State};
use weftrace_artifact::{
    Place,
    alert::{AlertSpec, SinkKind, SinkSpec, ValueFrom},
};

/// A sink of this kind, whose address is taken from a variable.
pub(in crate::alert) fn target(kind: SinkKind) -> Target {
    let at = Some(ValueFrom::Env("HOOK".into()));
    let sinks = vec![SinkSpec { kind, at, secret: None, place: Place::default() }];
    let alert = AlertSpec { name: "a".into(), sinks, ..AlertSpec::default() };
    let address = |_: &str| Some("http://127.0.0.1:1/TOPSECRET".to_owned());
    AlertTargets::resolve("s", (&[alert], &[]), None, &address).expect("resolved").targets.remove(0)
}

pub(in crate::alert) fn notice(group: usize) -> Notice {
    Notice {
        alert: 0,
        name: "slow".into(),
        state: State::Firing,
        labels: vec![("n".into(), group.to_string())],
        message: String::new(),
        condition: String::new(),
        since: 0,
        time: 0,
        untold: 0,
        record: None,
    }
}

const NAME: &str = "alerts: webhook (of HOOK)";

/// A queue that nobody empties is full with 2,048: the rest is counted, and told once as it begins and once at the end.
#[test]
fn the_queue_is_bounded() {
    let mut work = None;
    let mut remote = Remote::start_by(&target(SinkKind::Webhook), "s", Client::default(), |given| {
        work = Some(given);
        Ok(())
    });
    (0..2048).for_each(|n| remote.send(Box::new(notice(n))));
    assert!(remote.take_said().is_empty());
    (0..5).for_each(|n| remote.send(Box::new(notice(n))));
    assert_eq!(remote.take_said(), [format!("{NAME}: more than 2048 wait to be sent: what comes is dropped")]);
    remote.end(Instant::now());
    let said = remote.finish(Instant::now());
    assert_eq!(said, [format!("{NAME}: 2053 of 2053 were not taken: no answer; 5 of them: too many at once")]);
}

/// No thread: what was to be sent is counted, and why.
#[test]
fn a_thread_that_cant_be_started() {
    let none = |_: Box<dyn FnOnce() + Send>| Err(io::Error::from_raw_os_error(libc::EAGAIN));
    let mut remote = Remote::start_by(&target(SinkKind::Webhook), "s", Client::default(), none);
    let said = remote.take_said();
    assert!(said.len() == 1 && said[0].ends_with("(os error 11)): nothing is sent there"), "{said:?}");
    (0..3).for_each(|n| remote.send(Box::new(notice(n))));
    remote.end(Instant::now());
    // It doesn't wait for what never began.
    let said = remote.finish(Instant::now() + Duration::from_hours(1));
    assert!(said.len() == 1 && said[0].contains("3 of 3 were not taken: its thread can't be started"), "{said:?}");
}

/// The end of the run wakes who waits; and the end of the thread, who waits for it.
#[test]
fn ends_are_heard() {
    let shared = Arc::new(Shared::default());
    let began = Instant::now();
    let waits = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || shared.wait(began + Duration::from_mins(4), began))
    };
    shared.news().ended = Some(began);
    shared.changed.notify_all();
    assert!(!waits.join().expect("it ends"));
    // What is due is not waited for.
    assert!(shared.wait(began, began));
    let hour = Duration::from_hours(1);
    let mut remote = Remote::start(&target(SinkKind::Webhook), "s", Client::default());
    remote.end(began);
    assert_eq!(remote.finish(began + hour), [""; 0]);
}
