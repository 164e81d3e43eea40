//! Which functions a script's name or pattern means.

use super::demangle;
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
}

/// By which name a symbol is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The symbol table's, or a Rust name.
    Symbol,
    /// This C++ name.
    Cpp(String),
}

impl Wanted {
    /// `name`, `glob*`, `cpp:ns::name`, `cpp:ns::name(int)`.
    pub fn new(pattern: &str) -> Self {
        let (cpp, pattern) = match pattern.strip_prefix("cpp:") {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        Self {
            glob: Glob::new(pattern),
            cpp,
            like_cpp: pattern.contains([':', '(', '<', ' ']),
            // `operator()` has none yet.
            parameters: pattern.replace("operator()", "").contains('('),
        }
    }

    /// Whether a symbol is wanted, and by which name.
    pub(super) fn matches(&self, name: &[u8]) -> Option<By> {
        if !self.cpp && self.glob.matches_bytes(name) {
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
        if self.glob.matches(&demangle(name)) {
            return Some(By::Symbol);
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
        if self.parameters {
            return None;
        }
        let bare = symbol.demangle_with_options(&DemangleOptions::new().no_params()).ok()?;
        self.glob.matches(&bare).then_some(whole)
    }
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
        // Rust, version 0 and legacy.
        assert!(wanted("a::b", "_RNvCs1234_1a1b") && wanted("hello::fun*", "_ZN5hello4fun117h0123456789abcdefE"));
    }
}
