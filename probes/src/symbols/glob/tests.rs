use super::{Glob, is_glob};

fn m(pattern: &str, name: &str) -> bool {
    Glob::new(pattern).matches(name)
}

#[test]
fn wildcards() {
    assert!(m("tcp_*", "tcp_sendmsg") && !m("tcp_*", "xtcp_sendmsg"));
    assert!(m("*", "") && m("*", "x") && m("**", "abc"));
    assert!(m("a*b*c", "aXbYbZc") && !m("a*b*c", "aXbYbZ"));
    assert!(m("vfs_???d", "vfs_read") && !m("vfs_???d", "vfs_reads"));
    assert!(!m("", "x") && m("", ""));
}

#[test]
fn sets() {
    assert!(m("f[ab]x", "fax") && !m("f[ab]x", "fcx"));
    assert!(m("f[a-c1]x", "fbx") && m("f[a-c1]x", "f1x") && !m("f[!a-c]x", "fbx"));
    assert!(m("f[]]x", "f]x") && m("f[x", "f[x") && m("f[a-]", "f-"));
}

#[test]
fn what_is_a_pattern() {
    assert!(is_glob("a*") && is_glob("[a]") && !is_glob("plain"));
}

/// A pattern of many stars must not take exponential time.
#[test]
fn hostile_patterns_are_quick() {
    let started = std::time::Instant::now();
    assert!(!m(&format!("{}c", "a*".repeat(60)), &"a".repeat(5000)));
    assert!(started.elapsed().as_secs() < 5);
}
