use super::written_out;
use crate::ast::Item;
use crate::span::FileId;
use std::borrow::Cow;

fn points(text: &str) -> Vec<String> {
    let (script, found) = crate::syntax::parse(text, FileId(0));
    assert!(found.is_empty(), "{text}: {found:?}");
    let script = written_out(Cow::Owned(script)).into_owned();
    let Some(Item::Probe(probe)) = script.items.first() else { panic!("{text}: no probe") };
    let text = |p: &crate::ast::AttachPoint| {
        let segments: Vec<&str> = p.segments.iter().map(|s| s.text.as_str()).collect();
        format!("{}:{}", p.provider.text, segments.join(":"))
    };
    probe.points.iter().map(text).collect()
}

#[test]
fn devices_in_a_list_are_points_of_their_own() {
    assert_eq!(points("pcap:eth0,eth1:\"tcp\" {}"), ["pcap:eth0:tcp", "pcap:eth1:tcp"]);
    assert_eq!(points("pcap:eth0, br-lan, veth* {}"), ["pcap:eth0", "pcap:br-lan", "pcap:veth*"]);
    assert_eq!(points("pcap:\"a,b\":\"udp\" {}"), ["pcap:a:udp", "pcap:b:udp"]);
    assert_eq!(points("pcap:a@blue,b@7:\"udp\" {}"), ["pcap:a@blue:udp", "pcap:b@7:udp"]);
    // Providers, and slips in writing one, stay what they are.
    assert_eq!(points("pcap:eth0,pcap:eth1:\"tcp\" {}"), ["pcap:eth0", "pcap:eth1:tcp"]);
    assert_eq!(points("pcap:eth0,interval:1s {}"), ["pcap:eth0", "interval:1s"]);
    assert_eq!(points("pcap:eth0,kprob:f {}"), ["pcap:eth0", "kprob:f"]);
    // A filter ends the list.
    assert_eq!(points("pcap:a:\"tcp\",b {}"), ["pcap:a:tcp", "b:"]);
}
