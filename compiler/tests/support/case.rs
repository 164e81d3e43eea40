//! One run of a function: the world it finds, in one line of text.
//!
//! `; mapN: KIND key=SIZE value=SIZE max=ENTRIES` declares a map; `; host: WORD…` and `; run: WORD… => OUTCOME` describe the world:
//!
//! | word | meaning |
//! |---|---|
//! | `ctx=HEX` | the context's bytes (native: the subject's) |
//! | `region=HEX`, `ptr@OFFSET=N` | native: data that the subject points to; address of region N at that offset of the subject |
//! | `mapN[HEX]=HEX` | an element that exists before |
//! | `kernel@ADDRESS=HEX`, `user@ADDRESS=HEX` | memory to read with helpers |
//! | `now`, `clockN`, `pid_tgid`, `uid_gid`, `cpu`, `seed`, `task`, `cgroup`, `stack`, `cookie@ADDRESS` `=N`, `comm=TEXT`, `conn=HEX` | what helpers answer |
//! | `ring=N` | records that fit (16 unless said) |
//!
//! HEX is bytes in hexadecimal; `_` separates parts, and a part may be repeated: `01_00*7`.

use std::fmt::Write as _;
use weftrace_artifact::map::Kind;
use weftrace_compiler::ir::interp::host::{Host, Map, MapShape};

#[derive(Clone, Debug, Default)]
pub struct Case {
    host: Host,
    /// (offset in the context, region)
    pub pointers: Vec<(usize, usize)>,
}

impl Case {
    pub fn new(maps: &[MapShape]) -> Self {
        let maps = maps.iter().map(|&shape| Map::new(shape)).collect();
        Self { host: Host { maps, ring_capacity: 16, ..Host::default() }, pointers: vec![] }
    }

    pub fn from_host(host: Host) -> Self {
        Self { host, pointers: vec![] }
    }

    /// A fresh world; addresses of regions are put in the context as [`Host::region_address`].
    pub fn host(&self) -> Host {
        let mut host = self.host.clone();
        for &(offset, region) in &self.pointers {
            host.ctx[offset..offset + 8].copy_from_slice(&Host::region_address(region).to_le_bytes());
        }
        host
    }

    /// Applies words as described above.
    pub fn apply(&mut self, words: &str) -> Result<(), String> {
        words.split_whitespace().try_for_each(|word| {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}` has no `=`"))?;
            self.word(key, value).ok_or_else(|| format!("`{word}` is not understood"))
        })
    }

    fn word(&mut self, key: &str, value: &str) -> Option<()> {
        let host = &mut self.host;
        match key {
            "ctx" => host.ctx = bytes(value)?,
            "region" => host.regions.push(bytes(value)?),
            "conn" => host.conn = Some(bytes(value)?.try_into().ok()?),
            "comm" => host.comm = value.into(),
            "now" => host.now = number(value)?,
            "pid_tgid" => host.pid_tgid = number(value)?,
            "uid_gid" => host.uid_gid = number(value)?,
            "cpu" => host.cpu = number(value)? as u32,
            "seed" => host.seed = number(value)?,
            "task" => host.current_task = number(value)?,
            "cgroup" => host.cgroup_id = number(value)?,
            "func_ip" => host.func_ip = number(value)?,
            "stack" => host.stack_id = number(value)? as i64,
            "ring" => host.ring_capacity = number(value)? as u32,
            _ => return self.indexed(key, value),
        }
        Some(())
    }

    fn indexed(&mut self, key: &str, value: &str) -> Option<()> {
        let host = &mut self.host;
        if let Some(id) = key.strip_prefix("clock") {
            host.clocks.insert(number(id)?, number(value)?);
        } else if let Some(element) = key.strip_prefix("map") {
            let (map, element) = element.strip_suffix(']')?.split_once('[')?;
            let map = host.maps.get_mut(number(map)? as usize)?;
            let (element, value) = (bytes(element)?, bytes(value)?);
            let fits = element.len() == map.key_size() as usize && value.len() == map.value_size() as usize;
            return (fits && map.update(&element, &value, 0) == 0).then_some(());
        } else {
            let (what, at) = key.split_once('@')?;
            let at = number(at)?;
            match what {
                "ptr" => self.pointers.push((at as usize, number(value)? as usize)),
                "kernel" => drop(host.kernel.insert(at, bytes(value)?)),
                "user" => drop(host.user.insert(at, bytes(value)?)),
                "cookie" => drop(host.cookies.insert(at, number(value)?)),
                _ => return None,
            }
        }
        Some(())
    }
}

/// `hash key=4 value=8 max=16`
pub fn map_shape(text: &str) -> Option<MapShape> {
    let mut words = text.split_whitespace();
    let kind = match words.next()? {
        "hash" => Kind::Hash,
        "array" => Kind::Array,
        "percpu_hash" => Kind::PercpuHash,
        "percpu_array" => Kind::PercpuArray,
        "lru_hash" => Kind::LruHash,
        _ => return None,
    };
    let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    Some(MapShape { kind, key_size: field("key")?, value_size: field("value")?, max_entries: field("max")? })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok().or_else(|| text.parse::<i64>().ok().map(|n| n as u64)),
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut out = vec![];
    for part in text.split('_').filter(|p| !p.is_empty()) {
        let (digits, times) = part.split_once('*').unwrap_or((part, "1"));
        let times: usize = times.parse().ok()?;
        if digits.len() % 2 == 1 || !digits.is_ascii() {
            return None;
        }
        let part: Option<Vec<u8>> =
            (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).ok()).collect();
        out.extend(part?.repeat(times));
    }
    Some(out)
}

/// Bytes in hexadecimal; runs of 8 and more equal bytes as `XX*N`.
pub fn hex(bytes: &[u8]) -> String {
    let mut parts: Vec<String> = vec![];
    let mut plain = String::new();
    for run in bytes.chunk_by(|a, b| a == b) {
        if run.len() >= 8 {
            parts.extend((!plain.is_empty()).then(|| std::mem::take(&mut plain)));
            parts.push(format!("{:02x}*{}", run[0], run.len()));
        } else {
            for byte in run {
                write!(plain, "{byte:02x}").unwrap();
            }
        }
    }
    parts.extend((!plain.is_empty()).then_some(plain));
    parts.join("_")
}
