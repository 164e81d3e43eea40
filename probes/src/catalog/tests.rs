use super::*;

fn catalog(world: &HostWorld) -> Catalog<'_> {
    Catalog::new(world, false)
}

#[test]
fn events_by_name_alias_and_wildcard() {
    let world = HostWorld::new();
    let list = |p: &str| catalog(&world).list(p).text;
    assert_eq!(list("software:cpu:"), "software:cpu:\n");
    assert_eq!(list("s:cpu*"), "software:cpu:\nsoftware:cpu-clock:\nsoftware:cpu-migrations:\n");
    assert_eq!(list("hardware:cache-misses:10"), "hardware:cache-misses:\n");
    assert_eq!(list("interval:1s"), "interval:s:\n");
    assert_eq!(list("interval:ms:100"), "interval:ms:\n");
    assert_eq!(list("profile"), "profile:hz:\nprofile:ms:\nprofile:s:\nprofile:us:\n");
    assert_eq!(list("*ware:cpu*").lines().count(), 4);
    assert_eq!(list("nosuch:*"), "");
    assert_eq!(list("software:cpu,interval:s"), "software:cpu:\ninterval:s:\n");
}

#[test]
fn only_words_before_a_name_are_types() {
    assert!(is_type("struct file") && is_type("enum  *") && is_type("union\tsigval"));
    assert!(!is_type("struct") && !is_type("structure:x") && !is_type("struct "));
}

#[test]
fn types_and_functions_of_the_running_kernel() {
    let world = HostWorld::new();
    if world.host().btf().is_err() {
        return;
    }
    let mut catalog = catalog(&world);
    assert_eq!(catalog.list("struct list_head").text, "struct list_head\n");
    assert!(catalog.list("fentry:vfs_read").text.starts_with("fentry:vmlinux:vfs_read\n"));
    catalog.verbose = true;
    let text = catalog.list("struct list_head, struct timer_list").text;
    assert!(
        text.contains("vmlinux: struct list_head {\n\tstruct list_head *next;\n\tstruct list_head *prev;\n};\n\n"),
        "{text}"
    );
    assert!(text.contains("\tvoid (*function)(struct timer_list *);\n"), "{text}");
    let text = catalog.list("rawtracepoint:sched_switch").text;
    assert!(text.contains("    bool preempt\n    struct task_struct * prev\n") && !text.contains("__data"), "{text}");
}
