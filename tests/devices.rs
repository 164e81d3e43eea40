//! A device that is captured on goes, and comes again: what it would have told meanwhile is unknown.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

mod traced;

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command},
};
use traced::{folder, ip, ready, soon, text};

/// A network namespace with one end of a cable, which can be pulled.
struct Net {
    name: String,
}

impl Net {
    /// None: it may not be made here.
    fn new(label: &str) -> Option<Self> {
        let net = Self { name: format!("wg{label}{}", std::process::id()) };
        if !ready("pcap live") || !ip(&format!("netns add {}", net.name)) {
            println!("SKIP network namespaces");
            return None;
        }
        net.plug();
        Some(net)
    }

    fn ip(&self, line: &str) {
        assert!(ip(&format!("-n {} {line}", self.name)), "{line}");
    }

    fn plug(&self) {
        self.ip("link add gone0 type veth peer name gone1");
        self.ip("addr add 10.78.0.1/24 dev gone0");
        self.ip("link set gone1 up");
        self.ip("link set gone0 up");
    }

    fn unplug(&self) {
        self.ip("link del gone0");
    }

    /// Asks for an address that nobody has: ARP's questions leave by the device.
    fn ask(&self) {
        let say = ["netns", "exec", &self.name, "bash", "-c", "echo > /dev/udp/10.78.0.9/9"];
        assert!(Command::new("ip").args(say).status().unwrap().success());
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.name));
    }
}

/// A run in the background, with its output in files.
struct Run {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Run {
    fn start(net: &Net, args: &[&str]) -> Self {
        let at = |what: &str| folder().join(format!("{}.{what}", net.name));
        let (out, err) = (at("out"), at("err"));
        let child = Command::new(env!("CARGO_BIN_EXE_weftrace"))
            .args(args)
            .args(["--netns", &net.name])
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let run = Self { child, out, err };
        run.wait_for("Ctrl-C ends");
        run
    }

    /// All that was printed and said.
    fn all(&self) -> String {
        [&self.out, &self.err].map(|path| fs::read_to_string(path).unwrap()).concat()
    }

    fn wait_for(&self, what: &str) {
        assert!(soon(|| self.all().contains(what)), "no {what}: {}", self.all());
    }

    fn printed(&self) -> Vec<String> {
        fs::read_to_string(&self.out).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits until so many lines more were printed that are of this kind.
    fn wait_for_more(&self, lines: usize, of: &str) {
        let count = || self.printed().iter().filter(|line| line.contains(of)).count();
        let wanted = count() + lines;
        assert!(soon(|| count() >= wanted), "{of}: {}", self.all());
    }

    /// Interrupts it and waits.
    fn end(mut self) -> (String, String) {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        (fs::read_to_string(&self.out).unwrap(), fs::read_to_string(&self.err).unwrap())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

const GONE: &str = ": the device has gone";
const BACK: &str = ": the device is there again";

/// Legs on its packets are unknown for as long as it was away, live and replayed; before and after they are counted.
#[test]
fn legs_on_a_device_that_goes_and_comes() {
    let Some(net) = Net::new("j") else { return };
    let script = r#"
        pcap:gone0:"arp" { emit my.ask(id = "a"); }
        interval:ms:100 { emit t.tick(id = "a", start = nsecs - 50000000, end = nsecs); }
        join j { from r = t.tick(); total r.start; ids r.id; asks = count(my.ask) by id; timeout 1s; }
        join:j { printf("%s %s\n", asks.state, asks.reason); }"#;
    let file = folder().join(format!("{}.pcapng", net.name));
    let run = Run::start(&net, &["record", "-o", file.to_str().unwrap(), "-e", script]);
    run.wait_for_more(5, "none");
    net.unplug();
    run.wait_for(GONE);
    run.wait_for_more(5, "unknown stalled");
    // From here on nothing is known of it.
    let before = run.printed().len();
    run.wait_for_more(15, "unknown stalled");
    assert!(run.printed()[before..].iter().all(|line| line == "unknown stalled"), "{}", run.all());
    net.plug();
    run.wait_for(BACK);
    run.wait_for_more(5, "none");
    let (out, err) = run.end();
    assert_eq!((err.matches(GONE).count(), err.matches(BACK).count()), (1, 1), "{err}");
    let again = Command::new(env!("CARGO_BIN_EXE_weftrace")).arg("replay").arg(&file).output().unwrap();
    assert_eq!(text(&again.stdout), out, "{}", text(&again.stderr));
    fs::remove_file(file).unwrap();
}

/// A block that only counts, by a program in the kernel: it goes on with the new device's packets.
#[test]
fn counts_on_a_device_that_goes_and_comes() {
    let Some(net) = Net::new("c") else { return };
    let script = r#"pcap:gone0:"arp" { @n = count(); } interval:ms:100 { print(@n); }"#;
    let run = Run::start(&net, &["run", "-e", script]);
    net.ask();
    assert!(soon(|| run.printed().iter().any(|line| line.starts_with("@n: ") && line != "@n: 0")), "{}", run.all());
    net.unplug();
    run.wait_for(GONE);
    let count = || {
        let last = run.printed().iter().rev().find_map(|line| line.strip_prefix("@n: ")?.parse::<u64>().ok());
        last.unwrap_or(0)
    };
    let before = count();
    net.plug();
    run.wait_for(BACK);
    net.ask();
    assert!(soon(|| count() > before), "{}", run.all());
    net.unplug();
    assert!(soon(|| run.all().matches(GONE).count() == 2), "{}", run.all());
    let (_, err) = run.end();
    assert!(err.contains(": the device is still gone"), "{err}");
    assert_eq!((err.matches(GONE).count(), err.matches(BACK).count()), (2, 1), "{err}");
}
