use super::{KallsymsError, KernelSymbols};

const TEXT: &str = "ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t tcp_v4_rcv
0000000000000000 A percpu
ffffffffc0000000 t nf_hook\t[nf_conntrack]
garbage
ffffffffc0000040 t late\t[nf_conntrack]
";

#[test]
fn nearest_below() {
    let s = KernelSymbols::from_reader(TEXT.as_bytes()).expect("parses");
    let r = s.resolve(0xffff_ffff_8100_0110).expect("found");
    assert_eq!((r.name, r.module, r.offset), ("tcp_v4_rcv", None, 0x10));
    assert_eq!(s.resolve(0xffff_ffff_8100_0001).map(|r| r.name), Some("_stext"));
    let r = s.resolve(0xffff_ffff_c000_003f).expect("found");
    assert_eq!((r.name, r.module, r.offset), ("nf_hook", Some("nf_conntrack"), 0x3f));
    assert!(s.resolve(0x1000).is_none());
    assert!(s.resolve(0xffff_ffff_9000_0000).is_none(), "far beyond any symbol");
}

#[test]
fn hidden_addresses_are_told() {
    let hidden = "0000000000000000 T _stext\n0000000000000000 T tcp_v4_rcv\n";
    assert_eq!(KernelSymbols::from_reader(hidden.as_bytes()).err(), Some(KallsymsError::Hidden));
}
