//! Tables and property lists for a terminal: plain text, aligned, no colour.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// On which side the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Names and words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings. Columns without any content are left out.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one cell a column.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "one cell a column");
        self.rows.push(cells.map(printable).into());
    }
}

/// Text from files and peers must not move the cursor.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings: Vec<String> =
            self.columns.iter().map(|(name, _)| name.to_uppercase()).collect();
        let mut widths = vec![0; self.columns.len()];
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        let mut line = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            line.clear();
            let columns = self.columns.iter().zip(&headings).zip(&widths).zip(row);
            for ((((_, align), heading), &widest), cell) in columns {
                if widest == 0 {
                    continue;
                }
                let cell = if cell.is_empty() { "-" } else { cell };
                let wide = widest.max(width(heading));
                match align {
                    Align::Left => write!(line, "{cell:<wide$}  ")?,
                    Align::Right => write!(line, "{cell:>wide$}  ")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// An entry of a report, a line for each property that says something.
pub(super) struct Detail<'a>(pub(super) &'a Value);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(properties) = self.0.as_object() else { return Ok(()) };
        let lines: Vec<(String, String)> = properties
            .iter()
            .map(|(name, value)| (name.replace('_', " "), words(value)))
            .filter(|(_, words)| !words.is_empty())
            .collect();
        let wide = lines.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        for (name, words) in lines {
            writeln!(f, "{name:wide$}  {words}")?;
        }
        Ok(())
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => printable(text.clone()),
        Value::Array(list) => list.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            let parts = map.iter().map(|(name, value)| (name.replace('_', " "), words(value)));
            let parts = parts.filter(|(_, words)| !words.is_empty());
            parts.map(|(name, words)| format!("{name} {words}")).collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut table =
            Table::new(&[("name", Align::Left), ("empty", Align::Left), ("count", Align::Right)]);
        table.row(["paris".to_owned(), String::new(), "7".to_owned()]);
        table.row(["é".to_owned(), String::new(), "12345678".to_owned()]);
        table.row([String::new(), String::new(), String::new()]);
        let expected = "NAME      COUNT\nparis         7\né      12345678\n-             -\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn text_from_elsewhere_can_not_move_the_cursor() {
        let mut table = Table::new(&[("comment", Align::Left)]);
        table.row(["a\x1b[2Jb\nc".to_owned()]);
        assert_eq!(table.to_string(), "COMMENT\na\\u{1b}[2Jb\\nc\n");
    }

    #[test]
    fn a_property_list_speaks_in_words() {
        let json = serde_json::json!({
            "name": "t", "is_up": true, "none": null, "list": ["a", "b"], "via": { "port": "u" }
        });
        let expected = "name   t\nis up  yes\nlist   a, b\nvia    port u\n";
        assert_eq!(Detail(&json).to_string(), expected);
    }
}
