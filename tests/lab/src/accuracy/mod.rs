//! `lab accuracy`: real programs, faults induced one at a time and mixed, and what the bundled script makes of each request, held against
//! the logs of the client, the service and the injector. docs/accuracy.md says how to read it.

mod drops;
mod host;
mod inject;
mod judge;
#[cfg(test)]
mod judge_tests;
mod logs;
mod plan;
mod report;
mod script;
mod waits;

use crate::{net::Net, sys, watch::Watch};
use host::Host;
use judge::{Hold, Tally};
use logs::Logs;
use plan::{Cause, Mode, Plan};
use script::Script;
use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What to run.
#[derive(Debug)]
pub struct Options {
    pub weftrace: PathBuf,
    pub python: PathBuf,
    pub script: PathBuf,
    /// The `std` beside a script that isn't the bundled one.
    modules: Option<PathBuf>,
    /// Some of them; none: all.
    pub causes: Vec<Cause>,
    pub mode: Option<Mode>,
    pub count: u64,
    pub rate: u32,
    /// Whether the join gets the request's id; None: once without and once with it.
    pub ids: Option<bool>,
    /// The document whose table gets a row for each run.
    pub report: Option<PathBuf>,
    /// What fails it.
    hold: Hold,
    /// Logs and records of runs that weren't right.
    pub keep: PathBuf,
    /// Also a capture of the server's packets of runs that weren't right.
    pub pcap: bool,
    /// Given to the script behind its own arguments.
    pub extra: Vec<String>,
}

impl Options {
    pub fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Self {
            weftrace: "weftrace".into(),
            python: root.join("target/accuracy-venv/bin/python"),
            script: root.join("scripts/http/slow_requests.probe"),
            modules: None,
            causes: Vec::new(),
            mode: None,
            count: 12_000,
            rate: 200,
            ids: None,
            report: None,
            hold: Hold::All,
            keep: root.join("target/accuracy"),
            pcap: false,
            extra: Vec::new(),
        }
    }

    /// One flag of the command line and its value.
    pub fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{flag} wants a number, not {text:?}"));
        match flag {
            "--weftrace" => self.weftrace = value.into(),
            "--python" => self.python = value.into(),
            "--script" => {
                self.script = value.into();
                self.modules = self.script.ancestors().nth(2).map(|library| library.join("std"));
            }
            "--cause" => self.causes = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--mode" => self.mode = Some(value.parse()?),
            "--count" => self.count = number(value)?.max(1),
            "--rate" => self.rate = number(value)?.clamp(1, 10_000) as u32,
            "--ids" if value == "both" => self.ids = None,
            "--ids" => self.ids = Some(yes(flag, value)?),
            "--hold" => {
                self.hold = match value {
                    "all" => Hold::All,
                    "joins" => Hold::Joins,
                    _ => return Err(format!("--hold wants all or joins, not {value:?}")),
                }
            }
            "--report" => self.report = Some(value.into()),
            "--keep" => self.keep = value.into(),
            "--pcap" => self.pcap = yes(flag, value)?,
            "--extra" => self.extra.extend(value.split(' ').map(str::to_owned)),
            _ => return Err(format!("unknown flag {flag}")),
        }
        Ok(())
    }

    /// Every cause with connections that are kept, all causes mixed with each way to use connections.
    fn runs(&self) -> Vec<(Cause, Mode)> {
        let mode = |cause| match cause {
            Cause::Mixed => Mode::ALL.to_vec(),
            _ => vec![Mode::Keep],
        };
        let causes = if self.causes.is_empty() { Cause::ALL.to_vec() } else { self.causes.clone() };
        let modes = |cause| self.mode.map_or_else(|| mode(cause), |mode| vec![mode]);
        causes.into_iter().flat_map(|cause| modes(cause).into_iter().map(move |mode| (cause, mode))).collect()
    }
}

fn yes(flag: &str, value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{flag} wants yes or no, not {value:?}")),
    }
}

/// One run and its outcome.
#[derive(Debug)]
pub struct Row {
    pub cause: Cause,
    pub mode: Mode,
    pub ids: bool,
    pub outcome: Result<Tally, String>,
    /// What weftrace says it lost.
    pub lost: Vec<String>,
}

impl Row {
    fn broken(&self, hold: Hold) -> Vec<String> {
        self.outcome.as_ref().map_or_else(|error| vec![error.clone()], |tally| tally.broken(self.cause, hold))
    }
}

pub fn run(options: &Options) -> io::Result<bool> {
    let directory = std::env::temp_dir().join(format!("weftrace-accuracy-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let outcome = host::build(&directory).and_then(|service| all(options, &directory, &service));
    let _ = fs::remove_dir_all(&directory);
    outcome
}

/// Whether every run kept what it is held to.
fn all(options: &Options, directory: &Path, service: &Path) -> io::Result<bool> {
    let mut kept = true;
    print!("{}", report::HEAD);
    for with_ids in options.ids.map_or(vec![false, true], |ids| vec![ids]) {
        let script = Script::read(&options.script, with_ids)?;
        for (cause, mode) in options.runs() {
            if cause != Cause::Mixed && !script.knows(cause) {
                println!("SKIP {}: {} has no layer {}", cause.name(), options.script.display(), cause.layer());
                continue;
            }
            let plan = Plan::new(cause, mode, options.rate, options.count, &|one| script.knows(one));
            let place = directory.join(format!("{}-{}-{with_ids}", cause.name(), mode.name().replace(' ', "-")));
            let row = match one(options, &script, &plan, &place, service, with_ids) {
                Ok((tally, lost)) => Row { cause, mode, ids: with_ids, outcome: Ok(tally), lost },
                Err(error) => Row { cause, mode, ids: with_ids, outcome: Err(error.to_string()), lost: Vec::new() },
            };
            print!("{}", report::line(&row));
            keep(options, &place, &row)?;
            let _ = fs::remove_dir_all(&place);
            if let Some(path) = &options.report {
                report::merge(path, options, &row)?;
            }
            kept &= row.broken(options.hold).is_empty();
        }
    }
    Ok(kept)
}

/// The logs and the misses of a run that isn't right stay, to be looked at.
fn keep(options: &Options, place: &Path, row: &Row) -> io::Result<()> {
    let broken = row.broken(options.hold);
    let misses = row.outcome.as_ref().map_or(Vec::new(), |tally| tally.misses.clone());
    if broken.is_empty() && misses.is_empty() {
        return Ok(());
    }
    let folder = options.keep.join(place.file_name().unwrap_or_default());
    fs::create_dir_all(&folder)?;
    let text = broken.iter().map(|what| format!("NOT KEPT: {what}")).chain(misses).collect::<Vec<_>>().join("\n\n");
    fs::write(folder.join("misses"), text)?;
    for name in [
        "plan",
        "client.ndjson",
        "service.ndjson",
        "injector",
        "out",
        "err",
        "accuracy.probe",
        "error.log",
        "runtime.log",
        "keys",
        "server.pcap",
    ] {
        let _ = fs::copy(place.join(name), folder.join(name));
    }
    for what in &broken {
        println!("  not kept: {what} ({})", folder.display());
    }
    Ok(())
}

fn one(
    options: &Options,
    script: &Script,
    plan: &Plan,
    place: &Path,
    service: &Path,
    with_ids: bool,
) -> io::Result<(Tally, Vec<String>)> {
    fs::create_dir_all(place)?;
    let path = place.join("accuracy.probe");
    fs::write(&path, &script.text)?;
    if let Some(modules) = &options.modules {
        fs::create_dir_all(place.join("std"))?;
        for module in fs::read_dir(modules)? {
            let module = module?;
            fs::copy(module.path(), place.join("std").join(module.file_name()))?;
        }
    }
    fs::write(place.join("plan"), plan.text())?;
    fs::write(place.join("keys"), "")?;
    let net = Net::new("a")?;
    inject::prepare(&net, plan)?;
    let host = Host::start(&net, place, service, plan.mode.keeps_upstream())?;
    let watch = || {
        let mut args: Vec<String> = ["run", "-f", "json", "--netns"].map(String::from).into();
        args.push(net.server());
        args.extend(["--tls-keys".into(), place.join("keys").display().to_string(), path.display().to_string()]);
        args.extend(["--slow".into(), "0".into()]);
        if script.asks_for_go() {
            args.extend(["--go".into(), service.display().to_string()]);
        }
        args.extend(options.extra.iter().cloned());
        Watch::start(&options.weftrace, &args, false)
    };
    // Connections of `older` are opened before weftrace, those of all others after it.
    let (client, watch) = if plan.mode == Mode::Older {
        let client = Client::start(options, &net, place)?;
        (client, watch()?)
    } else {
        let watch = watch()?;
        (Client::start(options, &net, place)?, watch)
    };
    let drops = drops::Drops::listen(&net)?;
    let capture = options.pcap.then(|| drops::capture(&net, &place.join("server.pcap"))).transpose()?;
    let looking = waits::Looking::start(host.servers());
    let injected = client.play(|start| inject::play(&net, &host, &plan.windows, start));
    // What is in flight, and the kernel's last events: each request has two records.
    watch.printed(2 * plan.requests.len(), Duration::from_secs(15), script::is_record);
    let (out, err, clean) = watch.stop()?;
    drop(capture);
    fs::write(place.join("out"), out.join("\n"))?;
    fs::write(place.join("err"), err.join("\n"))?;
    let (waits, injected, holes) = (looking.stop()?, injected?, drops.stop()?);
    host.stop()?;
    let mut logs = Logs::read(
        &place.join("client.ndjson"),
        [&place.join("service.ndjson"), &place.join("runtime.log")],
        injected,
        holes,
    )?;
    logs.waits = waits;
    fs::write(place.join("injector"), logs.injected())?;
    let mut tally = judge::judge(plan, &logs, &script::records(&out), with_ids);
    if !clean {
        tally.wrong += 1;
        tally.misses.push(format!("weftrace did not exit cleanly: {}", err.join("\n")));
    }
    let lost = err.into_iter().filter(|line| line.contains("lost") || line.contains("missed")).collect();
    Ok((tally, lost))
}

/// The client's process; ended when dropped.
struct Client(Child);

impl Client {
    /// Starts it; its connections that must be old are open when this returns.
    fn start(options: &Options, net: &Net, place: &Path) -> io::Result<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("client.py");
        let log = fs::File::create(place.join("client.log"))?;
        let child = Command::new("ip")
            .args(["netns", "exec", &net.client()])
            .arg(&options.python)
            .arg(program)
            .arg(place.join("plan"))
            .arg(place.join("client.ndjson"))
            .arg("--keys")
            .arg(place.join("keys"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut client = Self(child);
        let mut ready = String::new();
        // One byte at a time: what comes behind the line stays in the pipe.
        let out = client.0.stdout.as_mut().expect("piped");
        BufReader::with_capacity(1, out).read_line(&mut ready)?;
        if ready.trim() != "READY" {
            let said = fs::read_to_string(place.join("client.log")).unwrap_or_default();
            return Err(io::Error::other(format!("the client did not start: {}", said.trim())));
        }
        Ok(client)
    }

    /// Lets it begin, runs `inject` beside it with the time at which it does, and waits for both.
    fn play<T>(mut self, inject: impl FnOnce(Instant) -> io::Result<T>) -> io::Result<T> {
        self.0.stdin.as_mut().expect("piped").write_all(b"GO\n")?;
        let injected = inject(Instant::now() + Duration::from_millis(100));
        let mut said = String::new();
        self.0.stdout.as_mut().expect("piped").read_to_string(&mut said)?;
        if !self.0.wait()?.success() {
            return Err(io::Error::other(format!("the client failed: {said}")));
        }
        injected
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = sys::signal(self.0.id(), libc::SIGTERM);
            let _ = self.0.wait();
        }
    }
}
