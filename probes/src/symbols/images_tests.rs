use super::*;

/// A record as the kernel writes it: header, body, time.
fn record(kind: u32, body: &[u8], time: u64) -> Vec<u8> {
    let mut out = kind.to_ne_bytes().to_vec();
    out.extend(0u16.to_ne_bytes());
    out.extend((8 + body.len() as u16 + 8).to_ne_bytes());
    out.extend(body);
    out.extend(time.to_ne_bytes());
    out
}

fn mapped(pid: u32, start: u64, len: u64, path: &str, time: u64) -> Vec<u8> {
    let mut body: Vec<u8> = [pid, pid].iter().flat_map(|n| n.to_ne_bytes()).collect();
    body.extend([start, len, 0x2000].iter().flat_map(|n| n.to_ne_bytes()));
    body.extend([8u32, 1].iter().flat_map(|n| n.to_ne_bytes()));
    body.extend([1234u64, 0].iter().flat_map(|n| n.to_ne_bytes()));
    body.extend([5u32, 2].iter().flat_map(|n| n.to_ne_bytes()));
    body.extend(path.as_bytes());
    body.resize((body.len() + 8) & !7, 0);
    record(PERF_RECORD_MMAP2, &body, time)
}

fn forked(pid: u32, parent: u32, time: u64) -> Vec<u8> {
    let body: Vec<u8> = [pid, parent, pid, parent].iter().flat_map(|n| n.to_ne_bytes()).collect();
    let mut body = body;
    body.extend(time.to_ne_bytes());
    record(PERF_RECORD_FORK, &body, time)
}

fn taken(table: &mut Table, records: &[Vec<u8>]) {
    table.take(&records.concat(), &|_| Vec::new());
}

fn path(table: &Table, pid: u32, address: u64) -> Option<String> {
    table.find(pid, address).map(|r| r.path.to_string())
}

#[test]
fn the_newest_mapping_counts_and_children_inherit() {
    let mut table = Table::default();
    taken(
        &mut table,
        &[mapped(10, 0x1000, 0x1000, "/bin/sh", 1), forked(20, 10, 2), mapped(20, 0x1800, 0x100, "/bin/a", 5)],
    );
    let region = table.find(10, 0x1fff).expect("mapped");
    assert_eq!((region.file_offset, region.identity), (0x2000, (8 << 32 | 1, 1234)));
    assert_eq!(path(&table, 10, 0x2000), None);
    assert_eq!(path(&table, 20, 0x1000).as_deref(), Some("/bin/sh"));
    assert_eq!(path(&table, 20, 0x1810).as_deref(), Some("/bin/a"));
    // What the parent maps later is its own.
    taken(&mut table, &[mapped(10, 0x9000, 0x1000, "/lib/x.so", 6)]);
    assert_eq!(path(&table, 20, 0x9000), None);
    assert_eq!(table.relatives(20, (8 << 32 | 1, 1234)), [10]);
}

#[test]
fn records_of_several_rings_are_put_in_order() {
    let mut table = Table::default();
    taken(
        &mut table,
        &[mapped(20, 0x1000, 0x1000, "/bin/new", 9), mapped(10, 0x1000, 0x1000, "/bin/sh", 1), forked(20, 10, 2)],
    );
    assert_eq!(path(&table, 20, 0x1000).as_deref(), Some("/bin/new"));
}

#[test]
fn a_number_that_is_used_again() {
    let mut table = Table::default();
    taken(&mut table, &[mapped(20, 0x1000, 0x1000, "/bin/old", 1), mapped(20, 0x5000, 0x1000, "/lib/old", 1)]);
    taken(&mut table, &[forked(20, 1, 3), mapped(20, 0x1000, 0x800, "/bin/new", 4)]);
    assert_eq!(path(&table, 20, 0x1000).as_deref(), Some("/bin/new"));
    // Stacks of the first may still be to come.
    assert_eq!(path(&table, 20, 0x5000).as_deref(), Some("/lib/old"));
}

#[test]
fn what_runs_already_and_what_was_lost() {
    let mut table = Table::default();
    let now =
        |start| Region { start, end: start + 0x1000, file_offset: 0, identity: (1, 2), path: "/bin/daemon".into() };
    let lost: Vec<u8> = [7u64, 40].iter().flat_map(|n| n.to_ne_bytes()).collect();
    // The parent was never seen: it is looked at now.
    table.take(&[forked(31, 30, 1), record(PERF_RECORD_LOST, &lost, 2)].concat(), &|pid| {
        if pid == 30 { vec![now(0x4000)] } else { Vec::new() }
    });
    assert_eq!(path(&table, 31, 0x4000).as_deref(), Some("/bin/daemon"));
    assert_eq!(table.lost, 40);
}

#[test]
fn memory_is_bounded_and_nonsense_is_passed_over() {
    let mut table = Table::default();
    for pid in 1..=2 * MOST_PROCESSES as u32 {
        taken(&mut table, &[mapped(pid, 0x1000, 0x1000, "/bin/x", u64::from(pid))]);
    }
    assert_eq!(table.processes.len(), MOST_PROCESSES);
    for at in 0..2 * MOST_MAPPED as u64 {
        taken(&mut table, &[mapped(9000, at << 12, 0x1000, "//anon", at)]);
    }
    assert_eq!(table.processes.get(&9000).map(|i| i.own.len()), Some(MOST_MAPPED));
    for bytes in [&[0u8; 7][..], &[0; 8], &[10, 0, 0, 0, 0, 0, 12, 0, 1, 2, 3, 4], &[0xff; 64]] {
        assert!(parse(bytes).is_empty());
    }
}
