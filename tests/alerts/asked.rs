//! Alerts that blocks tell, sinks of the command line, and alerts of modules.

use super::{err, file, json, run, weftrace};
use crate::receivers::{ok, receiver};
use std::{fs, path::PathBuf};

/// Told ten times a second for a second; which of two groups, by turns.
const TELLS: &str = "alert \"told\" group by n, kind every 1s;
    interval:100ms { @i += 1;
      if (@i > 2 && @i < 13) { alert \"told\" group by n = @i % 2, kind = \"a b\" message \"%d at %d\", @i % 2, @i; }
      if (@i > 45) { exit(); } }";

/// A file of alerts that is gone at the end.
struct Told(PathBuf);

impl Told {
    fn new(name: &str) -> Self {
        let path = file(name);
        let _ = fs::remove_file(&path);
        Self(path)
    }

    fn to(&self) -> String {
        format!("file={}", self.0.display())
    }

    fn objects(&self) -> Vec<serde_json::Value> {
        fs::read_to_string(&self.0).expect("the file").lines().map(json).collect()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What a block tells is told once for each group and `every`, and is over when nothing was told for so long.
#[test]
fn blocks_tell() {
    let told = Told::new("told");
    let output = run(TELLS, &[], &["--alert-to", &told.to()]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    let objects = told.objects();
    for n in ["0", "1"] {
        let group: Vec<_> = objects.iter().filter(|o| o["labels"]["n"] == n).collect();
        let states: Vec<_> = group.iter().map(|o| (o["state"].as_str().unwrap_or(""), o["again"] == true)).collect();
        assert_eq!(
            (states.first(), states.last()),
            (Some(&("firing", false)), Some(&("resolved", false))),
            "{states:?}"
        );
        assert!(states.len() <= 3, "{states:?}");
        assert_eq!(group[0]["labels"]["kind"], "a b");
        assert_eq!(group[0]["message"], if n == "0" { "0 at 4" } else { "1 at 3" });
    }
    // The script says nothing: beside the output they are told too.
    assert!(
        err(&output).contains("Z  ALERT  told  1 at 3") && err(&output).contains("Z  RESOLVED  told  "),
        "{}",
        err(&output)
    );
}

/// Beside what the script says, once each, whatever `--alerts` says of the script's own.
#[test]
fn sinks_of_the_command_line() {
    let told = Told::new("asked");
    let (own, kept) = (Told::new("own"), Told::new("twice"));
    let script = |to: &str| {
        format!(
            "interval:100ms {{ @t++; if (@t > 3) {{ exit(); }} }} alert \"a\" on interval:100ms when @t > 0 to {to};"
        )
    };
    let at = own.0.display().to_string();
    let output = run(&script(&format!("file(\"{at}\")")), &[], &["--alerts", "stderr", "--alert-to", &told.to()]);
    assert_eq!((output.status.code(), told.objects().len(), own.0.exists()), (Some(4), 1, false), "{}", err(&output));
    let twice = kept.0.display().to_string();
    let output = run(&script(&format!("file(\"{twice}\")")), &[], &["--alert-to", &kept.to()]);
    assert_eq!((output.status.code(), kept.objects().len()), (Some(4), 1), "{}", err(&output));

    let (port, requests) = receiver(|_| ok(""));
    let url = format!("http://127.0.0.1:{port}/hook");
    let output =
        run(&script("stderr"), &[("HOOK", &url), ("T", "secret")], &["--alert-to", "webhook=env:HOOK,token_env=T"]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    let kept = requests.lock().expect("kept");
    assert!(kept.iter().any(|r| r.head.starts_with("POST /hook ") && json(&r.body)["alerts"][0]["alert"] == "a"));
    drop(kept);

    // What was captured long ago is sent where this very command line says so.
    let read = Told::new("read");
    let output =
        run("pcap:any { @n++; } alert \"a\" when @n > 0;", &[], &["--alert-to", &read.to(), "--read", super::CAPTURE]);
    assert_eq!((output.status.code(), read.objects().len()), (Some(4), 1), "{}", err(&output));
}

#[test]
fn what_is_wrong_with_them() {
    let script = "interval:1s { exit(); } alert \"a\" when @t > 0;";
    for (to, said) in [
        ("slack=https://hooks.slack.com/services/TOPSECRET", "everybody reads command lines; write slack=env:NAME"),
        ("slack=env:WEFTRACE_NO_SUCH", "error: --alert-to slack: the environment variable WEFTRACE_NO_SUCH isn't set"),
        ("mail=me", "alerts can't be sent to `mail`"),
    ] {
        let output = run(script, &[], &["--alert-to", to]);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        assert!(err(&output).contains(said), "{}", err(&output));
    }
    let output = run("interval:1s { exit(); }", &[], &["--alert-to", "stderr"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("error: --alert-to: -e has no alerts"), "{}", err(&output));
    // A dry run writes nothing.
    let told = Told::new("dry");
    assert_eq!(run(script, &[], &["--dry-run", "--alert-to", &told.to()]).status.code(), Some(0));
    assert!(!told.0.exists());
}

/// Of several machines at one Alertmanager: who sends, and whose it is.
#[test]
fn labels_of_the_command_line() {
    let told = Told::new("labels");
    let script = "alert \"a\" group by n labels team = \"net\"; interval:100ms { @t++; alert \"a\" group by n = 1; if (@t > 3) { exit(); } }";
    let with = |labels: &[&str]| {
        let to = told.to();
        let mut args = vec!["--alert-to", to.as_str()];
        for label in labels {
            args.extend(["--alert-label", *label]);
        }
        run(script, &[], &args)
    };
    assert_eq!(with(&["instance=web-3", "env=a b"]).status.code(), Some(4));
    let labels = json("{\"n\": \"1\", \"team\": \"net\", \"instance\": \"web-3\", \"env\": \"a b\"}");
    assert_eq!(told.objects()[0]["labels"], labels);
    for (labels, said) in [
        (["team=x", "b=c"], "error: --alert-label team: alert \"a\" has a label of this name"),
        (["n=x", "b=c"], "error: --alert-label n: alert \"a\" has a label of this name"),
        (["b=x", "b=c"], "error: --alert-label b: it is given twice"),
        (["b=x", "a-b=c"], "`a-b` is no label's name"),
    ] {
        let output = with(&labels);
        assert!(output.status.code() == Some(2) && err(&output).contains(said), "{}", err(&output));
    }
}

/// A module's alerts come along with it, with the probes that they need; where they go is said at the start.
#[test]
fn modules_have_alerts() {
    let folder = file("modules");
    fs::create_dir_all(&folder).expect("a folder");
    let told = Told::new("module");
    let module = format!(
        "interval:100ms {{ @__queries[\"db\"] = count(); }}
         interval:1s {{ emit never.read(n = 1); }}
         alert \"queries\" when rate(@__queries[$of], 1s) > 2 group by $of to file(\"{}\");
         alert \"told\" group by of;
         interval:300ms {{ alert \"told\" group by of = \"db\" message \"by a block\"; }}",
        told.0.display()
    );
    fs::write(folder.join("db.probe"), module).expect("written");
    let script = |text: &str| {
        let path = folder.join("a.probe");
        fs::write(&path, format!("import \"./db\";\n{text}")).expect("written");
        weftrace(&["run", "-v", &path.to_string_lossy()]).output().expect("it runs")
    };
    let output = script("interval:2500ms { exit(); } alert \"own\" on interval:100ms when 1;");
    let said = err(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("db.probe: alert \"queries\" goes to file {}\n", told.0.display())), "{said}");
    assert!(!said.contains("alert \"told\" goes to"), "{said}");
    assert!(said.contains("Z  ALERT  told  by a block") && said.contains("Z  ALERT  own"), "{said}");
    assert_eq!(told.objects()[0]["labels"]["of"], "db");
    // What no alert asks for is left out as ever.
    assert_eq!(said.matches("interval:1s ").count(), 0, "{said}");

    let clash = script("alert \"told\" on interval:1s when 1;");
    let said = err(&clash);
    assert_eq!(clash.status.code(), Some(1), "{said}");
    assert!(said.contains("error: two alerts have this name") && said.contains("db.probe:4:"), "{said}");
    assert!(said.contains("a script and its modules have names of their own"), "{said}");
    let _ = fs::remove_dir_all(&folder);
}
