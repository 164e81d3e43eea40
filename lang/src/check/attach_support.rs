//! Functions of the kernel where it can't attach to them: what else tells the same.

use super::attach::{Fault, Point, missing};
use super::cx::Checker;
use super::providers::ProviderKind;
use crate::diag::{Diagnostic, Severity};
use crate::span::Span;
use crate::world::{Answer, Feature};

/// Tracepoints that tell of what a function does: (functions, tracepoint, what its block is to look at).
static SAME_FACT: &[(&str, &str, &str)] = &[
    ("tcp_retransmit_skb", "tcp:tcp_retransmit_skb", ""),
    ("__tcp_retransmit_skb", "tcp:tcp_retransmit_skb", ""),
    ("tcp_v[46]_connect", "sock:inet_sock_set_state", "/args.newstate == TCP_SYN_SENT/"),
    ("tcp_connect", "sock:inet_sock_set_state", "/args.newstate == TCP_SYN_SENT/"),
    (
        "tcp_finish_connect",
        "sock:inet_sock_set_state",
        "/args.oldstate == TCP_SYN_SENT && args.newstate == TCP_ESTABLISHED/",
    ),
    (
        "inet_csk_accept",
        "sock:inet_sock_set_state",
        "/args.oldstate == TCP_SYN_RECV && args.newstate == TCP_ESTABLISHED/",
    ),
    ("tcp_set_state", "sock:inet_sock_set_state", ""),
    ("tcp_enter_loss", "tcp:tcp_cong_state_set", "/args.cong_state == 4/"),
    ("tcp_send_active_reset", "tcp:tcp_send_reset", ""),
    ("tcp_v[46]_send_reset", "tcp:tcp_send_reset", ""),
    ("tcp_reset", "tcp:tcp_receive_reset", ""),
    ("tcp_rcv_established", "tcp:tcp_probe", ""),
    ("tcp_drop*", "skb:kfree_skb", "/args.reason > 1/"),
    ("kfree_skb*", "skb:kfree_skb", ""),
    ("netif_receive_skb*", "net:netif_receive_skb", ""),
    ("__dev_queue_xmit", "net:net_dev_queue", ""),
    ("dev_queue_xmit", "net:net_dev_queue", ""),
    ("dev_hard_start_xmit", "net:net_dev_start_xmit", ""),
    ("udp_queue_rcv_skb", "udp:udp_fail_queue_rcv_skb", ""),
    ("do_sys_open*", "syscalls:sys_enter_openat", ""),
    ("do_filp_open", "syscalls:sys_enter_openat", ""),
    ("vfs_read", "syscalls:sys_enter_read", ""),
    ("ksys_read", "syscalls:sys_enter_read", ""),
    ("vfs_write", "syscalls:sys_enter_write", ""),
    ("ksys_write", "syscalls:sys_enter_write", ""),
    ("vfs_unlink", "syscalls:sys_enter_unlinkat", ""),
    ("vfs_fsync*", "syscalls:sys_enter_fsync", ""),
    ("do_nanosleep", "syscalls:sys_enter_clock_nanosleep", ""),
    ("hrtimer_nanosleep", "syscalls:sys_enter_clock_nanosleep", ""),
    ("do_execve*", "sched:sched_process_exec", ""),
    ("begin_new_exec", "sched:sched_process_exec", ""),
    ("bprm_execve", "sched:sched_process_exec", ""),
    ("kernel_clone", "sched:sched_process_fork", ""),
    ("wake_up_new_task", "sched:sched_wakeup_new", ""),
    ("do_exit", "sched:sched_process_exit", ""),
    ("finish_task_switch*", "sched:sched_switch", ""),
    ("ttwu_do_wakeup", "sched:sched_wakeup", ""),
    ("try_to_wake_up", "sched:sched_waking", ""),
    ("oom_kill_process", "oom:mark_victim", ""),
    ("blk_mq_start_request", "block:block_rq_issue", ""),
    ("blk_account_io_start", "block:block_io_start", ""),
    ("blk_account_io_done", "block:block_io_done", ""),
    ("submit_bio*", "block:block_bio_queue", ""),
    ("handle_mm_fault", "exceptions:page_fault_user", ""),
    ("add_to_page_cache_lru", "filemap:mm_filemap_add_to_page_cache", ""),
    ("send_signal*", "signal:signal_generate", ""),
    ("mark_page_accessed", "pagemap:mm_lru_activate", ""),
];

impl Checker<'_> {
    /// Says what this kernel can do for its functions, where it can't do what the script says. Where the script has an answer to
    /// that, the point isn't there.
    pub(crate) fn function_support(&mut self, p: &Point<'_>, function: &str) -> Result<(), Fault> {
        // Each stands in for the other; kprobes are asked first, since that costs less.
        if self.world.feature(Feature::Kprobe) != Answer::NotThere {
            return Ok(());
        }
        let typed = matches!(p.row.kind, ProviderKind::Fentry | ProviderKind::Fexit);
        let returns = matches!(p.row.kind, ProviderKind::Kretprobe | ProviderKind::Fexit);
        let other = if returns { "fexit" } else { "fentry" };
        let lacks = if typed { "this kernel attaches to no functions" } else { "this kernel has no kprobes" };
        let d = Diagnostic::warning("unsupported-here", p.span, lacks);
        let d = match self.world.feature(Feature::Fentry) {
            Answer::Found(()) if typed => return Ok(()),
            Answer::Found(()) => {
                self.report_once(Span::default(), d.note(format!("attached by {other} instead")));
                return Ok(());
            }
            Answer::NotPermitted(why) if typed => d.note(format!("it refuses {other} ({why}) and has no kprobes")),
            Answer::NotPermitted(why) => {
                d.note(format!("would attach by {other}, but this kernel refuses it ({why}): see `weftrace doctor`"))
            }
            Answer::NotThere if typed => d.note(format!("it has neither {other} nor kprobes")),
            Answer::NotThere => d.note(format!("nor {other}: this probe cannot attach here")),
            Answer::CouldNotTell(why) => d.note(format!("whether {other} works here is not known ({why})")),
        };
        let event = self.same_fact(function, returns);
        let area = if event.is_some() { p.span } else { Span::default() };
        let d = match event {
            Some(event) => d.note("a tracepoint of this kernel tells the same").write(event),
            None => d,
        };
        if p.optional {
            return Err(missing(Diagnostic { severity: Severity::Error, ..d }));
        }
        self.report_once(area, d);
        Ok(())
    }

    /// The tracepoint of this kernel that tells the same.
    fn same_fact(&self, function: &str, returns: bool) -> Option<String> {
        let mut rows = SAME_FACT.iter().filter(|(pattern, ..)| super::glob::matches(pattern, function));
        let (_, event, filter) = rows.find(|(_, event, _)| {
            let (category, name) = event.split_once(':').unwrap_or_default();
            self.world.tracepoint(category, name).is_found()
        })?;
        let event = if returns { event.replace("sys_enter_", "sys_exit_") } else { (*event).to_owned() };
        Some(format!("tracepoint:{event} {filter}").trim_end().to_owned())
    }
}
