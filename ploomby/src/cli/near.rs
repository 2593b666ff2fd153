//! What somebody may have meant who misspelt a name.

/// `: did you mean …?` with the known name that is nearest, if one is near.
pub(super) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let distances = known
        .into_iter()
        .map(|known| (distance(name, known), known));
    let nearest = distances.min();
    // one slip in three letters
    match nearest.filter(|(distance, known)| distance * 3 <= known.chars().count().max(3)) {
        Some((_, known)) => format!(": did you mean `{known}`?"),
        None => String::new(),
    }
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
