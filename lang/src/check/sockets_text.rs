//! The kernel's part of `http:` and `tcp:exchange` blocks, put together from its texts (lang/src/stdlib/sockets*.bt): what is asked for, and what
//! this kernel and these programs have, decide what stands at the words in capitals.

use super::Options;
use super::sockets::Asked;
use super::sockets_bio;
use super::sockets_exchange;
use super::sockets_go;
use super::sockets_io_uring;
use super::sockets_tls;
use super::turns::{self, Turns};
use crate::ast::Item;
use crate::diag::Diagnostic;
use crate::hir::{PLAIN_LEFT_AT, PLAIN_ROOM, STATUS_BITS};
use crate::span::SourceMap;
use crate::world::{Answer, Feature, World};

const TEXT: &str = include_str!("../stdlib/sockets.bt");
/// When a call that may send began.
const BEGINS: &str = include_str!("../stdlib/sockets_begins.bt");
/// Where calls are seen: at the ends of system calls, or where the kernel tells of sockets.
const CALLS: &str = include_str!("../stdlib/sockets_calls.bt");
const LENGTHS: &str = include_str!("../stdlib/sockets_lengths.bt");
/// What becomes of a call on a TCP socket.
const TOLD: &str = include_str!("../stdlib/sockets_told.bt");
/// What a call moved, told in pieces: for system calls and for TLS libraries.
const MOVED: &str = include_str!("../stdlib/sockets_moved.bt");
/// Bytes of one call that are copied; and of one that begins with three capital letters, as a message does (servers take heads of 8 to 32 KB).
const COPIED: u32 = 4096;
const OF_HEADS: u32 = 32768;
/// HTTP/2 frames and pieces of memory of one call that are looked at. Where loops stay in place (no bpf_loop, before Linux 5.17) the verifier walks each
/// round, and gives up at three or four.
const ROUNDS: [u32; 2] = [64, 48];
const ROUNDS_IN_PLACE: [u32; 2] = [2, 2];
/// From this word on [`MOVED`] is about bytes that can be read.
const WITH_BYTES: &str = "WITH_BYTES";
/// Words in [`MOVED`]: what stands there for system calls, and for what is within TLS.
const WORDS: &[(&str, &str, &str)] = &[
    ("BEGAN", AT, "$since"),
    ("PASSING", "PASSING", ""),
    ("KNOWN", "KNOWN", KNOWN),
    ("ROOM_FOR_IT", "ROOM_FOR_IT", ""),
    ("MARK", "(int64)0", "$bio"),
    ("OR_ENCRYPTED", "OR_ENCRYPTED", ""),
    ("ENCRYPTED", "ENCRYPTED", ""),
    ("RECORDS", "RECORDS", ""),
    (WITH_BYTES, WITH_BYTES, ""),
    (
        "POSITION",
        "$clear = (int64)0; $from = (uint32)($to - (uint32)$ret);",
        "$clear = (int64)@__sockets_clear[$key | $sent]; if ($clear == 0) { $clear = (int64)1; }
         @__sockets_clear[$key | $sent] = $clear + $ret; $from = (uint32)$clear; if ($ahead == 1) { $clear = 0 - $clear; }",
    ),
    ("UNBOUND", "", "if ($key == 0) { emit __sockets.unbound(calls = 1); return; }"),
];
/// When the call under way began, if that is noted.
const AT: &str = "(int64)@__sockets_at[tid(init)]";
/// What stands in [`LENGTHS`] for: a socket that isn't one of TCP.
const IS_TCP: &str = "$sk = args.sk;
  $port = args.sk.__sk_common.skc_num;
  $family = args.sk.__sk_common.skc_family;
  if (($family != 2 && $family != 10) || args.sk.sk_protocol != 6) { return; }";
/// And for an operation of io_uring, done while some system call is under way (or none is): by the register that says so, or by the file.
const OF_THIS_CALL: &str = "if ((int64)UNDER_WAY) { return; }";
const OF_THIS_FILE: &str = "$file = (struct file *)((struct task_struct *)curtask).files.fdt.fd[$fd];
  if ($file == 0 || ((struct socket *)$file.private_data).sk != $sk) { return; }";
/// The end of a `splice` (or `sendfile`) out of a socket, in [`LENGTHS`]: of the function that does it; of the call, which makes the kernel look at every system call of all programs; and where there is
/// no tracefs to ask for that, a probe that all calls run.
const SPLICED: &str = "fexit:sock_splice_read {
  $ret = (int64)retval;
  $id = (int64)NUMBER;
  if ($ret <= 0 || ($id != __NR_splice && $id != __NR_sendfile)) { return; }
  $file = args.file;
  $fd = $id == __NR_splice ? (int64)(int32)A0 : (int64)(int32)A1;
  $sk = ((struct socket *)$file.private_data).sk;
  OF_THIS_CALL";
const SPLICED_OF_CALLS: &str = "tracepoint:syscalls:sys_exit_splice {
  $ret = (int64)args.ret;
  if ($ret <= 0) { return; }
  $file = (struct file *)((struct task_struct *)curtask).files.fdt.fd[(int64)(int32)A0];";
const SPLICED_OF_ALL: &str = "rawtracepoint:sys_exit {
  $ret = (int64)args.ret;
  if ($ret <= 0 || (int64)(int32)args.regs.RETURNED != __NR_splice) { return; }
  $file = (struct file *)((struct task_struct *)curtask).files.fdt.fd[(int64)(int32)A0];";
/// What ends in the kernel, in [`MOVED`]; its maps; what it says of before, where something is to be told; and what becomes of it with its socket.
const PASSING: &str = include_str!("../stdlib/sockets_passing.bt");
/// By direction, and for bytes that no memory has: these end it.
const PASSING_GOT: &str = include_str!("../stdlib/sockets_passing_got.bt");
const PASSING_SENT: &str = include_str!("../stdlib/sockets_passing_sent.bt");
const PASSING_UNCOPIED: &str = "if ($was.phase != PHASE_LOST) {
      TELL_WAITING
      @__sockets_passing[$key] = EXCHANGE { phase = PHASE_LOST; passed = (int64)0; told = $told };
    }";
/// When user space was told last that a socket speaks; where exchanges end in the kernel this is with what is known of its exchange.
const KNOWN: &str = "$told = @__sockets_http[$key];";
const KNOWN_PASSING: &str = "$was = __open(@__sockets_passing[$key]);
  $told = $was.told;
  if ($told == 0 || $now - $told > 10000000000) { $told = @__sockets_http[$key]; }";
const PASSING_MAPS: &str = "
// By socket, whether an exchange is under way, the request that waits, and the beginning of a response that goes on.
let @__sockets_passing = hash(65536);
";
/// How many exchanges were passed over: by port, if blocks ask for some ports. (Without a key there is nothing to look up.)
const COUNTED: &str = "@__sockets_passed = count()";
const COUNTED_BY_PORT: &str = "@__sockets_passed[$port] = count()";
const PORTS_MAP: &str = "let @__sockets_passed = percpuhash(4096);\n";
/// (With how far both directions have come by 64-bit counts: more may have been passed over than a sequence number tells.)
const TELL_PASSED: &str =
    "if ($was.passed > 0) { emit __sockets.passed(key = $key, got = (uint32)$was.got, sent = (uint32)$was.sent,
        got_bytes = $tp.bytes_received, sent_bytes = $tp.bytes_sent - $tp.bytes_retrans); }";
const TELL_WAITING: &str = "TELL_PASSED
      if ($was.phase == PHASE_HELD || $was.phase == PHASE_ANSWER_HELD) {
        emit __sockets.held(key = $key, sent = 0, start = $was.at, from = (uint32)$was.got, to = (uint32)$was.came, other = (uint32)$was.sent,
          origin = ORIGIN, pid = (uint32)$was.pid, tid = (uint32)$was.tid, comm = $was.comm, data = $was.head);
        if ($was.phase == PHASE_ANSWER_HELD) {
          emit __sockets.held(key = $key, sent = 1, start = $was.began, from = (uint32)$was.sent, to = (uint32)$was.reached, other = (uint32)$was.came,
            origin = ORIGIN, pid = (uint32)$was.pid, tid = (uint32)$was.tid, comm = $was.comm, data = $was.answer);
        }
      }";
/// (What a call under way has looked up stays there.)
const WAITING_ENDS: &str = "if ($key != 0) {
    $was = __open(@__sockets_passing[$key]);
    if ($was.phase == PHASE_HELD || $was.phase == PHASE_ANSWER_HELD) {
      TELL_WAITING
      @__sockets_passing[$key] = EXCHANGE { phase = PHASE_UNSURE; passed = (int64)0 };
    }
  }";
/// A socket that speaks has room for what is known of its exchanges.
const ROOM: &str = "@__sockets_passing[$key] = EXCHANGE { told = (int64)0 };";
const WAITING_GONE: &str = "delete(@__sockets_passing, $key);";
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
    $tp = (struct tcp_sock *)args.sk;
    WAITING_ENDS
    emit __sockets.end(key = $key, gone = false, got = $tp.copied_seq, sent = $tp.write_seq, origin = ORIGIN IN_CLEAR);
  }";
const IS_GONE: &str = "if (@__sockets_http[$key] != 0) {
    $tp = (struct tcp_sock *)args.sk;
    WAITING_ENDS
    WAITING_GONE
    emit __sockets.end(key = $key, gone = true, got = $tp.copied_seq, sent = $tp.write_seq, origin = ORIGIN IN_CLEAR);
    delete(@__sockets_http, $key);
    delete(@__sockets_frame, $key);
    delete(@__sockets_frame, $key | 1);
    delete(@__sockets_cut, $key);
    delete(@__sockets_cut, $key | 1);
    TLS_GONE
  }
  GO_GONE
  BIO_GONE";
/// Stands where [`TEXT`] has a call on a socket: if it is one of OpenSSL's, its bytes are encrypted.
const WITHIN_OPENSSL: &str = "$tls = @__sockets_tls;
  if ($tls != 0) {
  $ssl = @__sockets_ssl[tid(init)];
  if ($ssl.0 != 0) { @__sockets_ssl_sock[pid(init), $ssl.0] = (int64)$sk; return; }
}";
/// How far what is within has come, where a direction ends.
const IN_CLEAR: &str = ", clear_got = @__sockets_clear[$key], clear_sent = @__sockets_clear[$key | 1]";
/// Where the other side's stream begins: this tells one connection from the next at the same address.
const ORIGIN: &str = "(uint32)($tp.rcv_nxt - (uint32)$tp.bytes_received)";
/// And where a socket that spoke is gone.
const TLS_GONE: &str = "delete(@__sockets_clear, $key); delete(@__sockets_clear, $key | 1);";
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
    let libraries = if asked.http { sockets_tls::files(world, opts) } else { Vec::new() };
    let go = if asked.http { sockets_go::programs(world, opts, flagged, asked.span, &mut diags) } else { Vec::new() };
    let tls = !libraries.is_empty() || !go.is_empty();
    let lengths = tells_lengths(world);
    // Of servers only the last of what they send counts, unless somebody asks for the first.
    let begins = !lengths || asked.clients || asked.turns.is_some() || sources.any_has("first_byte");
    let within = [when(!libraries.is_empty(), WITHIN_OPENSSL), when(!go.is_empty(), sockets_go::WITHIN)].concat();
    // Of those that a process here answers.
    let passing = lengths && asked.http && !asked.clients;
    let calls = sockets_bio::of_calls(&calls(asked, (lengths, begins, passing), &within, world), !libraries.is_empty());
    let gone = [when(asked.http, IS_GONE), when(asked.turns.is_some(), turns::IS_GONE)].join("\n  ");
    let maps = [
        when(asked.http, MAPS),
        when(passing, PASSING_MAPS),
        when(passing && asked.by_port, PORTS_MAP),
        when(asked.turns.is_some(), turns::MAPS),
    ]
    .concat();
    let mut text = TEXT
        .replace("MAPS", &maps)
        .replace("NO_MORE", when(asked.http, NO_MORE))
        .replace("IS_GONE", &gone)
        .replace("CALLS", &calls)
        .replace("ROOM_FOR_IT", when(passing, ROOM))
        .replace("WAITING_ENDS", when(passing, WAITING_ENDS))
        .replace("WAITING_GONE", when(passing, WAITING_GONE))
        .replace("TELL_WAITING", TELL_WAITING)
        .replace("TELL_PASSED", TELL_PASSED)
        .replace("COUNTED", if asked.by_port { COUNTED_BY_PORT } else { COUNTED })
        .replace("PLAIN_ROOM", &PLAIN_ROOM.to_string())
        .replace("LEFT_AT", &PLAIN_LEFT_AT.to_string())
        .replace("STATUS_BITS", &STATUS_BITS.to_string())
        .replace("TLS_GONE", when(tls, TLS_GONE))
        .replace("IN_CLEAR", when(tls, IN_CLEAR))
        .replace("BIO_GONE", when(!libraries.is_empty(), sockets_bio::GONE))
        .replace("GO_GONE", when(!go.is_empty(), sockets_go::GONE));
    text.push_str(when(tls, sockets_tls::MAPS));
    text.push_str(when(!libraries.is_empty(), sockets_bio::MAPS));
    if !libraries.is_empty() {
        text.push_str(&sockets_tls::text(&libraries, world).replace("MOVED", &moved(true)));
    }
    if !go.is_empty() {
        text.push_str(&sockets_go::text(&moved(true)));
    }
    text.push_str(&sockets_io_uring::blocks(world, asked.span, &mut diags));
    text.push_str(when(!flagged && asked.http, sockets_go::flag()));
    let text = text
        .replace("ORIGIN", ORIGIN)
        .replace("OTHERS", &asked.passed_over())
        .replace(AT, if begins { AT } else { "(int64)0" });
    let text = sockets_exchange::by_place(&in_rounds(&text, world));
    let file = sources.add("", sockets_go::with_points(for_host(&text), &go));
    opts.hidden.push(file);
    (crate::syntax::parse(&sources.file(file).text.clone(), file).0.items, diags)
}

/// The text with its loops' bounds.
fn in_rounds(text: &str, world: &dyn World) -> String {
    let [frames, pieces] = if world.feature(Feature::BpfLoop) == Answer::NotThere { ROUNDS_IN_PLACE } else { ROUNDS };
    text.replace("MOST_FRAMES", &frames.to_string()).replace("MOST_PIECES", &pieces.to_string())
}

fn when(is: bool, text: &'static str) -> &'static str {
    if is { text } else { "" }
}

/// What a call moved: for system calls, or within TLS.
fn moved(tls: bool) -> String {
    WORDS
        .iter()
        .fold(MOVED.to_owned(), |text, (word, calls, within)| text.replace(word, if tls { within } else { calls }))
}

/// Whether the kernel tells of sockets how much was sent and received (Linux 6.3).
fn tells_lengths(world: &dyn World) -> bool {
    let found = |event| matches!(world.raw_tracepoints(event), Answer::Found(names) if !names.is_empty());
    found("sock_send_length") && found("sock_recv_length")
}

/// Where calls on sockets are seen, and what becomes of them. Which way, whether their beginnings are noted, whether exchanges end there.
fn calls(asked: &Asked, (lengths, begins, passing): (bool, bool, bool), within: &str, world: &dyn World) -> String {
    let told = |moved: &str, direction: &str| {
        let exchanges_end = passing;
        let passing = if exchanges_end { PASSING.replace("DIRECTION", direction) } else { String::new() };
        let of_http = if asked.http { format!("$key = (int64)$sk;\n  {moved}") } else { String::new() };
        TOLD.replace("TURNS", &asked.turns.as_ref().map_or(String::new(), Turns::text))
            .replace("WITHIN_TLS", within)
            .replace("$key = (int64)$sk;\n  MOVED", &of_http)
            .replace("PASSING", &passing)
            .replace("KNOWN", if exchanges_end { KNOWN_PASSING } else { KNOWN })
    };
    let moved = moved(false);
    let all = moved.replace(WITH_BYTES, "");
    let uncopied = moved.split(WITH_BYTES).next().unwrap_or_default();
    let spliced = if can_probe(world, "sock_splice_read") {
        SPLICED
    } else if world.tracepoint("syscalls", "sys_exit_splice").is_found() {
        SPLICED_OF_CALLS
    } else {
        SPLICED_OF_ALL
    };
    let way = if lengths {
        let way = LENGTHS
            .replace("SPLICED", spliced)
            .replace("IS_TCP", IS_TCP)
            .replace("UNCOPIED", &told(uncopied, PASSING_UNCOPIED));
        let way = way.replace("SENT_TOLD", &told(&all, PASSING_SENT)).replace("GOT_TOLD", &told(&all, PASSING_GOT));
        of_this_call(&way)
    } else {
        registers(&CALLS.replace("TOLD", &told(&all, "")), |name| format!("args.regs.{name}"))
    };
    [when(begins, BEGINS), &way].concat()
}

/// Whether the ends of this kernel function can be probed at little cost.
fn can_probe(world: &dyn World, function: &str) -> bool {
    world.feature(Feature::Fentry).is_found() && matches!(world.kernel_function(function), Answer::Found(Some(_)))
}

/// The text of [`LENGTHS`] with the registers of the call under way.
fn of_this_call(text: &str) -> String {
    let register = |name: &str| format!("__call_register(\"{name}\")");
    let running = weftrace_arch::HOST.traced_calls.running;
    let check = running.map_or(OF_THIS_FILE.to_owned(), |(name, value)| {
        OF_THIS_CALL.replace("UNDER_WAY", &format!("{} != {value}", register(name)))
    });
    registers(&text.replace("OF_THIS_CALL", &check), register)
}

/// The text with this architecture's registers of system calls in the places of NUMBER, A0 to A5 and GOROUTINE_OF_CALL.
fn registers(text: &str, register: impl Fn(&str) -> String) -> String {
    let calls = &weftrace_arch::HOST.traced_calls;
    let member = |name: &str, offset: u32| match name {
        "regs" => register(&format!("regs[{}]", offset / 8)),
        name => register(name),
    };
    let mut text = text.replace("RETURNED", calls.number).replace("NUMBER", &register(calls.number));
    for (i, (name, offset)) in calls.args.iter().enumerate() {
        text = text.replace(&format!("A{i}"), &member(name, *offset));
    }
    let goroutine = weftrace_arch::HOST.go.goroutine;
    // Of registers in an array the arguments are too.
    let name = if calls.args[0].0 == "regs" { "regs" } else { sockets_go::register(goroutine) };
    text.replace("GOROUTINE_OF_CALL", &member(name, goroutine.into()))
}

/// The text for this architecture.
fn for_host(text: &str) -> String {
    let (compat, _, mask) = weftrace_arch::HOST.traced_calls.compat;
    text.replace("COPIED", &COPIED.to_string())
        .replace("OF_HEADS", &OF_HEADS.to_string())
        .replace("thread_info.COMPAT", &format!("thread_info.{compat} & {mask}"))
}
