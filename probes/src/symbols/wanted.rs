//! Which functions a script's name or pattern means.

use super::glob::Glob;
use cpp_demangle::{DemangleOptions, Symbol};

/// A pattern for functions' names.
#[derive(Clone, Debug)]
pub struct Wanted {
    glob: Glob,
    /// `cpp:`: as C++ writes it, and not as the symbol table does.
    cpp: bool,
    /// Has what only C++ names have: C++ names are looked at without being asked for.
    like_cpp: bool,
    /// The pattern has parameters: they count.
    parameters: bool,
    /// The pattern has template arguments: they count.
    arguments: bool,
    /// As written: `Map[go.shape.int]` and `(*conn).serve` are whole names of Go functions.
    literal: Box<str>,
    /// `GLIBC_2.2.5` of `memcpy@GLIBC_2.2.5` or `memcpy@@GLIBC_2.2.5`.
    version: Option<Glob>,
}

/// By which name a symbol is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The symbol table's.
    Symbol,
    /// This C++ name.
    Cpp(String),
    /// This Rust name.
    Rust(String),
}

impl Wanted {
    /// `name`, `glob*`, `cpp:ns::name`, `cpp:ns::name(int)`.
    pub fn new(pattern: &str) -> Self {
        let (cpp, pattern) = match pattern.strip_prefix("cpp:") {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let (pattern, version) = match pattern.split_once('@') {
            Some((name, version)) if !name.is_empty() && !version.trim_start_matches('@').is_empty() => {
                (name, Some(Glob::new(version.trim_start_matches('@'))))
            }
            _ => (pattern, None),
        };
        Self {
            version,
            glob: Glob::new(pattern),
            cpp,
            like_cpp: pattern.contains([':', '(', '<', ' ']),
            parameters: has_parameters(pattern),
            arguments: without_arguments(pattern) != pattern,
            literal: pattern.into(),
        }
    }

    /// The version that a symbol must have.
    pub(super) fn version(&self) -> Option<&Glob> {
        self.version.as_ref()
    }

    /// Whether a symbol is wanted, and by which name.
    pub(super) fn matches(&self, name: &[u8]) -> Option<By> {
        if !self.cpp && (self.glob.matches_bytes(name) || *self.literal.as_bytes() == *name) {
            return Some(By::Symbol);
        }
        if !name.starts_with(b"_Z") && !name.starts_with(b"_R") {
            // A C function in a C++ program.
            return (self.cpp && self.glob.matches_bytes(name)).then_some(By::Symbol);
        }
        let name = str::from_utf8(name).ok()?;
        if self.cpp {
            return self.cpp_name(name).map(By::Cpp);
        }
        if let Ok(rust) = rustc_demangle::try_demangle(name) {
            // With the hash that old names end in, and without.
            let shown = format!("{rust:#}");
            let wanted = self.glob.matches(&shown) || self.glob.matches(&rust.to_string());
            return wanted.then_some(By::Rust(shown));
        }
        if self.like_cpp { self.cpp_name(name).map(By::Cpp) } else { None }
    }

    /// The whole C++ name of a mangled one that the pattern means.
    fn cpp_name(&self, mangled: &str) -> Option<String> {
        let symbol = Symbol::new(mangled).ok()?;
        let whole = symbol.demangle().ok()?;
        if self.glob.matches(&whole) {
            return Some(whole);
        }
        // Functions that templates make have their result's type in front.
        let options = DemangleOptions::new().no_return_type();
        if self.parameters {
            let typed = symbol.demangle_with_options(&options).ok()?;
            return self.glob.matches(&typed).then_some(whole);
        }
        let bare = symbol.demangle_with_options(&options.no_params()).ok()?;
        // The demangler leaves out a lambda's parameters too, which tell it from others.
        let lambda = bare.contains("{lambda") && {
            let typed = symbol.demangle_with_options(&options).ok()?;
            self.glob.matches(without_parameters(&typed))
        };
        let wanted =
            lambda || self.glob.matches(&bare) || (!self.arguments && self.glob.matches(&without_arguments(&bare)));
        wanted.then_some(whole)
    }
}

/// Whether a pattern says which parameters a function has.
fn has_parameters(pattern: &str) -> bool {
    without_parameters(pattern).len() < pattern.len()
}

/// A C++ name up to its own list of parameters: a parenthesis that isn't part of a name, as in `operator()`, `(anonymous namespace)` and
/// `{lambda(int)#1}`.
fn without_parameters(name: &str) -> &str {
    let mut braces = 0usize;
    let mut at = 0;
    while let Some(c) = name[at..].chars().next() {
        let rest = &name[at..];
        if let Some(part) = ["operator()", "(anonymous namespace)"].into_iter().find(|part| rest.starts_with(part)) {
            at += part.len();
            continue;
        }
        match c {
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            '(' if braces == 0 => return &name[..at],
            _ => {}
        }
        at += c.len_utf8();
    }
    name
}

/// A C++ name without the arguments of its templates: `f` for `f<int>`. Operators keep what looks like such.
fn without_arguments(name: &str) -> std::borrow::Cow<'_, str> {
    if !name.contains('<') {
        return name.into();
    }
    let mut out = String::with_capacity(name.len());
    let mut depth = 0usize;
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let operator = rest.strip_prefix("operator").filter(|_| depth == 0 && !out.ends_with(is_word));
        if let Some(after) = operator.filter(|after| !after.starts_with(is_word)) {
            let sign = after.len() - after.trim_start_matches(['<', '>', '=', '-']).len();
            // `operator<<<int>` has arguments after its sign.
            let sign = sign - usize::from(sign > 1 && after[sign..].starts_with(is_word));
            out.push_str(&rest[.."operator".len() + sign]);
            rest = &after[sign..];
            continue;
        }
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
    }
    out.into()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pattern: &str, name: &str) -> bool {
        Wanted::new(pattern).matches(name.as_bytes()).is_some()
    }

    #[test]
    fn names_as_the_table_has_them_and_as_people_write_them() {
        assert!(wanted("main", "main") && !wanted("main", "domain") && wanted("*main", "domain"));
        // ns::add(int, int)
        let add = "_ZN2ns3addEii";
        assert!(wanted("cpp:ns::add", add) && wanted("cpp:ns::add(int, int)", add) && wanted("ns::add", add));
        assert!(!wanted("cpp:ns::add(int)", add) && !wanted("cpp:_ZN2ns3addEii", add) && wanted("_ZN2ns3addEii", add));
        assert!(wanted("cpp:main", "main"));
        // ns::A::operator()(int)
        let call = "_ZN2ns1AclEi";
        assert!(wanted("cpp:ns::A::operator()", call) && wanted("cpp:ns::A::operator()(int)", call));
        assert_eq!(Wanted::new("cpp:ns::*").matches(add.as_bytes()), Some(By::Cpp("ns::add(int, int)".into())));
        // int ns::A::tmpl<int>(int) const
        let made = "_ZNK2ns1A4tmplIiEET_S2_";
        for pattern in [
            "ns::A::tmpl<int>",
            "ns::A::tmpl",
            "ns::A::tmpl<int>(int) const",
            "int ns::A::tmpl<int>(int) const",
            "ns::A::t*",
        ] {
            assert!(wanted(&format!("cpp:{pattern}"), made), "{pattern}");
        }
        assert!(!wanted("cpp:ns::A::tmpl<long>", made) && !wanted("cpp:ns::A::tm", made));
        // app::(anonymous namespace)::hidden(int), main::{lambda(int)#1}::operator()(int) const
        assert!(wanted("cpp:app::(anonymous namespace)::hidden", "_ZN3app12_GLOBAL__N_16hiddenEi"));
        assert!(wanted("app::(anonymous namespace)::hidden(int)", "_ZN3app12_GLOBAL__N_16hiddenEi"));
        assert!(!wanted("app::(anonymous namespace)::hidden()", "_ZN3app12_GLOBAL__N_16hiddenEi"));
        assert!(wanted("cpp:main::{lambda(int)#1}::operator()", "_ZZ4mainENKUliE_clEi"));
        // std::vector<int, std::allocator<int> >::push_back(int&&)
        let member = "_ZNSt6vectorIiSaIiEE9push_backEOi";
        assert!(wanted("cpp:std::vector::push_back", member) && wanted("cpp:std::vector<int*>::push_back", member));
        assert_eq!(without_arguments("ns::operator<<<char>"), "ns::operator<<");
        assert_eq!(without_arguments("A<int>::operator->"), "A::operator->");
        assert_eq!(without_arguments("A<B<int> >::operator<"), "A::operator<");
        assert_eq!(without_arguments("my_operator<int>"), "my_operator");
        // Rust, version 0 and legacy.
        assert!(wanted("a::b", "_RNvCs1234_1a1b") && wanted("hello::fun*", "_ZN5hello4fun117h0123456789abcdefE"));
        assert!(wanted("hello::fun1::h0123456789abcdef", "_ZN5hello4fun117h0123456789abcdefE"));
    }
}
