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
    assert_eq!((r.format, r.verbose), (Format::Json, 0));
}

#[test]
fn durations_have_units() {
    assert_eq!(run(&["--for", "500ms", "x"]).duration, Some(Duration::from_millis(500)));
    assert_eq!(run(&["--for", "2m", "x"]).duration, Some(Duration::from_mins(2)));
    let error = parse_words(&["run", "--for", "2y", "x"]).expect_err("no such unit");
    assert!(error.usage_error && error.text.contains("unknown unit `y`"), "{}", error.text);
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}
