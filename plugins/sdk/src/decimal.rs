//! Fixed-point numbers: money is always this, never a float.

use std::fmt;

use crate::Decimal;

/// More digits after the point than any field has.
const SCALE_MAX: i32 = 18;

impl Decimal {
    /// `unscaled` divided by ten to the power of `scale`.
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
        let (unscaled, scale) = settle_scale(unscaled, scale.checked_sub(exponent)?)?;
        Some(Self { unscaled: if negative { -unscaled } else { unscaled }, scale })
    }

    /// The same number with exactly `scale` digits after the point, or `None`
    /// where digits would be lost.
    pub fn rescale(self, scale: u8) -> Option<Self> {
        let Self { mut unscaled, scale: mut at } = self;
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

/// Brings a scale that an exponent moved back into 0..=18.
fn settle_scale(mut unscaled: i64, mut scale: i32) -> Option<(i64, u8)> {
    if unscaled == 0 {
        return Some((0, scale.clamp(0, SCALE_MAX) as u8));
    }
    while scale < 0 {
        unscaled = unscaled.checked_mul(10)?;
        scale += 1;
    }
    while scale > SCALE_MAX {
        if unscaled % 10 != 0 {
            return None;
        }
        unscaled /= 10;
        scale -= 1;
    }
    Some((unscaled, scale as u8))
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.unscaled);
        }
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", self.unscaled.unsigned_abs(), width = usize::from(self.scale) + 1);
        let (whole, rest) = digits.split_at(digits.len() - usize::from(self.scale));
        write!(f, "{sign}{whole}.{rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_read_and_print_alike() {
        for (text, want) in
            [("15000", "15000"), ("23.0", "23.0"), ("-0.5", "-0.5"), ("1.5E4", "15000"), ("2e-3", "0.002")]
        {
            assert_eq!(Decimal::parse(text).map(|read| read.to_string()).as_deref(), Some(want));
        }
        for text in ["", ".", "-", "1.2.3", "12a", "99999999999999999999", "1e999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::parse("0e-2147483647").map(|read| read.unscaled), Some(0));
    }

    #[test]
    fn rescaling_never_loses_a_digit() {
        assert_eq!(Decimal::new(230, 1).rescale(2), Some(Decimal::new(2300, 2)));
        assert_eq!(Decimal::new(23_005, 3).rescale(2), None);
        assert_eq!(Decimal::new(i64::MAX, 0).rescale(1), None);
    }
}
