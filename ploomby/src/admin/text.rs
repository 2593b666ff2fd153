//! How the page writes what somebody else chose, and numbers.

use std::time::Duration;

use maud::Render;

use crate::ops::faces::clean;

/// Text from a message, a queue's name, a visitor: characters that would steer a terminal or turn the line around are written
/// out, and HTML is escaped as everywhere.
pub(super) struct Told<T>(pub(super) T);

impl<T: AsRef<str>> Render for Told<T> {
    fn render_to(&self, buffer: &mut String) {
        clean(self.0.as_ref()).render_to(buffer);
    }
}

/// The same of several lines, which stay lines.
pub(super) struct Lines<T>(pub(super) T);

impl<T: AsRef<str>> Render for Lines<T> {
    fn render_to(&self, buffer: &mut String) {
        for line in self.0.as_ref().split_inclusive('\n') {
            let (text, end) = match line.strip_suffix('\n') {
                Some(text) => (text.strip_suffix('\r').unwrap_or(text), "\n"),
                None => (line, ""),
            };
            Told(text).render_to(buffer);
            buffer.push_str(end);
        }
    }
}

/// The beginning of a text.
pub(super) fn beginning(text: &str, most: usize) -> String {
    let mut characters = text.chars();
    let mut beginning: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        beginning.push('…');
    }
    beginning
}

/// `1,234,567`
pub(super) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut written = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// `10 bytes`, `1.5 MiB`
pub(super) fn size(bytes: usize) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        _ => format!("{size:.1} {}", units[unit]),
    }
}

/// `5 ms`, `2.5 s`, `60 min`
pub(super) fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{} ms", time.as_millis()),
        seconds if seconds < 120.0 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds / 60.0).round()),
    }
}

/// So many a second.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        rate if rate <= 0.0 => "0/s".to_owned(),
        rate if rate < 0.1 => "< 0.1/s".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}/s"),
        rate => format!("{}/s", count(rate.round() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_chose_is_text_and_nothing_else() {
        let hostile = "<script>\"'&\x1b[2J\u{202e}\r\n";
        let told = maud::html! { p title=(Told(hostile)) { (Told(hostile)) } }.into_string();
        let escaped = r"&lt;script&gt;&quot;'&amp;\u{1b}[2J\u{202e}\r\n";
        assert_eq!(told, format!("<p title=\"{escaped}\">{escaped}</p>"));
        let lines = maud::html! { (Lines("a\r\n<b>\n\x07")) }.into_string();
        assert_eq!(lines, "a\n&lt;b&gt;\n\\u{7}");
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        let counts = [0_u64, 999, 1_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        let sizes = [0, 1_023, 1_536, 10 * 1024 * 1024].map(size);
        assert_eq!(sizes, ["0 bytes", "1023 bytes", "1.5 KiB", "10.0 MiB"]);
        let rates = [0.0, 0.01, 1.25, 9.99, 1234.5].map(rate);
        assert_eq!(rates, ["0/s", "< 0.1/s", "1.2/s", "10.0/s", "1,235/s"]);
        let times = [5, 500, 2_500, 60_000, 3_600_000].map(Duration::from_millis);
        assert_eq!(
            times.map(time),
            ["5 ms", "500 ms", "2.5 s", "60 s", "60 min"]
        );
        assert_eq!(beginning("Größe", 3), "Grö…");
        assert_eq!(beginning("Größe", 5), "Größe");
    }
}
