//! What somebody may have meant who misspelt a name.

/// `: did you mean …?` with the known name that is nearest, if one is near.
#[cfg(feature = "cli")]
pub(crate) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let distances = known
        .into_iter()
        .map(|known| (distance(name, known), known));
    let nearest = distances.min();
    match nearest.filter(|(distance, known)| is_near(*distance, known)) {
        Some((_, known)) => format!(": did you mean `{known}`?"),
        None => String::new(),
    }
}

/// One slip in three letters.
fn is_near(distance: usize, known: &str) -> bool {
    distance * 3 <= known.chars().count().max(3)
}

/// The known names that are near, the nearest first, whatever their case and what stands between their words. A name
/// that is long is near to none, and of many known ones not all are looked at: somebody may send names without end.
pub(crate) fn near<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    const LONGEST: usize = 64;
    const MOST_COMPARED: usize = 1_000;
    const MOST_TOLD: usize = 3;

    if name.len() > LONGEST {
        return Vec::new();
    }
    let plain = plain(name);
    let mut found = Vec::new();
    for known in known.take(MOST_COMPARED) {
        if known.len() <= LONGEST && known.len().abs_diff(name.len()) * 3 <= known.len().max(9) {
            let distance = distance(&plain, &self::plain(known));
            if is_near(distance, known) {
                found.push((distance, known));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MOST_TOLD);
    found.into_iter().map(|(_, known)| known).collect()
}

/// `CreateUser` is `create_user`.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// How many letters are to be changed, put in, left out or changed with their neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_near_that_differ_by_case_and_slips() {
        let known = ["create_user", "delete_user", "mail", "create_users"];
        for (name, expected) in [
            ("CreateUser", &["create_user", "create_users"][..]),
            ("create-usr", &["create_user", "create_users"]),
            ("maul", &["mail"]),
            ("order.placed", &[]),
            ("", &[]),
        ] {
            assert_eq!(near(name, known.into_iter()), expected, "{name}");
        }
        assert!(near(&"mail".repeat(100), known.into_iter()).is_empty());
    }

    #[test]
    #[cfg(feature = "cli")]
    fn a_slip_is_forgiven_and_another_name_is_not() {
        let known = ["charge", "refund", "a"];
        for (name, meant) in [
            ("chrage", Some("charge")),
            ("Charge", Some("charge")),
            ("charges", Some("charge")),
            ("refnd", Some("refund")),
            ("b", Some("a")),
            ("order.placed", None),
            ("", Some("a")),
        ] {
            let told = did_you_mean(name, known);
            let expected = meant.map(|meant| format!(": did you mean `{meant}`?"));
            assert_eq!(told, expected.unwrap_or_default(), "{name}");
        }
    }
}
