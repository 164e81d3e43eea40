//! Maps as the kernel has them, seen by one program on one CPU.

use super::errno;
use std::collections::BTreeMap;
use weftrace_artifact::map::Kind;

/// What the meaning of a map's operations depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    pub kind: Kind,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
}

/// A map. An element keeps its number, and its bytes their address, until it is replaced or deleted.
#[derive(Clone, Debug)]
pub struct Map {
    pub shape: MapShape,
    index: BTreeMap<Vec<u8>, usize>,
    /// None: replaced or deleted. The bytes stay, since native code may still hold their address.
    elements: Vec<Element>,
}

#[derive(Clone, Debug)]
struct Element {
    bytes: Box<[u8]>,
    live: bool,
}

/// Flags of an update: BPF_ANY = 0.
const NOEXIST: u64 = 1;
const EXIST: u64 = 2;

impl Map {
    /// An empty map; arrays have all their elements, zeroed.
    pub fn new(shape: MapShape) -> Self {
        let mut map = Self { shape, index: BTreeMap::new(), elements: vec![] };
        if map.is_array() {
            for i in 0..shape.max_entries {
                map.insert(&i.to_le_bytes(), &vec![0; shape.value_size as usize]);
            }
        }
        map
    }

    fn is_array(&self) -> bool {
        matches!(self.shape.kind, Kind::Array | Kind::PercpuArray)
    }

    pub fn key_size(&self) -> u32 {
        self.shape.key_size
    }

    pub fn value_size(&self) -> u32 {
        self.shape.value_size
    }

    /// The element of this key.
    pub fn lookup(&self, key: &[u8]) -> Option<usize> {
        self.index.get(key).copied()
    }

    /// An element's bytes; None once it was replaced or deleted.
    pub fn value(&self, element: usize) -> Option<&[u8]> {
        self.elements.get(element).filter(|e| e.live).map(|e| &*e.bytes)
    }

    pub fn value_mut(&mut self, element: usize) -> Option<&mut [u8]> {
        self.elements.get_mut(element).filter(|e| e.live).map(|e| &mut *e.bytes)
    }

    /// bpf_map_update_elem: 0 or a negative error. Hash maps replace the element, the others write in place.
    pub fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> i64 {
        let existing = self.lookup(key);
        match (flags, existing) {
            (0, _) | (NOEXIST, None) | (EXIST, Some(_)) => {}
            (NOEXIST, Some(_)) => return errno::EEXIST,
            (EXIST, None) if !self.is_array() => return errno::ENOENT,
            (EXIST, None) => {}
            _ => return errno::EINVAL,
        }
        match existing {
            Some(element) if matches!(self.shape.kind, Kind::Hash | Kind::LruHash) => {
                self.elements[element].live = false;
                self.insert(key, value);
            }
            Some(element) => self.elements[element].bytes.copy_from_slice(value),
            None if self.is_array() || self.index.len() >= self.shape.max_entries as usize => return errno::E2BIG,
            None => self.insert(key, value),
        }
        0
    }

    /// bpf_map_delete_elem: 0 or a negative error.
    pub fn delete(&mut self, key: &[u8]) -> i64 {
        if self.is_array() {
            return errno::EINVAL;
        }
        match self.index.remove(key) {
            Some(element) => {
                self.elements[element].live = false;
                0
            }
            None => errno::ENOENT,
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Keys and values, by key bytes.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.index.iter().map(|(key, &element)| (&key[..], &*self.elements[element].bytes))
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.elements.push(Element { bytes: value.into(), live: true });
        self.index.insert(key.to_vec(), self.elements.len() - 1);
    }
}
