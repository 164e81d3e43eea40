use super::parse;

#[test]
fn lists() {
    assert_eq!(parse("0-3,5,7-8\n"), [0, 1, 2, 3, 5, 7, 8]);
    assert_eq!(parse("0\n"), [0]);
    assert_eq!(parse("\n"), [] as [u32; 0]);
    assert_eq!(parse("3-1,x"), [] as [u32; 0]);
}
