//! A report, which asserts nothing: HTTP/1 messages of a directory of captures (`WEFTRACE_HTTP_CAPTURES=DIR`) that tshark has otherwise, by
//! capture, to be looked at by hand. packet_truth.rs and packet_tshark.rs are the tests that compare. Made with
//! tshark 4.0, which looks for HTTP on some ports only: captures in which it sees none are left out. Its output is kept as `FILE.truth`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::strings;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use weftrace_artifact::packet::{PacketView, layer};
use weftrace_probes::packet::source::Captures;
use weftrace_probes::packet::{ALL_NEEDS, Options, Pipeline};

const NAMES: [&str; 5] =
    ["http.request.method", "http.request.uri", "http.response.code", "http.host", "http.response.phrase"];

type Seen = BTreeMap<u64, [Vec<String>; 5]>;

fn theirs(capture: &Path) -> Seen {
    let kept = capture.with_file_name(format!("{}.truth", capture.file_name().unwrap().to_string_lossy()));
    if !kept.is_file() {
        let mut command = Command::new("tshark");
        command.args(["-n", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\u{1f}", "-Y", "http"]);
        command.args(["-e", "frame.number"]);
        for name in NAMES {
            command.args(["-e", name]);
        }
        let output = command.arg("-r").arg(capture).output().expect("tshark runs");
        std::fs::write(&kept, output.stdout).unwrap();
    }
    let mut seen = Seen::new();
    for line in String::from_utf8_lossy(&std::fs::read(kept).unwrap()).lines() {
        let mut cells = line.split('\t');
        let number = cells.next().unwrap().parse().unwrap();
        let mut values: [Vec<String>; 5] = Default::default();
        for (values, cell) in values.iter_mut().zip(cells) {
            values.extend(cell.split('\u{1f}').filter(|v| !v.is_empty()).map(str::to_owned));
        }
        if values.iter().any(|values| !values.is_empty()) {
            seen.insert(number, values);
        }
    }
    seen
}

fn add(view: &PacketView, seen: &mut Seen) {
    if view.layers & layer::HTTP == 0 {
        return;
    }
    let all = seen.entry(view.number).or_default();
    let mut put = |at: usize, bit: u64, text: String| {
        if view.layers & bit != 0 && !text.is_empty() {
            all[at].push(text);
        }
    };
    put(0, layer::HTTP_REQUEST, strings::text(view.http.method));
    put(1, layer::HTTP_REQUEST, strings::text(view.http.uri));
    put(2, layer::HTTP_RESPONSE, view.http.status.to_string());
    put(3, layer::HTTP_HOST, strings::text(view.http.host));
    put(4, layer::HTTP_RESPONSE, strings::text(view.http.phrase));
}

#[test]
fn report_messages_that_tshark_has_otherwise() {
    let Some(dir) = std::env::var_os("WEFTRACE_HTTP_CAPTURES") else {
        println!("SKIP WEFTRACE_HTTP_CAPTURES: not asked for");
        return;
    };
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_none_or(|e| e != "truth"));
    // tshark may still be at work on the rest.
    if std::env::var_os("WEFTRACE_HTTP_KEPT").is_some() {
        paths.retain(|path| {
            path.with_file_name(format!("{}.truth", path.file_name().unwrap().to_string_lossy())).is_file()
        });
    }
    paths.sort();
    let (mut captures, mut equal, mut packets, mut wrong) = (0, 0, 0, 0);
    for path in paths {
        let want = theirs(&path);
        if want.is_empty() {
            continue;
        }
        let mut have = Seen::new();
        let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        let mut view = PacketView::default();
        let mut files = Captures::new([path.clone()]);
        while let Ok(Some(packet)) = files.next_packet() {
            pipeline.process(&packet, &mut view);
            add(&view, &mut have);
            while pipeline.next_part(&mut view).is_some() {
                add(&view, &mut have);
            }
        }
        captures += 1;
        packets += want.len();
        let none = Default::default();
        let numbers: std::collections::BTreeSet<_> = have.keys().chain(want.keys()).collect();
        let differ: Vec<_> = numbers
            .into_iter()
            .filter(|number| have.get(number).unwrap_or(&none) != want.get(number).unwrap_or(&none))
            .collect();
        equal += usize::from(differ.is_empty());
        wrong += differ.len();
        if !differ.is_empty() {
            println!("{}: {} of {} differ", path.display(), differ.len(), want.len());
        }
        for number in differ.iter().take(3) {
            println!("  {number} have {:?}", have.get(number).unwrap_or(&none));
            println!("  {number} want {:?}", want.get(number).unwrap_or(&none));
        }
    }
    println!("{captures} captures, {equal} equal; {packets} packets with messages, {wrong} differ");
}
