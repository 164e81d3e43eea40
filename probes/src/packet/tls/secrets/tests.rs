use super::*;

const RANDOM: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

struct Grows(Vec<Vec<u8>>);

impl SecretSource for Grows {
    fn more(&mut self) -> Vec<u8> {
        if self.0.is_empty() { Vec::new() } else { self.0.remove(0) }
    }
}

#[test]
fn lines_in_pieces_and_lines_of_no_use() {
    let line = format!(
        "# comment\nCLIENT_RANDOM {RANDOM} 0102\r\nEXPORTER_SECRET {RANDOM} 03\nSERVER_TRAFFIC_SECRET_0 {RANDOM} 0405\n"
    );
    let (first, second) = line.as_bytes().split_at(60);
    let mut secrets = Secrets::default();
    assert!(!secrets.any());
    secrets.follow(Box::new(Grows(vec![first.to_vec(), second.to_vec()])));
    let random = hex(RANDOM.as_bytes()).unwrap().try_into().unwrap();
    let session = secrets.find(&random, |session| session.master.is_some()).unwrap();
    assert_eq!(session.master.unwrap().bytes(), [1, 2]);
    assert_eq!(session.traffic[1].as_ref().unwrap().bytes(), [4, 5]);
    assert!(session.traffic[0].is_none());
}

#[test]
fn damaged_lines_are_passed_over() {
    let mut secrets = Secrets::default();
    let long = "00".repeat(49);
    for line in [
        "CLIENT_RANDOM",
        "CLIENT_RANDOM 00 00",
        "CLIENT_RANDOM xy zz",
        &format!("CLIENT_RANDOM {RANDOM} {long}"),
        &format!("CLIENT_RANDOM {RANDOM} 012"),
        &format!("OTHER {RANDOM} 01"),
    ] {
        secrets.add(line.as_bytes());
    }
    assert!(!secrets.any());
}
