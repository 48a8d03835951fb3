//! A scanner of JSON text for the pages of rows, which are most of what is read.
//!
//! Numbers come as the text they are written in, so that money never passes
//! through a float, and strings without escapes are borrowed. What it skips it
//! checks only for balance. Small answers are read by serde in `wire.rs`.

/// Where the text stops being JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub(super) struct NotJson {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

type Scanned<T> = Result<T, NotJson>;

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Quoted<'a> {
    /// The text meant, written into `scratch` only where there are escapes. Half a
    /// surrogate pair becomes the replacement character.
    pub(super) fn text<'s>(self, scratch: &'s mut String) -> &'s str
    where
        'a: 's,
    {
        if !self.escaped {
            return self.raw;
        }
        scratch.clear();
        unescape(self.raw, scratch);
        scratch
    }
}

/// One value. Of an array or object only its beginning has been read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token<'a> {
    Null,
    Boolean(bool),
    Number(&'a str),
    Text(Quoted<'a>),
    Array,
    Object,
}

#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn fail<T>(&self, what: &'static str) -> Scanned<T> {
        Err(NotJson { what, at: self.at })
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Scanned<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        self.fail("the text ends early")
    }

    /// Reads a value, or the opening bracket of one.
    pub(super) fn token(&mut self) -> Scanned<Token<'a>> {
        match self.peek()? {
            b'"' => Ok(Token::Text(self.quoted()?)),
            b'{' => {
                self.at += 1;
                Ok(Token::Object)
            }
            b'[' => {
                self.at += 1;
                Ok(Token::Array)
            }
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                let bytes = self.text.as_bytes();
                while bytes
                    .get(self.at)
                    .is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                {
                    self.at += 1;
                }
                Ok(Token::Number(&self.text[start..self.at]))
            }
            b'n' => self.word("null", Token::Null),
            b't' => self.word("true", Token::Boolean(true)),
            b'f' => self.word("false", Token::Boolean(false)),
            _ => self.fail("no value"),
        }
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Scanned<Token<'a>> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(token)
        } else {
            self.fail("no value")
        }
    }

    fn quoted(&mut self) -> Scanned<Quoted<'a>> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = next_quote_or_backslash(bytes, at);
            match bytes.get(at) {
                Some(b'"') => break,
                Some(_) => {
                    escaped = true;
                    at += 2;
                }
                None => return self.fail("a string is cut off"),
            }
        }
        self.at = at + 1;
        Ok(Quoted { raw: &self.text[start..at], escaped })
    }

    /// The next key of an object whose brace has been read, or `None` at its end.
    /// `first` is true before the first key.
    pub(super) fn key(&mut self, first: &mut bool) -> Scanned<Option<Quoted<'a>>> {
        if !self.more(b'}', first)? {
            return Ok(None);
        }
        if self.peek()? != b'"' {
            return self.fail("no key");
        }
        let key = self.quoted()?;
        if self.peek()? != b':' {
            return self.fail("no colon");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether an array whose bracket has been read has another element.
    pub(super) fn element(&mut self, first: &mut bool) -> Scanned<bool> {
        self.more(b']', first)
    }

    fn more(&mut self, close: u8, first: &mut bool) -> Scanned<bool> {
        let next = self.peek()?;
        if next == close {
            self.at += 1;
            return Ok(false);
        }
        if *first {
            *first = false;
        } else if next == b',' {
            self.at += 1;
        } else {
            return self.fail("no comma");
        }
        Ok(true)
    }

    /// Passes over a whole value.
    pub(super) fn skip(&mut self) -> Scanned<()> {
        let token = self.token()?;
        self.skip_rest(token)
    }

    /// Passes over what is left of a value whose token has been read.
    pub(super) fn skip_rest(&mut self, token: Token<'_>) -> Scanned<()> {
        if !matches!(token, Token::Array | Token::Object) {
            return Ok(());
        }
        // Counted, not recursive: nesting is the far side's choice.
        let mut depth = 1usize;
        let bytes = self.text.as_bytes();
        while depth > 0 {
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.quoted()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return self.fail("the text ends early"),
            }
            self.at += 1;
        }
        Ok(())
    }

    /// The text of the rest of a value whose token has just been read, with it.
    pub(super) fn raw_rest(&mut self, token: Token<'_>) -> Scanned<&'a str> {
        let start = self.at - 1;
        self.skip_rest(token)?;
        Ok(&self.text[start..self.at])
    }

    /// Refuses anything but white space up to the end.
    pub(super) fn end(&mut self) -> Scanned<()> {
        match self.peek() {
            Err(_) => Ok(()),
            Ok(_) => self.fail("text after the end"),
        }
    }
}

/// Eight bytes at a step: strings are most of a page.
fn next_quote_or_backslash(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let found =
            zero_bytes(word ^ (ONES * u64::from(b'"'))) | zero_bytes(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(slash) = rest.find('\\') {
        out.push_str(&rest[..slash]);
        let escape = rest.as_bytes().get(slash + 1).copied().unwrap_or(b'\\');
        let mut taken = slash + 2;
        match escape {
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'u' => {
                let (letter, length) = unicode_escape(&rest[slash..]);
                out.push(letter);
                taken = slash + length;
            }
            b'"' | b'\\' | b'/' => out.push(char::from(escape)),
            // No escape at all: keep what stands there.
            _ => {
                out.push('\\');
                taken = slash + 1;
            }
        }
        rest = rest.get(taken..).unwrap_or("");
    }
    out.push_str(rest);
}

/// The letter that `\uXXXX` at the start of `text` means, pairs included, and how
/// many bytes say so.
fn unicode_escape(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let hex = text.get(at..at + 6)?.strip_prefix("\\u")?;
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u32::from_str_radix(hex, 16).ok()
    };
    let Some(high) = unit(0) else { return (char::REPLACEMENT_CHARACTER, 2) };
    if let Some(letter) = char::from_u32(high) {
        return (letter, 6);
    }
    if (0xd800..0xdc00).contains(&high)
        && let Some(low) = unit(6)
        && (0xdc00..0xe000).contains(&low)
        && let Some(letter) = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    {
        return (letter, 12);
    }
    (char::REPLACEMENT_CHARACTER, 6)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};
    use serde_json::Value as Json;

    use super::*;

    /// Reads any value with the scanner alone.
    fn read(scanner: &mut Scanner<'_>) -> Scanned<Json> {
        let mut scratch = String::new();
        Ok(match scanner.token()? {
            Token::Null => Json::Null,
            Token::Boolean(value) => Json::from(value),
            Token::Number(text) => serde_json::from_str(text).unwrap_or_default(),
            Token::Text(text) => Json::from(text.text(&mut scratch)),
            Token::Array => {
                let (mut first, mut list) = (true, Vec::new());
                while scanner.element(&mut first)? {
                    list.push(read(scanner)?);
                }
                Json::from(list)
            }
            Token::Object => {
                let (mut first, mut map) = (true, serde_json::Map::new());
                while let Some(key) = scanner.key(&mut first)? {
                    let key = key.text(&mut scratch).to_owned();
                    map.insert(key, read(scanner)?);
                }
                Json::Object(map)
            }
        })
    }

    fn made_up(rng: &mut StdRng, depth: u32) -> Json {
        match rng.random_range(0..if depth == 0 { 5 } else { 7 }) {
            0 => Json::Null,
            1 => Json::from(rng.random_bool(0.5)),
            2 => Json::from(rng.random_range(-1_000_000i64..1_000_000)),
            3 => Json::from(f64::from(rng.random_range(-1_000_000i32..1_000_000)) / 64.0),
            4 => {
                let letters = ['a', '"', '\\', '\n', 'é', '𝄞', '\u{1}', '/', ' ', '}'];
                Json::from(
                    (0..rng.random_range(0..30))
                        .map(|_| letters[rng.random_range(0..10)])
                        .collect::<String>(),
                )
            }
            5 => (0..rng.random_range(0..4)).map(|_| made_up(rng, depth - 1)).collect(),
            _ => Json::Object(
                (0..rng.random_range(0..4)).map(|n| (format!("k\"{n}"), made_up(rng, depth - 1))).collect(),
            ),
        }
    }

    #[test]
    fn it_reads_what_serde_json_writes_and_no_cut_of_it() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..300 {
            let value = Json::from(vec![made_up(&mut rng, 4)]);
            for text in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
                let mut scanner = Scanner::new(&text);
                assert_eq!(read(&mut scanner).expect("JSON"), value, "{text}");
                scanner.end().expect("the end");
                let mut scanner = Scanner::new(&text);
                scanner.skip().expect("JSON");
                scanner.end().expect("the end");
                let mut cut = rng.random_range(0..text.len());
                while !text.is_char_boundary(cut) {
                    cut -= 1;
                }
                assert!(read(&mut Scanner::new(&text[..cut])).is_err(), "{}", &text[..cut]);
                assert!(Scanner::new(&text[..cut]).skip().is_err());
            }
        }
    }

    #[test]
    fn odd_escapes_do_not_stop_it() {
        for (text, want) in [
            (r#""\ud834\udd1e""#, "𝄞"),
            (r#""\u00e9""#, "é"),
            (r#""\ud834x""#, "\u{fffd}x"),
            (r#""\u12""#, "\u{fffd}12"),
            (r#""\é""#, "\\é"),
        ] {
            let Ok(Token::Text(text)) = Scanner::new(text).token() else { panic!("{text}") };
            assert_eq!(text.text(&mut String::new()), want);
        }
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let text = "[".repeat(200_000) + &"]".repeat(200_000);
        Scanner::new(&text).skip().expect("balanced");
    }
}
