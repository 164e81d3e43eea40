//! Words and operators of other languages.

use super::{KEYWORDS, Place, Stuck};
use crate::diag::Diagnostic;
use crate::syntax::scan::Kind;

/// A word at the start of a statement that this language doesn't have: what to say, what to write.
const STATEMENTS: &[(&str, &str, &str)] = &[
    ("switch", "there is no `switch`", "if (x == 1) { … } else if (x == 2) { … }"),
    ("case", "there is no `switch` and no `case`", "if (x == 1) { … }"),
    ("default", "there is no `switch` and no `default`", "else { … }"),
    ("do", "there is no `do` loop", "while (condition) { … }"),
    ("loop", "there is no `loop`", "while (true) { … }"),
    ("foreach", "there is no `foreach`", "for ($entry : @map) { … }"),
    ("goto", "there is no `goto`", ""),
    ("try", "there is no `try`: a failed read gives 0", ""),
    ("elif", "`elif` is written `else if`", "else if (condition) { … }"),
    ("elsif", "`elsif` is written `else if`", "else if (condition) { … }"),
    ("elseif", "`elseif` is written `else if`", "else if (condition) { … }"),
    ("float", "there are no floating-point numbers: numbers are whole", "let $x = 0;"),
    ("double", "there are no floating-point numbers: numbers are whole", "let $x = 0;"),
    ("var", "variables need no `var`", "$x = 0;"),
    ("const", "there are no constants in a body: use a variable, or `#define` at the start", "$x = 0;"),
    ("auto", "variables need no `auto`", "$x = 0;"),
    ("struct", "types are defined before the probes, not inside them", "let $x = (struct name *)arg0;"),
    ("union", "types are defined before the probes, not inside them", ""),
    ("enum", "types are defined before the probes, not inside them", ""),
    ("function", "functions are defined outside the probes", "fn name($x: int64): int64 { … }"),
];

/// C types with the type to write here.
const TYPES: &[(&str, &str)] = &[
    ("int", "int32"),
    ("char", "int8"),
    ("short", "int16"),
    ("long", "int64"),
    ("unsigned", "uint32"),
    ("signed", "int32"),
    ("bool", "bool"),
    ("string", "string"),
    ("int8", "int8"),
    ("int16", "int16"),
    ("int32", "int32"),
    ("int64", "int64"),
    ("uint8", "uint8"),
    ("uint16", "uint16"),
    ("uint32", "uint32"),
    ("uint64", "uint64"),
    ("u8", "uint8"),
    ("u16", "uint16"),
    ("u32", "uint32"),
    ("u64", "uint64"),
    ("size_t", "uint64"),
    ("pid_t", "int32"),
];

/// Operators of other languages: message, and what to write.
const OPERATORS: &[(&str, &str, &str)] = &[
    ("===", "`===` is written `==`", "=="),
    ("!==", "`!==` is written `!=`", "!="),
    ("<>", "`<>` is written `!=`", "!="),
    (":=", "`:=` is written `=`", "="),
    (
        "=~",
        "there are no regular expressions: `strcontains(text, part)` looks for a part",
        "strcontains($text, \"part\")",
    ),
    ("and", "`and` is written `&&`", "&&"),
    ("or", "`or` is written `||`", "||"),
    ("not", "`not` is written `!`", "!"),
    ("eq", "`eq` is written `==`", "=="),
    ("ne", "`ne` is written `!=`", "!="),
    ("in", "there is no `in`: `has_key(@map, key)` asks for a key", "has_key(@map, key)"),
    ("is", "`is` is written `==`", "=="),
    ("then", "there is no `then`: the body stands in braces", "if (condition) { … }"),
];

fn with_write(diag: Diagnostic, write: &str) -> Diagnostic {
    if write.is_empty() { diag } else { diag.write(write) }
}

/// The statement begins with a word of another language.
pub(super) fn foreign_statement(s: &Stuck<'_>) -> Option<Diagnostic> {
    if s.place != Place::Stmt {
        return None;
    }
    let first = s.word(s.lo);
    let next = s.word(s.lo + 1);
    if first == "let" {
        return let_form(s, next);
    }
    let head = matches!(first, "switch" | "foreach" | "elif" | "elsif" | "elseif");
    let called = matches!(next, "=" | "." | "[") || (next == "(" && !head);
    if let Some((_, message, write)) = STATEMENTS.iter().find(|(w, ..)| *w == first).filter(|_| !called) {
        let diag = Diagnostic::error("foreign-statement", s.span(s.lo), *message).label("not part of the language");
        return Some(with_write(diag, write));
    }
    let named = s.kind(s.lo + 1) == Some(Kind::Word) || next == "*";
    if let Some((_, ty)) = TYPES.iter().find(|(w, _)| *w == first).filter(|_| named) {
        let mut at = s.lo + 1;
        while TYPES.iter().any(|(w, _)| *w == s.word(at)) {
            at += 1;
        }
        let star = if s.word(at) == "*" { " *" } else { "" };
        if !star.is_empty() {
            at += 1;
        }
        let name = s.word(at);
        let diag = Diagnostic::error(
            "c-declaration",
            s.span(s.lo),
            "variables are declared with `let`, their names begin with `$`",
        );
        return Some(
            diag.write(format!("let ${name}: {ty}{star};")).note("the type may be left out: `$x = 1;` declares too"),
        );
    }
    None
}

fn let_form(s: &Stuck<'_>, next: &str) -> Option<Diagnostic> {
    if s.kind(s.lo + 1) == Some(Kind::Word) {
        let span = s.span(s.lo + 1);
        let diag =
            Diagnostic::error("let-name", span, format!("`{next}` is no variable: a variable's name begins with `$`"));
        return Some(diag.write(format!("let ${next}")));
    }
    if next.starts_with('@') {
        let diag = Diagnostic::error("let-map", s.span(s.lo + 1), "`let` with a map stands outside the probes");
        return Some(diag.note("a map needs no declaration: assigning to it is enough"));
    }
    None
}

/// The grammar is stuck at an operator of another language.
pub(super) fn foreign_operator(s: &Stuck<'_>) -> Option<Diagnostic> {
    if matches!(s.place, Place::Item(_)) {
        return None;
    }
    for index in [s.at, s.before()] {
        let word = s.word(index);
        let Some((_, message, write)) = OPERATORS.iter().find(|(w, ..)| *w == word) else { continue };
        let plain_name =
            s.kind(index) == Some(Kind::Word) && (matches!(s.word(index + 1), "(" | "." | "=") && word != "not");
        let loop_in = word == "in" && s.word(s.lo) == "for";
        if plain_name || loop_in || (index != s.at && word != "not") {
            continue;
        }
        return Some(with_write(Diagnostic::error("foreign-operator", s.span(index), *message), write));
    }
    for index in [s.at, s.before()] {
        let Some(word) = KEYWORDS.iter().find(|k| **k == s.word(index)) else { continue };
        let as_value =
            index > s.lo && matches!(s.word(index.wrapping_sub(1)), "=" | "(" | "," | "==" | "+") && *word != "if";
        if as_value && !matches!(*word, "sizeof" | "offsetof" | "typeof" | "typeinfo" | "comptime") {
            let text = format!("`{word}` is a word of the language, no value");
            return Some(Diagnostic::error("keyword", s.span(index), text));
        }
    }
    None
}
