//! Actions: a record is sent, and user space acts.

use super::{Row, class::{ANY, PROGRAM}};
use crate::check::call_action as c;

pub(super) static ROWS: &[Row] = &[
    Row::function("printf", "printf(\"format\", …)", (1, usize::MAX), ANY, c::printf, "Prints formatted text."),
    Row::function("errorf", "errorf(\"format\", …)", (1, usize::MAX), ANY, c::log, "Prints an error with the script's place."),
    Row::function("warnf", "warnf(\"format\", …)", (1, usize::MAX), ANY, c::log, "Prints a warning with the script's place."),
    Row::function("debugf", "debugf(\"format\", …)", (1, usize::MAX), ANY, c::log, "Prints a debugging text."),
    Row::function("print", "print(value), print(@map[, top[, div]])", (1, 3), ANY, c::print, "Prints any value, a map or one of its elements."),
    Row::function("clear", "clear(@map)", (1, 1), ANY, c::clear, "Removes all elements of a map."),
    Row::function("zero", "zero(@map)", (1, 1), ANY, c::zero, "Sets all elements of a map to zero."),
    Row::special("exit", "exit([code])", 1, ANY, c::exit, "Ends the script."),
    Row::function("time", "time([\"format\"])", (0, 1), ANY, c::time, "Prints the time of day."),
    Row::function("join", "join(argv[, \"separator\"])", (1, 2), PROGRAM, c::join_strings, "Prints an array of strings."),
    Row::function("cat", "cat(\"path\", …)", (1, usize::MAX), ANY, c::cat, "Prints a file."),
    Row::function("system", "system(\"command\", …)", (1, usize::MAX), ANY, c::system, "Runs a command. Needs --unsafe."),
    Row::function("assert", "assert(condition, message)", (2, 2), ANY, c::assert, "Ends the script with an error unless the condition holds."),
    Row::function("static_assert", "static_assert(condition, message)", (2, 2), ANY, c::static_assert, "An error at compile time unless the condition holds."),
    Row::function("fail", "fail(\"format\", …)", (1, usize::MAX), ANY, c::fail, "An error at compile time."),
    Row::not_yet("signal", false, ""),
    Row::not_yet("signal_thread", false, ""),
    Row::not_yet("override", false, ""),
    Row::not_yet("write_user", false, ""),
    Row::not_yet("skboutput", false, "use a pcap block and --format pcapng"),
    Row::not_yet("unwatch", false, ""),
];
