//! The ways to attach a probe, best first: as the script says, and what brings the same records at less cost or on a kernel that can't
//! attach what the script says.
//!
//! [`table`] has a row for each substitution with what it asks of the body, the target and the kernel. The first way of a chain that
//! works when the script starts is taken: the kernel has the last word, since it may refuse what it seemed able to do.

mod kernel_fn;
mod own;
mod table;
mod tracepoint;

pub(crate) use tracepoint::{Among, Source, source};

use crate::lower::has_twin;
use crate::place::{Side, Uses};
use std::borrow::Cow;
use table::{Rank, Substitute};
pub(crate) use table::{Word, Words};
use weftrace_artifact::{plan::Passed, program::ProgType};
use weftrace_lang::{
    hir::{Program, Provider, Target},
    world::World,
};

/// A target, and what the chain depends on besides.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) world: &'a dyn World,
    pub(crate) uses: &'a Uses,
    pub(crate) target: &'a Target,
    /// All that the probe has.
    pub(crate) among: &'a Among,
    pub(crate) policy: Policy,
}

/// What the script's setting `attach` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    #[default]
    Best,
    /// The cheapest way, also where rare events may be missed.
    Fast,
    /// As the script says, and not otherwise.
    Written,
    /// Otherwise, wherever that is possible.
    Other,
}

impl Policy {
    pub(crate) fn of(program: &Program) -> Self {
        match program.config.entry("attach") {
            Some("written") => Self::Written,
            Some("fast") => Self::Fast,
            Some("other") => Self::Other,
            _ => Self::Best,
        }
    }
}

/// Frames that a kernel stack begins with in fentry and fexit: the program and its trampoline. At a return some kernels have the function's
/// own frame below them, and some haven't.
const TRAMPOLINE: u8 = 2;

/// A target as one way gives it.
#[derive(Clone, Debug)]
pub(crate) struct Form<'a> {
    /// The script's, but for the provider: that says what the program's context holds.
    pub(crate) target: Cow<'a, Target>,
    /// None: as it was placed.
    prog: Option<ProgType>,
    /// Empty: as the script says.
    pub(crate) why: String,
    /// Where the numbered arguments of the body are; None: where the script's provider has them.
    pub(crate) words: Option<Words>,
    /// Frames of our own that a kernel stack begins with.
    pub(crate) frames: u8,
}

/// What a program depends on besides the arguments that its body asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    prog: Option<ProgType>,
    /// Where a returned value is, in words of the context.
    returned: u32,
    /// Of system calls: at the return.
    ret: bool,
    words: Option<Words>,
    /// It tells this event from others.
    twin: bool,
}

impl<'a> Form<'a> {
    /// As the script says.
    fn own(target: &'a Target) -> Self {
        let frames = if matches!(target.provider, Provider::Fentry { .. }) { TRAMPOLINE } else { 0 };
        Self { target: Cow::Borrowed(target), prog: None, why: String::new(), words: None, frames }
    }

    /// Where its program runs.
    pub(crate) fn side(&self, placed: Side) -> Side {
        self.prog.map_or(placed, Side::Kernel)
    }

    pub(crate) fn layout(&self) -> Layout {
        let returned = match self.target.provider {
            Provider::Fentry { slots, .. } => slots,
            _ => 0,
        };
        let ret = matches!(self.target.provider, Provider::Syscall { ret: true, .. });
        let twin = has_twin(&self.target.provider);
        Layout { prog: self.prog, returned, ret, words: self.words.clone(), twin }
    }

    /// One program watches many targets and knows which of them fired.
    pub(crate) fn watches_many(&self) -> bool {
        matches!(self.target.provider, Provider::Syscall { .. })
    }

    /// Which of a program's targets fired can't be asked: kernels before 6.10 give such programs no cookie.
    pub(crate) fn has_no_cookie(&self) -> bool {
        matches!((&self.target.provider, self.prog), (Provider::RawTracepoint { .. }, Some(_)))
    }
}

/// Never empty: where nothing works, attaching as the script says tells why.
pub(crate) struct Chain<'a> {
    pub(crate) forms: Vec<Form<'a>>,
    pub(crate) passed: Vec<Passed>,
}

/// The chain of a target.
pub(crate) fn chain<'a>(ask: &Ask<'a>) -> Chain<'a> {
    from_rows(ask, table::ROWS)
}

fn from_rows<'a>(ask: &Ask<'a>, rows: &[Substitute]) -> Chain<'a> {
    if ask.policy == Policy::Written {
        return Chain::only(ask.target);
    }
    let mut made = Chain { forms: Vec::new(), passed: Vec::new() };
    for row in rows {
        match row.rank {
            Rank::Cheaper(gain) => made.consider(ask, row, gain),
            Rank::Fast(gain) if ask.policy == Policy::Fast => made.consider(ask, row, gain),
            Rank::Fast(_) | Rank::Instead => {}
        }
    }
    let own = if ask.policy == Policy::Other {
        if made.forms.is_empty() {
            Err("the script's setting attach asks for another way".to_owned())
        } else {
            return made;
        }
    } else {
        own::works(ask)
    };
    match own {
        Ok(()) => made.forms.push(Form::own(ask.target)),
        Err(why) => {
            made.passed.push(Passed { way: own::name(&ask.target.provider).to_owned(), why: why.clone() });
            for row in rows {
                let tried =
                    matches!(row.rank, Rank::Cheaper(_)) || ask.policy == Policy::Fast && row.rank != Rank::Instead;
                if !tried {
                    made.consider(ask, row, &why);
                }
            }
        }
    }
    if made.forms.is_empty() {
        // It says itself what it lacks.
        made.passed.retain(|p| p.way != own::name(&ask.target.provider));
        made.forms.push(Form::own(ask.target));
    }
    made
}

impl<'a> Chain<'a> {
    /// Of a target that has one way only.
    pub(crate) fn only(target: &'a Target) -> Self {
        Self { forms: vec![Form::own(target)], passed: Vec::new() }
    }

    /// Takes a substitute, or says why not. What a target becomes may ask for types: only here, since most chains end before.
    fn consider(&mut self, ask: &Ask<'_>, row: &Substitute, why: &str) {
        let Some(stand) = (row.stand)(ask) else { return };
        if let Some(why) = row.needs.iter().find_map(|need| need(ask, &stand)) {
            self.passed.push(Passed { way: row.way.to_owned(), why });
        } else {
            let target = Target { provider: stand.provider.clone(), ..ask.target.clone() };
            self.forms.push(Form {
                target: Cow::Owned(target),
                prog: Some(stand.prog),
                why: why.to_owned(),
                words: stand.words.clone(),
                frames: stand.frames,
            });
        }
    }
}
