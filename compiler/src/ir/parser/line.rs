//! One line's tokens, taken from the left.

use super::lex::Token;
use crate::ir::{Function, SlotData, SpanId, names::Named};
use weftrace_artifact::{Place, program::FieldPath};

pub(super) struct Line<'a> {
    tokens: &'a [Token<'a>],
}

impl<'a> Line<'a> {
    pub(super) fn new(tokens: &'a [Token<'a>]) -> Self {
        Self { tokens }
    }

    fn shown(token: Option<&Token<'_>>) -> String {
        match token {
            None => "the line's end".into(),
            Some(Token::Word(word)) => format!("`{word}`"),
            Some(Token::Int(n)) => format!("`{n}`"),
            Some(Token::Str(_)) => "a string".into(),
            Some(Token::Punct(c)) => format!("`{c}`"),
        }
    }

    fn wanted<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("expected {what}, found {}", Self::shown(self.tokens.first())))
    }

    pub(super) fn take(&mut self, punct: char) -> bool {
        let found = self.at_punct(punct);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    pub(super) fn at_punct(&self, punct: char) -> bool {
        self.tokens.first() == Some(&Token::Punct(punct))
    }

    pub(super) fn expect(&mut self, punct: char) -> Result<(), String> {
        if self.take(punct) { Ok(()) } else { self.wanted(&format!("`{punct}`")) }
    }

    pub(super) fn end(&self) -> Result<(), String> {
        if self.tokens.is_empty() { Ok(()) } else { self.wanted("the line's end") }
    }

    pub(super) fn word(&mut self) -> Result<&'a str, String> {
        match self.tokens {
            [Token::Word(word), rest @ ..] => {
                self.tokens = rest;
                Ok(word)
            }
            _ => self.wanted("a word"),
        }
    }

    pub(super) fn keyword(&mut self, keyword: &str) -> Result<(), String> {
        match self.tokens {
            [Token::Word(word), rest @ ..] if *word == keyword => {
                self.tokens = rest;
                Ok(())
            }
            _ => self.wanted(&format!("`{keyword}`")),
        }
    }

    pub(super) fn string(&mut self) -> Result<Vec<u8>, String> {
        match self.tokens {
            [Token::Str(bytes), rest @ ..] => {
                self.tokens = rest;
                Ok(bytes.clone())
            }
            _ => self.wanted("a string"),
        }
    }

    fn utf8(&mut self) -> Result<String, String> {
        String::from_utf8(self.string()?).map_err(|_| "the string is not UTF-8".into())
    }

    pub(super) fn int<T: TryFrom<i128>>(&mut self) -> Result<T, String> {
        match self.tokens {
            [Token::Int(n), rest @ ..] => {
                self.tokens = rest;
                T::try_from(*n).map_err(|_| format!("{n} is out of range"))
            }
            _ => self.wanted("a number"),
        }
    }

    /// A 64-bit constant: signed or unsigned.
    pub(super) fn constant(&mut self) -> Result<i64, String> {
        let n: i128 = self.int()?;
        i64::try_from(n).or_else(|_| u64::try_from(n).map(|n| n as i64)).map_err(|_| format!("{n} is out of range"))
    }

    /// `+8`, `-8` or nothing.
    pub(super) fn offset<T: TryFrom<i128>>(&mut self) -> Result<T, String> {
        match self.tokens.first() {
            Some(Token::Int(_)) => self.int(),
            _ => T::try_from(0).map_err(|_| "no offset".into()),
        }
    }

    pub(super) fn named<T: Named>(&mut self, what: &str) -> Result<T, String> {
        let word = self.word()?;
        T::from_word(word).ok_or_else(|| format!("`{word}` is not a {what}"))
    }

    /// The number of an entity, as `v3` or `block1`.
    pub(super) fn entity(&mut self, prefix: &str) -> Result<u32, String> {
        let number = match self.tokens.first() {
            Some(Token::Word(word)) => number_of(word, prefix),
            _ => None,
        };
        match number {
            Some(number) => {
                self.tokens = &self.tokens[1..];
                Ok(number)
            }
            None => self.wanted(&format!("`{prefix}N`")),
        }
    }

    /// Whether an entity of this kind is next.
    pub(super) fn at_entity(&self, prefix: &str) -> bool {
        matches!(self.tokens.first(), Some(Token::Word(word)) if number_of(word, prefix).is_some())
    }

    /// `block1:` or `block1(`…`):`
    pub(super) fn is_block_head(&self) -> bool {
        self.at_entity("block") && self.tokens.last() == Some(&Token::Punct(':'))
    }

    /// Number of the value that the line defines: `v3 = …`.
    pub(super) fn result(&self) -> Option<u32> {
        match self.tokens {
            [Token::Word(word), Token::Punct('='), ..] => number_of(word, "v"),
            _ => None,
        }
    }

    /// In a block's head after its name: the next parameter's number; skips what is in between.
    pub(super) fn next_param(&mut self) -> Option<Result<u32, String>> {
        let at = self.tokens.windows(2).position(|w| matches!(w, [Token::Word(_), Token::Punct(':')]))?;
        self.tokens = &self.tokens[at..];
        let number = self.entity("v");
        self.tokens = if number.is_ok() { self.tokens } else { &[] };
        Some(number)
    }

    /// ` @2` at the end of an instruction, or nothing.
    pub(super) fn span(&mut self) -> Result<SpanId, String> {
        if self.take('@') { self.int().map(SpanId) } else { Ok(SpanId(0)) }
    }

    /// A slot, data, path or span, numbered in order.
    pub(super) fn declaration(&mut self, function: &mut Function) -> Result<(), String> {
        if self.take('@') {
            let number: usize = self.int()?;
            self.expect('=')?;
            let place = self.place()?;
            match function.spans.get_mut(number) {
                Some(whole) if number == 0 => *whole = place,
                _ => declare(&mut function.spans, "@", number as u32, place)?,
            }
        } else if self.at_entity("ss") {
            let number = self.declared("ss")?;
            self.keyword("slot")?;
            let size = self.int()?;
            self.expect(',')?;
            self.keyword("align")?;
            let align = self.int()?;
            declare(&mut function.slots, "ss", number, SlotData { size, align })?;
        } else if self.at_entity("data") {
            let number = self.declared("data")?;
            declare(&mut function.data, "data", number, self.string()?)?;
        } else if self.at_entity("path") {
            let number = self.declared("path")?;
            declare(&mut function.paths, "path", number, self.path()?)?;
        } else {
            return self.wanted("a declaration or a block");
        }
        Ok(())
    }

    fn declared(&mut self, prefix: &str) -> Result<u32, String> {
        let number = self.entity(prefix)?;
        self.expect('=')?;
        Ok(number)
    }

    /// `file:start..end`
    fn place(&mut self) -> Result<Place, String> {
        let file = self.int()?;
        self.expect(':')?;
        let start = self.int()?;
        self.expect('.')?;
        self.expect('.')?;
        Ok(Place { file, start, end: self.int()?, expansion: 0 })
    }

    fn path(&mut self) -> Result<FieldPath, String> {
        match self.word()? {
            "struct" => Ok(FieldPath::Struct { name: self.utf8()?, members: self.utf8()? }),
            "tracepoint" => {
                Ok(FieldPath::Tracepoint { category: self.utf8()?, event: self.utf8()?, field: self.utf8()? })
            }
            "link" => Ok(FieldPath::LinkKind),
            other => Err(format!("`{other}` is neither `struct` nor `tracepoint` nor `link`")),
        }
    }
}

fn number_of(word: &str, prefix: &str) -> Option<u32> {
    let digits = word.strip_prefix(prefix)?;
    if digits.starts_with(|c: char| c.is_ascii_digit()) { digits.parse().ok() } else { None }
}

fn declare<T>(all: &mut Vec<T>, prefix: &str, number: u32, item: T) -> Result<(), String> {
    if number as usize != all.len() {
        return Err(format!("expected {prefix}{}, found {prefix}{number}", all.len()));
    }
    all.push(item);
    Ok(())
}
