//! Lines out of a stream of bytes.
//!
//! Owns the limit on a line's length, and the memory of the one line that is not complete yet.

use memchr::memchr;

/// Cuts a stream of bytes into lines. A line that lies whole in one chunk is not copied.
///
/// Holds at most one unfinished line, up to the limit, and nothing between lines: an idle connection
/// owns no buffer.
#[derive(Debug)]
pub struct LineSplitter {
    /// The beginning of a line whose end has not arrived, or the line just returned.
    carry: Vec<u8>,
    /// Whether `carry` is the line just returned. The next call drops it.
    lent: bool,
    /// Whether the rest of an over-long line is being skipped.
    discarding: bool,
    /// Bytes, without the line's end.
    line_bytes_max: usize,
}

/// A line is longer than the limit. The rest of it is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl LineSplitter {
    /// A splitter for lines of up to `line_bytes_max` bytes.
    #[must_use]
    pub const fn new(line_bytes_max: usize) -> Self {
        Self {
            carry: Vec::new(),
            lent: false,
            discarding: false,
            line_bytes_max,
        }
    }

    /// Changes the limit, from the next byte on.
    pub fn set_line_bytes_max(&mut self, line_bytes_max: usize) {
        self.line_bytes_max = line_bytes_max;
    }

    /// Whether a line has begun and not ended. A line that was reported as too long does not count.
    #[must_use]
    pub const fn is_within_line(&self) -> bool {
        !self.carry.is_empty() && !self.lent
    }

    /// Returns the next line of `chunk`, without its LF or CRLF, and moves `chunk` past it.
    ///
    /// `None` when `chunk` is used up. An unfinished line is kept for the next call.
    ///
    /// # Errors
    ///
    /// [`LineTooLong`] once for each over-long line, as soon as its length exceeds the limit.
    pub fn next_line<'s, 'c: 's>(
        &'s mut self,
        chunk: &mut &'c [u8],
    ) -> Option<Result<&'s [u8], LineTooLong>> {
        if self.lent {
            // A new vector frees the memory of a large line.
            self.carry = Vec::new();
            self.lent = false;
        }
        if self.discarding {
            let end = memchr(b'\n', chunk);
            *chunk = end.map_or(&[], |end| &chunk[end + 1..]);
            self.discarding = end.is_none();
        }
        let Some(end) = memchr(b'\n', chunk) else {
            return self.keep(std::mem::take(chunk)).err().map(Err);
        };
        let (head, rest) = (&chunk[..end], &chunk[end + 1..]);
        *chunk = rest;
        if self.carry.len() + head.len() > self.line_bytes_max + 1 {
            self.carry = Vec::new();
            return Some(Err(LineTooLong));
        }
        let line = if self.carry.is_empty() {
            head
        } else {
            self.carry.extend_from_slice(head);
            self.lent = true;
            &self.carry
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Some(if line.len() > self.line_bytes_max {
            Err(LineTooLong)
        } else {
            Ok(line)
        })
    }

    /// Keeps the beginning of a line. One byte more than the limit may be the CR at its end.
    fn keep(&mut self, part: &[u8]) -> Result<(), LineTooLong> {
        if self.carry.len() + part.len() > self.line_bytes_max + 1 {
            self.carry = Vec::new();
            self.discarding = true;
            return Err(LineTooLong);
        }
        self.carry.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(limit: usize, chunks: &[&[u8]]) -> Vec<Result<Vec<u8>, LineTooLong>> {
        let mut splitter = LineSplitter::new(limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some(line) = splitter.next_line(&mut rest) {
                lines.push(line.map(<[u8]>::to_vec));
            }
            assert!(rest.is_empty());
        }
        lines
    }

    #[test]
    fn takes_lf_and_crlf_and_keeps_blank_lines() {
        let lines = split(8, &[b"one\ntwo\r\n\n\r\nth", b"ree", b"\n"]);
        let expected: [&[u8]; 5] = [b"one", b"two", b"", b"", b"three"];
        assert_eq!(
            lines,
            expected
                .map(|line| Ok(line.to_vec()))
                .into_iter()
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn reports_a_long_line_once_and_goes_on_after_it() {
        let lines = split(
            4,
            &[b"123456", b"7890", b"12\nok\n12345\r\n1234\r\n12345\n"],
        );
        assert_eq!(
            lines,
            [
                Err(LineTooLong),
                Ok(b"ok".to_vec()),
                Err(LineTooLong),
                Ok(b"1234".to_vec()),
                Err(LineTooLong)
            ]
        );
    }

    #[test]
    fn knows_whether_a_line_has_begun() {
        for (chunks, expected) in [
            (&[][..], false),
            (&[&b"one\n"[..]], false),
            (&[b"o", b"ne\n"], false),
            (&[b"one"], true),
            (&[b"one\nt"], true),
            (&[b"one\n\r"], true),
            (&[b"o", b"ne\nt"], true),
            // Reported as too long already.
            (&[b"12345678901"], false),
            (&[b"12345678901", b"2"], false),
        ] {
            let mut splitter = LineSplitter::new(8);
            for mut chunk in chunks.iter().copied() {
                while splitter.next_line(&mut chunk).is_some() {}
            }
            assert_eq!(splitter.is_within_line(), expected, "{chunks:?}");
        }
    }

    #[test]
    fn never_holds_more_than_the_limit() {
        let mut splitter = LineSplitter::new(16);
        for _ in 0..1000 {
            let mut chunk: &[u8] = &[b'x'; 16];
            while splitter.next_line(&mut chunk).is_some() {}
            assert!(splitter.carry.capacity() <= 64);
        }
    }

    proptest! {
        /// However the bytes are cut into chunks, the lines are those of the whole.
        #[test]
        fn chunking_changes_nothing(
            text in proptest::collection::vec(prop_oneof![3 => Just(b'a'), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..10),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(6, &chunks), split(6, &[&text]));
        }

        /// Lines within the limit come out as a plain split gives them.
        #[test]
        fn agrees_with_a_plain_split(text in "[a-z\r\n]{0,200}") {
            let mut expected: Vec<&str> = text.split('\n').collect();
            expected.pop();
            let expected: Vec<_> = expected
                .into_iter()
                .map(|line| Ok(line.strip_suffix('\r').unwrap_or(line).as_bytes().to_vec()))
                .collect();
            prop_assert_eq!(split(1000, &[text.as_bytes()]), expected);
        }
    }
}
