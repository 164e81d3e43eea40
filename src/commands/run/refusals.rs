//! Why a run does not begin or ended early, and what helps.

use crate::{args::Run, commands::needs, exit::ExitStatus, frontend, printer, render};
use std::collections::BTreeMap;
use weftrace_artifact::{Artifact, action::ActionKind, packet, plan::Way};
use weftrace_lang::{
    diag::{Diagnostic, Note},
    hir::{Program, Provider},
    span::{FileId, SourceMap, Span},
};
use weftrace_probes::kernel::caps::{self, Need, Needs, PlanNeeds};
use weftrace_runtime::Error;

/// Says why a run did not start or ended early, and what helps.
pub(super) fn failed_to_run(error: &Error, sources: &SourceMap, needs: &PlanNeeds, args: &Run) -> ExitStatus {
    match error {
        Error::Attach { remedy, place, .. } => {
            let span = Span::new(FileId(place.file), place.start as usize, place.end as usize);
            let mut found = Diagnostic::error("attach", span, error.to_string());
            found.notes.extend(remedy.clone().map(Note::Note));
            printer::err(&render::render(&found, sources, frontend::text_style()));
        }
        error => printer::err_line(&format!("error: {error}")),
    }
    if let Error::Map(error) = error
        && let Some(remedy) = error.remedy()
    {
        printer::err_line(&format!("  = {remedy}"));
    }
    if !needs.attach.missing.is_empty() {
        printer::err(&needs::reasons(&needs.attach.missing));
        printer::err(&needs::how_to_permit(needs.everything()));
    }
    match error {
        Error::Output(_) | Error::Recording(_) => ExitStatus::NotWritten,
        Error::Packets { .. } if !args.read.is_empty() => ExitStatus::Damaged,
        _ => ExitStatus::Attach,
    }
}

/// A script without probes, or without any that runs here.
pub(super) fn nothing_to_run(some: bool) -> ExitStatus {
    if some {
        printer::err_line(
            "error: nothing in this script runs: with --read only pcap blocks, joins, timers, BEGIN and END do",
        );
        printer::err_line("  = write: pcap:any /…/ { … }");
        ExitStatus::Attach
    } else {
        printer::err_line("error: the script has no probes");
        printer::err_line(
            "  = write: tracepoint:tcp:tcp_retransmit_skb { @ = count(); } (weftrace list shows what there is)",
        );
        ExitStatus::Script
    }
}

/// A script that would only wait: its probes stand at a flag (`uprobe:$go:…`) that nobody gave.
pub(super) fn nothing_watched(program: &Program) -> Option<ExitStatus> {
    let flag = program.empty_flags.first()?;
    let mut targets = program.probes.iter().flat_map(|probe| &probe.targets);
    if !targets.all(|t| matches!(t.provider, Provider::Begin | Provider::End | Provider::Interval { .. })) {
        return None;
    }
    let help = program.params.iter().find(|param| param.name == *flag).map_or("", |param| &param.help);
    printer::err_line(&format!("error: nothing to watch: --{flag} is empty"));
    printer::err_line(&printer::inert(&format!("  = write: --{flag} …, after the script's name: {help}")));
    Some(ExitStatus::Usage)
}

/// `--write` with a script that keeps nothing, or with an option that means nothing.
pub(super) fn nothing_to_write(args: &Run, artifact: &Artifact) -> Option<ExitStatus> {
    let keeps = artifact.actions.iter().any(|a| matches!(a.kind, ActionKind::Capture { .. }));
    if args.write.is_some() && !keeps {
        printer::err_line("error: --write: the script keeps no packets");
        printer::err_line(
            "  = write: capture() in a packet block: pcap:any /tcp.analysis.retransmission/ { capture(); }",
        );
        return Some(ExitStatus::Usage);
    }
    if args.write_files.is_some() && args.write_size.is_none() && args.write_every.is_none() {
        printer::err_line("error: --write-files says how many files stay: nothing begins a second one");
        printer::err_line("  = write: --write-size 100MB or --write-every 60s");
        return Some(ExitStatus::Usage);
    }
    None
}

/// Options about packets with a script that asks for none, or for nothing that they change.
pub(super) fn nothing_to_capture(args: &Run, artifact: &Artifact) -> Option<ExitStatus> {
    let captures = artifact.probes.iter().any(|p| p.ways().any(|a| matches!(a.way, Way::Pcap { .. })));
    let given = [
        ("--netns", args.netns.is_some()),
        ("--promiscuous", args.promiscuous),
        ("--snaplen", args.snaplen.is_some()),
        ("--packet-buffer", args.packet_buffer.is_some()),
    ];
    if let Some((option, _)) = given.into_iter().find(|(_, given)| *given && !captures) {
        printer::err_line(&format!("error: {option}: the script captures no packets"));
        printer::err_line("  = write: pcap:any /…/ { … }");
        return Some(ExitStatus::Usage);
    }
    if args.tls_keys.is_some() && artifact.packet_needs & packet::needs::STREAMS == 0 {
        printer::err_line("error: --tls-keys: the script reads nothing that TLS carries or agrees on");
        printer::err_line("  = write: http.request.method, http2.headers.path, tls.handshake.dur, … in a packet block");
        return Some(ExitStatus::Usage);
    }
    None
}

/// What the plan needs and this process lacks, before anything is loaded: an error for each probe.
pub(super) fn lacks_permission(artifact: &Artifact, needs: &PlanNeeds, args: &Run) -> bool {
    if args.partial || needs.attach.missing.is_empty() {
        return false;
    }
    let mut told: Vec<&[Need]> = Vec::new();
    for (probe, its) in artifact.probes.iter().zip(&needs.probes).filter(|(_, n)| !n.missing.is_empty()) {
        printer::err_line(&format!("error: {}: {}", probe.name, not_permitted(its)));
        if !told.contains(&&its.missing[..]) {
            printer::err(&needs::reasons(&its.missing));
            told.push(&its.missing);
        }
    }
    printer::err(&needs::how_to_permit(needs.everything()));
    true
}

fn not_permitted(needs: &Needs) -> String {
    format!("not permitted: it needs {}", needs::list(caps::set(&needs.missing)))
}

/// With --partial, what can run runs: the others, and why not.
pub(super) fn refused(needs: &PlanNeeds) -> BTreeMap<u32, String> {
    let lacking = (0u32..).zip(&needs.probes).filter(|(_, n)| !n.missing.is_empty());
    lacking.map(|(index, needs)| (index, not_permitted(needs))).collect()
}
