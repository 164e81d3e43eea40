//! Shell globs: `*`, `?`, `[a-z]`, `[!x]`.

/// Whether a glob matches a whole text.
pub(crate) fn matches(glob: &str, text: &str) -> bool {
    let (g, t): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    // Positions to go back to: after the last `*`, and where it was tried last.
    let (mut gi, mut ti, mut star, mut mark) = (0, 0, None, 0);
    while ti < t.len() {
        if g.get(gi) == Some(&'*') {
            star = Some(gi + 1);
            mark = ti;
            gi += 1;
        } else if let Some(next) = one(&g, gi, t[ti]) {
            gi = next;
            ti += 1;
        } else if let Some(s) = star {
            mark += 1;
            ti = mark;
            gi = s;
        } else {
            return false;
        }
    }
    g[gi..].iter().all(|c| *c == '*')
}

/// Matches one character at a glob's position; the position after it.
fn one(g: &[char], at: usize, c: char) -> Option<usize> {
    match g.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let close = at + 2 + g.get(at + 2..)?.iter().position(|x| *x == ']')?;
            let (negated, first) = if matches!(g[at + 1], '!' | '^') { (true, at + 2) } else { (false, at + 1) };
            let set = &g[first..close];
            let mut hit = false;
            let mut i = 0;
            while i < set.len() {
                if set.get(i + 1) == Some(&'-') && i + 2 < set.len() {
                    hit |= (set[i]..=set[i + 2]).contains(&c);
                    i += 3;
                } else {
                    hit |= set[i] == c;
                    i += 1;
                }
            }
            (hit != negated).then_some(close + 1)
        }
        x => (*x == c).then_some(at + 1),
    }
}
