//! Lines on standard output and standard error, for people and for programs.

use anyhow::Result;
use serde::Serialize;
use std::io::Write;

/// A result, on standard output; an error if that is closed.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// The same as one line of JSON, flushed.
pub(crate) fn say_json(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(value)?)?;
    Ok(out.flush()?)
}

/// A remark, on standard error; a run continues when that is closed.
pub(crate) fn note(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Rows as columns, two spaces apart; the columns listed in `numbers` are aligned to the right.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], numbers: &[usize]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if numbers.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A number of bytes in decimal units.
pub(crate) fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        n if n < 1e3 => format!("{n} B"),
        n if n < 1e6 => format!("{:.1} kB", n / 1e3),
        n if n < 1e9 => format!("{:.1} MB", n / 1e6),
        n => format!("{:.2} GB", n / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let rows = [["name", "size"], ["a", "12 B"], ["longer", "1.5 kB"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows, &[1]), "name      size\na         12 B\nlonger  1.5 kB");
        assert_eq!(table(&rows, &[]), "name    size\na       12 B\nlonger  1.5 kB");
    }

    #[test]
    fn sizes_are_short() {
        let all: Vec<_> = [0, 999, 13_700_000, 6_938_000_000].map(bytes).into();
        assert_eq!(all, ["0 B", "999 B", "13.7 MB", "6.94 GB"]);
    }
}
