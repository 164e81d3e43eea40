//! Random scripts of the language, well-typed by construction as far as a generator can know, with loops that end.

use super::expr::Ty;
use std::fmt::Write as _;

/// xorshift64*: equal seeds give equal scripts.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A variable in scope.
#[derive(Clone, Debug)]
pub struct Var {
    pub name: String,
    pub ty: Ty,
    /// A loop's own variable: read only.
    pub fixed: bool,
}

/// The script under construction.
pub struct Script {
    pub random: Random,
    pub vars: Vec<Var>,
    text: String,
    depth: usize,
    loops: usize,
    /// Statements left.
    budget: i32,
    names: usize,
    /// How many of [`FUNCTIONS`] may be called here.
    pub calls: usize,
    /// In a function: calls that it may yet make, since each is a copy of what is called.
    pub calls_left: usize,
    /// In a function: what it returns.
    returns: Option<Ty>,
}

/// Maps that every script may use: name, key types, value.
pub const PLAIN: [(&str, &[Ty], Ty); 7] = [
    ("@n", &[], Ty::Int),
    ("@t", &[], Ty::Pair),
    ("@w", &[], Ty::Text),
    ("@by", &[Ty::Int], Ty::Int),
    ("@two", &[Ty::Int, Ty::Text], Ty::Int),
    ("@text", &[Ty::Byte], Ty::Text),
    ("@pairs", &[Ty::Int], Ty::Pair),
];

/// Maps of aggregates: name, key types, functions.
const AGGREGATES: [(&str, &[Ty], &str); 10] = [
    ("@count", &[], "count()"),
    ("@counts", &[Ty::Int], "count()"),
    ("@sum", &[Ty::Text], "sum(#)"),
    ("@min", &[Ty::Int], "min(#)"),
    ("@max", &[], "max(#)"),
    ("@avg", &[Ty::Byte], "avg(#)"),
    ("@stats", &[], "stats(#)"),
    ("@hist", &[], "hist(#)"),
    ("@hist2", &[Ty::Int], "hist(#, 2)"),
    ("@lhist", &[Ty::Int], "lhist(#, -10, 100, 7)"),
];

/// Name, parameters, result.
type Signature = (&'static str, &'static [(&'static str, Ty)], Ty);

/// The functions of every script.
const FUNCTIONS: [Signature; 5] = [
    ("number", &[("$a", Ty::Int), ("$s", Ty::Text)], Ty::Int),
    ("text", &[("$n", Ty::Byte)], Ty::Text),
    ("weigh", &[("$p", Ty::Pair), ("$n", Ty::Byte)], Ty::Int),
    ("twist", &[("$p", Ty::Pair), ("$a", Ty::Int)], Ty::Pair),
    ("choose", &[("$a", Ty::Int), ("$n", Ty::Byte), ("$s", Ty::Text)], Ty::Int),
];

pub fn script(seed: u64) -> String {
    let mut s = Script {
        random: Random::new(seed),
        vars: vec![],
        text: String::new(),
        depth: 0,
        loops: 0,
        budget: 0,
        names: 0,
        calls: 0,
        calls_left: 0,
        returns: None,
    };
    for _ in 0..4 {
        s.random.next();
    }
    s.functions();
    s.line("BEGIN {");
    s.depth = 1;
    s.prelude();
    s.budget = 6 + s.random.below(24) as i32;
    let types = [Ty::Int, Ty::Int, Ty::Int, Ty::Byte, Ty::Short, Ty::Word, Ty::Signed, Ty::Text, Ty::Pair];
    for _ in 0..3 + s.random.below(6) {
        let ty = *s.random.pick(&types);
        s.declare(ty);
    }
    if s.random.one_in(16) {
        s.crowd();
    }
    while s.budget > 0 {
        s.statement();
    }
    // What variables hold at the end counts too.
    for (n, var) in s.vars.clone().into_iter().enumerate() {
        if var.ty.is_int() {
            let _ = writeln!(s.text, "  @last[{n}] = (int64){};", var.name);
        } else {
            let _ = writeln!(s.text, "  print({});", var.name);
        }
    }
    s.text.push_str("}\n");
    s.text
}

impl Script {
    /// What the script's functions do: each may call those before it.
    fn functions(&mut self) {
        for (index, (name, params, ty)) in FUNCTIONS.iter().enumerate() {
            let typed: Vec<String> = params.iter().map(|(n, ty)| format!("{n}: {}", ty.name())).collect();
            self.line(&format!("fn {name}({}): {} {{", typed.join(", "), ty.name()));
            self.calls_left = 2;
            self.block(|s| {
                s.budget = 3 + s.random.below(6) as i32;
                if *ty == Ty::Text {
                    // The longest text first: it says how long the result is.
                    s.line("if ($n == 200) { return \"xyzzy xyzzy xyzzy\"; }");
                }
                for (name, ty) in *params {
                    let fixed = !matches!(ty, Ty::Int | Ty::Byte);
                    s.vars.push(Var { name: (*name).into(), ty: *ty, fixed });
                }
                s.returns = Some(*ty);
                if s.random.one_in(2) {
                    s.cases(*ty);
                }
                while s.budget > 0 {
                    s.statement();
                }
                let value = s.expr(*ty, 1);
                s.line(&format!("return {value};"));
                s.returns = None;
            });
            self.line("}");
            self.calls = index + 1;
        }
        self.calls_left = usize::MAX;
    }

    /// More variables than registers and frame hold.
    fn crowd(&mut self) {
        let first = self.vars.len();
        for _ in 0..40 + self.random.below(60) {
            self.declare(Ty::Int);
        }
        let names: Vec<String> = self.vars[first..].iter().map(|v| v.name.clone()).collect();
        let looped = self.random.one_in(2);
        self.line(if looped { "for ($crowd : 0..3) {" } else { "if (@n > 0) {" });
        for (n, name) in names.iter().enumerate() {
            let other = &names[(n * 7 + 1) % names.len()];
            self.line(&format!("  {name} = {name} * 3 + {other};"));
        }
        self.line("}");
    }

    /// A chain of cases, some of which return.
    fn cases(&mut self, ty: Ty) {
        let of = self.int(1);
        let subject = self.fresh("of");
        self.line(&format!("{subject} = {of};"));
        for case in 0..2 + self.random.below(6) {
            let otherwise = if case > 0 && self.random.one_in(2) { "else " } else { "" };
            self.line(&format!("{otherwise}if ({subject} == {case}) {{"));
            self.block(|s| {
                s.statement();
                if s.random.one_in(2) {
                    let value = s.expr(ty, 1);
                    s.line(&format!("return {value};"));
                }
            });
            self.line("}");
        }
    }

    /// A call of a function that gives this type, if there is one here.
    pub fn call(&mut self, ty: Ty, depth: usize) -> Option<String> {
        let fit: Vec<usize> = (0..self.calls).filter(|i| FUNCTIONS[*i].2 == ty).collect();
        if fit.is_empty() || self.calls_left == 0 {
            return None;
        }
        self.calls_left -= 1;
        let (name, params, _) = FUNCTIONS[*self.random.pick(&fit)];
        let args: Vec<String> = params.iter().map(|(_, ty)| self.expr(*ty, depth.min(1))).collect();
        Some(format!("{name}({})", args.join(", ")))
    }

    /// Every map gets its types by an element that is there from the start, now and then one that is deleted again.
    fn prelude(&mut self) {
        for (name, key, value) in PLAIN {
            let at = self.element(name, key, 0);
            let value = self.first_value(value);
            self.line(&format!("{at} = {value};"));
            if key.len() == 1 && self.random.one_in(2) {
                self.line(&format!("delete({name}, {});", &at[name.len() + 1..at.len() - 1]));
            }
        }
        for (name, key, function) in AGGREGATES {
            let at = self.element(name, key, 0);
            self.line(&format!("{at} = {};", function.replace('#', "5")));
        }
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{}{text}", "  ".repeat(self.depth));
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("${prefix}{}", self.names)
    }

    fn declare(&mut self, ty: Ty) {
        let value = self.first_value(ty);
        let name = self.fresh("v");
        self.line(&format!("{name} = {value};"));
        self.vars.push(Var { name, ty, fixed: false });
    }

    fn block(&mut self, fill: impl FnOnce(&mut Self)) {
        let vars = self.vars.len();
        self.depth += 1;
        fill(self);
        self.depth -= 1;
        self.vars.truncate(vars);
    }

    fn some_statements(&mut self) {
        for _ in 0..=self.random.below(3) {
            self.statement();
        }
    }

    fn statement(&mut self) {
        self.budget -= 1;
        if self.budget < 0 {
            self.line("@n++;");
            return;
        }
        match self.random.below(24) {
            0..=4 => self.assign(),
            5..=7 => self.map_set(),
            8..=10 => self.aggregate(),
            11 | 12 => self.count(),
            13..=15 if self.depth < 5 => self.either(),
            16 | 17 if self.loops < 3 && self.depth < 5 => self.range(),
            18 if self.loops < 3 && self.depth < 5 => self.while_loop(),
            19 if self.loops < 2 && self.depth < 4 => self.elements(),
            20 if self.loops < 2 && self.depth < 4 => self.unroll(),
            21 => self.output(),
            22 => self.delete(),
            _ if self.loops > 0 && self.random.one_in(3) => self.leave(),
            _ => self.assign(),
        }
    }

    fn assign(&mut self) {
        let free: Vec<Var> = self.vars.iter().filter(|v| !v.fixed).cloned().collect();
        if free.is_empty() {
            return self.declare(Ty::Int);
        }
        let var = self.random.pick(&free).clone();
        if var.ty == Ty::Int && self.random.one_in(3) {
            if self.random.one_in(3) {
                let op = *self.random.pick(&["++", "--"]);
                let text =
                    if self.random.one_in(2) { format!("{}{op};", var.name) } else { format!("{op}{};", var.name) };
                return self.line(&text);
            }
            let op = *self.random.pick(&["+=", "-=", "*=", "&=", "|=", "^=", "/=", "%=", "<<=", ">>="]);
            let value = self.int(2);
            return self.line(&format!("{} {op} {value};", var.name));
        }
        let value = self.expr(var.ty, 3);
        self.line(&format!("{} = {value};", var.name));
    }

    pub fn element(&mut self, name: &str, key: &[Ty], depth: usize) -> String {
        let parts: Vec<String> = key.iter().map(|ty| self.key_part(*ty, depth)).collect();
        if parts.is_empty() { name.into() } else { format!("{name}[{}]", parts.join(", ")) }
    }

    fn map_set(&mut self) {
        let (name, key, value) = *self.random.pick(&PLAIN);
        let at = self.element(name, key, 2);
        let value = self.expr(value, 3);
        self.line(&format!("{at} = {value};"));
    }

    fn count(&mut self) {
        let (name, key) =
            *self.random.pick(&[("@n", &[][..]), ("@by", &[Ty::Int][..]), ("@two", &[Ty::Int, Ty::Text][..])]);
        let at = self.element(name, key, 2);
        let op = *self.random.pick(&["++", "--"]);
        self.line(&format!("{at}{op};"));
    }

    fn aggregate(&mut self) {
        let (name, key, function) = *self.random.pick(&AGGREGATES);
        let at = self.element(name, key, 2);
        let value = self.int(2);
        self.line(&format!("{at} = {};", function.replace('#', &value)));
    }

    fn either(&mut self) {
        let cond = self.condition(2);
        self.line(&format!("if ({cond}) {{"));
        self.block(Self::some_statements);
        if self.random.one_in(2) {
            self.line("} else {");
            self.block(Self::some_statements);
        }
        self.line("}");
    }

    fn in_loop(&mut self, fill: impl FnOnce(&mut Self)) {
        self.loops += 1;
        self.block(fill);
        self.loops -= 1;
    }

    fn range(&mut self) {
        let name = self.fresh("i");
        let (from, len) = (self.random.below(7) as i64 - 3, self.random.below(9) as i64);
        let to =
            if self.random.one_in(3) { format!("{from} + ({} & 7)", self.int(1)) } else { format!("{}", from + len) };
        self.line(&format!("for ({name} : ({from})..({to})) {{"));
        self.in_loop(|s| {
            s.vars.push(Var { name, ty: Ty::Int, fixed: true });
            s.some_statements();
        });
        self.line("}");
    }

    fn while_loop(&mut self) {
        let name = self.fresh("w");
        self.line(&format!("{name} = 0;"));
        let (end, cond) = (1 + self.random.below(40), self.condition(1));
        let more = if self.random.one_in(2) { format!(" && ({cond})") } else { String::new() };
        self.line(&format!("while ({name} < {end}{more}) {{"));
        self.in_loop(|s| {
            let step = 1 + s.random.below(3);
            s.vars.push(Var { name: name.clone(), ty: Ty::Int, fixed: true });
            s.line(&format!("{name} += {step};"));
            s.some_statements();
        });
        self.line("}");
    }

    /// Over a map, whose order is anybody's: what the body does must not depend on it.
    fn elements(&mut self) {
        let (name, sum) = (self.fresh("e"), self.fresh("sum"));
        self.line(&format!("{sum} = 0;"));
        let map = *self.random.pick(&["@by", "@by", "@counts", "@pairs", "@min"]);
        let value = if map == "@pairs" { ".1.0" } else { ".1" };
        self.line(&format!("for ({name} : {map}) {{"));
        let cond = self.condition(1);
        let skip = self.random.one_in(2);
        self.in_loop(|s| {
            if skip {
                s.line(&format!("if (({name}.0 & 3) == 1 && ({cond})) {{ continue; }}"));
            }
            s.line(&format!("{sum} += (int64){name}{value} * 3 + {name}.0;"));
        });
        self.line("}");
        self.vars.push(Var { name: sum, ty: Ty::Int, fixed: false });
        if self.random.one_in(2) {
            self.line(&format!("@last[-1] = (int64)len({map});"));
        }
    }

    fn unroll(&mut self) {
        let times = 1 + self.random.below(3);
        self.line(&format!("unroll ({times}) {{"));
        self.block(Self::some_statements);
        self.line("}");
    }

    fn leave(&mut self) {
        let cond = self.condition(1);
        let how = *self.random.pick(&["break", "continue", "break", "continue", "return"]);
        let value = match self.returns {
            Some(ty) if how == "return" => self.expr(ty, 1),
            _ => String::new(),
        };
        self.line(&format!("if ({cond}) {{ {how} {value}; }}"));
    }

    fn output(&mut self) {
        let text = match self.random.below(5) {
            0 => format!("print({});", self.int(2)),
            1 => format!("print({});", self.expr(Ty::Text, 2)),
            2 => format!("print({});", self.expr(Ty::Pair, 2)),
            3 => format!("printf(\"%d %s\\n\", {}, {});", self.int(2), self.expr(Ty::Text, 2)),
            _ => format!("printf(\"%lx %u\\n\", {}, {});", self.int(2), self.expr(Ty::Byte, 2)),
        };
        self.line(&text);
    }

    fn delete(&mut self) {
        let keyed: Vec<_> = PLAIN.iter().filter(|(_, key, _)| key.len() == 1).collect();
        let (name, key, _) = **self.random.pick(&keyed);
        let part = self.key_part(key[0], 2);
        self.line(&format!("delete({name}, {part});"));
    }
}
