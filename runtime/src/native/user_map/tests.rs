use super::*;
use weftrace_artifact::{
    Place,
    map::{Home, Role, Value},
    ty::Type,
};

fn spec(kind: Kind, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec {
        name: "@".into(),
        role: Role::Script,
        kind,
        home: Home::User,
        key: Some(Type::U32),
        value: Value::Plain(Type::U64),
        key_size: 4,
        value_size,
        max_entries,
        presence: None,
        ring: None,
        ttl: None,
        place: Place::default(),
    }
}

fn all(map: &UserMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    map.for_each(|k, v| all.push((k.to_vec(), v.to_vec())));
    all.sort();
    all
}

#[test]
fn addresses_stay_and_the_bound_holds() {
    let mut map = UserMap::new(&spec(Kind::Hash, 12, 100));
    for i in 0..100u32 {
        assert_eq!(map.update(&i.to_ne_bytes(), &[i as u8; 12], 0), 0);
    }
    let first = map.lookup(&0u32.to_ne_bytes());
    assert_eq!(map.update(&100u32.to_ne_bytes(), &[0; 12], 0), -i64::from(libc::E2BIG));
    assert_eq!(map.update(&0u32.to_ne_bytes(), &[9; 12], 1), -i64::from(libc::EEXIST));
    assert_eq!(map.delete(&50u32.to_ne_bytes()), 0);
    assert_eq!(map.update(&50u32.to_ne_bytes(), &[0; 12], 2), -i64::from(libc::ENOENT));
    assert_eq!(map.update(&100u32.to_ne_bytes(), &[7; 12], 0), 0);
    assert_eq!(map.lookup(&0u32.to_ne_bytes()), first);
    assert_eq!(map.len(), 100);
    assert!(all(&map).contains(&(100u32.to_ne_bytes().to_vec(), vec![7; 12])));
}

#[test]
fn a_new_element_in_an_old_place_starts_at_zero() {
    let mut map = UserMap::new(&spec(Kind::Hash, 16, 1));
    map.update(&1u32.to_ne_bytes(), &[255; 16], 0);
    map.delete(&1u32.to_ne_bytes());
    map.update(&2u32.to_ne_bytes(), &[1; 4], 0);
    assert_eq!(all(&map)[0].1, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// Against a list: what is used goes to its front, what has to make room is at its end.
#[test]
fn what_was_unused_for_longest_makes_room() {
    let mut map = UserMap::new(&spec(Kind::LruHash, 8, 4));
    let (mut want, mut seed) = (Vec::<u32>::new(), 5u64);
    for _ in 0..5000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (key, what) = ((seed >> 40) as u32 % 9, seed >> 61);
        let there = want.iter().position(|k| *k == key).map(|at| want.remove(at)).is_some();
        let bytes = key.to_ne_bytes();
        match what {
            0 => assert_eq!(map.delete(&bytes) == 0, there),
            1..=3 => {
                assert_eq!(map.lookup(&bytes).is_some(), there);
                want.splice(..0, there.then_some(key));
            }
            _ => {
                assert_eq!(map.update(&bytes, &[0; 8], 0), 0);
                want.insert(0, key);
                want.truncate(4);
            }
        }
        if seed >> 52 == 0 {
            map.clear();
            want.clear();
        }
        let mut keys: Vec<_> = want.iter().map(|key| key.to_ne_bytes().to_vec()).collect();
        keys.sort();
        assert_eq!(all(&map).into_iter().map(|(key, _)| key).collect::<Vec<_>>(), keys);
    }
}

#[test]
fn arrays_always_have_their_elements() {
    let mut map = UserMap::new(&spec(Kind::PercpuArray, 16, 1));
    assert!(map.lookup(&0u32.to_ne_bytes()).is_some());
    assert!(map.lookup(&1u32.to_ne_bytes()).is_none());
    map.update(&0u32.to_ne_bytes(), &[1; 16], 0);
    map.zero(Some(8));
    assert_eq!(all(&map)[0].1, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
    map.clear();
    assert_eq!(all(&map)[0].1, [0; 16]);
}
