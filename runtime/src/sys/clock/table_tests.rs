use super::*;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

fn table(pairs: &[(u64, u64)]) -> Table {
    let mut table = Table::new(false);
    for &(boot, wall) in pairs {
        table.add(Pair { boot, wall, width: 100 });
    }
    table
}

#[test]
fn between_readings_the_clock_runs_evenly() {
    // 100 µs a second too fast, which NTP does.
    let table = table(&[(S, 1000 * S), (2 * S, 1001 * S + 100_000)]);
    assert!(table.steps.is_empty());
    assert_eq!(table.wall(S + S / 2), 1000 * S + S / 2 + 50_000);
    assert_eq!(table.boot(1000 * S + S / 2 + 50_000), S + S / 2);
    assert_eq!((table.wall(3 * S), table.wall(S / 2)), (1002 * S + 100_000, 1000 * S - S / 2));
}

#[test]
fn a_clock_set_forward_begins_a_segment() {
    let table = table(&[(S, 1000 * S), (2 * S, 1001 * S), (3 * S, 5002 * S), (4 * S, 5003 * S)]);
    assert_eq!(table.steps, [Step { between: (2 * S, 3 * S), by: 4000 * S as i64 }]);
    assert_eq!(table.wall(2 * S + S / 2), 1001 * S + S / 2);
    assert_eq!((table.boot(1001 * S + S / 2), table.boot(5002 * S + S / 2)), (2 * S + S / 2, 3 * S + S / 2));
    // The wall clock never showed this; whatever did is of the time between.
    assert_eq!(table.boot(3000 * S), 3 * S);
    assert!(table.steps[0].to_string().contains("forward by 4000.000 s"), "{}", table.steps[0]);
}

#[test]
fn times_that_were_there_twice_are_not_in_the_future() {
    let table = table(&[(S, 1000 * S), (2 * S, 1001 * S), (3 * S, 902 * S), (4 * S, 903 * S)]);
    assert_eq!(table.steps[0].by, -(100 * S as i64));
    assert_eq!((table.boot(1001 * S), table.boot(1001 * S + 500 * MS)), (2 * S, 2 * S + 500 * MS));
    assert_eq!(table.boot(903 * S), 4 * S);
}

/// Another clock's times may lie in the future, however often ours was set since the run began: they are now, no step's.
#[test]
fn times_of_a_clock_that_is_ahead() {
    let forward =
        table(&[(S, 1000 * S), (2 * S, 1001 * S), (3 * S, 1002 * S + 50 * MS), (600 * S, 1599 * S + 50 * MS)]);
    assert_eq!(forward.boot(1599 * S + 950 * MS), 600 * S + 900 * MS);
    assert_eq!(forward.boot(1602 * S), 601 * S);
    let back = table(&[(S, 1000 * S), (2 * S, 1001 * S), (3 * S, 1001 * S), (600 * S, 1598 * S)]);
    assert_eq!((back.boot(1600 * S), back.boot(1001 * S + 500 * MS)), (601 * S, 3 * S + 500 * MS));
    // Two steps forward: what was passed over is of the step that passed it over.
    let twice = table(&[(S, 1000 * S), (2 * S, 2000 * S), (3 * S, 2001 * S), (4 * S, 5000 * S)]);
    assert_eq!((twice.boot(1500 * S), twice.boot(3000 * S), twice.boot(9000 * S)), (2 * S, 4 * S, 5 * S));
    // Set back to before the first reading: what was stamped just before that is of then, what is a little ahead now is not.
    let far = table(&[(5000 * S, 9000 * S), (5001 * S, 9001 * S), (5002 * S, 2000 * S), (5003 * S, 2001 * S)]);
    assert_eq!((far.boot(8999 * S), far.boot(2005 * S)), (4999 * S, 5004 * S));
}

/// A recording may claim any times: they are wrong then, and no panic.
#[test]
fn times_that_no_clock_shows() {
    let table = table(&[(0, 0), (u64::MAX, u64::MAX)]);
    assert_eq!((table.wall(u64::MAX - 1), table.boot(5)), (u64::MAX - 1, 5));
}

#[test]
fn a_table_is_bounded_and_takes_no_reading_twice() {
    let mut table = Table::new(false);
    for i in 0..10_000 {
        table.add(Pair { boot: i * S, wall: i * S + 7, width: 10 });
        table.add(Pair { boot: i * S, wall: 0, width: 10 });
    }
    assert_eq!((table.pairs.len(), table.fresh.len(), table.steps.len()), (MAX_PAIRS, MAX_PAIRS, 0));
    assert_eq!(table.wall(9_999 * S), 9_999 * S + 7);
    let oldest = 10_000 - MAX_PAIRS as u64;
    for wall in [9_999 * S + 8, 9_000 * S + 9, (oldest + 2) * S, oldest * S + 7, oldest * S] {
        assert_eq!(table.boot(wall), wall - 7);
    }
    assert_eq!(Table::new(false).boot(5), 5);
}
