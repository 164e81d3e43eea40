//! Random expressions.

use super::generate::{PLAIN, Script};

/// Types that the generator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ty {
    /// int64
    Int,
    /// uint8
    Byte,
    /// int16
    Short,
    /// uint32
    Word,
    /// int32
    Signed,
    Text,
    /// (int64, text, (uint8, int64))
    Pair,
}

impl Ty {
    pub fn is_int(self) -> bool {
        !matches!(self, Self::Text | Self::Pair)
    }

    /// As a parameter's or result's type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int64",
            Self::Byte => "uint8",
            Self::Short => "int16",
            Self::Word => "uint32",
            Self::Signed => "int32",
            Self::Text => "string",
            Self::Pair => "(int64, string[18], (uint8, int64))",
        }
    }

    fn cast(self) -> &'static str {
        match self {
            Self::Byte => "(uint8)",
            Self::Short => "(int16)",
            Self::Word => "(uint32)",
            Self::Signed => "(int32)",
            _ => "(int64)",
        }
    }
}

const CORNERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "2",
    "7",
    "63",
    "64",
    "255",
    "256",
    "65535",
    "2147483647",
    "-2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775807",
    "1000000007",
];

const TEXTS: [&str; 8] = ["", "a", "b", "abc", "hello", "hello world", "0123456789abcdef", "xyzzy xyzzy xyzzy"];

impl Script {
    pub fn first_value(&mut self, ty: Ty) -> String {
        match ty {
            // The longest text there is, so that all others fit.
            Ty::Text => "\"xyzzy xyzzy xyzzy\"".into(),
            Ty::Pair => {
                format!("((int64){}, \"xyzzy xyzzy xyzzy\", ((uint8)1, (int64){}))", self.corner(), self.corner())
            }
            _ => format!("{}({})", ty.cast(), self.corner()),
        }
    }

    fn corner(&mut self) -> String {
        (*self.random.pick(&CORNERS)).into()
    }

    fn var(&mut self, ty: Ty) -> Option<String> {
        let fit: Vec<String> = self.vars.iter().filter(|v| v.ty == ty).map(|v| v.name.clone()).collect();
        (!fit.is_empty()).then(|| self.random.pick(&fit).clone())
    }

    /// Keys from few values, so that they meet.
    pub fn key_part(&mut self, ty: Ty, depth: usize) -> String {
        match ty {
            Ty::Text => self.expr(Ty::Text, depth.min(1)),
            Ty::Int => format!("(({}) & 7)", self.int(depth.min(1))),
            other => format!("{}(({}) & 3)", other.cast(), self.int(depth.min(1))),
        }
    }

    pub fn expr(&mut self, ty: Ty, depth: usize) -> String {
        match ty {
            Ty::Int => self.int(depth),
            Ty::Text => self.text(depth),
            Ty::Pair => self.pair(depth),
            narrow => match self.var(narrow) {
                Some(v) if self.random.one_in(2) => v,
                _ => format!("{}({})", narrow.cast(), self.int(depth.saturating_sub(1))),
            },
        }
    }

    fn text(&mut self, depth: usize) -> String {
        if depth > 0 {
            match self.random.below(7) {
                6 => {
                    if let Some(call) = self.call(Ty::Text, depth - 1) {
                        return call;
                    }
                }
                0 => {
                    let (cond, a, b) = (self.condition(depth - 1), self.text(0), self.text(0));
                    return format!("(({cond}) ? {a} : {b})");
                }
                1 => {
                    let key = self.key_part(Ty::Byte, depth - 1);
                    return format!("@text[{key}]");
                }
                2 => return "@w".into(),
                3 => {
                    if let Some(pair) = self.var(Ty::Pair) {
                        return format!("{pair}.1");
                    }
                }
                _ => {}
            }
        }
        match self.var(Ty::Text) {
            Some(v) if self.random.one_in(2) => v,
            _ => format!("\"{}\"", self.random.pick(&TEXTS)),
        }
    }

    fn pair(&mut self, depth: usize) -> String {
        if depth > 0
            && self.random.one_in(5)
            && let Some(call) = self.call(Ty::Pair, depth - 1)
        {
            return call;
        }
        match self.random.below(4) {
            0 => "@t".into(),
            1 if depth > 0 => {
                let key = self.key_part(Ty::Int, depth - 1);
                format!("@pairs[{key}]")
            }
            2 => match self.var(Ty::Pair) {
                Some(v) => v,
                None => self.new_pair(depth),
            },
            _ => self.new_pair(depth),
        }
    }

    fn new_pair(&mut self, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        let (a, b, c, d) = (self.int(depth), self.text(depth), self.int(depth), self.int(depth));
        format!("((int64)({a}), {b}, ((uint8)({c}), (int64)({d})))")
    }

    /// An int64.
    pub fn int(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.var(Ty::Int) {
                Some(v) if !self.random.one_in(3) => v,
                _ => format!("((int64){})", self.corner()),
            };
        }
        let d = depth - 1;
        match self.random.below(24) {
            22 | 23 => match self.call(Ty::Int, d) {
                Some(call) => call,
                None => self.int(0),
            },
            0..=7 => {
                let op = *self.random.pick(&["+", "-", "*", "&", "|", "^", "+", "-"]);
                format!("({} {op} {})", self.int(d), self.int(d))
            }
            8 => format!("({} / {})", self.int(d), self.int(d)),
            9 => format!("({} % {})", self.int(d), self.int(d)),
            10 => format!("({} << {})", self.int(d), self.int(d)),
            11 => format!("({} >> {})", self.int(d), self.int(d)),
            12 => {
                let op = *self.random.pick(&["-", "~"]);
                format!("({op}{})", self.int(d))
            }
            13 => {
                let ty = *self.random.pick(&[Ty::Byte, Ty::Short, Ty::Word, Ty::Signed]);
                format!("((int64){})", self.expr(ty, d))
            }
            14 => format!("(({}) ? {} : {})", self.condition(d), self.int(d), self.int(d)),
            15 => format!("((int64)({}))", self.condition(d)),
            16 | 17 => self.map_int(d),
            18 => format!("((int64)strlen({}))", self.text(d)),
            19 => match self.var(Ty::Pair) {
                Some(p) => {
                    let part = *self.random.pick(&["0", "2.1"]);
                    format!("{p}.{part}")
                }
                None => self.int(d),
            },
            20 => format!("((int64)bswap({}))", self.expr(Ty::Word, d)),
            _ => self.int(0),
        }
    }

    fn map_int(&mut self, depth: usize) -> String {
        match self.random.below(6) {
            0 => "@n".into(),
            1 => format!("@by[{}]", self.key_part(Ty::Int, depth)),
            2 => format!("((int64)@counts[{}])", self.key_part(Ty::Int, depth)),
            3 => {
                let name = *self.random.pick(&["@count", "@max"]);
                format!("((int64){name})")
            }
            4 if self.random.one_in(2) => format!("((int64)@min[{}])", self.key_part(Ty::Int, depth)),
            4 => format!("@pairs[{}].0", self.key_part(Ty::Int, depth)),
            _ => {
                let (name, key, _) = PLAIN[4];
                self.element(name, key, depth)
            }
        }
    }

    pub fn condition(&mut self, depth: usize) -> String {
        let d = depth.saturating_sub(1);
        match self.random.below(9) {
            0..=3 => {
                let op = *self.random.pick(&["==", "!=", "<", "<=", ">", ">="]);
                format!("{} {op} {}", self.int(d), self.int(d))
            }
            4 if depth > 0 => {
                let op = *self.random.pick(&["&&", "||"]);
                format!("({}) {op} ({})", self.condition(d), self.condition(d))
            }
            5 if depth > 0 => format!("!({})", self.condition(d)),
            6 => {
                let op = *self.random.pick(&["==", "!="]);
                format!("{} {op} {}", self.text(d), self.text(d))
            }
            7 => {
                let (name, key) = *self.random.pick(&[("@by", Ty::Int), ("@text", Ty::Byte), ("@counts", Ty::Int)]);
                format!("has_key({name}, {})", self.key_part(key, d))
            }
            8 => {
                let needle = *self.random.pick(&["a", "lo", "xyzzy", "9a"]);
                format!("strcontains({}, \"{needle}\")", self.text(d))
            }
            _ => {
                let op = *self.random.pick(&["<", ">", "==", "!="]);
                let ty = *self.random.pick(&[Ty::Byte, Ty::Short, Ty::Word, Ty::Signed]);
                format!("{} {op} {}", self.expr(ty, d), self.expr(ty, d))
            }
        }
    }
}
