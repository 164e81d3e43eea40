use super::{CapSet, Capability};

#[test]
fn sets() {
    let all = CapSet::parse("Name:\tx\nCapEff:\t000001ffffffffff\n").expect("parses");
    assert!(all.has(Capability::Bpf) && all.has(Capability::NetRaw));
    let admin = CapSet(1 << 21);
    assert!(admin.has(Capability::Bpf) && admin.has(Capability::Perfmon) && !admin.has(Capability::NetRaw));
    assert_eq!(admin.lacks(&[Capability::Bpf, Capability::DacReadSearch]), Some(Capability::DacReadSearch));
    assert_eq!(CapSet::parse("CapEff:\tzz"), None);
}
