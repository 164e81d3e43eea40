//! What a whole plan needs, and what of it isn't here.

use super::table::{self, Need, Row, Subject};
use super::{CapSet, Capability};
use crate::kernel::Host;
use crate::privilege::Later;
use weftrace_artifact::{
    Artifact,
    plan::{Attach, ProbePlan, Unit, Way},
    program::ProgType,
};

/// What a use needs: all of it, and what this process lacks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub all: Vec<Need>,
    pub missing: Vec<Need>,
}

impl Needs {
    fn of(rows: impl Iterator<Item = &'static Row>, host: &Host) -> Self {
        let (have, mut found) = (host.caps(), Self::default());
        for row in rows {
            let needs: Vec<Need> = row.needs.iter().map(|(c, why)| (c.here(), *why)).collect();
            let lacking = needs.iter().copied().filter(|(c, _)| !have.has(*c));
            let lacking: Vec<Need> = lacking.collect();
            // What isn't there need not be wanted: older and differently set up kernels let more through.
            if !lacking.is_empty() && !(row.works)(host) {
                found.missing.extend(lacking);
            }
            found.all.extend(needs);
        }
        found.tidy();
        found
    }

    /// As they are listed, each once; not what others of them include.
    fn tidy(&mut self) {
        for needs in [&mut self.all, &mut self.missing] {
            let least = set(needs).least();
            needs.retain(|(c, _)| least.has_itself(*c));
            needs.sort_by_key(|(c, _)| c.rank());
            needs.dedup_by_key(|(c, _)| *c);
        }
    }

    fn add(&mut self, other: &Self) {
        self.all.extend(&other.all);
        self.missing.extend(&other.missing);
        self.tidy();
    }

    pub fn set(&self) -> CapSet {
        set(&self.all)
    }
}

/// The capabilities of needs.
pub fn set(needs: &[Need]) -> CapSet {
    needs.iter().fold(CapSet::default(), |all, (c, _)| CapSet(all.0 | CapSet::of(&[*c]).0))
}

/// What the script can do without.
#[derive(Clone, Debug)]
pub struct Optional {
    /// Of the script: `kstack, ksym`.
    pub what: &'static str,
    pub needs: Needs,
    /// What there is then.
    pub without: &'static str,
}

/// What a plan needs.
#[derive(Clone, Debug, Default)]
pub struct PlanNeeds {
    /// By probe, in the artifact's order.
    pub probes: Vec<Needs>,
    /// To attach all of them.
    pub attach: Needs,
    pub optional: Vec<Optional>,
    /// What stays after attaching, if it is there.
    pub kept: Vec<Capability>,
    /// The helper process is there for these.
    pub helper: Vec<Capability>,
    /// Nothing is given up: commands of the script run with it.
    pub keeps_all: bool,
}

/// What the command line adds to a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting {
    /// Packets of another network namespace.
    pub namespace: bool,
    /// `-c`
    pub command: bool,
    /// `--unsafe`
    pub commands_run: bool,
}

impl PlanNeeds {
    pub fn of(artifact: &Artifact, host: &Host, setting: Setting) -> Self {
        let probes: Vec<Needs> = artifact.probes.iter().map(|p| of_probe(p, artifact, host, setting)).collect();
        let mut attach = Needs::default();
        for needs in &probes {
            attach.add(needs);
        }
        let later = Later::of(artifact);
        let subject = Subject::Later(&later);
        let optional = table::rows(&subject, host).chain(can_do_without(artifact, host)).map(|row| Optional {
            what: row.what,
            needs: Needs::of(std::iter::once(row), host),
            without: row.without,
        });
        let helper = if later.processes || later.files { crate::privilege::KEEPS.to_vec() } else { Vec::new() };
        Self {
            probes,
            attach,
            optional: optional.collect(),
            kept: later.kept(setting.command),
            helper,
            keeps_all: later.commands && setting.commands_run,
        }
    }

    /// Everything, with what the script could do without.
    pub fn everything(&self) -> CapSet {
        self.optional.iter().fold(self.attach.set(), |all, o| CapSet(all.0 | o.needs.set().0)).least()
    }
}

/// What packets are counted by in the kernel, if a probe of the plan is: without it they are counted in user space.
fn can_do_without(artifact: &Artifact, host: &Host) -> impl Iterator<Item = &'static Row> {
    let counted = artifact.probes.iter().any(counts_packets);
    table::rows(&Subject::Program(ProgType::SocketFilter), host).filter(move |_| counted)
}

/// Whether a program counts the probe's packets, and user space where that can't be loaded.
fn counts_packets(probe: &ProbePlan) -> bool {
    let in_kernel = |way: &Attach| matches!((&way.way, way.unit), (Way::Pcap { .. }, Unit::Kernel(_)));
    probe.ways().any(in_kernel) && !probe.ways().all(in_kernel)
}

/// What the probe needs by the first way that needs nothing that isn't here, rather one without CAP_SYS_ADMIN.
fn of_probe(probe: &ProbePlan, artifact: &Artifact, host: &Host, setting: Setting) -> Needs {
    let optional = counts_packets(probe);
    let ways = probe.ways().filter(|way| !(optional && matches!(way.unit, Unit::Kernel(_))));
    let ways = ways.map(|way| of_way(probe, way, artifact, host, setting));
    let wide = |needs: &Needs| needs.set().has_itself(Capability::SysAdmin);
    ways.min_by_key(|needs| (!needs.missing.is_empty(), wide(needs))).unwrap_or_default()
}

fn of_way(probe: &ProbePlan, attach: &Attach, artifact: &Artifact, host: &Host, setting: Setting) -> Needs {
    let mut subjects = Vec::new();
    let packets = matches!(attach.way, Way::Pcap { .. });
    if let Unit::Kernel(program) = attach.unit {
        subjects.extend([Subject::Maps, Subject::Way(&attach.way), Subject::Name(&probe.name)]);
        subjects.extend(artifact.programs.get(program as usize).map(|image| Subject::Program(image.prog_type)));
    } else if packets {
        // What else runs in user space asks the kernel for nothing.
        subjects.push(Subject::Way(&attach.way));
    }
    let elsewhere = matches!(&attach.way, Way::Pcap { interface, .. } if interface.contains('@'));
    if packets && (setting.namespace || elsewhere) {
        subjects.push(Subject::Namespace);
    }
    let mut rows: Vec<&'static Row> = Vec::new();
    for row in subjects.iter().flat_map(|s| table::rows(s, host)) {
        if !rows.iter().any(|known| std::ptr::eq(*known, row)) {
            rows.push(row);
        }
    }
    Needs::of(rows.into_iter(), host)
}
