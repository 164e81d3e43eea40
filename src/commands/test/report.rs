//! What is told: text for people, TAP 14 and JUnit's XML for machines.

use super::{Outcome, Report, Verdict};
use crate::{
    args::{Test, TestFormat},
    printer::{self, inert},
};
use std::{fmt::Write, fs};

/// Lines of a failure that text shows; files have all.
const MOST_LINES: usize = 60;

pub(super) fn write(reports: &[Report], orphans: &[String], args: &Test) -> Result<(), String> {
    let made = match args.format {
        TestFormat::Text => text(reports, orphans, args.verbose),
        TestFormat::Tap => tap(reports, orphans),
        TestFormat::Junit => junit(reports),
    };
    let Some(file) = &args.output else {
        printer::out(&made);
        return Ok(());
    };
    fs::write(file, made).map_err(|error| format!("{}: {error}", file.display()))?;
    // People look at the terminal.
    printer::out(&text(reports, orphans, args.verbose));
    Ok(())
}

fn cases(reports: &[Report]) -> impl Iterator<Item = (&Report, &Outcome)> {
    reports.iter().flat_map(|report| report.outcomes.iter().map(move |outcome| (report, outcome)))
}

fn text(reports: &[Report], orphans: &[String], verbose: bool) -> String {
    let mut out = String::new();
    let width = cases(reports).map(|(r, _)| r.script.len()).max().unwrap_or(0);
    for report in reports {
        for outcome in &report.outcomes {
            let word = match outcome.verdict {
                Verdict::Passed => "ok",
                Verdict::Blessed => "blessed",
                Verdict::Failed(_) => "FAILED",
                Verdict::Skipped(_) => "skipped",
            };
            let _ = writeln!(out, "{word:<8} {:width$}  {}", inert(&report.script), inert(&outcome.name));
            match &outcome.verdict {
                Verdict::Failed(why) => indented(&mut out, why),
                Verdict::Skipped(why) => indented(&mut out, why),
                Verdict::Passed | Verdict::Blessed => {}
            }
        }
        match &report.coverage {
            Some(Ok(coverage)) => {
                let _ = writeln!(out, "         {:width$}  {}", "", coverage.text());
                if verbose {
                    coverage.missed().iter().for_each(|place| indented(&mut out, place));
                }
            }
            Some(Err(why)) => {
                let _ = writeln!(out, "         {:width$}  coverage is not known: {why}", "");
            }
            None => {}
        }
    }
    let without: Vec<&str> = reports.iter().filter(|r| r.outcomes.is_empty()).map(|r| r.script.as_str()).collect();
    if !without.is_empty() {
        let _ = writeln!(out, "no fixture: {}", without.join(", "));
    }
    if !orphans.is_empty() {
        let _ = writeln!(out, "fixtures without a script: {}", inert(&orphans.join(", ")));
    }
    let (passed, failed, skipped) = totals(reports);
    let _ = writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped");
    out
}

fn indented(out: &mut String, text: &str) {
    let all = text.lines().count();
    for line in text.lines().take(MOST_LINES) {
        let _ = writeln!(out, "    {}", inert(line));
    }
    if all > MOST_LINES {
        let _ = writeln!(out, "    … {} more lines", all - MOST_LINES);
    }
}

/// Passed, failed, skipped.
fn totals(reports: &[Report]) -> (usize, usize, usize) {
    let count = |is: fn(&Verdict) -> bool| cases(reports).filter(|(_, o)| is(&o.verdict)).count();
    (
        count(|v| matches!(v, Verdict::Passed | Verdict::Blessed)),
        count(|v| matches!(v, Verdict::Failed(_))),
        count(|v| matches!(v, Verdict::Skipped(_))),
    )
}

/// <https://testanything.org/tap-version-14-specification.html>
fn tap(reports: &[Report], orphans: &[String]) -> String {
    let mut out = format!("TAP version 14\n1..{}\n", cases(reports).count());
    for (number, (report, outcome)) in (1..).zip(cases(reports)) {
        let ok = if matches!(outcome.verdict, Verdict::Failed(_)) { "not ok" } else { "ok" };
        let name = format!("{} {}", report.script, outcome.name).replace('\\', "\\\\").replace('#', "\\#");
        let _ = write!(out, "{ok} {number} - {}", inert(&name));
        match &outcome.verdict {
            Verdict::Skipped(why) => {
                let _ = write!(out, " # SKIP {}", inert(why.lines().next().unwrap_or_default()));
            }
            Verdict::Failed(why) => {
                let _ = write!(out, "\n  ---\n  message: |");
                why.lines().for_each(|line| {
                    let _ = write!(out, "\n    {}", inert(line));
                });
                let _ = write!(out, "\n  ...");
            }
            Verdict::Passed | Verdict::Blessed => {}
        }
        out.push('\n');
    }
    for report in reports {
        if let Some(Ok(coverage)) = &report.coverage {
            let _ = writeln!(out, "# {}: {}", inert(&report.script), coverage.text());
        }
    }
    for orphan in orphans {
        let _ = writeln!(out, "# {}: a fixture without a script", inert(orphan));
    }
    out
}

/// The form that CI servers read: a suite for each script.
fn junit(reports: &[Report]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (passed, failed, skipped) = totals(reports);
    let all = passed + failed + skipped;
    let _ = writeln!(out, "<testsuites name=\"weftrace\" tests=\"{all}\" failures=\"{failed}\" skipped=\"{skipped}\">");
    for report in reports.iter().filter(|r| !r.outcomes.is_empty()) {
        let (passed, failed, skipped) = totals(std::slice::from_ref(report));
        let took: f64 = report.outcomes.iter().map(|o| o.took.as_secs_f64()).sum();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{took:.3}\">",
            xml(&report.script),
            passed + failed + skipped
        );
        if let Some(Ok(coverage)) = &report.coverage {
            let text = xml(&coverage.text());
            let _ = writeln!(out, "    <properties><property name=\"coverage\" value=\"{text}\"/></properties>");
        }
        report.outcomes.iter().for_each(|outcome| case(&mut out, report, outcome));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, report: &Report, outcome: &Outcome) {
    let (script, name, took) = (xml(&report.script), xml(&outcome.name), outcome.took.as_secs_f64());
    let _ = write!(out, "    <testcase classname=\"{script}\" name=\"{name}\" time=\"{took:.3}\"");
    let _ = match &outcome.verdict {
        Verdict::Passed | Verdict::Blessed => writeln!(out, "/>"),
        Verdict::Skipped(why) => writeln!(out, "><skipped message=\"{}\"/></testcase>", xml(why)),
        Verdict::Failed(why) => {
            let first = why.lines().next().unwrap_or_default();
            writeln!(out, "><failure message=\"{}\">{}</failure></testcase>", xml(first), xml(why))
        }
    };
}

/// Text within XML; what XML can't hold at all is written as `\xNN`.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            '\t' => out.push('\t'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
