//! `lab load`: what a traced web server costs. CPU time of nginx and weftrace, a control group each, for each request that wrk made; at
//! saturation and at half of it; with weftrace and without, in turn.

use crate::{
    bench::median,
    cgroup::Cgroup,
    net::{Net, SERVER, listening},
    sys,
    watch::Watch,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const PORT: u16 = 8080;
/// Of wrk at saturation.
const CONNECTIONS: u32 = 64;
/// How long a connection waits between its requests where the load is less, ms: half as long to half as long again, by chance, so that they don't come together.
const PAUSE_MS: u32 = 4;

/// What is measured: how it is called, its script, and how much more CPU a request may take, %.
pub struct Variant {
    pub name: String,
    pub script: String,
    /// Captures packets, in the server's namespace.
    packets: bool,
    budget: f64,
}

/// What traces the server meanwhile.
#[derive(Clone, Copy)]
enum Tracer<'a> {
    Nothing,
    Weftrace(&'a Path, &'a Variant),
    /// The peer: copies the same packets, and looks into none.
    Tcpdump,
}

/// One run of wrk: requests a second, and CPU time a request of each, µs.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    rate: f64,
    server: f64,
    tracer: f64,
}

impl Cost {
    fn both(self) -> f64 {
        self.server + self.tracer
    }
}

/// What nginx answers: by itself, the least work there is; and with a file, as its own configuration does, of the size of its own page.
#[derive(Debug)]
struct Page {
    name: &'static str,
    path: &'static str,
}

const PAGES: [&Page; 2] =
    [&Page { name: "six bytes", path: "/" }, &Page { name: "a file of 615 bytes", path: "/file/page.html" }];
const FILE_BYTES: usize = 615;

/// What wrk does.
#[derive(Clone, Copy, Debug)]
struct Load {
    page: &'static Page,
    connections: u32,
    pauses: bool,
}

struct Bench {
    net: Net,
    server: Cgroup,
    tracer: Cgroup,
    directory: PathBuf,
    nginx: Option<Child>,
    seconds: u64,
}

pub fn run(weftrace: &Path, script: &str, seconds: u64, runs: usize) -> io::Result<bool> {
    let bench = Bench::start(seconds)?;
    let variants = variants(script);
    println!(
        "CPU time of nginx and weftrace for each request, medians of {runs} runs of {seconds} s, with weftrace and without in turn"
    );
    for page in PAGES {
        let saturation = Load { page, connections: CONNECTIONS, pauses: false };
        bench.once(saturation, Tracer::Nothing)?;
        let full = bench.once(saturation, Tracer::Nothing)?.rate;
        let half = bench.half(page, full)?;
        for (name, load) in [("half load", half), ("saturation", saturation)] {
            for variant in &variants {
                let (mut with, mut without, mut peer) = (Vec::new(), Vec::new(), Vec::new());
                for _ in 0..runs.max(1) {
                    without.push(bench.once(load, Tracer::Nothing)?);
                    with.push(bench.once(load, Tracer::Weftrace(weftrace, variant))?);
                    if variant.packets {
                        peer.push(bench.once(load, Tracer::Tcpdump)?);
                    }
                }
                report(name, variant, &with, &without);
                if variant.packets {
                    report_peer(&peer, &without);
                }
            }
        }
    }
    Ok(true)
}

/// The script over the sockets' system calls, and as it is.
pub fn variants(script: &str) -> [Variant; 2] {
    let sockets = Path::new(env!("CARGO_MANIFEST_DIR")).join("slow_requests_sockets.probe");
    let variant = |name: &str, script: &str, packets, budget| Variant {
        name: name.to_owned(),
        script: script.to_owned(),
        packets,
        budget,
    };
    [
        variant("http/slow_requests, no packet copied", &sockets.to_string_lossy(), false, 10.0),
        variant(script, script, true, 25.0),
    ]
}

/// How much more a request takes, %. Pair by pair: the machine's mood is the same.
fn more(with: &[Cost], without: &[Cost]) -> f64 {
    (median(with.iter().zip(without).map(|(a, b)| a.both() / b.both().max(0.001)).collect()) - 1.0) * 100.0
}

fn middle(costs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    median(costs.iter().map(of).collect())
}

fn report_peer(with: &[Cost], without: &[Cost]) {
    println!(
        "  {:<10}  beside it tcpdump -w /dev/null: {:+.1} %, of them tcpdump {:.1} µs",
        "",
        more(with, without),
        middle(with, |c| c.tracer)
    );
}

fn report(load: &str, variant: &Variant, with: &[Cost], without: &[Cost]) {
    let more = more(with, without);
    let (rate, alone) = (middle(with, |c| c.rate), middle(without, |c| c.rate));
    println!(
        "  {load:<10}  {:<36} {:>6.1} µs beside {:>5.1} alone: {more:>+6.1} % (budget {:.0} %){}",
        variant.name,
        middle(with, |c| c.both()),
        middle(without, |c| c.both()),
        variant.budget,
        if more > variant.budget { "  OVER" } else { "" },
    );
    println!(
        "  {:<10}  of them weftrace {:.1} µs; {rate:.0} requests/s beside {alone:.0}: {:+.1} %",
        "",
        middle(with, |c| c.tracer),
        (rate / alone.max(1.0) - 1.0) * 100.0,
    );
}

impl Bench {
    fn start(seconds: u64) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("weftrace-load-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let (net, server, tracer) = (Net::new("p")?, Cgroup::new("nginx")?, Cgroup::new("tracer")?);
        let mut bench = Self { net, server, tracer, directory, nginx: None, seconds };
        let d = bench.directory.display().to_string();
        let configuration = format!(
            "daemon off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {d}; proxy_temp_path {d}; fastcgi_temp_path {d}; uwsgi_temp_path {d}; scgi_temp_path {d};
  keepalive_requests 100000000;
  server {{ listen {PORT} backlog=1024; location / {{ return 200 \"hello\\n\"; }} location /file/ {{ root {d}; sendfile on; }} }}
}}
"
        );
        fs::write(bench.directory.join("nginx.conf"), configuration)?;
        fs::create_dir(bench.directory.join("file"))?;
        fs::write(bench.directory.join("file/page.html"), "x".repeat(FILE_BYTES))?;
        Command::new("chmod").arg("-R").arg("a+rwX").arg(&bench.directory).status()?;
        let (conf, log) = (format!("{d}/nginx.conf"), format!("{d}/error.log"));
        let namespace = bench.net.server();
        let words = ["ip", "netns", "exec", &namespace, "nginx", "-c", &conf, "-e", &log];
        bench.nginx = Some(bench.server.command(&words).stdin(Stdio::null()).spawn()?);
        listening(&namespace, PORT, &[bench.directory.join("error.log")])?;
        Ok(bench)
    }

    /// As many connections with pauses as make half the rate; twice, since an answer takes its time too.
    fn half(&self, page: &'static Page, full: f64) -> io::Result<Load> {
        let of =
            |connections: f64| Load { page, connections: connections.round().clamp(1.0, 900.0) as u32, pauses: true };
        let mut load = of(full / 2.0 * f64::from(PAUSE_MS) / 1e3);
        for _ in 0..2 {
            let rate = self.once(load, Tracer::Nothing)?.rate;
            load = of(f64::from(load.connections) * (full / 2.0) / rate.max(1.0));
        }
        let (name, connections) = (page.name, load.connections);
        println!("{name}: half of {full:.0} requests/s: {connections} connections that pause {PAUSE_MS} ms on average");
        Ok(load)
    }

    fn once(&self, load: Load, tracer: Tracer<'_>) -> io::Result<Cost> {
        let watch = self.watch(tracer)?;
        let before = (self.server.used_us()?, self.tracer.used_us()?);
        let requests = self.wrk(load);
        let after = (self.server.used_us()?, self.tracer.used_us()?);
        if let Some(watch) = watch {
            watch.stop()?;
        }
        let requests = requests?;
        let each = |used: u64| used as f64 / requests as f64;
        Ok(Cost {
            rate: requests as f64 / self.seconds as f64,
            server: each(after.0 - before.0),
            tracer: each(after.1 - before.1),
        })
    }

    /// Starts what traces.
    fn watch(&self, tracer: Tracer<'_>) -> io::Result<Option<Watch>> {
        let namespace = self.net.server();
        match tracer {
            Tracer::Nothing => Ok(None),
            Tracer::Weftrace(weftrace, variant) => {
                let binary = weftrace.display().to_string();
                let mut words = vec![binary.as_str(), "run"];
                if variant.packets {
                    words.extend(["--netns", &namespace]);
                }
                words.push(&variant.script);
                Watch::of(&mut self.tracer.command(&words), false).map(Some)
            }
            Tracer::Tcpdump => {
                let words = ["ip", "netns", "exec", &namespace, "tcpdump", "-i", "any", "-n", "-w", "/dev/null", "tcp"];
                Watch::that_says("listening on", &mut self.tracer.command(&words), false).map(Some)
            }
        }
    }

    /// How many requests were answered.
    fn wrk(&self, load: Load) -> io::Result<u64> {
        let lua = self.directory.join("pause.lua");
        fs::write(&lua, format!("function delay() return math.random({}, {}) end\n", PAUSE_MS / 2, PAUSE_MS * 3 / 2))?;
        let mut wrk = Command::new("ip");
        wrk.args(["netns", "exec", &self.net.client(), "wrk", "-t1"]);
        wrk.args([format!("-c{}", load.connections), format!("-d{}s", self.seconds)]);
        if load.pauses {
            wrk.arg("-s").arg(lua);
        }
        let output = wrk.arg(format!("http://{SERVER}:{PORT}{}", load.page.path)).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.trim().split_once(" requests in ")).map(|(count, _)| count);
        let count = line.and_then(|count| count.parse().ok()).filter(|count| *count > 0);
        count.ok_or_else(|| io::Error::other(format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr))))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(nginx) = &mut self.nginx {
            let _ = sys::signal(nginx.id(), libc::SIGTERM);
            let _ = nginx.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}
