//! The evidence as a workbook, for those who sort and filter in a spreadsheet.
//!
//! Every text is written as text: nothing that a client calls itself becomes a formula. Times are UTC.

mod sheets;

use rust_xlsxwriter::{
    DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder, Workbook, Worksheet, XlsxError,
};

use crate::event::time::SECOND;
use crate::export::ExportError;
use crate::export::model::{Assessment, Moment};

/// Most rows of a sheet; the rest is in the CSV and Parquet files of the pack, and the sheet says so.
pub const ROWS_MAX: usize = 20_000;
/// Most letters of a cell, as Excel has it.
const LETTERS_MAX: usize = 32_000;

/// What a cell holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    Number(u64),
    Time(Option<Moment>),
    /// A result, in its colour.
    Outcome(String),
}

impl Cell {
    /// Text.
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }
}

/// A sheet: columns with their width in letters, and rows.
#[derive(Debug)]
pub struct Sheet {
    pub name: &'static str,
    pub columns: Vec<(&'static str, u16)>,
    pub rows: Vec<Vec<Cell>>,
    /// Rows that there were.
    pub total: usize,
}

/// The workbook as bytes; the same assessment gives the same.
///
/// # Errors
/// If the workbook could not be put together.
pub fn xlsx(it: &Assessment) -> Result<Vec<u8>, ExportError> {
    write(it).map_err(|e| ExportError::Terms(format!("the workbook could not be written: {e}")))
}

fn write(it: &Assessment) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let title = format!("Evidence: {} {}", it.framework.title, it.framework.version);
    let made = when(it.provenance.committed_at)?;
    let properties = DocProperties::new().set_title(title).set_author(&it.tool.name).set_creation_datetime(&made);
    book.set_properties(&properties);
    let formats = Formats::new();
    for sheet in sheets::all(it) {
        fill(book.add_worksheet(), &sheet, &formats)?;
    }
    book.save_to_buffer()
}

fn when(at: Moment) -> Result<ExcelDateTime, XlsxError> {
    ExcelDateTime::from_timestamp(at.0.div_euclid(SECOND))
}

/// How cells look.
struct Formats {
    head: Format,
    text: Format,
    number: Format,
    time: Format,
    outcomes: Vec<(&'static str, Format)>,
}

impl Formats {
    fn new() -> Self {
        let plain = || Format::new().set_align(FormatAlign::Top);
        let outcome =
            |name, ink: u32, paper: u32| (name, plain().set_bold().set_font_color(ink).set_background_color(paper));
        Self {
            head: Format::new()
                .set_bold()
                .set_font_color(0x00FF_FFFF)
                .set_background_color(0x001B_365D)
                .set_border_bottom(FormatBorder::Thin)
                .set_text_wrap(),
            text: plain().set_text_wrap(),
            number: plain().set_num_format("#,##0"),
            time: plain().set_num_format("yyyy-mm-dd hh:mm:ss").set_align(FormatAlign::Left),
            outcomes: vec![
                outcome("pass", 0x000B_5A2E, 0x00DF_F3E6),
                outcome("fail", 0x008F_1414, 0x00FB_E3E3),
                outcome("inconclusive", 0x006B_4500, 0x00FF_F0CC),
                outcome("error", 0x0058_1C87, 0x00F1_E4FA),
            ],
        }
    }

    fn outcome(&self, name: &str) -> &Format {
        self.outcomes.iter().find(|(own, _)| *own == name).map_or(&self.text, |(_, format)| format)
    }
}

fn fill(to: &mut Worksheet, sheet: &Sheet, formats: &Formats) -> Result<(), XlsxError> {
    to.set_name(sheet.name)?;
    to.set_landscape().set_paper_size(9).set_print_fit_to_pages(1, 0).set_freeze_panes(1, 0)?;
    to.set_repeat_rows(0, 0)?.set_footer("&L&A&RPage &P of &N");
    for (column, (name, width)) in (0_u16..).zip(&sheet.columns) {
        to.write_string_with_format(0, column, *name, &formats.head)?;
        to.set_column_width(column, f64::from(*width))?;
    }
    let mut line = 0;
    for cells in &sheet.rows {
        line += 1;
        for (column, cell) in (0_u16..).zip(cells) {
            put(to, line, column, cell, formats)?;
        }
    }
    if let Some(last) = u16::try_from(sheet.columns.len()).ok().and_then(|count| count.checked_sub(1)) {
        to.autofilter(0, 0, line.max(1), last)?;
    }
    if sheet.total > sheet.rows.len() {
        let left = format!("{} rows more are in the CSV and Parquet files of the pack", sheet.total - sheet.rows.len());
        to.write_string_with_format(line + 1, 0, left, &formats.text)?;
    }
    Ok(())
}

fn put(to: &mut Worksheet, line: u32, column: u16, cell: &Cell, formats: &Formats) -> Result<(), XlsxError> {
    match cell {
        Cell::Text(text) => to.write_string_with_format(line, column, cut(text), &formats.text)?,
        Cell::Outcome(text) => to.write_string_with_format(line, column, text, formats.outcome(text))?,
        // Beyond 2^53 a sheet has no exact numbers; no count comes near.
        Cell::Number(number) => to.write_number_with_format(line, column, *number as f64, &formats.number)?,
        Cell::Time(Some(at)) => to.write_datetime_with_format(line, column, when(*at)?, &formats.time)?,
        Cell::Time(None) => to.write_string_with_format(line, column, "", &formats.text)?,
    };
    Ok(())
}

/// As much as a cell holds.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{} […]", &text[..end]),
        None => text.to_owned(),
    }
}
