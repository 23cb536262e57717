//! Aligned columns.
//!
//! A table arrives in pages (the gateway lists a million sessions a part at a time), so a column is as
//! wide as its widest cell so far and never shrinks: pages line up unless a later cell is wider.

use core::fmt::Write;

/// On which side a column's cells begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// One column: its title, its side, and the width below which it never falls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) align: Align,
    pub(crate) width: usize,
}

impl Column {
    pub(crate) const fn left(title: &'static str, width: usize) -> Self {
        Self { title, align: Align::Left, width }
    }

    pub(crate) const fn right(title: &'static str, width: usize) -> Self {
        Self { title, align: Align::Right, width }
    }
}

/// Lays out pages of rows under one heading.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    headed: bool,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [Column; N]) -> Self {
        Self { columns, headed: false }
    }

    /// The lines of a page; the first page begins with the heading.
    pub(crate) fn page(&mut self, rows: &[[String; N]]) -> String {
        for (index, column) in self.columns.iter_mut().enumerate() {
            let widest = rows.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
            column.width = column.width.max(column.title.chars().count()).max(widest);
        }
        let mut text = String::new();
        if !self.headed {
            self.headed = true;
            self.line(&mut text, self.columns.map(|column| column.title));
        }
        for row in rows {
            self.line(&mut text, row.each_ref().map(String::as_str));
        }
        text
    }

    fn line(&self, text: &mut String, cells: [&str; N]) {
        let start = text.len();
        for (column, cell) in self.columns.iter().zip(cells) {
            if text.len() > start {
                text.push_str("  ");
            }
            let width = column.width;
            // Writing to a string cannot fail.
            let _ = match column.align {
                Align::Left => write!(text, "{cell:<width$}"),
                Align::Right => write!(text, "{cell:>width$}"),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_pages_share_them() {
        let mut table = Table::new([Column::left("NAME", 6), Column::right("PACKETS", 0)]);
        let first = table.page(&[["a".into(), "1".into()], ["b".into(), "12345678".into()]]);
        let second = table.page(&[["c".into(), "22".into()]]);
        insta::assert_snapshot!(format!("{first}{second}"), @r"
        NAME     PACKETS
        a              1
        b       12345678
        c             22
        ");
    }

    #[test]
    fn no_line_ends_in_blanks() {
        let mut table = Table::new([Column::left("A", 9), Column::left("B", 9)]);
        assert_eq!(table.page(&[["x".into(), String::new()]]), "A          B\nx\n");
    }
}
