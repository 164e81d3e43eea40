use super::super::keys::Digest;
use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Keys come and go; each keeps its number and its lists as long as something holds it.
#[test]
fn agrees_with_a_map() {
    let digest = Digest::default();
    let mut nodes = Nodes::new(2);
    let mut model: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
    let mut random = 7_u64;
    for step in 0..50_000_u32 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let name = (random >> 40) % 500;
        let key = digest.id(&name.to_ne_bytes());
        assert_eq!(nodes.find(&key), model.get(&name).map(|(node, _)| *node));
        if (random >> 20).is_multiple_of(2) {
            let node = nodes.hold(key);
            let known = model.entry(name).or_insert((node, 0));
            assert_eq!((known.0, nodes.key(node)), (node, key));
            if known.1 == 0 {
                assert_eq!([nodes.last(node, 0), nodes.last(node, 1)], [NIL, NIL]);
            }
            known.1 += 1;
            nodes.set_last(node, 1, step);
        } else if let Some(known) = model.get_mut(&name) {
            nodes.release(known.0);
            known.1 -= 1;
            if known.1 == 0 {
                model.remove(&name);
            }
        }
    }
    assert!(nodes.bytes() > 0);
}

/// A peer chooses what addresses and ports are, and must not thereby choose where its keys lie. The words are those that take a plain multiplication's
/// factor to 0 or 1, or change nothing.
#[test]
fn no_word_erases_the_others() {
    use weftrace_artifact::abi::ConnKey;
    let nodes = Nodes::new(0);
    for word in
        [0, 1, u64::MAX, 0x4f1b_bcdc_bfa5_3e0a, 0xcf1b_bcdc_bfa5_3e0a, 0x9e37_79b9_7f4a_7c15, 0xe703_7ed1_a0b4_28db]
    {
        for at in 0..4 {
            let low: BTreeSet<u32> = (0..4096_u16)
                .map(|n| {
                    let mut key = ConnKey { family: 10, a_port: 80, b_port: n, ..ConnKey::default() };
                    let bytes = if at < 2 { &mut key.a_addr } else { &mut key.b_addr };
                    bytes[at % 2 * 8..][..8].copy_from_slice(&word.to_ne_bytes());
                    nodes.hash(&NodeKey::tuple(&key)) & 0xffff
                })
                .collect();
            // 4096 balls into 65536 bins hit 3970.
            assert!(low.len() > 3_800, "{word:x} at {at}: {}", low.len());
        }
    }
}
