//! `http:server`, `http:client`: blocks on what sockets carry. Kernel probes beside the script's own, in the language itself,
//! tell user space what each system call moved; it presents exchanges with the fields that packets have.

use super::Options;
use super::attach::{Point, Resolved, bad};
use super::cx::Checker;
use super::glob;
use super::providers::ProviderKind;
use super::sockets_go;
use super::turns::{self, Turns};
use super::value::Val;
use crate::ast::{AttachPoint, Item, Script};
use crate::builtins::class;
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, Provider, SocketSide, Ty};
use crate::span::{SourceMap, Span};
use crate::world::{Answer, World};
use std::collections::BTreeSet;

const TEXT: &str = include_str!("../stdlib/sockets.bt");
/// What a call moved, told in pieces: for system calls and for TLS libraries.
const MOVED: &str = include_str!("../stdlib/sockets_moved.bt");
/// Bytes of one call that are copied, if they may be a message's head.
const COPIED: u32 = 4096;
/// What io_uring moves passes no system call: that it did is all that is known.
const IO_URING: &str = include_str!("../stdlib/sockets_io_uring.bt");
/// What TLS libraries take and give in clear, for each of these that is installed.
const TLS: &str = include_str!("../stdlib/sockets_tls.bt");
const TLS_LIBRARIES: &[&str] = &["libssl.so.3", "libssl.so.1.1"];
/// What all of them share.
const TLS_MAPS: &str = include_str!("../stdlib/sockets_tls_maps.bt");
/// Words in [`MOVED`]: what stands there for system calls, and for what is within TLS.
const WORDS: &[(&str, &str, &str)] = &[
    ("BEGAN", "(int64)@__sockets_at[tid(init)]", "$since"),
    (
        "POSITION",
        "$clear = (int64)0; $from = (uint32)($to - (uint32)$ret);",
        "$clear = (int64)@__sockets_clear[$key | $sent]; if ($clear == 0) { $clear = (int64)1; }
         @__sockets_clear[$key | $sent] = $clear + $ret; $from = (uint32)$clear; if ($ahead == 1) { $clear = 0 - $clear; }",
    ),
    ("UNBOUND", "", "if ($key == 0) { emit __sockets.unbound(calls = 1); return; }"),
];
/// What [`TEXT`] has for `http:` blocks alone: their maps, the end of one direction, and of both.
const MAPS: &str = "
// Sockets that speak.
let @__sockets_http = hash(65536);
// HTTP/2: where the next frame of a direction begins, as a sequence number above 2^32.
let @__sockets_frame = hash(65536);
// What a call had of a frame's header whose rest comes with the next one.
let @__sockets_cut = hash(16384);
";
const NO_MORE: &str = "if ((args.newstate == 4 || args.newstate == 9) && @__sockets_http[$key] != 0) {
    emit __sockets.end(key = $key, gone = false);
  }";
const IS_GONE: &str = "if (@__sockets_http[$key] != 0) {
    emit __sockets.end(key = $key, gone = true);
    delete(@__sockets_http, $key);
    delete(@__sockets_frame, $key);
    delete(@__sockets_frame, $key | 1);
    delete(@__sockets_cut, $key);
    delete(@__sockets_cut, $key | 1);
    TLS_GONE
  }
  GO_GONE";
/// Stands where [`TEXT`] has a call on a socket: if it is one of OpenSSL's, its bytes are encrypted.
const WITHIN_OPENSSL: &str = "if (@__sockets_tls != 0) {
  $ssl = @__sockets_ssl[tid(init)];
  if ($ssl.0 != 0) { @__sockets_ssl_sock[pid(init), $ssl.0] = (int64)$sk; return; }
}";
/// And where a socket that spoke is gone.
const TLS_GONE: &str = "delete(@__sockets_clear, $key); delete(@__sockets_clear, $key | 1);";
/// Heads fill the ring: of so many bytes, unless the script says.
const RING: u32 = 4 << 20;
/// The streams of the kernel's part begin so.
pub(crate) const STREAMS: &str = "__sockets.";
/// `__bytes(address, length, capacity)`
pub(crate) const BYTES: &str = "__bytes";

/// What an `http:` block has of a packet's fields, besides those of all exchanges.
const HTTP_FIELDS: &[&str] = &["http.exchange", "http.exchange.*", "grpc.*"];

/// What any exchange at a socket has of a packet's fields.
const FIELDS: &[&str] = &[
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "ip.version",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.conn",
    "tcp.from_client",
    "flow",
    "conversation",
    "community_id",
    "frame.time*",
    "pkt.owner.*",
];

/// Patterns of the packet fields that blocks of a provider have: `http`, `tcp`.
pub fn exchange_fields(provider: &str) -> impl Iterator<Item = &'static str> {
    let own = if provider == turns::PROVIDER { turns::FIELDS } else { HTTP_FIELDS };
    own.iter().chain(FIELDS).copied()
}

/// What the process that reads or writes the request is called in such a block, and as a packet's field.
const OWN: &[(&str, &str, Ty)] = &[
    ("pid", "pkt.owner.pid", Ty::U32),
    ("tid", "pkt.owner.tid", Ty::U32),
    ("comm", "pkt.owner.comm", Ty::Str { cap: 16 }),
];

/// Of which sockets the blocks tell.
pub(crate) struct Asked {
    servers: bool,
    clients: bool,
    /// Empty: all.
    ports: BTreeSet<u16>,
    /// `http:` blocks are there, `tcp:exchange` blocks are.
    http: bool,
    turns: Option<Turns>,
    /// Of the first such block.
    span: Span,
}

/// More ports are not compared one by one in the kernel.
pub(super) const MOST_PORTS: usize = 8;

/// What the blocks of these scripts ask of sockets; None: nothing.
pub(crate) fn asked<'a>(scripts: impl IntoIterator<Item = &'a Script>) -> Option<Asked> {
    let probes = scripts.into_iter().flat_map(|s| &s.items).filter_map(|item| match item {
        Item::Probe(probe) => Some(probe),
        _ => None,
    });
    let is_exchange = |p: &&AttachPoint| {
        super::providers::find(&p.provider.text).is_some_and(|row| row.kind == ProviderKind::Exchange)
    };
    let all: Vec<&AttachPoint> = probes.flat_map(super::modules::points).filter(is_exchange).collect();
    let (turns, found): (Vec<&AttachPoint>, Vec<&AttachPoint>) = all.iter().partition(|p| turns::are_asked(p));
    let text = |p: &&AttachPoint, i: usize| p.segments.get(i).map(|s| s.text.clone()).unwrap_or_default();
    let ports: Option<BTreeSet<u16>> = found.iter().map(|p| text(p, 1).parse().ok()).collect();
    (!all.is_empty()).then(|| Asked {
        http: !found.is_empty(),
        turns: Turns::of(&turns),
        servers: found.iter().any(|p| text(p, 0) != "client"),
        clients: found.iter().any(|p| text(p, 0) != "server"),
        ports: ports.filter(|ports| ports.len() <= MOST_PORTS).unwrap_or_default(),
        span: all.first().map_or(Span::default(), |p| p.span),
    })
}

impl Asked {
    /// Passes over a socket $sk with the key $key that no block tells of, before anything of its program's memory is read. (Of a connection older than this run it isn't known who
    /// opened it.)
    fn passed_over(&self) -> String {
        let mut text = match (self.servers, self.clients) {
            (true, false) => "if ((@__sockets_opened[$key] & 1) == 1) { return; }",
            (false, true) => "$opened = @__sockets_opened[$key]; if ($opened != 0 && ($opened & 1) == 0) { return; }",
            _ => "",
        }
        .to_owned();
        let is = |port: &u16| format!("$local == {port} || $remote == {port}");
        let any: Vec<String> = self.ports.iter().map(is).collect();
        if !any.is_empty() {
            text += "$local = $sk.__sk_common.skc_num; $remote = bswap($sk.__sk_common.skc_dport);";
            text += &[" if (!(", &any.join(" || "), ")) { return; }"].concat();
        }
        text
    }
}

/// The kernel's part, as the items of a script, with what is wrong with it. `flagged`: there is a flag `--go` already.
pub(crate) fn items(
    asked: &Asked,
    flagged: bool,
    sources: &mut SourceMap,
    world: &dyn World,
    opts: &mut Options,
) -> (Vec<Item>, Vec<Diagnostic>) {
    let mut diags = Vec::new();
    let moved = |tls: bool| {
        WORDS
            .iter()
            .fold(MOVED.to_owned(), |text, (word, calls, within)| text.replace(word, if tls { within } else { calls }))
    };
    let libraries: Vec<&str> = TLS_LIBRARIES
        .iter()
        .copied()
        .filter(|_| asked.http)
        .filter(|library| world.user_function(library, "SSL_read_ex").is_found())
        .collect();
    let go = if asked.http { sockets_go::programs(world, opts, flagged, asked.span, &mut diags) } else { Vec::new() };
    let when = |is: bool, text: &'static str| if is { text } else { "" };
    let within = [when(!libraries.is_empty(), WITHIN_OPENSSL), when(!go.is_empty(), sockets_go::WITHIN)].concat();
    let tls = !libraries.is_empty() || !go.is_empty();
    let gone = [when(asked.http, IS_GONE), when(asked.turns.is_some(), turns::IS_GONE)].join("\n  ");
    let maps = [when(asked.http, MAPS), when(asked.turns.is_some(), turns::MAPS)].concat();
    let calls = if asked.http { format!("$key = (int64)$sk;\n  {}", moved(false)) } else { String::new() };
    let mut text = TEXT
        .replace("MAPS", &maps)
        .replace("NO_MORE", when(asked.http, NO_MORE))
        .replace("IS_GONE", &gone)
        .replace("TURNS", &asked.turns.as_ref().map_or(String::new(), Turns::text))
        .replace("$key = (int64)$sk;\n  MOVED", &calls)
        .replace("WITHIN_TLS", &within)
        .replace("TLS_GONE", when(tls, TLS_GONE))
        .replace("GO_GONE", when(!go.is_empty(), sockets_go::GONE));
    text.push_str(when(tls, TLS_MAPS));
    for (i, library) in libraries.iter().enumerate() {
        text.push_str(&tls_text(library, i > 0).replace("MOVED", &moved(true)));
    }
    if !go.is_empty() {
        text.push_str(&sockets_go::text(&moved(true)));
    }
    text.push_str(&io_uring(world));
    text.push_str(when(!flagged && asked.http, sockets_go::flag()));
    let text = text.replace("OTHERS", &asked.passed_over());
    let file = sources.add("", sockets_go::with_points(for_host(&text), &go));
    opts.hidden.push(file);
    (crate::syntax::parse(&sources.file(file).text.clone(), file).0.items, diags)
}

/// What is probed in a TLS library. `again`: its maps are there already.
fn tls_text(library: &str, again: bool) -> String {
    let text = TLS.replace("LIB", library);
    if again { text.lines().filter(|line| !line.starts_with("let ")).collect::<Vec<_>>().join("\n") } else { text }
}

/// Blocks at the events of io_uring that there are. What goes on and on is told apart by a flag, whose number differs by kernel; where there
/// is none (before Linux 6.0) nothing does.
fn io_uring(world: &dyn World) -> String {
    let flag = match world.kernel_enumerator("REQ_F_APOLL_MULTISHOT_BIT") {
        Answer::Found((_, bit)) => Some(format!("($req.flags & ((uint64)1 << {bit})) == 0")),
        _ => None,
    };
    let once = flag.clone().map_or(String::new(), |flag| format!("{flag} && "));
    let mut text = String::new();
    for (event, request, without) in [
        ("io_uring_complete", "arg1", Some(format!("{once}(int64)$req.cqe.res <= 0"))),
        ("io_uring_poll_arm", "args.req", flag.clone()),
        ("io_uring_task_add", "args.req", flag),
    ] {
        let found = matches!(world.raw_tracepoints(event), Answer::Found(names) if !names.is_empty());
        if let Some(without) = without.filter(|_| found) {
            text += &IO_URING.replace("EVENT", event).replace("REQUEST", request).replace("WITHOUT", &without);
        }
    }
    text
}

/// The text for this architecture.
fn for_host(text: &str) -> String {
    let calls = &weftrace_arch::HOST.traced_calls;
    let (compat, _, mask) = calls.compat;
    let mut text = text
        .replace("COPIED", &COPIED.to_string())
        .replace("$r.NUMBER", &format!("args.regs.{}", calls.number))
        .replace("thread_info.COMPAT", &format!("thread_info.{compat} & {mask}"))
        .replace("  $r = args.regs;\n", "");
    let member = |register: &str, offset: u32| match register {
        "regs" => format!("args.regs.regs[{}]", offset / 8),
        name => format!("args.regs.{name}"),
    };
    for (i, (register, offset)) in calls.args.iter().enumerate() {
        text = text.replace(&format!("A{i}"), &member(register, *offset));
    }
    let goroutine = weftrace_arch::HOST.go.goroutine;
    // Of registers in an array the arguments are too.
    let name = if calls.args[0].0 == "regs" { "regs" } else { sockets_go::register(goroutine) };
    text.replace("GOROUTINE_OF_CALL", &member(name, goroutine.into()))
}

impl Checker<'_> {
    /// `http:server[:PORT]`, `http:client[:PORT]`
    pub(crate) fn exchange(&mut self, p: &Point<'_>) -> Resolved {
        let side = match p.text(0) {
            _ if p.row.name == turns::PROVIDER => turns::side(p)?,
            "server" => SocketSide::Server,
            "client" => SocketSide::Client,
            "*" => SocketSide::Either,
            _ => {
                let d = Diagnostic::error("bad-attach-point", p.segment_span(0), format!("no side {}", p.text(0)))
                    .note("server: requests that processes here answer; client: those that they send; *: both")
                    .write(p.row.shape);
                return Err(bad(d));
            }
        };
        let port = match (p.segments.len(), p.text(1).parse::<u16>()) {
            (1, _) => 0,
            (_, Ok(port)) if port > 0 => port,
            _ => {
                let text = format!("{} is no port: 1 to 65535", p.text(1));
                return Err(bad(Diagnostic::error("bad-attach-point", p.segment_span(1), text).write(p.row.shape)));
            }
        };
        if !self.config.entries.iter().any(|(k, _)| k == "ring_bytes" || k == "perf_rb_pages") {
            self.config.ring_bytes = self.config.ring_bytes.max(RING);
        }
        Ok(vec![p.found(p.as_written(), Provider::Exchange { side, port }, false)])
    }

    /// `pid`, `tid` and `comm` in such a block.
    pub(crate) fn exchange_value(&self, name: &str, span: Span) -> Option<Val> {
        let (_, field, ty) = OWN.iter().find(|(own, ..)| self.class() == class::EXCHANGE && *own == name)?;
        Some(Val::new(ExprKind::Packet((*field).into()), ty.clone(), span))
    }

    /// Whether a packet's field is known where the block runs; if not, it is told.
    pub(crate) fn is_of_exchange(&mut self, name: &str, span: Span) -> bool {
        if self.probe.kind() != ProviderKind::Exchange {
            return !turns::are_told(self, name, span);
        }
        let fields = || exchange_fields(self.probe.row.name);
        if fields().any(|f| glob::matches(f, name)) {
            return true;
        }
        let known: Vec<&str> = fields().filter(|f| *f != "http.exchange").collect();
        let d =
            Diagnostic::error("packet-field", span, format!("{name} is a packet's field: sockets don't show packets"))
                .note(format!("known here: {}", known.join(", ")))
                .write(format!("pcap:any {{ … {name} … }}"));
        self.report(d);
        false
    }
}
