use super::*;

#[test]
fn revisions_are_told_from_users() {
    let here = std::env::temp_dir().join(format!("weftrace-names-{}", std::process::id()));
    std::fs::create_dir_all(here.join("me@work/probes")).expect("ours");
    let absolute = here.join("me@work/probes").display().to_string();
    let at_rev = format!("file://{absolute}@v1");
    for (text, url, rev) in [
        ("https://example.org/team/probes.git@v1.2.0", "https://example.org/team/probes.git", Some("v1.2.0")),
        ("https://example.org/team/probes.git@feature/x", "https://example.org/team/probes.git", Some("feature/x")),
        ("https://example.org/@team/probes", "https://example.org/@team/probes", None),
        ("https://me@example.org/probes", "https://me@example.org/probes", None),
        ("https://me@example.org/probes@v1", "https://me@example.org/probes", Some("v1")),
        ("https://me:word@example.org:8443/probes@v1", "https://me:word@example.org:8443/probes", Some("v1")),
        ("https://me@example.org", "https://me@example.org", None),
        ("ssh://git@example.org:22/probes", "ssh://git@example.org:22/probes", None),
        ("ssh://git@example.org:22/probes@v1", "ssh://git@example.org:22/probes", Some("v1")),
        ("git@example.org:team/probes.git", "git@example.org:team/probes.git", None),
        ("git@example.org:probes.git", "git@example.org:probes.git", None),
        ("git@example.org:probes.git@main", "git@example.org:probes.git", Some("main")),
        ("git@example.org:team/probes@feature/x", "git@example.org:team/probes", Some("feature/x")),
        ("../probes@3f2a", "../probes", Some("3f2a")),
        ("../probes@feature/x", "../probes", Some("feature/x")),
        ("file:///srv/probes", "file:///srv/probes", None),
        // What is there is meant as it is.
        ("me@work", "me@work", None),
        ("./me@work/probes", "./me@work/probes", None),
        ("me@work@v1", "me@work", Some("v1")),
        ("me@work/probes@v1", "me@work/probes", Some("v1")),
        (&absolute, &absolute, None),
        (&at_rev, at_rev.strip_suffix("@v1").expect("so"), Some("v1")),
    ] {
        assert_eq!(split_rev(text, &here), (url, rev), "{text}");
    }
    std::fs::remove_dir_all(here).expect("ours");
}

#[test]
fn paths_are_written_from_the_project() {
    for (from, to, written) in [
        ("/a/project", "/a/team", "../team"),
        ("/a/project", "/a/project/libs/team", "./libs/team"),
        ("/a/project", "/a/project/-x", "./-x"),
        ("/a/project", "/a/project", "./"),
        ("/a/b/project", "/c/team", "../../../c/team"),
    ] {
        assert_eq!(relative(Path::new(from), Path::new(to)), written, "{to}");
    }
}

#[test]
fn what_would_be_an_option_or_a_program_is_refused() {
    for url in [
        "",
        "-u/tmp/x",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c id",
        "ext::id",
        "transport::x",
        "ftp://a/b",
        "a b",
        "a\nb",
    ] {
        assert!(check_url(url).is_err(), "{url}");
    }
    for url in ["../a", "/srv/a.git", "file:///srv/a", "https://a/b", "ssh://git@a/b", "git@a:b/c.git", "./a::b"] {
        assert_eq!(check_url(url), Ok(()), "{url}");
    }
    for rev in ["", "-x", "--all", "a..b", "HEAD^{tree}", "a b", "a:b", "@{1}"] {
        assert!(check_rev(rev).is_err(), "{rev}");
    }
    for rev in ["HEAD", "v1.2.0", "feature/x-1", "3f2a9c"] {
        assert_eq!(check_rev(rev), Ok(()), "{rev}");
    }
}

#[test]
fn versions() {
    assert!(
        is_version("1.2.0")
            && is_version("1")
            && is_version("1.0.0-rc.1")
            && !is_version("one")
            && !is_version("1.2.3.4")
    );
    assert!(is_version("1.0.0-rc.1+build-7") && !is_version("1.0.0-\u{1b}[2J") && !is_version("1.0-a b"));
    assert!(compatible("1.3.0", "1.2") && compatible("1.2.0", "1.2") && compatible("0.2.5", "0.2.1"));
    assert!(!compatible("2.0.0", "1.2") && !compatible("1.1.9", "1.2") && !compatible("0.3.0", "0.2"));
    assert!(at_least("0.10.0", "0.9") && !at_least("0.1.0", "0.2"));
}

#[test]
fn names() {
    assert!(is_name("team") && is_name("a_b-2"));
    assert!(
        !is_name("")
            && !is_name("Team")
            && !is_name("2a")
            && !is_name("a/b")
            && !is_name("..")
            && !is_name(&"a".repeat(65))
    );
}

#[test]
fn paths() {
    assert!(is_path("../a") && is_path("/a/b:c") && !is_path("host:a") && !is_path("https://a/b"));
    assert!(is_local("file:///a") && !is_local("ssh://a/b"));
}
