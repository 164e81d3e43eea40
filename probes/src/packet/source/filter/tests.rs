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
