//! Record ids: made with the right prefix and checksum, read in both lengths.

use dealsync_core::ids::SfId;

/// Reads 15 or 18 characters; the checksum of 18 is computed anew, so that the same
/// record always has the same id.
pub fn parse(text: &str) -> Option<SfId> {
    match text.len() {
        18 => {
            text.parse::<SfId>().ok()?;
            text[..15].parse().ok()
        }
        15 => text.parse().ok(),
        _ => None,
    }
}

/// The id number `number` of an object. Later numbers sort after earlier ones.
pub fn make(prefix: &str, number: u64) -> SfId {
    let mut text = *b"000Hs0000000000";
    text[..3].copy_from_slice(&prefix.as_bytes()[..3]);
    write_base62(&mut text[5..], number);
    std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).expect("letters and digits")
}

/// Fills the slice from the right, in the order of ASCII.
pub fn write_base62(out: &mut [u8], mut number: u64) {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for letter in out.iter_mut().rev() {
        *letter = LETTERS[(number % 62) as usize];
        number /= 62;
    }
}
