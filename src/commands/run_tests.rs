use super::*;

#[test]
fn commands_are_split_like_a_shell_does() {
    let split = |text| words(text).into_iter().map(|w| w.into_string().expect("UTF-8")).collect::<Vec<_>>();
    assert_eq!(split("ls -l  /tmp"), ["ls", "-l", "/tmp"]);
    assert_eq!(split(r#"sh -c 'echo "a b"; exit 3'"#), ["sh", "-c", "echo \"a b\"; exit 3"]);
    assert_eq!(split(r#"a\ b "c\"d" ''"#), ["a b", "c\"d", ""]);
    assert!(split("   ").is_empty());
}
