use super::super::keys::Digest;
use super::*;
use std::collections::BTreeMap;

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
