//! Lines of a byte stream in chunks, with a running fingerprint of those given out; or rows of a table, see [`table`].

mod table;

use std::io::Read;

use sha2::{Digest, Sha256};

use crate::clock;
use crate::csv::Layout;
use crate::source::{Body, CHUNK_BYTES, Chunk, HEAD_BYTES, RECORD_BYTES_MAX, Record};
use table::Table;

/// A reader of lines. The newline, a carriage return before it and a byte order mark at the very start are no part of
/// them.
pub struct Lines {
    input: Box<dyn Read + Send>,
    /// Bytes read but not yet given out: the beginning of a line.
    rest: Vec<u8>,
    number: i64,
    prefix: crc32fast::Hasher,
    prefix_bytes: u64,
    ended: bool,
    /// Give out lines as they come instead of waiting for a full chunk: somebody may be typing.
    live: bool,
    table: Option<Table>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Lines {
    /// Lines, or with a layout the rows of a table.
    pub fn new(input: Box<dyn Read + Send>, live: bool, layout: Option<&Layout>) -> Self {
        Self {
            input,
            rest: Vec::new(),
            number: 0,
            prefix: crc32fast::Hasher::new(),
            prefix_bytes: 0,
            ended: false,
            live,
            table: layout.map(|layout| Table::new(layout.clone())),
        }
    }

    /// Number of the next line, from 0.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Fingerprint of all lines before it: their CRC-32 and length, which tells a grown file from another one. It does
    /// not depend on how the last line ends.
    pub fn prefix(&self) -> i64 {
        ((self.prefix_bytes & 0x7fff_ffff) << 32 | u64::from(self.prefix.clone().finalize())).cast_signed()
    }

    /// Passes over the first `count` lines; `false` if there are fewer.
    pub fn skip(&mut self, count: i64) -> std::io::Result<bool> {
        while self.number < count {
            let mut block = Chunk::default();
            if !self.read(&mut block, 0, count - self.number)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fills an empty chunk with about [`CHUNK_BYTES`] of lines; `false` at the end.
    pub fn fill(&mut self, chunk: &mut Chunk, source: usize) -> std::io::Result<bool> {
        self.read(chunk, source, i64::MAX)
    }

    fn read(&mut self, chunk: &mut Chunk, source: usize, lines_max: i64) -> std::io::Result<bool> {
        let mut data = Vec::with_capacity(self.rest.len() + CHUNK_BYTES + 32); // 32: reading to an end looks once more
        data.append(&mut self.rest);
        let mut complete = self.complete(&data, 0);
        while !self.ended && (complete == 0 || data.len() < CHUNK_BYTES) && data.len() <= RECORD_BYTES_MAX + CHUNK_BYTES
        {
            let before = data.len();
            self.ended = self.read_block(&mut data)? == 0;
            complete = complete.max(self.complete(&data, before));
            if self.live && complete > 0 {
                break;
            }
        }
        if complete == 0 && !self.ended {
            return self.oversized(chunk, source, data).map(|()| true);
        }
        let mut end = if self.ended { data.len() } else { complete };
        let (mut start, mut given) = (0, 0);
        let received_at = clock::now_micros();
        while start < end && given < lines_max {
            if let Some(row) = self.row_end(&data[..end], start, lines_max - given) {
                given += self.row(chunk, source, &data, start..row, received_at)?;
                start = row;
                continue;
            }
            let stop = memchr::memchr(b'\n', &data[start..end]).map_or(end, |at| start + at);
            self.line(chunk, source, &data, start..stop, received_at);
            start = stop + 1;
            given += 1;
        }
        chunk.header = self.table.as_ref().and_then(Table::header);
        end = start.min(data.len());
        self.rest = data[end..].to_vec();
        chunk.data = data;
        Ok(given > 0)
    }

    fn read_block(&mut self, data: &mut Vec<u8>) -> std::io::Result<usize> {
        if !self.live {
            return self.input.by_ref().take((CHUNK_BYTES - data.len() % CHUNK_BYTES) as u64).read_to_end(data);
        }
        let mut block = [0; 64 << 10];
        let count = self.input.read(&mut block)?;
        data.extend_from_slice(&block[..count]);
        Ok(count)
    }

    fn line(
        &mut self,
        chunk: &mut Chunk,
        source: usize,
        data: &[u8],
        mut line: std::ops::Range<usize>,
        received_at: i64,
    ) {
        if data[line.clone()].ends_with(b"\r") {
            line.end -= 1;
        }
        self.separate();
        self.remember(&data[line.clone()]);
        if self.number == 0 && data[line.clone()].starts_with(BYTE_ORDER_MARK) {
            line.start += BYTE_ORDER_MARK.len();
        }
        let blank = data[line.clone()].iter().all(u8::is_ascii_whitespace);
        let body = if blank {
            Body::Skip
        } else if line.len() > RECORD_BYTES_MAX {
            let hash = Box::new(Sha256::digest(&data[line.clone()]).into());
            Body::Oversized { head: line.start..line.start + HEAD_BYTES, hash, length: line.len() as u64 }
        } else {
            Body::Bytes(line)
        };
        chunk.records.push(Record { source, offset: self.number, received_at, body });
        self.number += 1;
    }

    /// Where in the text the last line ends that is there whole, or the last row; 0: none is. Nothing new stands before
    /// `from`.
    fn complete(&self, data: &[u8], from: usize) -> usize {
        match &self.table {
            Some(table) => table.complete(data, self.number == 0),
            None => memchr::memrchr(b'\n', &data[from..]).map_or(0, |at| from + at + 1),
        }
    }

    /// A line longer than is ever held in memory: its head stays, the rest goes through the hashes only.
    fn oversized(&mut self, chunk: &mut Chunk, source: usize, mut block: Vec<u8>) -> std::io::Result<()> {
        if self.table.as_ref().is_some_and(|table| table.header().is_none()) {
            return Err(table::unusable("the header: no line ends in all that may be one"));
        }
        let head = block[..HEAD_BYTES].to_vec();
        let (mut sha, mut length) = (Sha256::new(), 0u64);
        self.separate();
        loop {
            let stop = memchr::memchr(b'\n', &block);
            let part = &block[..stop.unwrap_or(block.len())];
            sha.update(part);
            self.remember(part);
            length += part.len() as u64;
            if let Some(stop) = stop {
                self.rest = block[stop + 1..].to_vec();
                break;
            }
            block.clear();
            if self.input.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut block)? == 0 {
                self.ended = true;
                break;
            }
        }
        let body = Body::Oversized { head: 0..head.len(), hash: Box::new(sha.finalize().into()), length };
        chunk.data = head;
        chunk.records.push(Record { source, offset: self.number, received_at: clock::now_micros(), body });
        self.number += 1;
        Ok(())
    }

    fn separate(&mut self) {
        if self.number > 0 {
            self.remember(b"\n");
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.prefix.update(bytes);
        self.prefix_bytes += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(Box::new(std::io::Cursor::new(text.to_vec())), false, None);
        let mut all = Vec::new();
        loop {
            let mut chunk = Chunk::default();
            if !lines.fill(&mut chunk, 0).unwrap() {
                return all;
            }
            for record in &chunk.records {
                assert_eq!(record.offset, all.len() as i64);
                all.push(match &record.body {
                    Body::Bytes(range) => Some(chunk.data[range.clone()].to_vec()),
                    Body::Oversized { head, length, .. } => Some(format!("{}:{length}", head.len()).into_bytes()),
                    Body::Skip => None,
                });
            }
        }
    }

    #[test]
    fn endings_blanks_and_marks() {
        assert_eq!(
            lines(b"\xef\xbb\xbfa\r\n\n \r\nb\nc"),
            [Some(b"a".to_vec()), None, None, Some(b"b".to_vec()), Some(b"c".to_vec())]
        );
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_the_next_one_whole() {
        let mut text = b"first\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 50 << 20));
        text.extend(b"\nlast");
        let found = lines(&text);
        assert_eq!(
            found,
            [Some(b"first".to_vec()), Some(format!("{HEAD_BYTES}:{}", 50 << 20).into_bytes()), Some(b"last".to_vec())]
        );
    }

    #[test]
    fn a_grown_file_keeps_the_hash_of_its_prefix() {
        let hash = |text: &'static [u8], count| {
            let mut lines = Lines::new(Box::new(text), false, None);
            assert!(lines.skip(count).unwrap());
            lines.prefix()
        };
        assert_eq!(hash(b"a\nb", 2), hash(b"a\nb\nc\n", 2));
        assert_eq!(hash(b"a\nb\n", 2), hash(b"a\r\nb\r\nc\n", 2));
        assert_ne!(hash(b"a\nb\n", 2), hash(b"a\nbc\n", 2));
        assert!(!Lines::new(Box::new(&b"a\n"[..]), false, None).skip(2).unwrap());
    }
}
