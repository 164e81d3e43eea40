use super::attr::object_name;
use super::*;

#[test]
fn errors_read_like_the_manual() {
    let e = SyscallError { call: "bpf(BPF_PROG_LOAD)", errno: libc::EPERM };
    assert_eq!(e.to_string(), "bpf(BPF_PROG_LOAD): Operation not permitted");
    assert!(e.is_permission());
    assert_eq!(errno_text(524), "Operation not supported");
}

#[test]
fn names_are_what_the_kernel_takes() {
    let text = |s: &str| object_name(s).iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect::<String>();
    assert_eq!(text("@start"), "start");
    assert_eq!(text("tracepoint:tcp:tcp_retransmit_skb"), "tracepoint_tcp_");
}
