use super::*;

fn parse_words(words: &[&str]) -> Result<Command, Early> {
    parse(std::iter::once("weftrace").chain(words.iter().copied()).map(OsString::from))
}

fn run(words: &[&str]) -> Run {
    match parse_words(words) {
        Ok(Command::Run(run)) => run,
        other => panic!("not a run: {other:?}"),
    }
}

#[test]
fn a_script_alone_is_run() {
    assert_eq!(run(&["x.probe"]).source.script, ["x.probe"]);
    assert_eq!(run(&["-e", "BEGIN {}"]).source.program.as_deref(), Some("BEGIN {}"));
    assert_eq!(run(&["-v", "-q", "x.bt"]).verbose, 1);
}

#[test]
fn flags_after_the_script_are_the_scripts() {
    let r = run(&["run", "-f", "json", "tcp/retransmit", "--threshold", "5", "-v"]);
    assert_eq!(r.source.script, ["tcp/retransmit", "--threshold", "5", "-v"]);
    assert_eq!((r.format, r.verbose), (Output::Json, 0));
}

#[test]
fn durations_have_units() {
    assert_eq!(run(&["--for", "500ms", "x"]).duration, Some(Duration::from_millis(500)));
    assert_eq!(run(&["--for", "2m", "x"]).duration, Some(Duration::from_mins(2)));
    let error = parse_words(&["run", "--for", "2y", "x"]).expect_err("no such unit");
    assert!(error.usage_error && error.text.contains("unknown unit `y`"), "{}", error.text);
}

#[test]
fn times_of_sources_are_true_to_so_much() {
    let given = |value: &str| run(&["--uncertainty", value, "x"]).uncertainty;
    for (word, ns) in [("200us", 200_000), ("5ms", 5_000_000), ("30ns", 30), ("7µs", 7_000), ("1s", 1_000_000_000)] {
        assert_eq!(given(&format!("packets={word}")), [("packets".to_owned(), ns)], "{word}");
    }
    for (word, said) in [("5ms", "names no source"), ("a=5y", "unknown unit"), ("a=us", "is no duration")] {
        let error = parse_words(&["run", "--uncertainty", word, "x"]).expect_err("wrong");
        assert!(error.text.contains(said), "{}", error.text);
    }
    assert!(parse_words(&["run", "--uncertainty", "a=99999999999999999999ns", "x"]).is_err());
    assert!(parse_words(&["run", "--uncertainty", "a=99999999999999999us", "x"]).is_err());
}

#[test]
fn sizes_have_units() {
    for (word, memory, file) in [
        ("512", Some(512), Some(512)),
        ("8k", Some(8 << 10), Some(8_000)),
        ("1G", Some(1 << 30), Some(1_000_000_000)),
        ("1kb", Some(1_000), Some(1_000)),
        ("3MiB", Some(3 << 20), Some(3 << 20)),
        ("3Mi", Some(3 << 20), Some(3 << 20)),
        ("100MB", Some(100_000_000), Some(100_000_000)),
        ("5GB", None, Some(5_000_000_000)),
        ("0", Some(0), None),
        ("1MBBB", None, None),
        ("1i", None, None),
        ("99999999999GB", None, None),
        ("x", None, None),
    ] {
        assert_eq!((size(word).ok(), file_size(word).ok()), (memory, file), "{word}");
    }
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}
