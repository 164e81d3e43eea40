use super::*;

#[test]
fn names_say_what_files_are() {
    assert_eq!(split(".pcap"), Some(("", "pcap")));
    assert_eq!(split(".each.pcap"), Some(("each", "pcap")));
    assert_eq!(split(".pcap.gz"), Some(("", "pcap.gz")));
    assert_eq!(split(".each.pcapng.zst"), Some(("each", "pcapng.zst")));
    assert_eq!(split(".test.probe"), Some(("test", "probe")));
    assert_eq!(split(".test.expect"), Some(("test", "expect")));
    assert_eq!(split(".each.spans"), Some(("each", "spans")));
    // The script, what is no fixture, another script whose name begins so.
    assert_eq!(split(".probe"), None);
    assert_eq!(split(".md"), None);
    assert_eq!(split("_latency.pcap"), None);
    assert_eq!(split(".a.b.pcap"), None);
    assert!(is_script(Path::new("a/x.probe")) && is_script(Path::new("x.bt")));
    assert!(
        !is_script(Path::new("x.test.probe")) && !is_script(Path::new(".probe")) && !is_script(Path::new("x.pcap"))
    );
}
