//! One value of a field, on either side, and the kinds it can have.

use std::fmt;

/// A fixed-point number: `unscaled` divided by ten to the power of `scale`.
/// Money is always this, never a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    pub unscaled: i64,
    pub scale: u8,
}

/// More digits after the point than any Salesforce field has.
pub const DECIMAL_SCALE_MAX: u8 = 18;

impl Decimal {
    pub fn new(unscaled: i64, scale: u8) -> Self {
        Self { unscaled, scale }
    }

    /// Reads `12`, `-3.50` or `1.5E4`. `None` where it is no number or does not
    /// fit 64 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let mut unscaled: i64 = 0;
        let mut scale: i32 = 0;
        let mut seen_digit = false;
        let mut after_point = false;
        for byte in digits.bytes() {
            match byte {
                b'0'..=b'9' => {
                    seen_digit = true;
                    unscaled = unscaled.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
                    scale += i32::from(after_point);
                }
                b'.' if !after_point => after_point = true,
                _ => return None,
            }
        }
        if !seen_digit {
            return None;
        }
        scale = scale.checked_sub(exponent)?;
        while scale < 0 {
            unscaled = unscaled.checked_mul(10)?;
            scale += 1;
        }
        while scale > i32::from(DECIMAL_SCALE_MAX) {
            if unscaled % 10 != 0 {
                return None;
            }
            unscaled /= 10;
            scale -= 1;
        }
        let unscaled = if negative { -unscaled } else { unscaled };
        Some(Self { unscaled, scale: scale as u8 })
    }

    /// The same number with exactly `scale` digits after the point, or `None`
    /// where digits would be lost.
    pub fn rescale(self, scale: u8) -> Option<Self> {
        let mut unscaled = self.unscaled;
        let mut at = self.scale;
        while at < scale {
            unscaled = unscaled.checked_mul(10)?;
            at += 1;
        }
        while at > scale {
            if unscaled % 10 != 0 {
                return None;
            }
            unscaled /= 10;
            at -= 1;
        }
        Some(Self { unscaled, scale })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.unscaled);
        }
        let power = 10u64.pow(u32::from(self.scale));
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let whole = self.unscaled.unsigned_abs() / power;
        let rest = self.unscaled.unsigned_abs() % power;
        write!(f, "{sign}{whole}.{rest:0width$}", width = usize::from(self.scale))
    }
}

/// One value, owned. In bulk, values travel packed in a [`crate::batch::Batch`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Decimal(Decimal),
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    Reference(String),
    Choices(Vec<String>),
    /// A compound field, as JSON text.
    Json(String),
}

/// What a cell of a batch holds. The numbers are those of `wit/rules.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CellKind {
    Absent = 0,
    Null = 1,
    Boolean = 2,
    Integer = 3,
    Number = 4,
    Decimal = 5,
    Text = 6,
    Date = 7,
    Timestamp = 8,
    Reference = 9,
    Choices = 10,
    Json = 11,
}

impl CellKind {
    pub fn from_u8(kind: u8) -> Option<Self> {
        use CellKind::*;
        Some(match kind {
            0 => Absent,
            1 => Null,
            2 => Boolean,
            3 => Integer,
            4 => Number,
            5 => Decimal,
            6 => Text,
            7 => Date,
            8 => Timestamp,
            9 => Reference,
            10 => Choices,
            11 => Json,
            _ => return None,
        })
    }

    /// True where the word is an offset and a length into the batch's text.
    pub fn is_textual(self) -> bool {
        matches!(self, Self::Text | Self::Reference | Self::Choices | Self::Json)
    }
}

/// One value, borrowed from a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Absent,
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Decimal(Decimal),
    Text(&'a str),
    Date(i32),
    Timestamp(i64),
    Reference(&'a str),
    /// Entries joined by `;`, as Salesforce writes a multi-select picklist.
    Choices(&'a str),
    Json(&'a str),
}

impl<'a> Cell<'a> {
    /// True where there is nothing to carry over: absent, null, or blank text.
    pub fn is_blank(&self) -> bool {
        match self {
            Cell::Absent | Cell::Null => true,
            Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    pub fn as_text(&self) -> Option<&'a str> {
        match self {
            Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text) | Cell::Json(text) => Some(text),
            _ => None,
        }
    }

    pub fn to_value(self) -> Option<Value> {
        Some(match self {
            Cell::Absent => return None,
            Cell::Null => Value::Null,
            Cell::Boolean(value) => Value::Boolean(value),
            Cell::Integer(value) => Value::Integer(value),
            Cell::Number(value) => Value::Number(value),
            Cell::Decimal(value) => Value::Decimal(value),
            Cell::Text(text) => Value::Text(text.to_owned()),
            Cell::Date(days) => Value::Date(days),
            Cell::Timestamp(micros) => Value::Timestamp(micros),
            Cell::Reference(text) => Value::Reference(text.to_owned()),
            Cell::Choices(text) => Value::Choices(text.split(';').map(str::to_owned).collect()),
            Cell::Json(text) => Value::Json(text.to_owned()),
        })
    }
}

impl Value {
    /// The value as a person reads it: dates as `2026-11-22`, money as `15000.00`.
    pub fn display(&self) -> String {
        match self {
            Value::Null => String::new(),
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Decimal(value) => value.to_string(),
            Value::Text(text) | Value::Reference(text) | Value::Json(text) => text.clone(),
            Value::Date(days) => date_text(*days),
            Value::Timestamp(micros) => timestamp_text(*micros),
            Value::Choices(entries) => entries.join(";"),
        }
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant's
/// `days_from_civil`). `None` where the date does not exist.
pub fn date_days(year: i32, month: u32, day: u32) -> Option<i32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > month_days || !(-9999..=9999).contains(&year) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month as i32 + 9) % 12) + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn civil(days: i32) -> (i32, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_shifted + 2) / 5 + 1) as u32;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 } as u32;
    let year = year_of_era + era * 400 + i32::from(month <= 2);
    (year, month, day)
}

/// `2026-11-22`
pub fn date_text(days: i32) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-11-22T02:14:00Z`; a fraction only where there is one.
pub fn timestamp_text(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    let fraction = micros.rem_euclid(1_000_000);
    let day_seconds = seconds.rem_euclid(86_400);
    let date = date_text(seconds.div_euclid(86_400) as i32);
    let (hour, minute, second) = (day_seconds / 3600, day_seconds / 60 % 60, day_seconds % 60);
    if fraction == 0 {
        format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
    } else {
        format!("{date}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
    }
}

/// Reads `2026-11-22`.
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    date_days(digits(&bytes[..4])?, digits(&bytes[5..7])? as u32, digits(&bytes[8..])? as u32)
}

/// Reads what Salesforce writes: `2026-05-01T07:25:37.000+0000`, and likewise
/// `Z`, `+01:00`, and stamps without a fraction. Answer in microseconds.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || !matches!(bytes[10], b'T' | b' ') {
        return None;
    }
    let days = i64::from(parse_date(text.get(..10)?)?);
    if bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0i64;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let mut unit = 100_000i64;
        while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
            micros += i64::from(digit - b'0') * unit;
            unit /= 10;
            at += 1;
        }
    }
    let offset_minutes = match &bytes[at..] {
        b"" | b"Z" => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let (hours, minutes) = match rest {
                [a, b, b':', c, d] | [a, b, c, d] => (digits(&[*a, *b])?, digits(&[*c, *d])?),
                _ => return None,
            };
            let minutes = hours * 60 + minutes;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds =
        days * 86_400 + i64::from(hour * 3600 + minute * 60 + second) - i64::from(offset_minutes) * 60;
    Some(seconds * 1_000_000 + micros)
}

fn digits(bytes: &[u8]) -> Option<i32> {
    bytes.iter().try_fold(0i32, |sum, byte| match byte {
        b'0'..=b'9' => Some(sum * 10 + i32::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_read_what_salesforce_writes() {
        for (text, want) in
            [("15000", "15000"), ("23.0", "23.0"), ("-0.5", "-0.5"), ("1.5E4", "15000"), ("2e-3", "0.002")]
        {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), want);
        }
        for text in ["", ".", "1.2.3", "12a", "99999999999999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::parse("23.0").unwrap().rescale(2), Some(Decimal::new(2300, 2)));
        assert_eq!(Decimal::parse("23.005").unwrap().rescale(2), None);
    }

    #[test]
    fn stamps_read_what_salesforce_writes() {
        let want = parse_timestamp("2026-05-01T07:25:37Z").unwrap();
        for text in ["2026-05-01T07:25:37.000+0000", "2026-05-01T09:25:37+02:00"] {
            assert_eq!(parse_timestamp(text), Some(want), "{text}");
        }
        assert_eq!(timestamp_text(want), "2026-05-01T07:25:37Z");
        for text in ["2026-02-30T00:00:00Z", "2026-05-01", "2026-05-01T25:00:00Z"] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_survives_the_round_trip() {
        for days in (-800_000..800_000).step_by(97) {
            assert_eq!(parse_date(&date_text(days)).unwrap_or(days), days);
        }
        assert_eq!(parse_date("2024-02-29"), Some(19_782));
        assert_eq!(parse_date("2023-02-29"), None);
    }
}
