//! TLS by OpenSSL in programs that move the encrypted bytes themselves (memory BIOs: Python's asyncio, Node.js): which socket a session's is.
//!
//! No system call is made within a call of the library there. But a thread receives records from a socket and hands them to a session, and sends what that made: what
//! lies between two calls says which is whose. Once is no proof (a thread may receive for others), so it counts: a session is a socket's when three such
//! observations in a row name it, where a record as long as what was read from it counts for two. A process in which one session is called for by two threads, or in which
//! what was received once names another socket than before, hands things from thread to thread: none of its sessions is anybody's from then on. (What was sent is less: it may have waited.)

/// Where a system call moves something like TLS's records.
const RECORDS: &str = include_str!("../stdlib/sockets_bio_records.bt");
/// Where a library's call returns.
const CALLS: &str = include_str!("../stdlib/sockets_bio_calls.bt");
/// One more observation that a session is a socket's: odd in the map where it moves its bytes itself.
const IS_ITS: &str = "$held = (int64)@__sockets_ssl_sock[pid(init), SESSION];
          if ($held != (SOCKET | 1) && ($held == 0 || ($held & 1) == 1)) {
            $may = @__sockets_ssl_may[pid(init), SESSION];
            if ($may.0 != 0 && $may.0 != SOCKET) { CONTRADICTED }
            if ($held == 0) {
              $seen = ($may.0 == SOCKET ? $may.1 : (int64)0) + OFTEN;
              @__sockets_ssl_may[pid(init), SESSION] = (SOCKET, $seen);
              $other = (int64)@__sockets_ssl_of[SOCKET];
              if ($other != 0 && $other != SESSION) { @__sockets_ssl_mixed[pid(init)] = 1; }
              else if ($seen > 2) {
                @__sockets_ssl_of[SOCKET] = SESSION;
                @__sockets_ssl_sock[pid(init), SESSION] = SOCKET | 1;
              }
            }
          }";
/// Of what was received: it was handed from thread to thread.
const CONTRADICTED: &str = "@__sockets_ssl_mixed[pid(init)] = 1;";
/// An observation is of what was just done, in ns: what lies longer was another thread's to read.
const FRESH: &str = "2000000";
/// What becomes of it with its socket.
pub(super) const GONE: &str = "delete(@__sockets_ssl_of, $key);";
pub(super) const MAPS: &str = "
// By thread: the socket whose records it has received last, how long they are, the session whose handshake had them, and when; the session that has made some.
let @__sockets_record = lruhash(16384);
let @__sockets_ssl_made = lruhash(16384);
// By process and session: the socket that it seems to be, and how often it did.
let @__sockets_ssl_may = lruhash(65536);
// And the thread that calls for it.
let @__sockets_ssl_by = lruhash(65536);
// By socket: its session. By process: that it hands things from thread to thread.
let @__sockets_ssl_of = hash(65536);
let @__sockets_ssl_mixed = lruhash(16384);
";
/// What system calls do with a socket that is known to carry them (the time when it was told last is odd): what was written before is on its way now.
const ENCRYPTED: &str = "if (($told & 1) == 1 && $sent == 1) {
    emit __sockets.wrote(key = $key, to = $tp.write_seq, moved = (int64)1 << 40);
  }";

/// The text of what calls on sockets moved, with that; or without, where no program has such a library.
pub(super) fn of_calls(text: &str, is: bool) -> String {
    let (encrypted, or, records) = if is {
        (ENCRYPTED, "|| ($told & 1) == 1", observed(RECORDS) + "if ($told != 0) { return; }")
    } else {
        ("", "", String::new())
    };
    text.replace("OR_ENCRYPTED", or).replace("ENCRYPTED", encrypted).replace("RECORDS", &records)
}

/// The text of a library's probes.
pub(super) fn of_library(text: &str) -> String {
    text.replace("BETWEEN_CALLS", &observed(CALLS))
}

fn observed(text: &str) -> String {
    let is_its = |session: &str, socket: &str, often: &str, contradicted: &str| {
        IS_ITS
            .replace("SESSION", session)
            .replace("SOCKET", socket)
            .replace("OFTEN", often)
            .replace("CONTRADICTED", contradicted)
    };
    text.replace("IS_ITS(MADE)", &is_its("$made", "(int64)$sk", "(int64)1", ""))
        .replace("IS_ITS(FOUND)", &is_its("$ssl.0", "$record.0", "$points", CONTRADICTED))
        .replace("FRESH", FRESH)
}
