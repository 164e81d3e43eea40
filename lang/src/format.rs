//! printf's formats: text → pieces.

use crate::hir::{Piece, Spec};

/// What is wrong with a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// The text ends after `%…`.
    Unfinished,
    /// No such conversion; as written.
    Unknown(String),
    /// A width or precision of more than four digits.
    TooWide(String),
}

impl std::fmt::Display for FormatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unfinished => write!(f, "the format ends in the middle of a %-place (write %% for a percent sign)"),
            Self::Unknown(text) => write!(f, "{text} is no conversion: %d %i %u %x %X %o %c %p %s %r %rx %rh %gr"),
            Self::TooWide(text) => write!(f, "{text}: a width or precision has at most four digits"),
        }
    }
}

/// Cuts a format into text and %-places, numbered from 0.
pub fn parse(format: &str) -> Result<Vec<Piece>, FormatError> {
    let chars: Vec<char> = format.chars().collect();
    let mut pieces = Vec::new();
    let mut text = String::new();
    let (mut at, mut index) = (0, 0);
    while at < chars.len() {
        if chars[at] != '%' {
            text.push(chars[at]);
            at += 1;
        } else if chars.get(at + 1) == Some(&'%') {
            text.push('%');
            at += 2;
        } else {
            let (spec, end) = place(&chars, at)?;
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Arg { index, spec });
            index += 1;
            at = end;
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// Where the %-places stand in a format, in bytes; as far as it can be read.
pub fn places(format: &str) -> Vec<std::ops::Range<usize>> {
    let chars: Vec<char> = format.chars().collect();
    let byte = |at: usize| chars[..at].iter().map(|c| c.len_utf8()).sum::<usize>();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('%', Some('%')) => at += 2,
            ('%', _) => {
                let Ok((_, end)) = place(&chars, at) else { break };
                out.push(byte(at)..byte(end));
                at = end;
            }
            _ => at += 1,
        }
    }
    out
}

/// One place, from its `%`; where it ends.
fn place(chars: &[char], start: usize) -> Result<(Spec, usize), FormatError> {
    let mut spec = Spec::default();
    let mut at = start + 1;
    let written = |end: usize| chars[start..end.min(chars.len())].iter().collect::<String>();
    while let Some(flag) = chars.get(at) {
        match flag {
            '-' => spec.minus = true,
            '0' => spec.zero = true,
            '+' => spec.plus = true,
            ' ' => spec.space = true,
            '#' => spec.alternate = true,
            _ => break,
        }
        at += 1;
    }
    spec.width = digits(chars, &mut at).map_err(|()| FormatError::TooWide(written(at)))?;
    if chars.get(at) == Some(&'.') {
        at += 1;
        spec.precision = Some(digits(chars, &mut at).map_err(|()| FormatError::TooWide(written(at)))?.unwrap_or(0));
    }
    spec.length = length(chars, &mut at);
    let Some(conv) = chars.get(at) else { return Err(FormatError::Unfinished) };
    at += 1;
    spec.conv = match conv {
        'd' | 'i' => 'd',
        'u' | 'x' | 'X' | 'o' | 'c' | 'p' | 's' => *conv,
        'r' => match chars.get(at) {
            Some('x') => {
                at += 1;
                'R'
            }
            Some('h') => {
                at += 1;
                'H'
            }
            _ => 'r',
        },
        'g' if chars.get(at) == Some(&'r') => {
            at += 1;
            'g'
        }
        _ => return Err(FormatError::Unknown(written(at))),
    };
    Ok((spec, at))
}

fn digits(chars: &[char], at: &mut usize) -> Result<Option<u32>, ()> {
    let start = *at;
    while chars.get(*at).is_some_and(char::is_ascii_digit) {
        *at += 1;
    }
    if *at == start {
        return Ok(None);
    }
    if *at - start > 4 {
        return Err(());
    }
    Ok(chars[start..*at].iter().collect::<String>().parse().ok())
}

/// `hh` = 1, `h` = 2, `l` `ll` `j` `z` `t` = 8.
fn length(chars: &[char], at: &mut usize) -> Option<u8> {
    let bytes = match (chars.get(*at)?, chars.get(*at + 1)) {
        ('h', Some('h')) => {
            *at += 1;
            1
        }
        ('h', _) => 2,
        ('l', Some('l')) => {
            *at += 1;
            8
        }
        ('l' | 'j' | 'z' | 't', _) => 8,
        _ => return None,
    };
    *at += 1;
    Some(bytes)
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
