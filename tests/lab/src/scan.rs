//! `lab scan`: how much longer weftrace takes to start where many sockets are open, which it looks through once (`iter:task_file`).

use crate::{
    bench::{measure, median},
    load::{self, Variant},
};
use std::{
    io,
    net::{TcpListener, TcpStream},
    path::Path,
};

/// What the scan of 10,000 sockets may take, ms.
const BUDGET_MS: f64 = 100.0;

/// `runs` pairs of starts, without so many sockets and with them in turn.
pub fn run(weftrace: &Path, script: &str, sockets: usize, runs: usize) -> io::Result<bool> {
    println!("start-up with {sockets} sockets more than without: medians of {runs} pairs, exec to exit");
    for Variant { name, script, .. } in load::variants(script) {
        let command = format!("{} run -q {script} --for 1ms", weftrace.display());
        measure(&command)?;
        let (mut wall, mut cpu, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs.max(1) {
            let (used, took) = measure(&command)?;
            let held = open(sockets)?;
            let (used_with, took_with) = measure(&command)?;
            drop(held);
            wall.push(took_with - took);
            cpu.push(used_with.cpu_ms - used.cpu_ms);
            alone.push(took);
        }
        let (wall, cpu, alone) = (median(wall), median(cpu), median(alone));
        let over = if wall > BUDGET_MS { "  OVER" } else { "" };
        println!(
            "  {name:<44} {alone:>6.1} ms + {wall:>6.1} ms wall, {cpu:>6.1} ms CPU (budget {BUDGET_MS:.0} ms wall){over}"
        );
    }
    Ok(true)
}

/// Both ends of connections of this machine with itself.
fn open(sockets: usize) -> io::Result<Vec<(TcpStream, TcpStream)>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let pair = |_| Ok((TcpStream::connect(address)?, listener.accept()?.0));
    (0..sockets / 2)
        .map(pair)
        .collect::<io::Result<_>>()
        .map_err(|error| io::Error::new(error.kind(), format!("{sockets} sockets: {error} (ulimit -n)")))
}
