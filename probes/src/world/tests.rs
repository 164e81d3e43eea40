use super::{HostWorld, ModulePath};
use weftrace_lang::hir::Ty;
use weftrace_lang::world::{Answer, World};

#[test]
fn nothing_is_read_ahead() {
    let world = HostWorld::new();
    assert!(world.cpus() > 0);
    assert!(world.kernel_release().starts_with("Linux "));
    let Answer::Found(names) = world.interfaces() else { panic!("interfaces") };
    assert!(names.contains(&"lo".to_owned()));
    assert!(!world.host().btf_was_read());
}

#[test]
fn user_functions_by_short_name() {
    let world = HostWorld::new();
    let Answer::Found(malloc) = world.user_function("libc", "malloc") else { panic!("malloc in libc") };
    assert!(malloc.path.contains("libc") && malloc.file_offset > 0 && malloc.name == "malloc");
    let Answer::Found(many) = world.user_functions("libc", "mallo*") else { panic!("glob") };
    assert!(many.len() >= 2 && many.contains(&malloc));
    assert_eq!(world.user_function("libc", "no_such_function"), Answer::NotThere);
    assert_eq!(world.user_function("no-such-binary", "main"), Answer::NotThere);
}

#[test]
fn modules_from_directories_then_the_library() {
    let dir = std::env::temp_dir().join(format!("weftrace-modules-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("dir");
    std::fs::write(dir.join("local.probe"), "// local").expect("write");
    let path = ModulePath {
        bundled: &[("std/http", "// http"), ("local", "// shadowed")],
        directories: vec![dir.clone()],
        ..ModulePath::default()
    };
    let world = HostWorld::new().with_modules(path);
    assert!(matches!(world.module("./local"), Answer::Found((_, text)) if text == "// local"));
    assert!(matches!(world.module("local"), Answer::Found((_, text)) if text == "// local"));
    assert_eq!(world.module("std/http"), Answer::Found(("std/http".into(), "// http".into())));
    assert_eq!(world.module("std/nothing"), Answer::NotThere);
    std::fs::remove_dir_all(dir).expect("cleanup");
}

#[test]
fn every_packet_field_has_a_type() {
    let world = HostWorld::new();
    assert_eq!(world.packet_field("ip.src"), Some(Ty::Inet));
    assert_eq!(world.packet_field("tcp.srcport"), Some(Ty::U16));
    assert_eq!(world.packet_field("no.such"), None);
    for info in world.packet_field_table() {
        assert_eq!(world.packet_field(&info.name), Some(info.ty), "{}", info.name);
    }
}

#[cfg(feature = "live")]
#[test]
fn filters_compile_or_say_why() {
    let world = HostWorld::new();
    assert_eq!(world.pcap_filter("tcp port 80 and host 10.0.0.1"), Ok(()));
    let error = world.pcap_filter("tcp-syn or tcp-ack").expect_err("no filter");
    assert!(!error.is_empty() && !error.contains("libpcap error"), "{error}");
}
