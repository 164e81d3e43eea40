//! What is said of Go programs whose TLS can't be read.

use super::{READ, WRITE, programs};
use crate::check::Options;
use crate::recorded::{RecordedWorld, WorldLog};
use crate::span::Span;
use crate::world::{Answer, GoAbi, GoFunction, GoRuntime, UserSymbol};

/// A program that runs, whose functions are as `change` makes them.
fn found(change: impl Fn(&mut GoFunction)) -> (usize, Vec<String>) {
    let path = "/srv/shop";
    let mut log = WorldLog::default();
    log.go_programs.insert(READ.into(), Answer::Found(vec![path.into()]));
    for (i, name) in [READ, WRITE, "crypto/tls.(*Conn).serverHandshake"].into_iter().enumerate() {
        let file_offset = i as u64 * 0x1000;
        let symbol = UserSymbol { path: path.into(), name: name.into(), file_offset, ..UserSymbol::default() };
        log.user_functions.insert(format!("{path}:{name}"), Answer::Found(vec![symbol]));
        let mut function = GoFunction {
            name: name.into(),
            start: file_offset,
            entry: file_offset + 10,
            returns: vec![file_offset + 90],
            tails: Vec::new(),
            unclear: None,
            looped: false,
            abi: GoAbi::Registers,
            runtime: GoRuntime { version: "go1.16.3".into(), ..GoRuntime::default() },
        };
        change(&mut function);
        log.go_function.insert(format!("{path}:{file_offset}"), Answer::Found(function));
    }
    let mut diags = Vec::new();
    let all = programs(&RecordedWorld::whole(log), &Options::default(), false, Span::default(), &mut diags);
    (all.len(), diags.iter().map(|d| format!("{}: {:?}", d.message, d.notes)).collect())
}

#[test]
fn what_keeps_a_program_from_being_probed_is_said() {
    assert_eq!(found(|_| ()), (1, Vec::new()));
    let (none, said) = found(|f| f.abi = GoAbi::Stack);
    assert_eq!((none, said.len()), (0, 1));
    assert!(
        said[0].contains("/srv/shop") && said[0].contains("go1.16.3") && said[0].contains("since Go 1.17"),
        "{said:?}"
    );
    let (none, said) = found(|f| f.unclear = Some("code that is not known".into()));
    assert_eq!(none, 0);
    assert!(said[0].contains(READ) && said[0].contains("code that is not known"), "{said:?}");
}
