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
        for number in its {
            assert_eq!(queue.held.get((number - queue.gone) as usize).and_then(Held::ends), Some(*ends));
        }
    }
    let all: usize = queue.held.iter().map(Held::bytes).sum();
    assert_eq!(queue.bytes(), all);
    while queue.pop().is_some() {}
    assert!(queue.is_empty() && queue.bytes() == 0 && queue.by_ends.is_empty());
}
