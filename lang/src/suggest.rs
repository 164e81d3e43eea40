//! Did you mean: the names closest to what was typed.

/// At most `max` of `candidates` that `word` may have been meant for, best first.
///
/// Distance is Damerau–Levenshtein (optimal string alignment: insertion, deletion, substitution, swap of neighbours),
/// case ignored. A third of the word's length may differ, at least one letter; of words of three letters or less only
/// one. A candidate that `word` begins (of three letters or more), or that has the same words in another order
/// (`skb_kfree` for `kfree_skb`), is near too. Ties keep the order of the candidates' names.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>, max: usize) -> Vec<String> {
    let wanted: Vec<char> = word.to_lowercase().chars().collect();
    if wanted.is_empty() || max == 0 {
        return Vec::new();
    }
    let limit = (wanted.len() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|c| *c != word && !c.is_empty())
        .filter_map(|c| score(&wanted, c, limit).map(|s| (s, c)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(max).map(|(_, c)| c.to_owned()).collect()
}

/// Lower is nearer; None is too far.
fn score(wanted: &[char], candidate: &str, limit: usize) -> Option<usize> {
    let have: Vec<char> = candidate.to_lowercase().chars().collect();
    if have.len().abs_diff(wanted.len()) <= limit {
        let d = distance(wanted, &have);
        if d <= limit && d < wanted.len() {
            return Some(d * 2);
        }
    }
    // After real typing mistakes: a name begun, or its parts in another order.
    if wanted.len() >= 3 && have.starts_with(wanted) {
        return Some(2 * limit + 1);
    }
    (wanted.len() >= 5 && sorted_parts(wanted) == sorted_parts(&have)).then_some(2 * limit + 2)
}

fn sorted_parts(name: &[char]) -> Vec<&[char]> {
    let mut parts: Vec<&[char]> = name.split(|c| matches!(c, '_' | '.' | ':')).collect();
    parts.sort_unstable();
    parts
}

/// Optimal string alignment distance.
pub fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
#[path = "suggest_tests.rs"]
mod tests;
