use super::*;

#[test]
fn flag_names_are_numbers_not_tests() {
    for wrong in ["tcp-syn or tcp-ack", "tcp port 80 and (tcp-syn)", "tcp-rst", "not tcp-fin", "port 80 and tcp-syn"] {
        assert!(has_flag_as_predicate(wrong), "{wrong}");
        match BlockFilter::new(wrong, &[]) {
            Err(FilterError::BadFilter { hint, .. }) => assert_eq!(hint, Some(FLAGS_HINT)),
            other => panic!("{wrong}: {:?}", other.err()),
        }
    }
    for right in [
        "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0",
        "tcp[tcpflags] & tcp-syn != 0 and tcp[tcpflags] & tcp-ack = 0",
        "tcp[tcpflags] == tcp-syn",
        "tcp[13] = tcp-syn | tcp-ack",
        "tcp port 80",
        FLAGS_HINT,
    ] {
        assert!(!has_flag_as_predicate(right), "{right}");
        BlockFilter::new(right, &[]).unwrap();
    }
}

#[test]
fn libpcap_says_what_is_wrong() {
    match BlockFilter::new("tcp prt 80", &[]) {
        Err(FilterError::BadFilter { filter, message, hint }) => {
            assert_eq!((filter.as_str(), hint), ("tcp prt 80", None));
            assert!(message.contains("syntax error"), "{message}");
        }
        other => panic!("{:?}", other.err()),
    }
}

/// What libpcap leaves to the kernel matches nothing in user space: that is told, not passed over.
#[test]
fn the_way_of_packets_is_known_where_they_tell_it() {
    for text in ["inbound", "tcp and (outbound)", "not inbound"] {
        let mut filter = BlockFilter::new(text, &[]).unwrap();
        let mut packet = RawPacket::new(LinkType::ETHERNET, &[0; 60], 1);
        assert!(!filter.matches(&packet) && filter.not_applicable == 1, "{text}");
        packet.link = LinkType::LINUX_SLL2;
        filter.matches(&packet);
        assert_eq!(filter.not_applicable, 1, "{text}");
    }
    assert!(!asks_for_the_way(LinkType::ETHERNET, "host inbound-1.example"));
}

#[test]
fn a_filter_is_compiled_for_each_link_type_it_meets() {
    let raw = |data, link| RawPacket::new(link, data, 1);
    let mut ip = [0_u8; 40];
    (ip[0], ip[9]) = (0x45, 6);
    let mut framed = [0_u8; 54];
    framed[12] = 8;
    framed[14..].copy_from_slice(&ip);
    let mut filter = BlockFilter::new("tcp", &[]).unwrap();
    assert!(filter.matches(&raw(&framed, LinkType::ETHERNET)));
    assert!(filter.matches(&raw(&ip, LinkType::RAW)));
    assert!(!filter.matches(&raw(&framed, LinkType::RAW)));
    assert!(BlockFilter::new("", &[]).unwrap().matches(&raw(&ip, LinkType::RAW)));
    // Words of one link type alone are a filter too; packets of others don't match.
    let mut wlan = BlockFilter::new("type mgt subtype beacon", &[]).unwrap();
    assert!(!wlan.matches(&raw(&framed, LinkType::ETHERNET)));
    assert_eq!((wlan.not_applicable, BlockFilter::check("type mgt subtype beacon")), (1, Ok(())));
    // No such thing on raw IP.
    let mut filter = BlockFilter::new("ether src 1:2:3:4:5:6", &[]).unwrap();
    assert!(!filter.matches(&raw(&ip, LinkType::RAW)));
    assert_eq!(filter.not_applicable, 1);
}

#[test]
fn what_is_inside_is_asked_about() {
    let mut inside = vec![2; 12];
    inside.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 187, 0, 80]);
    inside.resize(60, 0);
    let around = [&[2; 12][..], &[0x81, 0, 0, 5, 8, 0], &inside[14..]].concat();
    let packet = |link| RawPacket::new(link, &around, 1);
    let asked = |text: &str| BlockFilter::new(text, &[]).unwrap().matches_inside(&packet(LinkType::ETHERNET), &inside);
    for yes in ["tcp", "tcp port 443", "host 10.0.0.1", "ip and not port 22", "ether src 2:2:2:2:2:2", "net 10.0.0.0/8"]
    {
        assert!(asked(yes), "{yes}");
    }
    for no in ["udp", "port 22", "not vlan", "not vlan and tcp", "vlan or tcp", "not ether proto 0x8100", "type mgt"] {
        assert!(!asked(no), "{no}");
    }
    // The filter is none for the link type; what is inside it is for.
    let mut filter = BlockFilter::new("ether src 2:2:2:2:2:2", &[]).unwrap();
    assert!(!filter.matches(&packet(LinkType::RAW)) && filter.not_applicable == 1);
    assert!(filter.matches_inside(&packet(LinkType::RAW), &inside) && filter.not_applicable == 0);
}

#[test]
fn one_filter_for_all() {
    assert_eq!(union(["tcp"]), "tcp");
    assert_eq!(union(["udp", "tcp", "udp"]), "(tcp) or (udp)");
    assert_eq!(union(["tcp", ""]), "");
    // Later fragments have no port.
    assert_eq!(union(["port 53"]), "(ip[6:2] & 0x1fff != 0 or ip6 proto 44) or (port 53)");
    // What is written behind `vlan` is about the inside of tags.
    assert_eq!(union(["vlan 5 and tcp", "wlan host 1:2:3:4:5:6"]), "(wlan host 1:2:3:4:5:6) or (vlan 5 and tcp)");
    assert_eq!(union(["vlan 5 and tcp", "vlan 6 and udp"]), "");
    assert_eq!(union(["vlan 5 and tcp"]), "vlan 5 and tcp");
}
