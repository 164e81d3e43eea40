//! Tokens of one line.

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Letters, digits, `_` and `.`, not starting with a digit.
    Word(&'a str),
    /// Decimal or 0x; a sign belongs to it.
    Int(i128),
    Str(Vec<u8>),
    Punct(char),
}

/// The tokens of `line` up to a comment (`;`).
pub(super) fn tokens(line: &str) -> Result<Vec<Token<'_>>, String> {
    let mut rest = line.trim_start();
    let mut out = vec![];
    while let Some(first) = rest.chars().next() {
        if first == ';' {
            break;
        }
        let signed = matches!(first, '+' | '-') && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        let len;
        if first.is_ascii_alphabetic() || first == '_' {
            len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            // `load.u32`: the width belongs to the word; `0:1..2` has digits there and is no word.
            let end = rest[len..]
                .strip_prefix('.')
                .map_or(len, |tail| len + 1 + tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len()));
            out.push(Token::Word(&rest[..end]));
            rest = rest[end..].trim_start();
            continue;
        } else if first.is_ascii_digit() || signed {
            let sign = usize::from(signed);
            len = sign + rest[sign..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len() - sign);
            out.push(Token::Int(integer(&rest[..len])?));
        } else if first == '"' {
            let (bytes, used) = string(rest.as_bytes())?;
            len = used;
            out.push(Token::Str(bytes));
        } else {
            len = first.len_utf8();
            out.push(Token::Punct(first));
        }
        rest = rest[len..].trim_start();
    }
    Ok(out)
}

fn integer(text: &str) -> Result<i128, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    let value = value.map_err(|_| format!("`{text}` is not a number"))?;
    Ok(if negative { -value } else { value })
}

/// The string that `text` starts with, and its length in the text.
fn string(text: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let mut bytes = vec![];
    let mut at = 1;
    loop {
        let unfinished = || "unfinished string".to_owned();
        match *text.get(at).ok_or_else(unfinished)? {
            b'"' => return Ok((bytes, at + 1)),
            b'\\' => {
                let escape = *text.get(at + 1).ok_or_else(unfinished)?;
                at += 2;
                match escape {
                    b'n' => bytes.push(b'\n'),
                    b'"' | b'\\' => bytes.push(escape),
                    b'x' => {
                        let hex = text.get(at..at + 2).and_then(|h| std::str::from_utf8(h).ok());
                        let byte = hex.and_then(|h| u8::from_str_radix(h, 16).ok());
                        bytes.push(byte.ok_or("two hexadecimal digits must follow \\x")?);
                        at += 2;
                    }
                    _ => return Err(format!("unknown escape `\\{}`", escape.escape_ascii())),
                }
            }
            byte => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
}
