//! Map functions: aggregations (only as `@m = f(…)`) and questions about maps.

use super::{Row, class::ANY};
use crate::check::{call_map as c, windows as w};

pub(super) static ROWS: &[Row] = &[
    Row::function("count", "@m = count()", (0, 0), ANY, c::misplaced, "Counts how often it is called."),
    Row::function("sum", "@m = sum(n)", (1, 1), ANY, c::misplaced, "Adds up."),
    Row::function("avg", "@m = avg(n)", (1, 1), ANY, c::misplaced, "Average."),
    Row::function("min", "@m = min(n)", (1, 1), ANY, c::misplaced, "Smallest value."),
    Row::function("max", "@m = max(n)", (1, 1), ANY, c::misplaced, "Largest value."),
    Row::function("stats", "@m = stats(n)", (1, 1), ANY, c::misplaced, "Count, average and total."),
    Row::function(
        "hist",
        "@m = hist(n[, bits])",
        (1, 2),
        ANY,
        c::misplaced,
        "Histogram in powers of two, each cut into 2^bits.",
    ),
    Row::function("lhist", "@m = lhist(n, min, max, step)", (4, 4), ANY, c::misplaced, "Linear histogram."),
    Row::function(
        "tseries",
        "@m = tseries(n, interval, count[, \"avg\"|\"max\"|\"min\"|\"sum\"])",
        (3, 4),
        ANY,
        c::misplaced,
        "Values over time: the last (or average …) of each interval, for the last count intervals.",
    ),
    Row::function(
        "delete",
        "delete(@m, key), delete(@m)",
        (1, 2),
        ANY,
        c::delete,
        "Removes an element; true if it was there.",
    ),
    Row::function("has_key", "has_key(@m, key)", (2, 2), ANY, c::has_key, "Whether a map has an element."),
    Row::function(
        "find",
        "find(@m, key, $var)",
        (3, 3),
        ANY,
        c::find,
        "Copies an element into a variable if it is there.",
    ),
    Row::function(
        "rate",
        "rate(@m, window), rate(@m[key], window)",
        (2, 2),
        ANY,
        w::rate,
        "How much a count or sum grew in the last so many ns, to a tenth of them.",
    ),
    Row::function("len", "len(@m)", (1, 1), ANY, c::len, "Number of elements of a map.").alias(&["stack_len"]),
    Row::function(
        "is_scalar",
        "is_scalar(@m)",
        (1, 1),
        ANY,
        c::is_scalar,
        "Whether a map has no keys, known at compile time.",
    ),
];
