//! Comma-separated text (RFC 4180): where rows end, what the columns are called, and the cells of a row.
//!
//! A cell in quotes may hold line breaks, so lines are not rows. Readers of CSV commonly let a quote that is never
//! closed swallow the rest of a file; here such a row ends with its line and is refused alone, and the rows behind it
//! are read.

use std::borrow::Cow;

use crate::event::Rejection;

/// What may stand between cells.
pub const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Longest row that holds quotes, in bytes: a quote that is not closed within it counts as never closed.
pub const QUOTED_ROW_BYTES_MAX: usize = 1 << 20;
/// Most columns.
pub const COLUMNS_MAX: usize = 4096;

/// What is known of a table before it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Without one, that of [`DELIMITERS`] which the first line has most of.
    pub delimiter: Option<u8>,
    /// Names of the columns, if the first row does not state them.
    pub columns: Vec<String>,
}

impl Layout {
    /// Whether the first row holds names and not data.
    pub fn has_header_row(&self) -> bool {
        self.columns.is_empty()
    }

    /// What stands between cells, in a table with this first line.
    pub fn delimiter(&self, first_line: &[u8]) -> u8 {
        self.delimiter.unwrap_or_else(|| detected(first_line))
    }

    /// The columns of a table with this first row.
    ///
    /// # Errors
    /// The first row is to hold the names, and cannot be read.
    pub fn header(&self, first_row: &[u8]) -> Result<Header, Rejection> {
        let first_line = first_row.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let delimiter = self.delimiter(first_line);
        if !self.has_header_row() {
            return Ok(Header { delimiter, names: self.columns.clone() });
        }
        let names = cells(first_row, delimiter).map_err(|Rejection(why)| Rejection(format!("the header: {why}")))?;
        Ok(Header { delimiter, names: names.iter().map(|name| name.trim().to_owned()).collect() })
    }
}

/// The columns of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub delimiter: u8,
    pub names: Vec<String>,
}

impl Header {
    /// The cells of a row, one for each column.
    ///
    /// # Errors
    /// Not UTF-8, a quote that is never closed, more than one row, or another number of cells than columns: then it is
    /// not known which cell belongs where. Empty cells at the end of a row may be too many.
    pub fn row<'t>(&self, row: &'t [u8]) -> Result<Vec<Cow<'t, str>>, Rejection> {
        let mut row = cells(row, self.delimiter)?;
        while row.len() > self.names.len() && row.last().is_some_and(|cell| cell.is_empty()) {
            row.pop();
        }
        if row.len() != self.names.len() {
            let why = format!("a row of {} cells, where there are {} columns", row.len(), self.names.len());
            return Err(Rejection(why));
        }
        Ok(row)
    }

    /// A row of these cells, in quotes where it needs them.
    pub fn write<'t>(&self, cells: impl Iterator<Item = &'t str>) -> String {
        let delimiter = char::from(self.delimiter);
        let quoted = |cell: &str| {
            let needs_quotes = cell.contains(['"', '\n', '\r', delimiter]);
            if needs_quotes { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
        };
        cells.map(quoted).collect::<Vec<_>>().join(&delimiter.to_string())
    }
}

/// Length in bytes of the row that a text begins with, line break and all. `None`: what is there does not tell, and the
/// text goes on, which it does not if `is_all`.
pub fn row_length(text: &[u8], delimiter: u8, is_all: bool) -> Option<usize> {
    let line = memchr::memchr(b'\n', text).map(|at| at + 1);
    let line = line.or_else(|| is_all.then_some(text.len()))?;
    let mut window = text.get(..line).unwrap_or_default();
    if memchr::memchr(b'"', window).is_none() {
        return Some(line);
    }
    window = text.get(..QUOTED_ROW_BYTES_MAX).unwrap_or(text);
    let mut at = 0;
    while let Some(end) = cell_end(window, at, delimiter) {
        match window.get(end) {
            Some(b'\n') => return Some(end + 1),
            Some(_) => at = end + 1,
            None if is_all && window.len() == text.len() => return Some(end),
            None => break,
        }
    }
    (is_all || text.len() >= QUOTED_ROW_BYTES_MAX).then_some(line)
}

/// The cells of one row.
fn cells(row: &[u8], delimiter: u8) -> Result<Vec<Cow<'_, str>>, Rejection> {
    let text = std::str::from_utf8(row).map_err(|e| {
        let hint = if row.starts_with(b"\xff\xfe") || row.starts_with(b"\xfe\xff") { " (this is UTF-16)" } else { "" };
        Rejection(format!("not UTF-8: bad byte at {}{hint}; export the file as UTF-8", e.valid_up_to()))
    })?;
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    let (mut cells, mut start) = (Vec::new(), 0);
    loop {
        let never_closed = || Rejection(format!("a quote at byte {start} that is never closed"));
        let end = cell_end(text.as_bytes(), start, delimiter).ok_or_else(never_closed)?;
        if cells.len() == COLUMNS_MAX {
            return Err(Rejection(format!("more than {COLUMNS_MAX} cells in a row")));
        }
        cells.push(unquoted(text.get(start..end).unwrap_or_default()));
        match text.as_bytes().get(end) {
            None => return Ok(cells),
            Some(b'\n') => return Err(Rejection(format!("more than one row: another begins at byte {}", end + 1))),
            Some(_) => start = end + 1,
        }
    }
}

/// Where the cell that begins at `start` ends: at a delimiter, at a line break, or with the text. `None`: its quote is
/// never closed.
fn cell_end(text: &[u8], start: usize, delimiter: u8) -> Option<usize> {
    let mut at = start;
    if text.get(at) == Some(&b'"') {
        at += 1;
        loop {
            at += memchr::memchr(b'"', text.get(at..)?)? + 1;
            // Two quotes stand for one, inside.
            if text.get(at) != Some(&b'"') {
                break;
            }
            at += 1;
        }
    }
    let rest = text.get(at..).unwrap_or_default();
    Some(memchr::memchr2(delimiter, b'\n', rest).map_or(text.len(), |length| at + length))
}

/// A cell without its quotes. What stands between the closing one and the delimiter is kept, as other readers do.
fn unquoted(cell: &str) -> Cow<'_, str> {
    let Some(mut rest) = cell.strip_prefix('"') else { return Cow::Borrowed(cell) };
    if let Some(inner) = rest.strip_suffix('"')
        && !inner.contains('"')
    {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(rest.len());
    while let Some((before, behind)) = rest.split_once('"') {
        text.push_str(before);
        let Some(inside) = behind.strip_prefix('"') else {
            text.push_str(behind);
            return Cow::Owned(text);
        };
        text.push('"');
        rest = inside;
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The delimiter that a line has most of outside quotes; the first of equals.
fn detected(line: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut is_quoted = false;
    for byte in line {
        is_quoted ^= *byte == b'"';
        let place = DELIMITERS.iter().position(|delimiter| delimiter == byte).filter(|_| !is_quoted);
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
    }
    let counted = DELIMITERS.into_iter().zip(counts).rev();
    counted.max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| delimiter)
}

#[cfg(test)]
mod tests;
