//! "Did you mean": the known word nearest to a misspelt one.

/// Words longer than this are not compared; the work grows with the product of the lengths.
const MAX_CHARS: usize = 64;
/// Lists longer than this are not searched, so that a file full of mistakes is still answered at once.
const MAX_WORDS: usize = 2_000;

/// The known word with the fewest slips, if it is near enough to be meant.
pub(super) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let length = word.chars().count();
    if length > MAX_CHARS {
        return None;
    }
    // A third of the letters wrong is still the same word; three slips is the most a person makes.
    let most = (length / 3).clamp(1, 3);
    let near = |known: &&str| known.chars().count().abs_diff(length) <= most && known.len() <= MAX_CHARS;
    let with_slips = known.take(MAX_WORDS).filter(near).map(|known| (slips(word, known), known));
    with_slips.filter(|(slips, _)| *slips <= most).min_by_key(|(slips, _)| *slips).map(|(_, known)| known)
}

/// Letters added, left out, changed or swapped with their neighbour (optimal string alignment distance).
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_does_not() {
        let known = ["udp", "tcp", "realm", "user_agent"];
        let nearest = |word| nearest(word, known.into_iter());
        assert_eq!(nearest("upd"), Some("udp"));
        assert_eq!(nearest("relm"), Some("realm"));
        assert_eq!(nearest("useragent"), Some("user_agent"));
        assert_eq!(nearest("codecs"), None);
        assert_eq!(nearest(""), None);
        assert_eq!(nearest(&"x".repeat(1000)), None);
    }
}
