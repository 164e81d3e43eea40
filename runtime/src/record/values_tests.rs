use super::*;
use weftrace_artifact::ty::StackMode;

fn field(ty: Type, offset: u32) -> Field {
    Field { name: None, ty, offset, bits: None }
}

#[test]
fn http_is_masked_wherever_it_stands() {
    let message = b"GET /a?secret=1 HTTP/1.1\r\nHost: h\r\nCookie: c=1\r\n\r\nbody";
    let masked = b"GET /a?xxxxxxxx HTTP/1.1\r\nHost: h\r\nCookie: xxx\r\n\r\n";
    let mut payload = vec![0; 300];
    payload[..message.len()].copy_from_slice(message);
    payload[100..104].copy_from_slice(&(message.len() as u32).to_ne_bytes());
    payload[104..104 + message.len()].copy_from_slice(message);
    payload[200..211].copy_from_slice(b"/etc/passwd");
    let buffer = vec![field(Type::Buf { cap: 90 }, 0)];
    let args = [
        field(Type::Str { cap: 100 }, 0),
        field(Type::Tuple { fields: buffer, size: 96 }, 100),
        field(Type::Str { cap: 64 }, 200),
    ];
    let none: [&str; 0] = [];
    Redactor::new(none.into_iter()).values(&args, &mut payload);
    for at in [0, 104] {
        assert_eq!(payload[at..at + masked.len()], masked[..], "{}", String::from_utf8_lossy(&payload[at..at + 90]));
        assert!(!payload[at + masked.len()..at + message.len()].starts_with(b"body"));
    }
    assert_eq!(&payload[200..211], b"/etc/passwd");
}

#[test]
fn copies_of_stacks_are_not_written() {
    let args = [field(Type::Sample { mode: StackMode::default(), limit: 10 }, 8)];
    assert!(have_samples(&args));
    let size = StackSample::SIZE as usize;
    let sample = |secret: u8| {
        let mut payload = vec![7; 8];
        payload.extend([0; 4]);
        payload.extend(StackSample::PIECE.to_ne_bytes());
        payload.resize(8 + size, secret);
        empty_samples(&args, &mut payload);
        payload
    };
    let (a, b) = (sample(1), sample(2));
    let from = 8 + StackSample::REGISTERS as usize;
    assert!(a[from + 8..].iter().all(|b| *b == 0), "something of it is left");
    assert_ne!(a[from..from + 8], b[from..from + 8], "they can't be told apart");
    assert_eq!(a[..8], [7; 8]);
}
