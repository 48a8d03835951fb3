//! Dates and stamps as text and back. Days and microseconds are counted from
//! 1970-01-01 (UTC); there is no clock here.

use crate::Context;

impl Context {
    /// The day of the run, in days since 1970-01-01 (UTC).
    pub fn today(&self) -> i32 {
        self.as_of.div_euclid(86_400_000_000) as i32
    }
}

/// Reads `2026-11-22`; `None` where there is no such day.
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    days_from_civil(digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?)
}

/// Reads `2026-05-01T07:25:37.000+0000`, and likewise `Z`, `+01:00` and stamps
/// without a fraction or a zone (taken as UTC). Answer in microseconds.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || !matches!(bytes[10], b'T' | b' ') || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    let days = i64::from(parse_date(text.get(..10)?)?);
    let (hour, minute, second) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, zone) = fraction(&bytes[19..]);
    let seconds = days * 86_400 + i64::from(hour * 3_600 + minute * 60 + second);
    Some((seconds - i64::from(zone_minutes(zone)?) * 60) * 1_000_000 + micros)
}

/// `2026-11-22`
pub fn date_text(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-11-22T02:14:00Z`; a fraction only where there is one.
pub fn timestamp_text(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    let fraction = micros.rem_euclid(1_000_000);
    let of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let stamp = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction == 0 { format!("{stamp}Z") } else { format!("{stamp}.{fraction:06}Z") }
}

/// Splits `.123+0000` into microseconds and the zone.
fn fraction(bytes: &[u8]) -> (i64, &[u8]) {
    let Some(digits) = bytes.strip_prefix(b".") else { return (0, bytes) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let micros = (0..6).fold(0, |sum, at| {
        let digit = if at < count { digits[at] - b'0' } else { 0 };
        sum * 10 + i64::from(digit)
    });
    (micros, &digits[count..])
}

fn zone_minutes(zone: &[u8]) -> Option<i32> {
    match zone {
        b"" | b"Z" => Some(0),
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let (hours, minutes) = match rest {
                [a, b, b':', c, d] | [a, b, c, d] => (digits(&[*a, *b])?, digits(&[*c, *d])?),
                _ => return None,
            };
            let minutes = hours * 60 + minutes;
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => None,
    }
}

fn digits(bytes: &[u8]) -> Option<i32> {
    bytes.iter().try_fold(0i32, |sum, byte| match byte {
        b'0'..=b'9' => Some(sum * 10 + i32::from(byte - b'0')),
        _ => None,
    })
}

/// Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i32, month: i32, day: i32) -> Option<i32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day < 1 || day > month_days {
        return None;
    }
    let year = year - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_survives_the_round_trip() {
        for days in (-700_000..2_900_000).step_by(97) {
            assert_eq!(parse_date(&date_text(days)), Some(days));
        }
        assert_eq!(parse_date("2024-02-29"), Some(19_782));
        assert_eq!(parse_date("2023-02-29"), None);
        assert_eq!(parse_date("22.11.2026"), None);
    }

    #[test]
    fn stamps_read_with_and_without_fraction_and_zone() {
        let want = parse_timestamp("2026-05-01T07:25:37Z");
        assert!(want.is_some());
        for text in ["2026-05-01T07:25:37.000+0000", "2026-05-01T09:25:37+02:00", "2026-05-01T07:25:37"] {
            assert_eq!(parse_timestamp(text), want, "{text}");
        }
        assert_eq!(timestamp_text(want.unwrap_or_default()), "2026-05-01T07:25:37Z");
        assert_eq!(timestamp_text(-1), "1969-12-31T23:59:59.999999Z");
        for text in ["2026-02-30T00:00:00Z", "2026-05-01", "2026-05-01T25:00:00Z", "2026-05-01T07:25:37+1"] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
