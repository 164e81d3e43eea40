use super::{Rejection, explain, failing_insn, last_meaningful};
use weftrace_artifact::Place;
use weftrace_artifact::program::{ProgType, ProgramImage};

const LOG: &str = "func#0 @0
0: R1=ctx() R10=fp0
; @a = args.x @ script.probe:1
0: (b7) r0 = 0                        ; R0_w=0
1: (79) r2 = *(u64 *)(r1 +4096)
invalid bpf_context access off=4096 size=8
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
";

fn image() -> ProgramImage {
    ProgramImage {
        name: "p".into(),
        prog_type: ProgType::Tracepoint,
        insns: vec![],
        map_relocs: vec![],
        field_relocs: vec![],
        btf: vec![],
        func_info: vec![],
        line_info: vec![],
        spans: vec![(0, Place { end: 2, ..Place::default() }), (1, Place { start: 9, end: 12, ..Place::default() })],
        scratch_size: 0,
        frame_size: 0,
        twin: None,
    }
}

#[test]
fn the_instruction_leads_to_the_script() {
    let texts = [("a.probe".to_owned(), "BEGIN {\n @x = 1 }".to_owned())];
    let r = Rejection::new(&image(), LOG.into(), &texts);
    assert_eq!(r.insn, Some(1));
    assert_eq!(r.at.as_deref(), Some("a.probe:2:2"));
    assert_eq!(r.line, "invalid bpf_context access off=4096 size=8");
    assert!(r.to_string().starts_with("a.probe:2:2: the kernel's verifier refused this: it reads a part of"));
}

#[test]
fn early_errors_name_their_instruction() {
    assert_eq!(failing_insn("unreachable insn 7\nprocessed 0 insns\n"), Some(7));
    assert_eq!(failing_insn("back-edge from insn 9 to 3\n"), Some(9));
    assert_eq!(failing_insn("nonsense"), None);
    assert_eq!(last_meaningful("0: (95) exit\nR0 !read_ok\nprocessed 1 insns\n"), "R0 !read_ok");
    assert_eq!(last_meaningful(""), "no reason given");
}

#[test]
fn a_program_with_too_many_paths() {
    let log = "arg#0 reference type('UNKNOWN ') size cannot be determined: -22
24: (57) r3 &= 1                      ; R3=scalar()
25: (15) if r3 == 0x0 goto pc+2 BPF program is too large. Processed 1000001 insn
processed 1000001 insns (limit 1000000) max_states_per_insn 20 total_states 31050 peak_states 90 mark_read 0
";
    let line = last_meaningful(log);
    assert_eq!(line, "BPF program is too large. Processed 1000001 insn");
    assert!(explain(line).is_some_and(|w| w.contains("too many paths")));
    assert_eq!(failing_insn(log), Some(25));
    assert!(explain("The sequence of 8193 jumps is too complex.").is_some_and(|w| w.contains("too many paths")));
}

#[test]
fn known_lines_have_words() {
    assert!(
        explain("number of funcs in func_info doesn't match number of subprogs")
            .is_some_and(|w| w.contains("a map's elements"))
    );
    assert!(explain("R1 invalid mem access 'map_value_or_null'").is_some_and(|w| w.contains("may not exist")));
    assert!(explain("R2 invalid mem access 'scalar'").is_some_and(|w| w.contains("no valid pointer")));
    assert_eq!(explain("something new"), None);
}

#[test]
fn places_beyond_the_text_are_left_out() {
    let mut image = image();
    image.spans = vec![(0, Place { file: 3, ..Place::default() })];
    let r = Rejection::new(&image, LOG.into(), &[]);
    assert!(r.at.is_none() && r.place.is_some());
}
