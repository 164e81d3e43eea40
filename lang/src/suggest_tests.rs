use super::{distance, nearest};

fn chars(s: &str) -> Vec<char> {
    s.chars().collect()
}

#[test]
fn distance_counts_a_swap_as_one() {
    assert_eq!(distance(&chars("printf"), &chars("pritnf")), 1);
    assert_eq!(distance(&chars(""), &chars("abc")), 3);
    assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
}

#[test]
fn near_names_come_best_first() {
    let names = ["tcp.srcport", "tcp.dstport", "udp.srcport", "ip.src"];
    assert_eq!(nearest("tcp.scrport", names, 3), ["tcp.srcport", "tcp.dstport", "udp.srcport"]);
    assert_eq!(nearest("tcp.scrport", names, 1), ["tcp.srcport"]);
    assert_eq!(nearest("skb_kfree", ["kfree_skb", "kmalloc"], 3), ["kfree_skb"]);
    assert_eq!(nearest("retrans", ["retransmit", "reset"], 3), ["retransmit"]);
    assert_eq!(nearest("PID", ["pid", "tid"], 1), ["pid"]);
}

#[test]
fn far_names_are_not_offered() {
    assert!(nearest("pid", ["comm", "nsecs"], 3).is_empty());
    assert!(nearest("x", ["y", "z"], 3).is_empty());
    assert!(nearest("", ["y"], 3).is_empty());
    assert!(nearest("pid", ["pid"], 3).is_empty());
}
