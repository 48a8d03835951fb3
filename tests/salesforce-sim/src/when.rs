//! Dates and times as Salesforce writes them: whole seconds of UTC, and days.

/// Days since 1970-01-01 of a proleptic Gregorian date.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// `2026-03-08`
pub fn date_text(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-05-01T07:25:37.000+0000`, the offset without a colon.
pub fn stamp_text(seconds: i64) -> String {
    let mut out = Vec::with_capacity(28);
    write_stamp(&mut out, seconds);
    String::from_utf8(out).expect("digits and punctuation")
}

/// Appends a stamp without going through the formatter: pages hold thousands.
pub fn write_stamp(out: &mut Vec<u8>, seconds: i64) {
    write_date(out, seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    out.push(b'T');
    two(out, of_day / 3600);
    out.push(b':');
    two(out, of_day / 60 % 60);
    out.push(b':');
    two(out, of_day % 60);
    out.extend_from_slice(b".000+0000");
}

pub fn write_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    two(out, year / 100);
    two(out, year % 100);
    out.push(b'-');
    two(out, month);
    out.push(b'-');
    two(out, day);
}

fn two(out: &mut Vec<u8>, number: i64) {
    let number = number.rem_euclid(100) as u8;
    out.push(b'0' + number / 10);
    out.push(b'0' + number % 10);
}

/// `Wed, 21 Oct 2026 07:28:00 GMT`, for `last-modified`.
pub fn http_date(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let (year, month, day) = civil_from_days(days);
    let of_day = seconds.rem_euclid(86_400);
    let name = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][days.rem_euclid(7) as usize];
    let month = MONTHS[(month - 1) as usize];
    format!(
        "{name}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The other way round; anything unreadable is `None`.
pub fn parse_http_date(text: &str) -> Option<i64> {
    let mut words = text.split([' ', ':']).skip(1);
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut next = || words.next()?.parse::<i64>().ok();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    Some(days_from_civil(year, month, day) * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

/// Days of `YYYY-MM-DD`; refuses days that do not exist.
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    (civil_from_days(days) == (year, month, day)).then_some(days as i32)
}

/// Seconds of `YYYY-MM-DDThh:mm:ss[.fff](Z|+hh:mm|+hhmm)`; parts of seconds are cut off.
pub fn parse_stamp(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = i64::from(parse_date(date)?);
    let bytes = rest.as_bytes();
    if bytes.len() < 9 || (bytes[0] != b'T' && bytes[0] != b't') || bytes[3] != b':' || bytes[6] != b':' {
        return None;
    }
    let (hours, minutes, seconds) = (digits(&bytes[1..3])?, digits(&bytes[4..6])?, digits(&bytes[7..9])?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let zone = rest[9..].trim_start_matches(|part: char| part == '.' || part.is_ascii_digit());
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, rest @ ..] => {
            let minutes = match rest {
                [b':', m1, m2] | [m1, m2] => digits(&[*m1, *m2])?,
                [] => 0,
                _ => return None,
            };
            let ahead = digits(&[*h1, *h2])? * 3600 + minutes * 60;
            if *sign == b'-' { -ahead } else { ahead }
        }
        _ => return None,
    };
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds - offset)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_survive_a_round_trip_in_every_spelling() {
        let at = parse_stamp("2026-05-01T07:25:37.000+0000").unwrap();
        assert_eq!(stamp_text(at), "2026-05-01T07:25:37.000+0000");
        assert_eq!(parse_stamp("2026-05-01T07:25:37Z"), Some(at));
        assert_eq!(parse_stamp("2026-05-01T09:25:37+02:00"), Some(at));
        assert_eq!(parse_http_date(&http_date(at)), Some(at));
        assert_eq!(http_date(at), "Fri, 01 May 2026 07:25:37 GMT");
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        assert_eq!(parse_date("2026-02-29"), None);
        assert_eq!(parse_date("2024-02-29").map(date_text).as_deref(), Some("2024-02-29"));
        assert_eq!(parse_stamp("2026-02-28T24:00:00Z"), None);
        assert_eq!(parse_stamp("2026-02-28T10:00:00"), None);
    }
}
