//! OpenSSL at `http:` blocks: in which files its functions are probed, and the text of the probes (lang/src/stdlib/sockets_tls.bt).

use super::{Options, sockets_bio};
use crate::world::World;

/// What a library takes and gives in clear.
const TEXT: &str = include_str!("../stdlib/sockets_tls.bt");
/// What all of them share, Go's crypto/tls too.
pub(super) const MAPS: &str = include_str!("../stdlib/sockets_tls_maps.bt");
/// The system's own.
const LIBRARIES: &[&str] = &["libssl.so.3", "libssl.so.1.1"];
/// As others are called: containers', those that a program brings along.
const NAMED: &str = "libssl";
/// What each has; the functions that [`TEXT`] has besides came with OpenSSL 1.1.1.
const HAVE: &[&str] =
    &["SSL_read", "SSL_write", "SSL_do_handshake", "SSL_accept", "SSL_connect", "SSL_shutdown", "SSL_free"];
/// More files than these are not probed: each takes as long to attach and detach.
const MOST: usize = 16;

/// Files with OpenSSL's functions: the system's libraries, and what running programs have mapped or contain. (A name that a probe can't have is left out.)
pub(super) fn files(world: &dyn World, opts: &Options) -> Vec<String> {
    let system = LIBRARIES.iter().filter(|library| world.user_function(library, "SSL_read_ex").is_found());
    let mut files: Vec<String> = system.map(|library| (*library).to_owned()).collect();
    // A program that is started for the run has nothing mapped yet.
    if opts.reading_file || opts.child_pid.is_some() {
        return files;
    }
    let plain = |path: &String| path.chars().all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c));
    let is_whole = |path: &String| HAVE.iter().all(|function| world.user_function(path, function).is_found());
    let running = world.running_with(NAMED, HAVE[0], LIBRARIES).found().unwrap_or_default();
    let others = running.into_iter().filter(|path| plain(path) && is_whole(path));
    files.extend(others.take(MOST));
    files
}

/// The probes of all files: a block for each function, at each file that has it.
pub(super) fn text(files: &[String], world: &dyn World) -> String {
    let line = |line: &str| {
        let Some((provider, rest)) = line.split_once(":LIB:") else { return line.to_owned() };
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        let (function, rest) = rest.split_at(end);
        let have = files.iter().filter(|file| world.user_function(file, function).is_found());
        let targets: Vec<String> = have.map(|file| format!("{provider}:{file}:{function}")).collect();
        // Of a function that none has the line goes, with its block.
        if targets.is_empty() { String::new() } else { targets.join(",\n") + rest }
    };
    sockets_bio::of_library(&TEXT.lines().map(line).collect::<Vec<_>>().join("\n"))
}
