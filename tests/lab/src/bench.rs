//! Runs two commands in turn and prints what each used, and the ratio pair by pair.

use crate::sys::{self, Usage, wait_usage};
use std::{
    io,
    process::{Command, Stdio},
    time::Instant,
};

/// One run: what it used, and how long it took, ms.
pub fn measure(command: &str) -> io::Result<(Usage, f64)> {
    let begin = Instant::now();
    let child = Command::new("sh")
        .args(["-c", &format!("exec {command}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let usage = wait_usage(child.id())?;
    Ok((usage, begin.elapsed().as_secs_f64() * 1e3))
}

/// Of at least one value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU time of one getppid on a CPU, ns: the median of ten parts, which leaves out those that interrupts fell into.
pub fn calls(count: u64, cpu: usize) -> io::Result<f64> {
    const PARTS: u64 = 10;
    sys::pin(cpu)?;
    let part = (count / PARTS).max(1);
    let times = (0..PARTS).map(|_| {
        let begin = sys::thread_time();
        sys::getppid(part);
        (sys::thread_time() - begin) as f64 / part as f64
    });
    Ok(median(times.collect()))
}

/// `runs` pairs after one warm-up of each.
pub fn run(name: &str, ours: &str, peer: &str, runs: usize) -> io::Result<bool> {
    measure(ours)?;
    measure(peer)?;
    let (mut our, mut their) = (Vec::new(), Vec::new());
    for _ in 0..runs.max(1) {
        our.push(measure(ours)?);
        their.push(measure(peer)?);
    }
    let column = |runs: &[(Usage, f64)], f: fn(&(Usage, f64)) -> f64| median(runs.iter().map(f).collect());
    let ratio = median(our.iter().zip(&their).map(|(o, t)| t.0.cpu_ms / o.0.cpu_ms.max(0.01)).collect());
    println!("{name}");
    for (who, runs) in [("weftrace", &our), ("peer", &their)] {
        println!(
            "  {who:<9} cpu {:>9.1} ms   wall {:>9.1} ms   peak {:>7.1} MiB",
            column(runs, |r| r.0.cpu_ms),
            column(runs, |r| r.1),
            column(runs, |r| r.0.peak_mib),
        );
    }
    println!("  peer / weftrace, cpu: {ratio:.1}");
    Ok(true)
}
