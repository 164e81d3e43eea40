use super::*;
use crate::{
    join::{
        JoinResult,
        show::tests::{facts, result},
    },
    names::NoNames,
    sink::tests::Shared,
};

fn events(result: &JoinResult) -> String {
    let (out, rest) = (Shared::default(), Shared::default());
    let others = TextSink::new(Box::new(rest.clone()), Box::new(rest), true);
    let mut sink = PerfettoSink::new(Box::new(out.clone()), others);
    let shown = Shown { result, facts: &facts() };
    for message in [Message::Joined(&shown), Message::End] {
        sink.message(&message, &mut Style::new(&mut NoNames)).expect("written");
    }
    sink.flush().expect("flushed");
    out.text()
}

/// A leg that can't be blamed covers nothing and is covered by nothing: its track says what its line says.
#[test]
fn legs_without_blame_are_told_as_in_text() {
    let mut result = result("/small");
    result.blame.retain(|leg| *leg != 2);
    result.legs[2].charged = 0;
    let text = events(&result);
    assert!(text.contains("\"loss 300\"") && !text.contains("covered"), "{text}");
    assert!(line::text(&Shown { result: &result, facts: &facts() }).contains("loss 300 |"));
}

#[test]
fn each_argument_stands_once() {
    let mut result = result("/small");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    result.ids = [("trace_id", trace), ("join", "other"), ("join", "other"), ("join", "third"), ("order", "7")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let shown = Shown { result: &result, facts: &facts() };
    let all = arguments(&shown);
    let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(all[2..4], [("community_id", "1:LQU9"), ("trace_id", trace)]);
    assert_eq!(all[4..], [("id.join", "other"), ("id.id.join", "third"), ("order", "7")]);
    assert_eq!((all[0], events(&result).matches("\"trace_id\"").count()), (("join", "slow"), 1));
}
