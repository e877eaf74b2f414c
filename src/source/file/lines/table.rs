//! Rows of a table: each stands at its first line; its further lines, and the header, are positions without a record.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{BYTE_ORDER_MARK, Lines};
use crate::csv::{Header, Layout, row_length};
use crate::source::{Body, Chunk};

/// A table while it is read.
pub struct Table {
    layout: Layout,
    /// Known behind the first row.
    header: Option<Arc<Header>>,
}

/// A table that cannot be read.
pub fn unusable(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Table {
    pub fn new(layout: Layout) -> Self {
        Self { layout, header: None }
    }

    pub fn header(&self) -> Option<Arc<Header>> {
        self.header.clone()
    }

    /// Where in the text the last row ends that is there whole; 0: none is.
    pub fn complete(&self, data: &[u8], is_start: bool) -> usize {
        let mut end = if is_start { mark_length(data) } else { 0 };
        let delimiter = self.delimiter(data.get(end..).unwrap_or_default());
        let mut complete = 0;
        while let Some(length) = row_length(data.get(end..).unwrap_or_default(), delimiter, false) {
            end += length;
            complete = end;
        }
        complete
    }

    /// What stands between the cells, in a table whose first row is known or stands in `data`.
    fn delimiter(&self, data: &[u8]) -> u8 {
        let first_line = || data.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
        match &self.header {
            Some(header) => header.delimiter,
            None => self.layout.delimiter(first_line().unwrap_or_default()),
        }
    }

    /// Takes up the first row; whether it was the header.
    fn begins_with(&mut self, row: &[u8]) -> io::Result<bool> {
        if self.header.is_some() {
            return Ok(false);
        }
        let header = self.layout.header(row).map_err(|rejection| unusable(&rejection.0))?;
        self.header = Some(Arc::new(header));
        Ok(self.layout.has_header_row())
    }
}

fn mark_length(data: &[u8]) -> usize {
    if data.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 }
}

impl Lines {
    /// Where the row ends that begins at `start`, behind its line break; `None` if these are no rows, or if it has more
    /// lines than are wanted.
    pub(super) fn row_end(&self, data: &[u8], start: usize, lines_max: i64) -> Option<usize> {
        let table = self.table.as_ref()?;
        let mark = if self.number == 0 { mark_length(data) } else { 0 };
        let rest = data.get(start + mark..)?;
        let length = row_length(rest, table.delimiter(rest), true)?;
        let breaks = memchr::memchr_iter(b'\n', rest.get(..length.saturating_sub(1))?).count();
        (i64::try_from(breaks).is_ok_and(|breaks| breaks < lines_max)).then_some(start + mark + length)
    }

    /// Gives out one row; how many lines it has.
    pub(super) fn row(
        &mut self,
        chunk: &mut Chunk,
        source: usize,
        data: &[u8],
        row: Range<usize>,
        received_at: i64,
    ) -> io::Result<i64> {
        let (first, number, mut start) = (chunk.records.len(), self.number, row.start);
        let text = data.get(row.clone()).unwrap_or_default();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for line in text.split(|byte| *byte == b'\n') {
            self.line(chunk, source, data, start..start + line.len(), received_at);
            start += line.len() + 1;
        }
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let Some((record, further)) = chunk.records.get_mut(first..).and_then(<[_]>::split_first_mut) else {
            return Ok(0);
        };
        if !further.is_empty()
            && let Body::Bytes(range) = &mut record.body
        {
            range.end = row.start + text.len();
        }
        further.iter_mut().for_each(|record| record.body = Body::Skip);
        if let (Some(table), Body::Bytes(range)) = (&mut self.table, &record.body)
            && table.begins_with(data.get(range.clone()).unwrap_or_default())?
        {
            record.body = Body::Skip;
        }
        Ok(self.number - number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::CHUNK_BYTES;

    /// Rows with their positions, the columns, and the fingerprint of all lines.
    type Read = (Vec<(i64, String)>, Option<Arc<Header>>, i64);

    fn read(text: &[u8], layout: &Layout, from: i64) -> io::Result<Read> {
        let mut lines = Lines::new(Box::new(io::Cursor::new(text.to_vec())), false, Some(layout));
        assert!(lines.skip(from)?);
        let (mut rows, mut header, mut next) = (Vec::new(), None, from);
        loop {
            let mut chunk = Chunk::default();
            if !lines.fill(&mut chunk, 0)? {
                return Ok((rows, header, lines.prefix()));
            }
            for record in &chunk.records {
                assert_eq!(record.offset, next, "every line is a position");
                next += 1;
                if let Body::Bytes(range) = &record.body {
                    let text = String::from_utf8(chunk.data[range.clone()].to_vec()).unwrap();
                    rows.push((record.offset, text));
                }
            }
            header = chunk.header;
        }
    }

    #[test]
    fn a_row_stands_at_its_first_line() {
        let text = b"\xef\xbb\xbf\"a\",b\r\n\r\n1,\"x\r\ny\"\r\n2,z\r\n3,";
        let layout = Layout::default();
        let (rows, header, prefix) = read(text, &layout, 0).unwrap();
        assert_eq!(header.unwrap().names, ["a", "b"]);
        let row = |offset: i64, text: &str| (offset, text.to_owned());
        assert_eq!(rows, [row(2, "1,\"x\r\ny\""), row(4, "2,z"), row(5, "3,")]);
        // From anywhere the same rows follow, under the same header, and the same is remembered of all lines.
        for from in [1, 2, 4, 5] {
            let (later, header, same) = read(text, &layout, from).unwrap();
            assert_eq!(later, rows.iter().filter(|(offset, _)| *offset >= from).cloned().collect::<Vec<_>>());
            assert_eq!((header.unwrap().names.len(), same), (2, prefix));
        }
    }

    #[test]
    fn rows_are_whole_across_chunks() {
        let mut text = b"n;text\n".to_vec();
        let (mut expected, mut line) = (Vec::new(), 1);
        for n in 0..6 {
            let row = format!("{n};\"{}\nend\"", "x".repeat(CHUNK_BYTES / 3));
            text.extend(row.as_bytes());
            text.push(b'\n');
            expected.push((line, row));
            line += 2;
        }
        let (rows, header, _) = read(&text, &Layout::default(), 0).unwrap();
        assert_eq!((rows == expected, header.unwrap().delimiter), (true, b';'));
    }

    #[test]
    fn without_a_header_row_the_first_row_is_data() {
        let layout = Layout { delimiter: None, columns: vec!["a".to_owned(), "b".to_owned()] };
        let (rows, header, _) = read(b"1\t2\n", &layout, 0).unwrap();
        assert_eq!((rows, header.unwrap().delimiter), (vec![(0, "1\t2".to_owned())], b'\t'));
    }

    #[test]
    fn a_header_that_cannot_be_read_is_told() {
        for (text, why) in [(&b"\"a,b\n1,2\n"[..], "never closed"), (b"\xff\xfea\0", "UTF-16")] {
            let error = read(text, &Layout::default(), 0).unwrap_err().to_string();
            assert!(error.starts_with("the header: ") && error.contains(why), "{error}");
        }
        let long = vec![b'x'; 40 << 20];
        assert!(read(&long, &Layout::default(), 0).unwrap_err().to_string().starts_with("the header: "));
        let (rows, header, _) = read(b"", &Layout::default(), 0).unwrap();
        assert!(rows.is_empty() && header.is_none());
    }
}
