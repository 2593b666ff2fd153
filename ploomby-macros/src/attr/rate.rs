/// So many messages within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) messages: u32,
    /// Which makes it, of `ploomby::Rate`.
    pub(crate) function: &'static str,
}

/// A rate as people write it: `"100/s"`, `"30/m"`, `"1000/h"`.
pub(super) fn parse(text: &str) -> Option<Rate> {
    let (number, unit) = text.split_once('/')?;
    if !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let messages: u32 = number.parse().ok()?;
    let function = match unit {
        "s" => "per_second",
        "m" => "per_minute",
        "h" => "per_hour",
        _ => return None,
    };
    (messages > 0).then_some(Rate { messages, function })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_per_unit_is_a_rate() {
        for (text, messages, function) in [
            ("100/s", 100, "per_second"),
            ("1/m", 1, "per_minute"),
            ("4294967295/h", u32::MAX, "per_hour"),
        ] {
            assert_eq!(parse(text), Some(Rate { messages, function }));
        }
        for text in [
            "",
            "100",
            "/s",
            "0/s",
            "1.5/s",
            "-1/s",
            "+1/s",
            "100 / s",
            "100/d",
            "100/sec",
            "100/s/s",
            "4294967296/s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
