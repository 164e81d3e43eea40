use super::*;

fn codes(text: &str) -> Vec<(&'static str, String)> {
    let (_, diags) = parse(text, FileId(0));
    diags.iter().map(|d| (d.code, text[d.span.start as usize..d.span.end as usize].to_owned())).collect()
}

#[test]
fn a_header_is_read() {
    let text = "#!/usr/bin/weftrace\n// title:   Waits\n// answers: who waits,\n//          and for what?\n// layers:  kernel\n\
                // sample:  (shortened)\n//   a: 1\n//\n// Not all of it: b.\nBEGIN { }\n// title: of nothing\n";
    let (header, diags) = parse(text, FileId(0));
    assert_eq!(diags, []);
    let header = header.expect("a header");
    assert_eq!(header.title(), "Waits");
    assert_eq!(header.get("answers"), Some("who waits, and for what?"));
    assert_eq!(header.sample_remark, "(shortened)");
    assert_eq!(header.sample, ["  a: 1", "", "Not all of it: b."]);
}

#[test]
fn a_comment_is_no_header() {
    for text in [
        "",
        "BEGIN { }",
        "// note: read this first\nBEGIN { }",
        "// https://example.org\n// Counts.\n",
        "/* title: x */",
    ] {
        assert_eq!(parse(text, FileId(0)), (None, Vec::new()), "{text}");
    }
}

#[test]
fn what_is_wrong_has_its_place() {
    let whole = "// title: t\n// answers: a\n// layers: l\n";
    assert_eq!(codes(whole), []);
    assert_eq!(codes(&format!("{whole}// layers: m\n")), [("header-twice", "layers".to_owned())]);
    assert_eq!(codes(&format!("{whole}// owner: me\n")), [("header-key", "owner".to_owned())]);
    assert_eq!(codes("// titel: t\n// answers: a\n// layers: l\n")[0], ("header-key", "titel".to_owned()));
    assert_eq!(codes("// title: t\n// answers:\n// layers: l\n"), [("header-empty", "answers".to_owned())]);
    assert_eq!(
        codes("// title: t\n"),
        [("header-missing", "title".to_owned()), ("header-missing", "title".to_owned())]
    );
}
