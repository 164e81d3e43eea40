//! Go's crypto/tls at `http:` blocks: in which programs it is probed, and the text of the probes (lang/src/stdlib/sockets_go.bt).

use super::Options;
use crate::ast::{Item, Script};
use crate::diag::Diagnostic;
use crate::span::Span;
use crate::world::{Answer, GoAbi, UserSymbol, World};
use weftrace_arch::HOST;

const TEXT: &str = include_str!("../stdlib/sockets_go.bt");
const READ: &str = "crypto/tls.(*Conn).Read";
const WRITE: &str = "crypto/tls.(*Conn).Write";
/// A program has one of them, or both: what it is.
const HANDSHAKES: [&str; 2] = ["crypto/tls.(*Conn).clientHandshake", "crypto/tls.(*Conn).serverHandshake"];
/// The flag that names a program; what a script without one of its own gets.
const FLAG: &str = "go";
const FLAG_TEXT: &str = "param go = \"\" \"a Go program whose TLS is read in clear; those that run are found\";\n";
/// The buffer may lie on the goroutine's stack, whose bounds its descriptor begins with.
const ON_STACK: &str =
    "if (arg1 >= *(uint64 *)uptr($g) && arg1 < *(uint64 *)uptr($g + 8)) { $buffer -= *(int64 *)uptr($g + 8); }";

/// The socket of a connection `$tls_conn` from before this run, in `$found`. What is in memory is believed if it leads to a TCP socket: tls.Conn
/// begins with the net.Conn below, whose second word points to a *net.TCPConn, which holds the *netFD, whose descriptor is behind a lock of
/// 16 bytes (all of it from Go 1.9 on).
const FIND: &str = "$tcp = *(uint64 *)uptr($tls_conn + 8);
      $netfd = *(uint64 *)uptr($tcp);
      $fd = *(int64 *)uptr($netfd + 16);
      $fdt = ((struct task_struct *)curtask).files.fdt;
      if ($fd > 2 && $fd < (int64)$fdt.max_fds) {
        $file = (struct file *)$fdt.fd[$fd];
        if ($file != 0 && ($file.f_inode.i_mode & 0xf000) == 0xc000) {
          $sock = ((struct socket *)$file.private_data).sk;
          $family = $sock.__sk_common.skc_family;
          if (($family == 2 || $family == 10) && $sock.sk_protocol == 6) {
            @__sockets_ssl_sock[pid(init), (int64)$tls_conn] = (int64)$sock;
            @__sockets_go_of[(int64)$sock] = (int64)$tls_conn;
            $found = (int64)$sock;
          }
        }
      }";

/// What the system calls' probes do beside (words of lang/src/check/sockets.rs).
pub(super) const WITHIN: &str = "$go = @__sockets_go[pid(init), (int64)GOROUTINE_OF_CALL];
  if ($go.0 != 0) {
    if ((int64)@__sockets_ssl_sock[pid(init), $go.0] != (int64)$sk) { @__sockets_ssl_sock[pid(init), $go.0] = (int64)$sk; }
    if ((int64)@__sockets_go_of[(int64)$sk] != $go.0) { @__sockets_go_of[(int64)$sk] = $go.0; }
    return;
  }";
pub(super) const GONE: &str = "delete(@__sockets_go_of, $key);";

/// A program in which crypto/tls can be probed.
pub(super) struct Program {
    path: String,
    handshakes: Vec<&'static str>,
}

/// Go programs that speak TLS: those that run, and the one that `--go` names. `span`: of what asks for them; `flagged`: the script has a
/// use of its own for `--go`.
pub(super) fn programs(
    world: &dyn World,
    opts: &Options,
    flagged: bool,
    span: Span,
    diags: &mut Vec<Diagnostic>,
) -> Vec<Program> {
    if opts.reading_file {
        return Vec::new();
    }
    let named = opts.named.iter().rev().find(|(name, _)| name == FLAG).and_then(|(_, path)| path.as_deref());
    let mut paths = Vec::new();
    if let Some(name) = named.filter(|name| !name.is_empty()) {
        match world.user_functions(name, READ) {
            Answer::Found(all) => paths.extend(all.into_iter().next().map(|s| s.path)),
            answer => diags.extend(lacks(world, name, answer).filter(|_| !flagged)),
        }
    }
    let known: Vec<&str> = paths.iter().map(String::as_str).collect();
    if let Answer::Found(running) = world.go_programs(READ, &known) {
        paths.extend(running);
    }
    let mut found = Vec::new();
    for path in paths {
        match usable(world, &path) {
            Ok(handshakes) => found.push(Program { path, handshakes }),
            Err(Some(why)) => {
                let d = Diagnostic::warning("go-tls", span, format!("what {path} encrypts cannot be read in clear"));
                diags.push(d.note(why));
            }
            Err(None) => {}
        }
    }
    found
}

/// What is wrong with the program that `--go` names.
fn lacks(world: &dyn World, name: &str, answer: Answer<Vec<UserSymbol>>) -> Option<Diagnostic> {
    let d = match answer {
        Answer::Found(_) => return None,
        Answer::NotThere if !world.user_file(name) => {
            Diagnostic::error("go-tls", Span::default(), format!("--{FLAG}: no program {name}"))
        }
        Answer::NotThere => {
            Diagnostic::warning("go-tls", Span::default(), format!("--{FLAG}: {name} has no crypto/tls"))
                .note("nothing of it is read in clear")
        }
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => {
            Diagnostic::error("go-tls", Span::default(), format!("--{FLAG}: {name} cannot be looked into")).note(why)
        }
    };
    Some(d)
}

/// The handshakes that a program has; what keeps its crypto/tls from being probed, None: it has none.
fn usable(world: &dyn World, path: &str) -> Result<Vec<&'static str>, Option<String>> {
    can_probe(world, path, READ)?;
    can_probe(world, path, WRITE)?;
    let handshakes: Vec<_> = HANDSHAKES.into_iter().filter(|name| can_probe(world, path, name).is_ok()).collect();
    if handshakes.is_empty() {
        return Err(Some(format!("it has neither {} nor {}", HANDSHAKES[0], HANDSHAKES[1])));
    }
    Ok(handshakes)
}

fn can_probe(world: &dyn World, path: &str, name: &str) -> Result<(), Option<String>> {
    let symbol = world.user_functions(path, name).found().and_then(|all| all.into_iter().next()).ok_or(None)?;
    match world.go_function(&symbol.path, symbol.file_offset) {
        Answer::Found(f) if f.abi != GoAbi::Registers => Err(Some(format!(
            "it was built by {}: arguments are in registers since Go 1.{}",
            if f.runtime.version.is_empty() { "an old version of Go" } else { &f.runtime.version },
            HOST.go.since
        ))),
        Answer::Found(f) => match f.unclear {
            Some(why) => Err(Some(format!("where {name} returns cannot be told: {why}"))),
            None if f.returns.is_empty() => Err(Some(format!("{name} has no instruction that returns"))),
            None => Ok(()),
        },
        Answer::NotThere => Err(Some(format!("{name} was not made by Go's own compiler"))),
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => Err(Some(why)),
    }
}

/// Whether one of these scripts has the flag.
pub(super) fn has_flag<'a>(scripts: impl IntoIterator<Item = &'a Script>) -> bool {
    scripts.into_iter().flat_map(|s| &s.items).any(|i| matches!(i, Item::Param(p) if p.name.text == FLAG))
}

pub(super) fn flag() -> &'static str {
    FLAG_TEXT
}

/// The probes, without their places; `moved`: the text for a call's bytes.
pub(super) fn text(moved: &str) -> String {
    TEXT.replace("ON_STACK", ON_STACK)
        .replace("FIND", FIND)
        .replace("FIRST", &HOST.go.stack.to_string())
        .replace("GOROUTINE", register(HOST.go.goroutine))
        .replace("RESULT", register(HOST.go.words[0]))
        .replace("MOVED", moved)
}

/// A text with the probes' places in these programs.
pub(super) fn with_points(mut text: String, programs: &[Program]) -> String {
    let points = |provider: &str, of: &dyn Fn(&Program) -> Vec<&'static str>| {
        let one = |p: &Program| of(p).iter().map(|name| format!("{provider}:\"{}\":\"{name}\"", p.path)).collect();
        programs.iter().map(one).collect::<Vec<Vec<String>>>().concat().join(",\n")
    };
    let read: &dyn Fn(&Program) -> Vec<&'static str> = &|_| vec![READ];
    for (word, of) in [("READ", read), ("WRITE", &|_| vec![WRITE]), ("HANDSHAKE", &|p| p.handshakes.clone())] {
        text = text.replace(&format!("{word}_ENTRY"), &points("uprobe", of));
        text = text.replace(&format!("{word}_RETURN"), &points("uretprobe", of));
    }
    text
}

/// The name of the register at this place.
pub(super) fn register(at: u16) -> &'static str {
    HOST.registers.iter().find(|(_, offset)| *offset == at).map_or("", |(name, _)| *name)
}

#[cfg(test)]
#[path = "sockets_go_tests.rs"]
mod tests;
