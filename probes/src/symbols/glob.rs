//! Wildcards as attach points have them: `*`, `?`, `[abc]`, `[a-z]`, `[!a]`.

/// A pattern, matched against whole names, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    Any,
    /// `*`
    Run,
    Set {
        ranges: Vec<(u8, u8)>,
        negated: bool,
    },
}

/// Whether a name has wildcard characters at all.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

impl Glob {
    pub fn new(pattern: &str) -> Self {
        let bytes = pattern.as_bytes();
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'*' if parts.last() == Some(&Part::Run) => {}
                b'*' => parts.push(Part::Run),
                b'?' => parts.push(Part::Any),
                b'[' => match set(&bytes[at..]) {
                    Some((part, used)) => {
                        parts.push(part);
                        at += used;
                    }
                    // No closing bracket: itself.
                    None => parts.push(Part::Byte(b'[')),
                },
                other => parts.push(Part::Byte(*other)),
            }
        }
        Self { parts }
    }

    pub fn matches(&self, name: &str) -> bool {
        self.matches_bytes(name.as_bytes())
    }

    /// Linear in pattern × name: on a mismatch only the last `*` takes one byte more.
    pub fn matches_bytes(&self, name: &[u8]) -> bool {
        let (mut p, mut n) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while n < name.len() {
            match self.parts.get(p) {
                Some(Part::Run) => {
                    retry = Some((p + 1, n));
                    p += 1;
                    continue;
                }
                Some(part) if part.takes(name[n]) => {
                    p += 1;
                    n += 1;
                    continue;
                }
                _ => {}
            }
            let Some((after, from)) = retry else { return false };
            retry = Some((after, from + 1));
            p = after;
            n = from + 1;
        }
        self.parts[p..].iter().all(|part| *part == Part::Run)
    }
}

impl Part {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(b) => *b == byte,
            Self::Any => true,
            Self::Run => false,
            Self::Set { ranges, negated } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&byte)) != *negated,
        }
    }
}

/// The set whose text follows a `[`, and how many bytes it took.
fn set(text: &[u8]) -> Option<(Part, usize)> {
    let negated = matches!(text.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    // A `]` in first place is a member.
    let end = start + 1 + text.get(start + 1..)?.iter().position(|b| *b == b']')?;
    let members = &text[start..end];
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < members.len() {
        let is_range = members.get(at + 1) == Some(&b'-') && at + 2 < members.len();
        let to = if is_range { members[at + 2] } else { members[at] };
        ranges.push((members[at], to));
        at += if is_range { 3 } else { 1 };
    }
    Some((Part::Set { ranges, negated }, end + 1))
}

#[cfg(test)]
mod tests;
