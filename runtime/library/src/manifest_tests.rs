use super::*;

fn wrong(text: &str) -> String {
    Manifest::parse(text, "weftrace.toml").expect_err("refused").what
}

#[test]
fn a_manifest_is_read() {
    let text =
        "[library]\nname = \"team\"\nversion = \"1.2.0\"\n[dependencies]\nops = { git = \"../ops\", rev = \"v2\" }\n";
    let manifest = Manifest::parse(text, "weftrace.toml").expect("fine");
    assert_eq!(manifest.library.expect("a library").name, "team");
    let ops = Dependency { git: "../ops".into(), rev: Some("v2".into()), version: None };
    assert_eq!(manifest.dependencies["ops"], ops);
    assert_eq!(Manifest::parse("", "x"), Ok(Manifest::default()));
}

#[test]
fn comments_stay() {
    let text = "# ours\n[dependencies]\n# the team's\nteam = { git = \"../team\" }\n";
    let ops = Dependency { git: "https://x/ops".into(), rev: None, version: None };
    let with = Manifest::with(text, "x", "ops", &ops).expect("fine");
    assert_eq!(with, format!("{text}ops = {{ git = \"https://x/ops\" }}\n"));
    assert_eq!(Manifest::without(&with, "x", "ops").expect("fine"), text);
    assert_eq!(
        Manifest::with("", "x", "ops", &ops).expect("fine"),
        "[dependencies]\nops = { git = \"https://x/ops\" }\n"
    );
}

#[test]
fn what_is_wrong_is_named() {
    assert!(wrong("[library]\nname = \"team\"\nname = \"x\"\n").starts_with("weftrace.toml:3: "));
    assert!(wrong("[libary]\n").contains("no section `libary`"));
    assert!(wrong("[library]\nname = \"Team\"\nversion = \"1\"\n").contains("no name of a library"));
    assert!(wrong("[library]\nname = \"team\"\n").contains("no `version`"));
    assert!(wrong("[library]\nname = \"team\"\nversion = \"new\"\n").contains("no version"));
    assert!(wrong("[dependencies]\nteam = \"1\"\n").contains("write { git"));
    assert!(wrong("[dependencies]\nteam = { git = \"--upload-pack=x\" }\n").contains("begins with `-`"));
    assert!(wrong("[dependencies]\nteam = { git = \"x\", rev = \"-x\" }\n").contains("no tag, branch or commit"));
    assert!(wrong("[dependencies]\nteam = { git = \"x\", ref = \"y\" }\n").contains("no `ref` here"));
}
