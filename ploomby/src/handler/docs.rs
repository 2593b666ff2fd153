//! Doc comments as text.

/// The text of a doc comment, without what its lines are written behind; None where it says nothing.
pub(super) fn doc_text(docs: &[&str]) -> Option<String> {
    let text = docs.iter().map(|doc| block(doc)).collect::<Vec<_>>();
    let text = text.join("\n");
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let written = lines.iter().filter(|line| !line.is_empty());
    let common = written.map(|line| indent(line)).min()?;
    // a line without words may be shorter
    let lines = lines.iter().map(|line| line.get(common..).unwrap_or(""));
    let text = lines.collect::<Vec<_>>().join("\n");
    Some(text.trim_matches('\n').to_owned())
}

/// Without the asterisks before the lines of a `/** … */`.
fn block(doc: &str) -> String {
    let is_starred = |line: &str| line.trim_start().starts_with('*');
    let mut lines = doc.lines();
    // a list begins so, too
    let is_list = lines.next().is_some_and(is_starred);
    let mut others = lines.filter(|line| !line.trim().is_empty()).peekable();
    match !is_list && others.peek().is_some() && others.all(is_starred) {
        true => {
            let lines = doc.lines().map(|line| {
                let line = line.trim_start();
                line.strip_prefix('*').unwrap_or(line)
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        false => doc.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::doc_text;

    #[test]
    fn a_doc_comment_is_read_as_it_is_meant() {
        let text = |docs: &[&str]| doc_text(docs).unwrap_or_default();
        assert_eq!(text(&[" Takes money."]), "Takes money.");
        assert_eq!(
            text(&[" Takes money:", "", "   - twice", " - never  "]),
            "Takes money:\n\n  - twice\n- never"
        );
        assert_eq!(
            text(&["\n * Takes money.\n *\n * - never\n "]),
            "Takes money.\n\n- never"
        );
        assert_eq!(
            text(&["\n    Takes money.\n    Never.\n"]),
            "Takes money.\nNever."
        );
        assert_eq!(text(&[" Größe", "\u{3000}Über"]), " Größe\n\u{3000}Über");
        assert_eq!(text(&["* one\n* two"]), "* one\n* two");
        assert_eq!((doc_text(&[]), doc_text(&["", " "])), (None, None));
    }
}
