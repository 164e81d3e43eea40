//! Connections that are translated on their way: a request that a server in another namespace answers is joined with what its client's side of the
//! translation saw. Three network namespaces, client – router – server; the router translates, and loses a SYN and the request's first copy.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

mod traced;

use std::{
    cell::RefCell,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Mutex, PoisonError},
};
use traced::{can_watch_sockets, folder, ip, text};

const CLIENT: &str = "10.0.1.7";
const GATEWAY: &str = "10.0.1.254";
const SERVER: &str = "10.0.3.7";

/// The request as its server's system calls have it; the connect, the retransmissions and the lost bytes as the client's side has them.
const SCRIPT: &str = r#"
import "std/http_sockets"; import "std/tcp";
join slow {
  from  r = http.request(port=PORT);
  total r.conn.opened if r.first_on_conn, r.start;
  syn  = max(tcp.connect.dur) by conn since 10s;
  sent = count(tcp.retransmit) by conn since 10s;
  loss = sum(tcp.loss.dur) by conn since 10s;
  blame syn, loss;
  timeout 20s;
}
"#;

/// The router loses the first copies of a SYN and of the request: 100 bytes hold one SYN, 200 one request.
const FAULTS: &str = "
table ip faults {
  chain forward {
    type filter hook forward priority 0;
    ip saddr 10.0.1.7 tcp flags & (syn|ack) == syn quota until 100 bytes drop
    ip saddr 10.0.1.7 tcp flags & psh != 0 quota until 200 bytes drop
  }
}
";

/// A published port, as containers have them; of clients on the router itself too.
const PUBLISHED: &str = "
table ip nat {
  chain prerouting { type nat hook prerouting priority dstnat; ip daddr 10.0.1.254 tcp dport 8080 dnat to 10.0.3.7:PORT; }
  chain output { type nat hook output priority -100; ip daddr 10.0.1.254 tcp dport 8080 dnat to 10.0.3.7:PORT; }
}
";

/// The server sees the router only.
const MASQUERADED: &str = "
table ip leaving {
  chain postrouting { type nat hook postrouting priority srcnat; ip daddr 10.0.3.7 masquerade fully-random; }
}
";

/// The namespaces; removed when dropped.
struct Net {
    suffix: String,
}

impl Net {
    /// None: they may not be made here.
    fn new(label: &str) -> Option<Self> {
        let net = Self { suffix: format!("{label}{}", std::process::id()) };
        let (c, r, s) = (net.end('c'), net.end('r'), net.end('s'));
        let mut made = [&c, &r, &s].iter().all(|name| ip(&format!("netns add {name}")));
        for (end, device, address, gateway) in [(&c, "rc", CLIENT, GATEWAY), (&s, "rs", SERVER, "10.0.3.254")] {
            made = made
                && ip(&format!("-n {end} link add eth0 type veth peer name {device} netns {r}"))
                && ip(&format!("-n {end} addr add {address}/24 dev eth0"))
                && ip(&format!("-n {r} addr add {gateway}/24 dev {device}"))
                && ip(&format!("-n {end} link set eth0 up"))
                && ip(&format!("-n {r} link set {device} up"))
                && ip(&format!("-n {end} route add default via {gateway}"));
        }
        made = made && [&c, &r, &s].iter().all(|name| ip(&format!("-n {name} link set lo up")));
        if !made || !net.inside('r', &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]) {
            println!("SKIP network namespaces");
            return None;
        }
        Some(net)
    }

    fn end(&self, end: char) -> String {
        format!("wn{}{end}", self.suffix)
    }

    fn inside(&self, end: char, command: &[&str]) -> bool {
        let mut all = Command::new("ip");
        all.args(["netns", "exec", &self.end(end)]).args(command);
        all.stdout(Stdio::null()).status().is_ok_and(|s| s.success())
    }

    fn rules(&self, text: &str) {
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &self.end('r'), "nft", "-f", "-"]).stdin(Stdio::piped());
        let mut nft = nft.spawn().unwrap();
        nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(nft.wait().is_ok_and(|status| status.success()), "{text}");
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for end in ['c', 'r', 's'] {
            let _ = ip(&format!("netns del {}", self.end(end)));
        }
    }
}

/// A run in the router's namespace, with one request from `end` to an address.
struct Case {
    net: Net,
    end: char,
    /// The server's: each test has its own, since what runs in the kernel sees all namespaces.
    port: u16,
    to: String,
    /// Before weftrace's own command: what keeps privileges from it.
    within: &'static [&'static str],
}

impl Case {
    fn new(label: &str, rules: &[&str], end: char, port: u16) -> Option<Self> {
        if !can_watch_sockets() {
            return None;
        }
        if !Command::new("nft").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success()) {
            println!("SKIP nftables");
            return None;
        }
        let net = Net::new(label)?;
        for rules in rules {
            net.rules(&rules.replace("PORT", &port.to_string()));
        }
        let published = rules.contains(&PUBLISHED);
        let to = if published { format!("{GATEWAY}:8080") } else { format!("{SERVER}:{port}") };
        Some(Self { net, end, port, to, within: &[] })
    }

    fn run(&self, words: &[&str], script: &str) -> Output {
        let tracefs = "/sys/kernel/tracing";
        let me = std::env::current_exe().unwrap();
        let role = |end: char, role: &str| {
            let end = self.net.end(end);
            format!("ip netns exec {end} {} --ignored --exact {role} > /dev/null", me.display())
        };
        // A refused connect would take the fault that is for the one that counts.
        let listens = format!("ip netns exec {} ss -Hltn 'sport = :{}' | grep -q .", self.net.end('s'), self.port);
        let waits = format!("for i in $(seq 200); do {listens} && break; sleep 0.05; done");
        let child = format!("{} & {waits}; {} ; wait", role('s', "serves"), role(self.end, "asks"));
        let child_file = folder().join(format!("{}.sh", self.net.suffix));
        fs::write(&child_file, child).unwrap();
        let setup = format!("[ -e {tracefs}/events ] || mount -t tracefs t {tracefs}; exec \"$@\"");
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.net.end('r'), "sh", "-c", &setup, "sh"])
            .args(self.within)
            .arg(env!("CARGO_BIN_EXE_weftrace"))
            .args(words)
            .args([
                "-c",
                &format!("sh {}", child_file.display()),
                "-e",
                &script.replace("PORT", &self.port.to_string()),
            ])
            .env("WEFTRACE_ROLE", &self.to)
            .env("WEFTRACE_PORT", self.port.to_string());
        let output = command.output().expect("ip runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    }

    /// The one request's legs, as JSON.
    fn legs(&self, words: &[&str], script: &str) -> serde_json::Value {
        let (legs, said) = self.legs_and_said(words, script);
        assert!(!said.contains("NAT"), "{said}");
        legs
    }

    fn legs_and_said(&self, words: &[&str], script: &str) -> (serde_json::Value, String) {
        let output = self.run(&[&["run", "-f", "json"], words].concat(), script);
        let (shown, said) = (text(&output.stdout), text(&output.stderr));
        let lines = shown.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let results: Vec<_> = lines.filter(|line| line["type"] == "join_result").collect();
        assert_eq!(results.len(), 1, "{shown}{said}");
        (results[0]["data"]["legs"].clone(), shown.clone() + &said)
    }
}

/// The legs of a run in which no event was lost: other tracers may keep a processor from seeing one, which is told, and then it is tried again.
fn without_losses(run: impl Fn() -> Option<serde_json::Value>) -> Option<serde_json::Value> {
    // One at a time: they would be such tracers to each other.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..4 {
        let legs = run()?;
        if legs.as_object().unwrap().values().all(|leg| leg["lost"] == 0) {
            return Some(legs);
        }
    }
    panic!("each time something was lost");
}

/// One SYN and one request were sent again; each waited for.
fn found(legs: &serde_json::Value) {
    let ms = |leg: &str| legs[leg]["value"].as_u64().unwrap_or_else(|| panic!("{leg}: {legs:#}")) / 1_000_000;
    assert!((900..5000).contains(&ms("syn")), "{legs:#}");
    assert!((150..5000).contains(&ms("loss")), "{legs:#}");
    assert!(legs["sent"]["value"].as_u64().is_some_and(|n| (2..8).contains(&n)), "{legs:#}");
    for leg in ["syn", "sent", "loss"] {
        assert_eq!((&legs[leg]["state"], &legs[leg]["via"]), (&"value".into(), &"exact".into()), "{legs:#}");
    }
}

/// The packets are the client's, before any translation.
fn of_client(net: &Net) -> String {
    net.end('c')
}

#[test]
fn a_masqueraded_client_of_a_published_port() {
    let run = || {
        let case = Case::new("m", &[FAULTS, PUBLISHED, MASQUERADED], 'c', 18_741)?;
        Some(case.legs(&["--netns", &of_client(&case.net)], SCRIPT))
    };
    let Some(legs) = without_losses(run) else { return };
    found(&legs);
}

/// The router's own capture has the packets on both sides of the translation, and counts them once.
#[test]
fn a_published_port_where_it_is_translated() {
    let run = || Some(Case::new("p", &[FAULTS, PUBLISHED], 'c', 18_742)?.legs(&[], SCRIPT));
    let Some(legs) = without_losses(run) else { return };
    let ms = |leg: &str| legs[leg]["value"].as_u64().unwrap_or(0) / 1_000_000;
    assert!(ms("syn") >= 900 && ms("loss") >= 150, "{legs:#}");
    assert_eq!((&legs["loss"]["via"], &legs["loss"]["count"]), (&"exact".into(), &1.into()), "{legs:#}");
}

/// As when a program on the host asks for what its own container publishes.
#[test]
fn a_client_on_the_router() {
    let script = SCRIPT.replace("  loss = sum(tcp.loss.dur) by conn since 10s;\n", "").replace("syn, loss;", "syn;");
    let run = || Some(Case::new("o", &[PUBLISHED], 'r', 18_743)?.legs(&[], &script));
    let Some(legs) = without_losses(run) else { return };
    assert_eq!((&legs["syn"]["state"], &legs["syn"]["via"]), (&"value".into(), &"exact".into()), "{legs:#}");
    // The client's own connect, and the handshake that the packets show.
    assert!(legs["syn"]["count"].as_u64().is_some_and(|n| n >= 2), "{legs:#}");
}

/// What isn't translated is as it was.
#[test]
fn without_a_translation() {
    let run = || {
        let case = Case::new("w", &[FAULTS], 'c', 18_744)?;
        Some(case.legs(&["--netns", &of_client(&case.net)], SCRIPT))
    };
    let Some(legs) = without_losses(run) else { return };
    found(&legs);
}

/// What can't be known is said, once there is something to know, and joins do with the one pair of addresses.
#[test]
fn without_the_capability() {
    let said = RefCell::new(String::new());
    let run = || {
        let mut case = Case::new("u", &[PUBLISHED], 'c', 18_746)?;
        case.within = &["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
        let (legs, told) = case.legs_and_said(&["--netns", &of_client(&case.net)], SCRIPT);
        *said.borrow_mut() = told;
        Some(legs)
    };
    let Some(legs) = without_losses(run) else { return };
    let said = said.into_inner();
    assert_eq!(said.matches("(NAT)").count(), 1, "{said}");
    assert!(said.contains("CAP_NET_ADMIN"), "{said}");
    assert_eq!(legs["syn"]["state"], "none", "{legs:#}");
}

#[test]
fn a_recording_says_the_same() {
    let rules = [FAULTS, PUBLISHED, MASQUERADED];
    let Some(case) = Case::new("r", &rules, 'c', 18_745) else { return };
    let file = folder().join(format!("nat-{}.pcapng", std::process::id()));
    let of_client = of_client(&case.net);
    let live = case.run(&["record", "-o", file.to_str().unwrap(), "--netns", &of_client], SCRIPT);
    let said = text(&live.stdout);
    assert!(said.contains("syn ") && said.contains("exact(conn)"), "{said}");
    let again = replay(&file);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(text(&again.stdout), said);
    fs::remove_file(&file).unwrap();
}

fn replay(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).arg("replay").arg(file).output().expect("weftrace runs")
}

/// Answers one request.
#[test]
#[ignore = "run by another"]
fn serves() {
    let Ok(port) = std::env::var("WEFTRACE_PORT") else { return };
    let listener = TcpListener::bind(format!("{SERVER}:{port}")).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut got = Vec::new();
    let mut piece = [0; 1024];
    while !got.ends_with(b"\r\n\r\n") {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "the request ended early");
        got.extend_from_slice(&piece[..n]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
    // Until the client has it all.
    let _ = stream.read(&mut piece);
}

#[test]
#[ignore = "run by another"]
fn asks() {
    let Some(to) = std::env::var_os("WEFTRACE_ROLE") else { return };
    let to = to.into_string().unwrap();
    let mut stream = TcpStream::connect(&to).unwrap_or_else(|e| panic!("{to}: {e}"));
    stream.write_all(b"GET /orders HTTP/1.1\r\nHost: shop\r\nX-Request-Id: order-1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"ok") {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "the answer ended early: {}", text(&answer));
        answer.extend_from_slice(&piece[..n]);
    }
}
