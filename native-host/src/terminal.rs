//! Lines on standard output and standard error, for people and for programs.
//!
//! Much of the output is untrusted: settings in pictures, names of tensors, messages of servers. Control characters are
//! always escaped, for every command, so that no file can move a terminal's cursor or forge output.

use anyhow::Result;
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;

/// Prints a result on standard output. Returns an error if that is closed.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{}", plain(&line.to_string()))?)
}

/// Prints one line of JSON on standard output and flushes it.
pub(crate) fn say_json(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", plain_json(&serde_json::to_string(value)?))?;
    Ok(out.flush()?)
}

/// Prints a remark on standard error. If that is closed, the run continues.
pub(crate) fn note(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{}", plain(&line.to_string()));
}

/// Text that is safe for a terminal: control characters except line ends and tabs, and characters that change the
/// direction of writing, are escaped like `\u{1b}`.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| is_odd(c) && !matches!(c, '\n' | '\t');
    escaped(text, is_odd, |c| c.escape_unicode().to_string())
}

/// JSON in which characters that terminals interpret are escaped too.
fn plain_json(json: &str) -> Cow<'_, str> {
    escaped(json, is_odd, |c| format!("\\u{:04x}", u32::from(c)))
}

/// Whether a terminal might interpret a character instead of showing it.
fn is_odd(c: char) -> bool {
    // Directional formatting of Unicode's annex 9, all in the basic plane.
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, is_odd: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(&is_odd) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if is_odd(c) { escape(c) } else { c.to_string() }).collect::<String>().into()
}

/// Rows as columns, two spaces apart; the columns listed in `numbers` are aligned to the right.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], numbers: &[usize]) -> String {
    // A line end within a cell would break the row.
    let one_line = |cell: &String| plain(cell).replace('\n', "\\n");
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(one_line)).collect();
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
    fn f20_terminal_escapes_are_shown_and_not_obeyed() {
        assert_eq!(plain("a cat\n\tsits"), "a cat\n\tsits");
        assert_eq!(plain("\u{1b}[2J\r\u{9b}1m\u{202e}"), "\\u{1b}[2J\\u{d}\\u{9b}1m\\u{202e}");
        let json = serde_json::to_string("\u{1b}\u{9b}\u{202e}é").unwrap();
        let shown = plain_json(&json).into_owned();
        assert_eq!(shown, r#""\u001b\u009b\u202eé""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), "\u{1b}\u{9b}\u{202e}é");
        assert_eq!(table(&[["a\nb".to_owned(), "\u{1b}[1m".to_owned()]], &[]), "a\\nb  \\u{1b}[1m");
    }

    #[test]
    fn sizes_are_short() {
        let all: Vec<_> = [0, 999, 13_700_000, 6_938_000_000].map(bytes).into();
        assert_eq!(all, ["0 B", "999 B", "13.7 MB", "6.94 GB"]);
    }
}
