use super::*;
use crate::{losses::LossKind, names::NoNames};
use std::{cell::RefCell, rc::Rc};

/// A writer that tests can look into.
#[derive(Clone, Default)]
pub(crate) struct Shared(Rc<RefCell<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("UTF-8")
    }
}

struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn say(sink: &mut dyn Sink, messages: &[Message<'_>]) {
    for message in messages {
        sink.message(message, &mut Style::new(&mut NoNames)).expect("written");
    }
    sink.flush().expect("flushed");
}

fn messages<'a>(at: &'a Location, lost: &'a [Lost], cost: &'a [Cost]) -> Vec<Message<'a>> {
    vec![
        Message::Attached(1),
        Message::Printf(b"test \r \n \t \\ \" bar"),
        Message::Value { ty: &Type::U32, bytes: &[5, 0, 0, 0] },
        Message::Time(b"12:00:00\n"),
        Message::Join(b"/bin/echo,'A'"),
        Message::Cat(b"1.0 2.0\n"),
        Message::System(b"a b c\n"),
        Message::Log { level: LogLevel::Error, text: b"ef cdef\n", at },
        Message::Log { level: LogLevel::Debug, text: b"no one sees this in text", at: &EMPTY },
        Message::NotAttached { probe: "kprobe:f", why: "no kprobes", remedy: Some("use fentry"), at: &EMPTY },
        Message::LostEvents(3),
        Message::Losses(lost),
        Message::Cost(cost),
        Message::End,
        Message::Alert { text: b"ALERT x", json: b"{\"x\": 1}" },
    ]
}

static EMPTY: Location = Location {
    file: String::new(),
    line: 0,
    column: 0,
    end_line: 0,
    end_column: 0,
    source: Vec::new(),
    frames: Vec::new(),
};

fn rows() -> (Location, Vec<Lost>, Vec<Cost>) {
    (
        Location { file: "stdin".into(), line: 1, column: 32, end_line: 1, end_column: 75, ..Location::default() },
        vec![Lost { source: "kprobe:f".into(), kind: LossKind::RingFull, count: 3, since: None }],
        vec![Cost { probe: "kprobe:f".into(), runs: 10, ns: 2_000_000 }],
    )
}

#[test]
fn text_as_bpftrace_prints_it() {
    let (out, err) = (Shared::default(), Shared::default());
    let mut sink = TextSink::new(Box::new(out.clone()), Box::new(err.clone()), false);
    let (at, lost, cost) = rows();
    say(&mut sink, &messages(&at, &lost, &cost));
    assert_eq!(out.text(), "test \r \n \t \\ \" bar5\n12:00:00\n/bin/echo,'A'\n1.0 2.0\na b c\n\n\n\n");
    assert_eq!(
        err.text(),
        "Attached 1 probe\nstdin:1:32-75: ERROR: ef cdef\nWARNING: kprobe:f did not attach: no kprobes\n   = use fentry\n\
         Lost 3 events\nWARNING: lost 3 events (the event ring was full): kprobe:f\n\
         cost: 10 runs, 200000 ns each, 2 ms in all: kprobe:f\nALERT x\n"
    );
}

#[test]
fn json_in_bpftraces_shapes() {
    let out = Shared::default();
    let mut sink = JsonSink::new(Box::new(out.clone()), false);
    let (at, lost, cost) = rows();
    say(&mut sink, &messages(&at, &lost, &cost));
    let expected = [
        r#"{"type": "attached_probes", "count": 1, "data": {"probes": 1}}"#,
        r#"{"type": "printf", "data": "test \r \n \t \\ \" bar"}"#,
        r#"{"type": "value", "data": 5}"#,
        r#"{"type": "time", "data": "12:00:00\n"}"#,
        r#"{"type": "join", "data": "/bin/echo,'A'"}"#,
        r#"{"type": "cat", "data": "1.0 2.0\n"}"#,
        r#"{"type": "syscall", "data": "a b c\n"}"#,
        r#"{"type": "errorf", "msg": "ef cdef\n", "filename": "stdin", "line": 1, "col": 32}"#,
        r#"{"type": "debugf", "msg": "no one sees this in text", "filename": "", "line": 0, "col": 0}"#,
        r#"{"type": "attach_error", "msg": "kprobe:f: no kprobes (use fentry)", "filename": "", "line": 0, "col": 0}"#,
        r#"{"type": "lost_events", "count": 3, "data": {"events": 3}}"#,
        r#"{"type": "losses", "data": [{"source": "kprobe:f", "kind": "ring_full", "count": 3}]}"#,
        r#"{"type": "cost", "data": [{"probe": "kprobe:f", "runs": 10, "ns": 2000000}]}"#,
        r#"{"type": "alert", "data": {"x": 1}}"#,
    ];
    let text = out.text();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("valid JSON");
    }
}

#[test]
fn plain_json_is_what_the_script_prints() {
    let (out, err) = (Shared::default(), Shared::default());
    let mut sink = PlainJsonSink::new(Box::new(out.clone()), Box::new(err.clone()));
    let (at, lost, cost) = rows();
    say(&mut sink, &messages(&at, &lost, &cost));
    assert_eq!(out.text(), "test \r \n \t \\ \" bar5\n12:00:00\n/bin/echo,'A'1.0 2.0\na b c\n");
    assert!(
        err.text().ends_with("ALERT x\n")
            && err.text().contains("WARNING: lost 3 events")
            && !err.text().contains("Attached"),
        "{}",
        err.text()
    );
}

#[test]
fn damaged_strings_stay_valid_json() {
    let out = Shared::default();
    let mut sink = JsonSink::new(Box::new(out.clone()), true);
    say(&mut sink, &[Message::Attached(9), Message::Printf(b"a\xff\x00\x1f\xc3\xa9")]);
    assert_eq!(out.text(), "{\"type\": \"printf\", \"data\": \"a\u{fffd}\\u0000\\u001fé\"}\n");
    serde_json::from_str::<serde_json::Value>(&out.text()).expect("valid JSON");
}

#[test]
fn a_closed_pipe_is_an_error_of_the_flush() {
    let mut sink = TextSink::new(Box::new(Closed), Box::new(Shared::default()), false);
    sink.message(&Message::Printf(b"x"), &mut Style::new(&mut NoNames)).expect("buffered");
    assert_eq!(sink.flush().expect_err("closed").kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn warnings_show_their_place_and_the_macros_around_it() {
    let line = |column, end_column, source: &str| Location {
        file: "stdin".into(),
        line: 1,
        column,
        end_line: 1,
        end_column,
        source: vec![source.into()],
        frames: Vec::new(),
    };
    let mut at = line(3, 6, "\t1/0");
    at.frames.push(line(1, 4, "f()"));
    let first = Message::Warning { text: "Map full", helper: Some(("map_update_elem", -7)), at: &at, times: 1 };
    let sum = Message::Warning { text: "Divided", helper: None, at: &at, times: 9 };
    let (out, err) = (Shared::default(), Shared::default());
    let mut sink = TextSink::new(Box::new(out.clone()), Box::new(err.clone()), true);
    say(&mut sink, &[first, sum]);
    let expected = [
        "stdin:1:3-6: WARNING: Map full",
        "Additional Info - helper: map_update_elem, retcode: -7",
        "    1/0",
        "     ~~",
        "stdin:1:1-4: WARNING: expanded from",
        "f()",
        "~~~",
        "stdin:1:3-6: WARNING: Divided (9 times in all)",
    ];
    assert_eq!(err.text().lines().take(8).collect::<Vec<_>>(), expected);
    let mut sink = JsonSink::new(Box::new(out.clone()), true);
    let first = Message::Warning { text: "Map full", helper: Some(("map_update_elem", -7)), at: &at, times: 1 };
    let sum = Message::Warning { text: "Divided", helper: None, at: &at, times: 9 };
    say(&mut sink, &[first, sum]);
    assert_eq!(
        out.text(),
        "{\"type\": \"helper_error\", \"msg\": \"Map full\", \"helper\": \"map_update_elem\", \"retcode\": -7, \
         \"filename\": \"stdin\", \"line\": 1, \"col\": 3}\n{\"type\": \"runtime_error\", \"msg\": \"Divided\", \
         \"filename\": \"stdin\", \"line\": 1, \"col\": 3, \"times\": 9}\n"
    );
}
