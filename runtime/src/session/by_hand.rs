//! `test:` and `bench:` probes: run by hand, one after the other, each with a result.

use super::{ByHand, Running};
use crate::{
    sink::{Location, Message, Sink, TextSink},
    style::Style,
};
use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    os::fd::AsFd,
    rc::Rc,
    time::Instant,
};
use weftrace_artifact::{
    action::LogLevel,
    plan::{ProbePlan, Unit, Way},
    program::ProgType,
};
use weftrace_probes::kernel::{
    Host, Sources, load,
    program::run_once,
    sys::{SyscallError, TestRun, enable_stats, prog_info, prog_test_run},
};

/// A benchmark's runs take at least this long in all, so that their mean says something.
const ENOUGH_NS: u64 = 1_000_000;
/// The kernel wants a packet, with a header at least, for programs whose runs it times.
const PACKET: [u8; 14] = [0; 14];

/// Keeps what a probe says, and counts its errors.
struct Capture {
    to: TextSink,
    errors: Rc<Cell<u32>>,
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Capture {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()> {
        if matches!(message, Message::Log { level: LogLevel::Error, .. }) {
            self.errors.set(self.errors.get() + 1);
        }
        self.to.message(message, style)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What one probe did.
struct Captured {
    text: Vec<u8>,
    /// It called `errorf()`, or `exit()` with another code than 0.
    failed: bool,
}

/// One run's time, of how many.
struct Timed {
    ns: u64,
    runs: u64,
    returned: u32,
}

impl Running {
    /// All of them, in the script's order. Whether none failed.
    pub(super) fn run_by_hand(&mut self, what: ByHand) -> bool {
        let artifact = Rc::clone(&self.core.artifact);
        let chosen: Vec<(String, u32)> = artifact
            .probes
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.left_out.contains(&(*index as u32)))
            .filter_map(|(_, plan)| Some((name(plan, what)?.to_owned(), program(plan)?)))
            .collect();
        let names: Vec<String> = chosen.iter().map(|(name, _)| name.clone()).collect();
        match what {
            ByHand::Tests => self.tests(&names, &chosen),
            ByHand::Benchmarks => self.benchmarks(&names, &chosen),
        }
    }

    fn tests(&mut self, names: &[String], chosen: &[(String, u32)]) -> bool {
        let mut passed = Vec::with_capacity(chosen.len());
        for (index, (name, program)) in chosen.iter().enumerate() {
            let (run, captured) = self.captured(|running| {
                let start = Instant::now();
                let fd = running.sources.programs.get(*program, None);
                let returned = fd.map_or(Ok(0), run_once);
                returned.map(|returned| Timed { ns: start.elapsed().as_nanos() as u64, runs: 1, returned })
            });
            let mut output = captured.text;
            let ns = match &run {
                Ok(run) => run.ns,
                Err(error) => {
                    output.extend_from_slice(format!("{name} could not be run: {error}\n").as_bytes());
                    0
                }
            };
            passed.push(!captured.failed && run.is_ok_and(|run| run.returned == 0));
            self.core.say(&Message::Test { names, index, ns, passed: &passed, output: &output });
            self.core.flush();
        }
        passed.iter().all(|p| *p)
    }

    fn benchmarks(&mut self, names: &[String], chosen: &[(String, u32)]) -> bool {
        let mut good = true;
        self.core.benchmarks = true;
        for (index, (name, program)) in chosen.iter().enumerate() {
            let (run, captured) = self.captured(|running| running.benchmark(*program));
            match run {
                Err(error) => self.complain(&format!("{name} could not be run: {error}")),
                // It chose not to be measured.
                Ok(run) if run.returned != 0 && !captured.failed => continue,
                Ok(run) if !captured.failed => {
                    self.core.say(&Message::Bench { names, index, ns: run.ns, runs: run.runs });
                    self.core.flush();
                    continue;
                }
                Ok(_) => self.complain(&format!("Benchmark '{name}' failed.")),
            }
            good = false;
        }
        good
    }

    fn complain(&mut self, text: &str) {
        let at = Location::default();
        self.core.say(&Message::Log { level: LogLevel::Error, text: text.as_bytes(), at: &at });
        self.core.flush();
    }

    /// Runs `f` with the sink exchanged for one that keeps everything.
    fn captured<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> (T, Captured) {
        let (text, errors) = (Shared::default(), Rc::new(Cell::new(0)));
        let to = TextSink::new(Box::new(text.clone()), Box::new(text.clone()), true);
        self.core.flush();
        let before = std::mem::replace(&mut self.core.sink, Box::new(Capture { to, errors: Rc::clone(&errors) }));
        let result = f(self);
        while !self.drain_ring() {}
        self.core.flush();
        self.core.sink = before;
        let code = self.core.exit.take().unwrap_or(0);
        let text = text.0.take();
        (result, Captured { text, failed: code != 0 || errors.get() > 0 })
    }

    /// As many runs as take a millisecond. The kernel itself times the runs of packet programs; where the block asks what those may
    /// not, it counts the time of all runs of the program instead.
    fn benchmark(&mut self, program: u32) -> Result<Timed, SyscallError> {
        let artifact = Rc::clone(&self.core.artifact);
        let maps = self.core.native.store().descriptors();
        let host = Host::new();
        let mut image = artifact.programs[program as usize].clone();
        image.prog_type = ProgType::Xdp;
        let Ok(timed) = load(&image, &maps, &Sources::of(&host, &artifact)) else {
            return self.benchmark_by_statistics(program);
        };
        let mut runs = 1;
        loop {
            let run = TestRun { data: &PACKET, repeat: runs, ..TestRun::default() };
            let (returned, ns) = prog_test_run(timed.as_fd(), &run)?;
            self.drain_ring();
            let total = u64::from(ns) * u64::from(runs);
            if returned != 0 || total >= ENOUGH_NS || self.core.exit.is_some() {
                return Ok(Timed { ns: u64::from(ns), runs: u64::from(runs), returned });
            }
            runs = more_runs(total, runs);
        }
    }

    fn benchmark_by_statistics(&mut self, program: u32) -> Result<Timed, SyscallError> {
        let _counting = enable_stats()?;
        let (mut total, mut runs, mut returned) = (0, 0, 0);
        let start = Instant::now();
        while total < ENOUGH_NS && returned == 0 && self.core.exit.is_none() && start.elapsed().as_secs() < 1 {
            let Some(fd) = self.sources.programs.get(program, None) else { break };
            returned = run_once(fd)?;
            let info = prog_info(fd)?;
            (total, runs) = (info.run_time_ns, info.run_cnt);
            self.drain_ring();
        }
        Ok(Timed { ns: total.checked_div(runs).unwrap_or(0), runs, returned })
    }
}

/// Many more while the time is far from enough, so that few rounds do.
fn more_runs(total: u64, runs: u32) -> u32 {
    let factor = match total {
        0..1_000 => 1_000,
        1_000..10_000 => 100,
        10_000..100_000 => 10,
        _ => 2,
    };
    runs.saturating_mul(factor)
}

fn name(plan: &ProbePlan, what: ByHand) -> Option<&str> {
    match (&plan.best.way, what) {
        (Way::Test { name }, ByHand::Tests) | (Way::Bench { name }, ByHand::Benchmarks) => Some(name),
        _ => None,
    }
}

fn program(plan: &ProbePlan) -> Option<u32> {
    match plan.best.unit {
        Unit::Kernel(program) => Some(program),
        Unit::Native(_) => None,
    }
}
