use super::{Tracefs, TracefsError, parse_format};
use weftrace_lang::hir::{Space, Ty};

const RETRANSMIT: &str = "name: tcp_retransmit_skb
ID: 2281
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:const void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:int state;\toffset:24;\tsize:4;\tsigned:1;
\tfield:__u16 sport;\toffset:28;\tsize:2;\tsigned:0;
\tfield:__u8 saddr[4];\toffset:34;\tsize:4;\tsigned:0;
\tfield:char comm[16];\toffset:38;\tsize:16;\tsigned:0;
\tfield:__data_loc char[] path;\toffset:56;\tsize:4;\tsigned:0;
\tfield:enum zone_type zone;\toffset:60;\tsize:4;\tsigned:0;
\tfield:struct sock * sk;\toffset:64;\tsize:8;\tsigned:0;
\tfield:bool ok;\toffset:72;\tsize:1;\tsigned:0;
\tfield:unsigned long args[6];\toffset:80;\tsize:48;\tsigned:0;
\tfield:char name[TASK_COMM_LEN];\toffset:128;\tsize:16;\tsigned:0;
\tfield:guid_t id;\toffset:144;\tsize:16;\tsigned:0;
\tfield:__data_loc unsigned long[] mask;\toffset:160;\tsize:4;\tsigned:0;

print fmt: \"field:int nonsense; offset:1\", REC->sport
";

#[test]
fn every_shape_of_field() {
    let event = parse_format("tcp", "tcp_retransmit_skb", RETRANSMIT).expect("parses");
    assert_eq!(event.size, 164);
    let ty = |name: &str| event.fields.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("{name}")).ty.clone();
    assert_eq!(ty("skbaddr"), Ty::Ptr { to: Box::new(Ty::Void), space: Space::Kernel });
    assert_eq!(ty("state"), Ty::I32);
    assert_eq!(ty("sport"), Ty::U16);
    assert_eq!(ty("saddr"), Ty::Array { elem: Box::new(Ty::U8), len: 4 });
    assert_eq!(ty("comm"), Ty::Str { cap: 16 });
    assert_eq!(ty("name"), Ty::Str { cap: 16 });
    assert_eq!(ty("zone"), Ty::Enum { name: "zone_type".into(), bits: 32, signed: false });
    assert_eq!(ty("sk"), Ty::Ptr { to: Box::new(Ty::Struct("sock".into())), space: Space::Kernel });
    assert_eq!(ty("ok"), Ty::Bool);
    assert_eq!(ty("args"), Ty::Array { elem: Box::new(Ty::U64), len: 6 });
    assert_eq!(ty("id"), Ty::Array { elem: Box::new(Ty::U8), len: 16 });
    let path = event.fields.iter().find(|f| f.name == "path").expect("path");
    assert!(path.data_loc && path.offset == 56);
    assert_eq!(path.ty, Ty::Array { elem: Box::new(Ty::Int { bits: 8, signed: true }), len: 0 });
    let mask = event.fields.iter().find(|f| f.name == "mask").expect("mask");
    assert!(mask.data_loc && matches!(&mask.ty, Ty::Ptr { to, .. } if **to == Ty::U64));
    assert!(!event.fields.iter().any(|f| f.name.starts_with("common_")));
}

#[test]
fn system_calls_point_into_the_process() {
    let text = "\tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;\n";
    let event = parse_format("syscalls", "sys_enter_openat", text).expect("parses");
    assert!(
        matches!(&event.fields[0].ty, Ty::Ptr { space: Space::User, to } if matches!(**to, Ty::Int { bits: 8, .. }))
    );
}

#[test]
fn garbage_is_an_error_not_a_panic() {
    assert!(matches!(parse_format("a", "b", "field:;;;"), Err(TracefsError::Format(..))));
    assert!(matches!(parse_format("a", "b", "field:int x; offset:zz; size:4;"), Err(TracefsError::Format(..))));
    assert!(parse_format("a", "b", "").is_ok_and(|e| e.fields.is_empty()));
}

#[test]
fn names_cannot_leave_the_directory() {
    let fs = Tracefs::at("/proc");
    assert!(matches!(fs.id("..", "self"), Err(TracefsError::NoSuchEvent(_))));
    assert!(matches!(fs.event("a/b", "c"), Err(TracefsError::NoSuchEvent(_))));
}
