//! The end of a run, in order: detach, drain, flush the joins, END, losses, maps.

use super::{
    core::{Core, now},
    metrics::push,
    packets::Feed,
};
use crate::{
    losses::LossKind,
    record::event::Event,
    session::Sources,
    sink::Message,
    stats::Cost,
    sys::{Drained, Ring, interrupt},
};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};
use weftrace_artifact::{
    Artifact,
    abi::LossSlot,
    map::Role,
    plan::{ProbePlan, Unit, Way},
};
use weftrace_probes::kernel::{Link, detach_all, maps::read_losses, program::run_once, sys::prog_info};

use super::actions::SLOT_KINDS;

/// A record that is reserved but never finished (a program that died) must not hold us up for ever.
const BUSY_PATIENCE: Duration = Duration::from_millis(200);

/// After Ctrl-C actions that take their time (`system()`, a slow reader of the output) may go on for so long; then what is left
/// is counted as lost.
const IMPATIENCE: Duration = Duration::from_millis(500);

/// Ends a run: everything produced until the probes are detached is delivered, the rest is counted; to joins the run ends before, when all probes still ran.
/// `impatient`: somebody waits for the end. Returns what each probe cost.
pub(crate) fn finish(core: &mut Core, sources: &mut Sources, impatient: bool) -> Vec<Cost> {
    core.note(|| Event::Stop);
    let end = now();
    let deadline = impatient.then(|| Instant::now() + IMPATIENCE);
    #[cfg(feature = "live")]
    for feed in &mut sources.feeds {
        if let Feed::Live(live) = feed {
            live.stop();
        }
    }
    count_missed(core, &sources.links, true);
    let mut lost = tell_joins(core, sources, end);
    if is_live(&sources.feeds) {
        core.until = end;
    }
    detach(core, sources, deadline);
    drain_all(core, sources.ring.as_mut(), deadline);
    core.finish_sockets();
    let time = finish_feeds(core, &mut sources.feeds, end);
    core.finish_telemetry();
    core.finish_nat();
    core.native.store_mut().pass(time);
    core.flush_pending();
    lost += tell_joins(core, sources, time);
    core.hears_all = true;
    core.tell_uncertainty();
    core.record_clock();
    core.note(|| Event::End(time));
    core.flush_joins(time);
    ask_alerts(core, time);
    core.ending = true;
    interrupt::clear();
    run_end(core, sources, time);
    core.flush_pending();
    count_losses(core, sources);
    let cost = costs(core, sources);
    lost += core.losses.news();
    if lost > 0 && !core.benchmarks {
        core.say(&Message::LostEvents(lost));
    }
    core.sum_up_warnings();
    core.say_join_summaries();
    core.finish_alerts();
    push(core, sources);
    core.finish_collectors();
    core.say(&Message::End);
    if core.artifact.options.print_maps_on_exit && sources.print_maps {
        core.print_maps();
    }
    core.tell_unnamed();
    if !core.benchmarks {
        let rows = core.losses.rows();
        core.say(&Message::Losses(&rows));
    }
    // Measured for metrics, it was told there.
    let in_metrics = core.metrics.is_some() || core.otlp.as_ref().is_some_and(|otlp| otlp.metrics.is_some());
    if !cost.is_empty() && !in_metrics {
        core.say(&Message::Cost(&cost));
    }
    core.flush();
    core.end_recording();
    cost
}

/// Whether things happen while the run goes on: of files and recordings they have.
fn is_live(feeds: &[Feed]) -> bool {
    feeds.iter().all(|feed| !matches!(feed, Feed::Files(_) | Feed::Recording(_)))
}

/// Detaches the probes, which takes 35 to 90 ms for each perf event: what they still produce is acted on meanwhile, so that the ring isn't overrun.
fn detach(core: &mut Core, sources: &mut Sources, deadline: Option<Instant>) {
    let links = std::mem::take(&mut sources.links);
    let mut links: Vec<Link> = links.into_iter().map(|(_, link)| link).collect();
    links.extend(core.watchpoints.drain(..).map(|(_, link)| link));
    // If no thread can be had the closure, and the links with it, is dropped here: detached all the same.
    let Ok(detaching) = std::thread::Builder::new().spawn(move || detach_all(links)) else { return };
    while let (false, Some(ring)) = (detaching.is_finished(), sources.ring.as_mut()) {
        drain(core, ring, deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    // It has ended, or there is nothing to drain.
    let _ = detaching.join();
}

/// What is there. Past the deadline records are counted, not acted on.
fn drain(core: &mut Core, ring: &mut Ring, deadline: Option<Instant>) -> Drained {
    let mut left = 0;
    let drained = ring.drain(|record| {
        if left > 0 || deadline.is_some_and(|d| Instant::now() > d) {
            left += 1;
        } else {
            core.record(record);
        }
        true
    });
    core.losses.add("events", LossKind::Unread, left);
    drained
}

/// To the end: nothing writes any more.
fn drain_all(core: &mut Core, ring: Option<&mut Ring>, deadline: Option<Instant>) {
    let Some(ring) = ring else { return };
    let patience = Instant::now() + BUSY_PATIENCE;
    while ring.pending() > 0 {
        if drain(core, ring, deadline).busy {
            if Instant::now() > patience {
                core.losses.add("events", LossKind::Malformed, 1);
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The time at which END runs: the run's end, or the last packet's of files.
fn finish_feeds(core: &mut Core, feeds: &mut [Feed], end: u64) -> u64 {
    let mut time = None;
    for feed in feeds {
        match feed {
            Feed::Files(files) => {
                files.finish(core);
                time = Some(files.last_time);
            }
            Feed::Recording(replay) => time = Some(replay.finish(core)),
            #[cfg(feature = "live")]
            Feed::Live(live) => {
                live.finish(core, end);
                live.count_losses(core);
            }
        }
    }
    time.unwrap_or(end)
}

/// What alerts by time look at is looked at once more: what came since they last did would never be told. Before END, which may clear it.
fn ask_alerts(core: &mut Core, time: u64) {
    let artifact = Rc::clone(&core.artifact);
    let asks = |plan: &ProbePlan| artifact.alerts.iter().any(|alert| !alert.on_events && alert.place == plan.place);
    for (probe, plan) in artifact.probes.iter().enumerate() {
        if let (Way::Interval { .. }, Unit::Native(entry)) = (&plan.best.way, plan.best.unit)
            && asks(plan)
        {
            core.run(entry, probe as u32, time);
            core.flush_pending();
        }
    }
}

/// The exit code that END gives is the last word: it has seen what became of the run.
fn run_end(core: &mut Core, sources: &mut Sources, time: u64) {
    let artifact = Rc::clone(&core.artifact);
    let code = core.exit.take();
    for (probe, plan) in artifact.probes.iter().enumerate() {
        if plan.best.way != Way::End {
            continue;
        }
        match plan.best.unit {
            Unit::Native(entry) => core.run(entry, probe as u32, time),
            Unit::Kernel(program) => {
                if let Some(fd) = sources.programs.get(program, None)
                    && run_once(fd).is_ok()
                {
                    drain_all(core, sources.ring.as_mut(), None);
                }
                for feed in &mut sources.feeds {
                    if let Feed::Recording(replay) = feed {
                        replay.run_end(probe as u32, core);
                    }
                }
            }
        }
    }
    core.exit = core.exit.or(code);
}

/// Reads all counters into the table. Several probes may have one name: their losses are one row.
fn count_losses(core: &mut Core, sources: &Sources) {
    core.losses.set("names", LossKind::Mappings, core.names.lost_mappings());
    core.count_socket_losses();
    let artifact = Rc::clone(&core.artifact);
    let mut rows = core.native_losses(&artifact);
    // Before what second copies caught of them is read, or a miss would show for a moment that is none.
    let first = sources.programs.iter().filter(|(program, _)| is_first(&artifact, *program));
    let missed: Vec<(u32, u64)> =
        first.filter_map(|(program, fd)| Some((program, prog_info(fd).ok()?.recursion_misses))).collect();
    let counters = core.native.store().kernel_by_role(Role::Losses).and_then(|map| read_losses(map).ok());
    for (program, image) in artifact.programs.iter().enumerate() {
        let Some(counters) = &counters else { break };
        let source = source_name(&artifact, program as u32).unwrap_or(&image.name);
        for (slot, kind) in SLOT_KINDS.iter().enumerate() {
            let count = counters.get(program * LossSlot::COUNT as usize + slot);
            *rows.entry((source, *kind)).or_default() += count.copied().unwrap_or(0);
        }
    }
    for (program, missed) in missed {
        if let Some(source) = source_name(&artifact, program) {
            let missed = missed.saturating_sub(caught(&artifact, program, counters.as_deref()));
            *rows.entry((source, LossKind::Recursion)).or_default() += missed;
        }
    }
    for ((source, kind), count) in rows {
        core.losses.set(source, kind, count);
    }
}

/// What the kernel's kprobes missed (`all`: also those whose misses touch no stream), by the first probe of each link: only links know.
fn count_missed(core: &mut Core, links: &[(u32, Link)], all: bool) {
    let artifact = Rc::clone(&core.artifact);
    let mut missed = std::collections::BTreeMap::<&str, u64>::new();
    for (probe, link) in links {
        let Some(plan) = artifact.probes.get(*probe as usize) else { continue };
        if (all || core.touch.matters(*probe))
            && matches!(plan.best.way, Way::Kprobe { .. } | Way::Fentry { .. })
            && let Some(count) = link.missed()
        {
            *missed.entry(&plan.name).or_default() += count;
        }
    }
    for (source, count) in missed {
        core.losses.set(source, LossKind::Missed, count);
    }
}

/// Reads the counters and tells the joins what was lost since they were last told, by `now`; returns how many events.
pub(crate) fn tell_joins(core: &mut Core, sources: &mut Sources, now: u64) -> u64 {
    core.count_passed();
    count_losses(core, sources);
    if !core.joins.is_empty() || core.recorder.is_some() {
        count_missed(core, &sources.links, false);
        #[cfg(feature = "live")]
        for feed in &mut sources.feeds {
            if let Feed::Live(live) = feed {
                live.count_losses(core);
            }
        }
        core.tell_losses(now);
    }
    core.losses.news()
}

/// Whether a program is no other one's second copy: what such a copy is passed over for, the first one saw.
fn is_first(artifact: &Artifact, program: u32) -> bool {
    artifact.programs.iter().all(|image| image.twin != Some(program))
}

/// How many events a program missed that its second copy saw.
fn caught(artifact: &Artifact, program: u32, counters: Option<&[u64]>) -> u64 {
    let twin = artifact.programs.get(program as usize).and_then(|image| image.twin);
    let slot = twin.map(|twin| (twin * LossSlot::COUNT + LossSlot::Caught as u32) as usize);
    slot.zip(counters).and_then(|(slot, all)| all.get(slot).copied()).unwrap_or(0)
}

/// Reads all counters; what each probe cost so far.
pub(super) fn measure(core: &mut Core, sources: &mut Sources) -> Vec<Cost> {
    count_losses(core, sources);
    count_missed(core, &sources.links, true);
    #[cfg(feature = "live")]
    for feed in &mut sources.feeds {
        if let Feed::Live(live) = feed {
            live.count_losses(core);
        }
    }
    costs(core, sources)
}

/// The probe of a program, or of what it is the second copy of; of several probes the first.
fn source_name(artifact: &Artifact, program: u32) -> Option<&str> {
    let first = artifact.programs.iter().position(|image| image.twin == Some(program));
    let program = first.map_or(program, |at| at as u32);
    artifact.probes.iter().find(|p| p.runs(Unit::Kernel(program))).map(|p| p.name.as_str())
}

/// Runs and times by probe, if statistics were on.
fn costs(core: &Core, sources: &Sources) -> Vec<Cost> {
    if !sources.cost {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for (program, fd) in sources.programs.iter() {
        if let (Ok(info), Some(probe)) = (prog_info(fd), source_name(&core.artifact, program)) {
            match rows.iter_mut().find(|row: &&mut Cost| row.probe == probe && !is_first(&core.artifact, program)) {
                Some(row) => row.ns += info.run_time_ns,
                None => rows.push(Cost { probe: probe.to_owned(), runs: info.run_cnt, ns: info.run_time_ns }),
            }
        }
    }
    for (plan, &(runs, ns)) in core.artifact.probes.iter().zip(core.native.costs()) {
        if runs > 0 {
            rows.push(Cost { probe: plan.name.clone(), runs, ns });
        }
    }
    rows.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| a.probe.cmp(&b.probe)));
    rows
}
