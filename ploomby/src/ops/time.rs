//! Times as people write them: in UTC, after RFC 3339.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;

/// `2026-11-29T22:43:29Z`
pub(crate) fn written(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A time as people write it: in UTC after RFC 3339, as `2026-11-29T22:43:29Z` and `2026-11-29`, or how long ago it was,
/// as `90s`, `15m`, `2h` and `3d`.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// let since = ploomby::ops::time_of("2h").expect("a time");
/// assert!(since < SystemTime::now() - Duration::from_secs(7_000));
/// assert!(ploomby::ops::time_of("soon").is_none());
/// ```
pub fn time_of(text: &str) -> Option<SystemTime> {
    let ago = text.strip_suffix(['s', 'm', 'h', 'd']);
    let Some(number) = ago.and_then(|number| number.parse::<u64>().ok()) else {
        return read(text);
    };
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 60 * 60,
        _ => DAY,
    };
    let ago = Duration::from_secs(number.checked_mul(unit)?);
    SystemTime::now().checked_sub(ago)
}

/// Reads what [`written`] writes; the time of day may be missing.
fn read(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "0:0:0"));
    let numbers = |text: &str, by: char| {
        let numbers = text.split(by).map(|number| number.parse::<u64>().ok());
        numbers.collect::<Option<Vec<_>>>()
    };
    let [year @ 1970..=9999, month @ 1..=12, day @ 1..=31] = numbers(day, '-')?[..] else {
        return None;
    };
    let [hour @ 0..=23, minute @ 0..=59, ref second @ ..] = numbers(time, ':')?[..] else {
        return None;
    };
    let second = match second {
        [] => 0,
        [second @ 0..=60] => *second,
        _ => return None,
    };
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Days since 1970 as a date. Source: [civil_from_days](https://howardhinnant.github.io/date_algorithms.html).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

/// The other way round.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_796_000_009, "2026-11-30T00:53:29Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(written(time), text);
            assert_eq!(read(text), Some(time), "{text}");
        }
        assert_eq!(read("2000-02-29"), read("2000-02-29T00:00:00Z"));
        assert_eq!(read("2000-02-29 00:00"), read("2000-02-29"));
        for wrong in [
            "",
            "yesterday",
            "2000-13-01",
            "2000-02-29T24:00",
            "2000-02-29T1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
