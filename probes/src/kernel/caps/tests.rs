use super::{CapSet, Capability, TABLE, for_program};
use weftrace_artifact::program::ProgType;

#[test]
fn sets() {
    let all = CapSet(0x1ff_ffff_ffff);
    assert!(all.has(Capability::Bpf) && all.has(Capability::NetRaw));
    let admin = CapSet(1 << 21);
    assert!(admin.has(Capability::Bpf) && admin.has(Capability::Perfmon) && !admin.has(Capability::NetRaw));
    assert_eq!(admin.lacks(&[Capability::Bpf, Capability::DacReadSearch]), Some(Capability::DacReadSearch));
    assert_eq!(CapSet::of(&[Capability::Bpf, Capability::Kill]).0, 1 << 39 | 1 << 5);
    assert_eq!(CapSet(1 << 39 | 1 << 7 | 1 << 63).names(), ["CAP_BPF", "CAP_SETUID"]);
}

#[test]
fn every_row_says_why() {
    for row in TABLE {
        assert!(!row.needs.is_empty() && row.needs.iter().all(|(_, why)| why.len() > 8), "{}", row.what);
    }
    assert_eq!(for_program(ProgType::Kprobe), [Capability::Bpf, Capability::Perfmon]);
    assert_eq!(for_program(ProgType::SocketFilter), [Capability::Bpf]);
}
