//! Which events stand for io_uring's operations, by what the kernel's events say.

use super::text;
use crate::hir::{Space, Ty};
use crate::recorded::{RecordedWorld, WorldLog};
use crate::world::{Answer, FnProto, Param};

/// The events of a kernel where these have these arguments; those that blocks are made for, or None.
fn blocks(events: &[(&str, &[Ty])]) -> Option<Vec<String>> {
    let mut log = WorldLog::default();
    for (event, params) in events {
        let params = params.iter().map(|ty| Param { name: String::new(), ty: ty.clone() }).collect();
        let proto = FnProto { name: (*event).into(), params, ret: Ty::Void };
        log.raw_tracepoint.insert((*event).into(), Answer::Found(proto));
        log.raw_tracepoints.insert((*event).into(), Answer::Found(vec![(*event).into()]));
    }
    let text = text(&RecordedWorld::whole(log))?;
    let event = |line: &str| Some(line.strip_prefix("rawtracepoint:")?.split_once(' ')?.0.to_owned());
    Some(text.lines().filter_map(event).collect())
}

#[test]
fn operations_are_counted_where_the_kernel_says_whose_they_are() {
    let pointer = || Ty::Ptr { to: Box::new(Ty::Void), space: Space::Kernel };
    // Linux 6.1, without operations that go on and on.
    let new = ("io_uring_complete", &[pointer(), pointer(), Ty::U64, Ty::I32][..]);
    assert_eq!(blocks(&[new]), Some(vec!["io_uring_complete".to_owned()]));
    // Linux 5.15.
    let old = ("io_uring_complete", &[pointer(), Ty::U64, Ty::I32, Ty::U32][..]);
    let begins = ("io_uring_submit_sqe", &[pointer(), pointer(), Ty::U8][..]);
    let woken = ("io_uring_task_run", &[pointer(), pointer(), Ty::U8, Ty::U64][..]);
    let both = vec!["io_uring_submit_sqe".to_owned(), "io_uring_task_run".to_owned()];
    assert_eq!(blocks(&[old, begins, woken]), Some(both));
    // Linux 5.9: nothing says it.
    let mute = ("io_uring_submit_sqe", &[pointer(), Ty::U8, Ty::U64][..]);
    assert_eq!(blocks(&[old, mute, woken]), None);
    // No io_uring.
    assert_eq!(blocks(&[]), Some(vec![]));
}
