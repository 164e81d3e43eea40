//! Attach points and predicates.

use super::{Place, Stuck};
use crate::diag::Diagnostic;
use crate::syntax::scan::Kind;

impl Stuck<'_> {
    /// Attach points and predicate.
    pub(super) fn head(&self) -> Option<Diagnostic> {
        if self.place != Place::Head {
            return None;
        }
        let attach = |i| self.kind(i) == Some(Kind::Attach);
        if self.word(self.at) == "else" && self.at > self.lo {
            return Some(self.else_without_block());
        }
        if attach(self.at) && attach(self.before()) {
            return Some(self.two_attach_points());
        }
        let first = (self.lo..self.hi).find(|i| self.word(*i) == "/" && self.kind(*i) == Some(Kind::Punct));
        if let Some(slash) = first {
            if self.word(self.at) == "/" && self.at == slash + 1 {
                return Some(Diagnostic::error(
                    "empty-predicate",
                    self.span(slash).to(self.span(self.at)),
                    "the condition between `/` and `/` is empty",
                ));
            }
            if self.at >= self.hi && self.ends_operand(self.before()) {
                let inner = self.text(slash + 1, self.hi - 1);
                return Some(
                    Diagnostic::error("unclosed-predicate", self.span(slash), "this condition has no closing `/`")
                        .label("begins here")
                        .other(self.span(self.before()), "`/` is expected after this")
                        .write(format!("/{inner}/")),
                );
            }
            if slash == self.lo {
                return Some(
                    Diagnostic::error("no-attach-point", self.span(slash), "this condition belongs to no probe")
                        .label("`provider:target` is expected before it"),
                );
            }
            return None;
        }
        if self.word(self.lo).starts_with('@') {
            return Some(
                Diagnostic::error("top-level-statement", self.span(self.lo), "statements stand inside a probe's body")
                    .write("BEGIN { … }")
                    .note("outside the probes a map is declared by `let @name = hash(1000);`"),
            );
        }
        if self.lo == self.hi || self.at == self.lo {
            let span = if self.lo == self.hi { self.src.span(self.end, self.end + 1) } else { self.span(self.at) };
            let diag = Diagnostic::error("no-attach-point", span, "expected a probe before `{`");
            return Some(
                diag.write("kprobe:vfs_read { … }")
                    .note("code runs when a probe fires; `BEGIN { … }` runs once at the start"),
            );
        }
        if self.word(self.at) == "," {
            return Some(Diagnostic::error(
                "no-attach-point",
                self.span(self.at),
                "expected a probe between the commas",
            ));
        }
        None
    }

    /// `kprobe:a else kprobe:b { … }`
    fn else_without_block(&self) -> Diagnostic {
        let (point, last) = (self.text(self.lo, self.before()), self.text(self.at, self.hi - 1));
        Diagnostic::error("no-body", self.span(self.at), "the block before this `else` is missing")
            .write(format!("{point} {{ … }} {last} {{ … }}"))
    }

    fn two_attach_points(&self) -> Diagnostic {
        let (a, b) = (self.word(self.before()), self.word(self.at));
        let target = a.rsplit(':').next().unwrap_or("");
        if let Some(at) = target.find('/').filter(|at| *at > 0 && !a.starts_with('u')) {
            let cut = a.len() - target.len() + at;
            let start = self.span(self.before()).start as usize;
            return Diagnostic::error(
                "glued-predicate",
                self.src.span(start + cut, start + cut + 1),
                "a `/` right after a target belongs to the target",
            )
            .label("a condition begins after a space")
            .write(format!("{} {} …/ {{ … }}", &a[..cut], &a[cut..]));
        }
        Diagnostic::error("missing-comma", self.span(self.at), format!("missing `,` between `{a}` and `{b}`"))
            .write(format!("{a}, {b}"))
            .note("a condition stands between `/` and `/`, the body in `{ … }`")
    }
}
