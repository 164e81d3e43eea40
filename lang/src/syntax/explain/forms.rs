//! What each kind of item looks like.

use super::super::scan::{ALERT_CLAUSES, ItemKind, Kind};
use super::{Place, Stuck};
use crate::diag::Diagnostic;

/// An item's form, said when it isn't met.
const FORMS: &[(ItemKind, &str, &str)] = &[
    (ItemKind::Config, "config block", "config = { missing_probes = warn; max_strlen = 64 }"),
    (ItemKind::Import, "import", "import \"std/http\";"),
    (ItemKind::Param, "parameter", "param slow = 500ms \"what it is\";"),
    (ItemKind::MapDecl, "map declaration", "let @name = hash(1000);"),
    (ItemKind::Macro, "macro", "macro name(value, $variable, @map) { … }"),
    (ItemKind::Fn, "function", "fn name($x: int64): int64 { … }"),
    (ItemKind::Alert, "alert", "alert \"name\" when rate(@n[$peer], 10s) > 5 to stderr group by $peer every 5m;"),
    (ItemKind::Join, "join", "join name { from r = http.request; … }"),
    (ItemKind::CType, "definition", "struct name { int first; char second[16]; };"),
];

/// Words of clauses that an expression or a name follows.
pub(super) const CLAUSE_WORDS: &[&str] =
    &["ids", "blame", "keep", "limit", "timeout", "total", "since", "by", "else", "if", "per", "slowest"];

/// What stands at the start of a join's clauses.
const CLAUSES: &[&str] = &["from", "total", "ids", "blame", "keep", "limit", "timeout"];

pub(super) fn item_form(s: &Stuck<'_>) -> Option<Diagnostic> {
    if s.place == Place::Clause {
        return clause_form(s);
    }
    let Place::Item(kind) = s.place else { return None };
    alert_form(s, kind).or_else(|| name_form(s, kind)).or_else(|| other_form(s, kind))
}

fn other_form(s: &Stuck<'_>, kind: ItemKind) -> Option<Diagnostic> {
    let (_, name, form) = FORMS.iter().find(|(k, ..)| *k == kind)?;
    if matches!(s.word(s.before()), "=" | "+" | "-" | "*" | "/") && s.word(s.at) == ";" {
        return None;
    }
    let missing = |write: String| {
        let before = s.word(s.before());
        let end = s.span(s.before()).end as usize;
        let span = s.src.span(end.saturating_sub(1), end);
        Some(Diagnostic::error("missing-semicolon", span, format!("missing `;` after `{before}`")).write(write))
    };
    let first_dollar = kind == ItemKind::MapDecl && s.word(s.lo + 1).starts_with('$');
    if first_dollar {
        return Some(
            Diagnostic::error(
                "top-level-let",
                s.span(s.lo + 1),
                "outside the probes `let` declares a map, and a map's name begins with `@`",
            )
            .write(*form),
        );
    }
    if s.at >= s.hi && matches!(kind, ItemKind::Import | ItemKind::Param) && s.kind(s.before()) != Some(Kind::Punct) {
        return missing(format!("{};", s.text(s.lo, s.before())));
    }
    if kind == ItemKind::CType && c_like(s) {
        return missing(format!("{};", s.text(s.before() - 1, s.before())));
    }
    if kind == ItemKind::CType && s.word(s.at) == "__attribute__" {
        let diag = Diagnostic::error("attribute-form", s.span(s.at), "an attribute stands in two pairs of brackets");
        return Some(diag.write("__attribute__((packed))"));
    }
    if kind == ItemKind::Import && s.kind(s.lo + 1) != Some(Kind::Str) {
        let name = s.text(s.lo + 1, s.hi - 1).trim_end_matches(';').trim_matches(['<', '>']);
        let diag = Diagnostic::error("import-form", s.span(s.lo + 1), "the path of an import stands in quotes");
        return Some(diag.write(format!("import \"{name}\";")));
    }
    if kind == ItemKind::Config && s.word(s.lo + 1) == "{" {
        return Some(
            Diagnostic::error("config-form", s.span(s.lo + 1), "`=` stands between `config` and `{`").write(*form),
        );
    }
    if kind == ItemKind::Config && s.kind(s.at) == Some(Kind::Word) && s.word(s.before()) != "=" {
        return missing(format!("{};", s.text(s.before().saturating_sub(2).max(s.lo), s.before())));
    }
    if kind == ItemKind::Fn && s.word(s.at) == "{" && s.word(s.before()) == ")" {
        return Some(
            Diagnostic::error("fn-type", s.span(s.before()), "a function says what type it returns").write(*form),
        );
    }
    let found = if s.at >= s.hi { "its end".to_owned() } else { format!("`{}`", s.word(s.at)) };
    let span = if s.at >= s.hi { s.span(s.before()) } else { s.span(s.at) };
    Some(
        Diagnostic::error("bad-form", span, format!("this {name} can't be read past {found}"))
            .label("not expected here")
            .write(*form),
    )
}

/// A join without a name, a parameter whose name has a `$`.
fn name_form(s: &Stuck<'_>, kind: ItemKind) -> Option<Diagnostic> {
    let name = s.word(s.lo + 1);
    if kind == ItemKind::Join && name == "{" {
        return Some(Diagnostic::error("bad-form", s.span(s.lo), "a join has a name").write("join NAME { … }"));
    }
    let name = name.strip_prefix('$').filter(|_| kind == ItemKind::Param)?;
    let rest = if s.hi > s.lo + 2 { s.text(s.lo + 2, s.hi - 1) } else { "= 5;" };
    let diag = Diagnostic::error("bad-form", s.span(s.lo + 1), "a parameter's name has no `$`");
    Some(diag.write(format!("param {name} {rest}")))
}

/// What is nearly an alert's clause.
fn alert_form(s: &Stuck<'_>, kind: ItemKind) -> Option<Diagnostic> {
    if kind != ItemKind::Alert {
        return None;
    }
    if s.kind(s.lo + 1) != Some(Kind::Str) {
        return Some(nameless_alert(s));
    }
    let (before, word) = (s.word(s.before()), s.word(s.at));
    let told = |code, message: String| Some(Diagnostic::error(code, s.span(s.at.min(s.hi - 1)), message));
    if s.at >= s.hi && before != ";" {
        let end = s.span(s.before()).end as usize;
        let span = s.src.span(end.saturating_sub(1), end);
        let diag = Diagnostic::error("missing-semicolon", span, format!("missing `;` after `{before}`"));
        return Some(diag.write(format!("{before};")));
    }
    if word == "by" || before == "group" {
        let key = if word == "by" { s.word(s.at + 1) } else { word };
        return told("group-form", "what an alert is grouped by follows `group by`".into())
            .map(|d| d.write(format!("group by {}", if key.is_empty() { "$peer" } else { key })));
    }
    if before == "to" || (word == "(" && s.word(s.at.saturating_sub(1)) == "to") {
        return told("sink-form", "where an alert goes to is named by a word".into())
            .map(|d| d.write("to stderr, webhook(\"https://…\")"));
    }
    if s.kind(s.at) != Some(Kind::Word) || ALERT_CLAUSES.contains(&word) || s.at == s.lo + 1 {
        return None;
    }
    let diag = told("unknown-clause", format!("`{word}` begins no clause of an alert"))?
        .note(format!("clauses: {}", ALERT_CLAUSES.join(", ")));
    let near = crate::suggest::nearest(word, ALERT_CLAUSES.iter().copied(), 1);
    Some(near.into_iter().fold(diag, Diagnostic::near))
}

/// `alert when …`, `alert name when …`
fn nameless_alert(s: &Stuck<'_>) -> Diagnostic {
    let word = s.word(s.lo + 1);
    let clauses = s.text(s.lo + 1, s.hi - 1);
    let (at, name, rest) = if ALERT_CLAUSES.contains(&word) {
        (s.lo, "NAME", clauses)
    } else {
        (s.lo + 1, word, clauses.get(word.len()..).unwrap_or("").trim_start())
    };
    Diagnostic::error("bad-alert", s.span(at), "an alert has a name, in quotes behind the word `alert`")
        .write(format!("alert \"{name}\" {rest}"))
}

/// A word after a field's name: two fields without `;` between them.
fn c_like(s: &Stuck<'_>) -> bool {
    s.kind(s.at) == Some(Kind::Word) && matches!(s.kind(s.before()), Some(Kind::Word)) && s.at > s.lo + 3
        || (s.kind(s.at) == Some(Kind::Word) && s.word(s.before()) == "]")
}

fn clause_form(s: &Stuck<'_>) -> Option<Diagnostic> {
    let first = s.word(s.lo);
    let next = s.word(s.lo + 1);
    if s.at == s.lo + 1 && s.kind(s.lo) == Some(Kind::Word) && next != "=" && !CLAUSES.contains(&first) {
        let mut diag =
            Diagnostic::error("unknown-clause", s.span(s.lo), format!("`{first}` begins no clause of a join"))
                .note("clauses: from, total, ids, NAME = AGGREGATE(STREAM.FIELD) by KEY, blame, keep, limit, timeout");
        for near in crate::suggest::nearest(first, CLAUSES.iter().copied(), 2) {
            diag = diag.near(near);
        }
        return Some(diag);
    }
    if next == "=" && s.at <= s.lo + 4 {
        return Some(
            Diagnostic::error("leg-form", s.span(s.at), "a leg is an aggregate of a stream's field")
                .write(format!("{first} = sum(tcp.retransmit.stall) by conn;")),
        );
    }
    if first == "from" && s.at <= s.lo + 3 {
        return Some(
            Diagnostic::error("from-form", s.span(s.at), "`from` names the anchor and its stream")
                .write("from r = http.request(port=8080);"),
        );
    }
    clause_goes_on(s, first, next == "=")
}

/// A word on the same line that neither continues the clause nor begins another.
fn clause_goes_on(s: &Stuck<'_>, first: &str, leg: bool) -> Option<Diagnostic> {
    let (last, word) = (s.word(s.before()), s.word(s.at));
    let between = s.src.text.get(s.span(s.before()).end as usize..s.span(s.at).start as usize)?;
    if s.kind(s.at) != Some(Kind::Word) || between.contains('\n') || s.word(s.at + 1) == "=" && word != "side" {
        return None;
    }
    if leg {
        let diag = Diagnostic::error("leg-form", s.span(s.at), format!("`{word}` says nothing about a leg"))
            .note("behind it stand: by KEY [else KEY], since TIME, side=client|server|any");
        let key = s.word(s.at + 1);
        return Some(if matches!(word, "on" | "using" | "with" | "per" | "key") && !key.is_empty() {
            diag.write(format!("by {key}"))
        } else {
            diag
        });
    }
    let list = matches!(first, "blame" | "ids" | "limit" | "total") && !CLAUSES.contains(&word);
    list.then(|| {
        Diagnostic::error("missing-comma", s.span(s.at), format!("expected `,` before `{word}`"))
            .write(format!("{last}, {word}"))
    })
}

/// `@m[]`
pub(super) fn empty_key(s: &Stuck<'_>) -> Option<Diagnostic> {
    (s.word(s.at) == "]" && s.word(s.before()) == "[").then(|| {
        Diagnostic::error("empty-key", s.span(s.before()).to(s.span(s.at)), "expected a key between `[` and `]`")
            .note("the map as a whole is written without brackets")
    })
}

/// Forms of statements and of single words that are nearly right.
pub(super) fn statement_form(s: &Stuck<'_>) -> Option<Diagnostic> {
    let (before, word) = (s.word(s.before()), s.word(s.at));
    if s.place == Place::Stmt && word == ":" && s.at == s.lo + 1 && before.starts_with('$') {
        let diag =
            Diagnostic::error("missing-let", s.span(s.lo), "a type is given where a variable is declared, by `let`");
        return Some(diag.write(format!("let {}", s.text(s.lo, s.lo + 2))));
    }
    if s.word(s.lo) == "import" && s.place == Place::Stmt && s.at == s.lo + 1 {
        let diag = Diagnostic::error("import-form", s.span(s.at), "the path of an import stands in quotes");
        return Some(diag.write(format!("import \"{word}\";")));
    }
    if s.word(s.lo) == "alert" && s.kind(s.lo + 1) == Some(Kind::Str) && ALERT_CLAUSES.contains(&word) {
        let (name, text) = (s.word(s.lo + 1), format!("in a block an alert is told: it has no `{word}` here"));
        let diag = Diagnostic::error("unknown-clause", s.span(s.at), text)
            .note(format!("`{word}` stands where the alert is declared, outside of all blocks"))
            .write(format!("alert {name} group by … message \"…\", …;"));
        return Some(diag);
    }
    if s.word(s.lo) == "emit" && s.kind(s.lo + 1) == Some(Kind::Word) {
        let mut end = s.lo + 1;
        while s.word(end + 1) == "." {
            end += 2;
        }
        let diag = Diagnostic::error("emit-form", s.span(s.at), "`emit` names a stream and its record's fields");
        return Some(diag.write(format!("emit {}(dur=nsecs - $start);", s.text(s.lo + 1, end))));
    }
    if s.word(s.lo) == "for" && s.at <= s.lo + 2 && word != "(" {
        return Some(
            Diagnostic::error("loop-variable", s.span(s.at), "the loop's variable begins with `$`")
                .write("for ($entry : @map) { … }"),
        );
    }
    if s.word(s.lo) == "for" && word == "in" {
        return Some(
            Diagnostic::error("loop-form", s.span(s.at), "a loop is written with `:`").write("for ($i : 0..10) { … }"),
        );
    }
    if word == "->" && (s.lo..s.at).any(|i| s.word(i) == "offsetof") || (before == "->" && s.word(s.lo) == "offsetof") {
        return Some(Diagnostic::error("offsetof-path", s.span(s.at), "a path of fields is written with `.`"));
    }
    if matches!(before, "struct" | "union" | "enum") && s.place != Place::Clause {
        let span = s.span(s.before());
        let diag = Diagnostic::error("type-as-value", span, "a type can't stand where a value does");
        return Some(diag.write(format!("typeof({before} {word})")).note("as a cast: `(struct name *)value`"));
    }
    None
}

/// `(a=1, 5)`
pub(super) fn record_form(s: &Stuck<'_>) -> Option<Diagnostic> {
    let open = s.enclosing(s.at)?;
    let record = s.word(open) == "(" && s.kind(open + 1) == Some(Kind::Word) && s.word(open + 2) == "=";
    (record && s.at > open + 2 && s.word(s.before()) == ",").then(|| {
        Diagnostic::error("record-form", s.span(s.at), "every field of a record has a name")
            .label("`name=value` is expected")
            .other(s.span(open + 1), "as here")
    })
}
