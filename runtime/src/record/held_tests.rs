use super::*;

fn packet(port: u16, boot: u64) -> Held {
    let ends = Some(Ends([([0; 16], port), ([1; 16], 80)]));
    let (data, kept, comments) = (vec![0; 100], Vec::new(), Vec::new());
    Held::Packet(Box::new(HeldPacket { interface: 0, time_ns: 0, boot, len: 100, data, kept, ends, comments }))
}

/// Numbers of packets that left stay those of the ones behind them, and what is held is counted whole.
#[test]
fn what_leaves_takes_its_place_along() {
    let mut queue = Queue::default();
    for i in 0..1000 {
        queue.push(packet(i % 7, u64::from(i)));
        queue.push(Held::Events(vec![0; 10]));
        if i % 3 == 0 {
            assert!(queue.pop().is_some());
        }
    }
    for (ends, its) in &queue.by_ends {
        for (boot, number) in its {
            assert_eq!(
                queue.held.get((number - queue.gone) as usize).and_then(Held::of_connection),
                Some((*ends, *boot))
            );
        }
    }
    let all: usize = queue.held.iter().map(Held::bytes).sum();
    assert_eq!(queue.bytes(), all);
    while queue.pop().is_some() {}
    assert!(queue.is_empty() && queue.bytes() == 0 && queue.by_ends.is_empty());
}

fn result(begin: u64, end: u64) -> JoinResult {
    let mut result = crate::join::show::tests::result("/small");
    let mut conn = ConnKey { a_port: 5, b_port: 80, ..ConnKey::default() };
    (conn.a_addr, conn.b_addr) = ([0; 16], [1; 16]);
    (result.begin, result.end, result.conn) = (begin, end, Some(conn));
    result
}

/// As a look at all packets says: those of the result's connection and time that have room, in whatever order they came.
#[test]
fn packets_of_a_time_are_found() {
    let mut random = 7_u64;
    let mut random = move |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % most
    };
    let mut queue = Queue::default();
    // Of each packet: its connection, its time, its comments; those that left are left out.
    let mut all: VecDeque<Option<(u16, u64, usize)>> = VecDeque::new();
    for step in 0..3000 {
        let (port, boot) = (5 + random(2) as u16, 10 * step + random(40));
        queue.push(packet(port, boot));
        all.push_back(Some((port, boot, 0)));
        if random(3) == 0 {
            queue.push(Held::Events(vec![0; 10]));
            all.push_back(None);
        }
        if step > 200 && random(10) > 0 {
            assert!(queue.pop().is_some());
            all.pop_front();
        }
        let begin = (10 * step).saturating_sub(random(2000));
        let end = begin + random(300);
        queue.result(&result(begin, end), None);
        for (port, boot, comments) in all.iter_mut().flatten() {
            *comments += usize::from(*port == 5 && (begin..=end).contains(boot) && *comments < MAX_COMMENTS);
        }
    }
    let said: Vec<Option<usize>> = queue
        .held
        .iter()
        .map(|held| if let Held::Packet(packet) = held { Some(packet.comments.len()) } else { None })
        .collect();
    assert_eq!(said, all.iter().map(|held| held.map(|(.., comments)| comments)).collect::<Vec<_>>());
    assert!(said.contains(&Some(MAX_COMMENTS)) && said.contains(&Some(1)));
    assert_eq!(queue.bytes(), queue.held.iter().map(Held::bytes).sum::<usize>());
    // What has no room any more is not looked at again.
    let listed: usize = queue.by_ends.values().map(BTreeSet::len).sum();
    let room = said.iter().flatten().filter(|comments| **comments < MAX_COMMENTS).count();
    assert_eq!(listed, room);
}
