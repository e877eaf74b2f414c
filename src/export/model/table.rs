//! Rows of text in one buffer: hundreds of thousands of findings cost what their letters cost, not an allocation a cell.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::event::hex;

/// What became of a column's values.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// As it is.
    Show,
    /// Under pseudonyms, unless the assessment is identified.
    Pseudonym,
    /// Left out.
    Withhold,
}

/// A column of a table.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub treatment: Treatment,
}

/// Rows of text under columns. Nothing is told from empty text: both are an empty cell. Lists are JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    text: String,
    /// Where each cell ends in `text`, row after row.
    ends: Vec<usize>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Its columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The place of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.ends.len().checked_div(self.columns.len()).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a row; cells beyond the columns are left out, and those that are missing are empty.
    pub fn push<'c>(&mut self, cells: impl IntoIterator<Item = &'c str>) {
        let mut cells = cells.into_iter();
        for _ in 0..self.columns.len() {
            self.text.push_str(cells.next().unwrap_or_default());
            self.ends.push(self.text.len());
        }
    }

    /// One cell; empty beyond the table.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        let at = row * self.columns.len() + column;
        let Some(end) = self.ends.get(at).copied().filter(|_| column < self.columns.len()) else { return "" };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..end).unwrap_or_default()
    }

    /// The cells of a row, in the order of the columns.
    pub fn row(&self, row: usize) -> impl Iterator<Item = &str> {
        (0..self.columns.len()).map(move |column| self.cell(row, column))
    }

    /// The cell of a row under the column called `name`; empty if there is none.
    pub fn named(&self, row: usize, name: &str) -> &str {
        self.column(name).map_or("", |column| self.cell(row, column))
    }

    /// SHA-256 in hexadecimal over the names of the columns and the rows in their order. Lengths stand before texts, so that
    /// no two tables have the same.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        let mut take = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        take(&self.columns.len().to_string());
        self.columns.iter().for_each(|column| take(&column.name));
        (0..self.len()).flat_map(|row| self.row(row)).for_each(take);
        hex(&hash.finalize())
    }

    /// The same rows in canonical order: by their cells, column after column, as bytes.
    pub fn sorted(&self) -> Self {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|a, b| self.row(*a).cmp(self.row(*b)));
        let mut sorted = Self::new(self.columns.clone());
        sorted.text.reserve(self.text.len());
        sorted.ends.reserve(self.ends.len());
        for row in order {
            sorted.push(self.row(row));
        }
        sorted
    }

    /// Whether the rows stand in canonical order.
    pub fn is_sorted(&self) -> bool {
        (1..self.len()).all(|row| self.row(row - 1).le(self.row(row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_where_they_were_put() {
        let column = |name: &str| Column { name: name.to_owned(), treatment: Treatment::Show };
        let mut table = Table::new(vec![column("a"), column("b")]);
        table.push(["2", ""]);
        table.push(["1", "é", "left out"]);
        table.push(["1"]);
        assert_eq!((table.len(), table.cell(1, 1), table.named(0, "a"), table.cell(9, 0)), (3, "é", "2", ""));
        assert!(!table.is_sorted());
        let sorted = table.sorted();
        assert!(sorted.is_sorted());
        assert_eq!((0..3).map(|r| sorted.row(r).collect::<String>()).collect::<Vec<_>>(), ["1", "1é", "2"]);
        assert_eq!(Table::default().len(), 0);
    }
}
