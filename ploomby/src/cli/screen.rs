//! What a command writes: tables that fit the terminal, or lines of JSON.

use std::{
    io::{self, BufWriter, IsTerminal, Stdout, Write},
    mem,
};

use serde::Serialize;

use crate::ops::faces::{clean, escaped};

/// The standard output.
pub(super) struct Screen {
    out: BufWriter<Stdout>,
    width: usize,
    is_terminal: bool,
    is_bold: bool,
    is_empty: bool,
}

/// Where nothing says how wide the terminal is.
const WIDTH: usize = 80;

impl Screen {
    pub(super) fn of_process() -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        let columns = std::env::var("COLUMNS").ok();
        let columns = columns.and_then(|columns| columns.parse().ok());
        Self {
            width: columns.filter(|_| is_terminal).unwrap_or(WIDTH).max(40),
            is_terminal,
            is_bold: is_terminal && std::env::var_os("NO_COLOR").is_none(),
            is_empty: true,
            out: BufWriter::new(out),
        }
    }

    /// What comes next takes the place of what there is on a terminal, and stands behind an empty line elsewhere.
    pub(super) fn begin_anew(&mut self) -> io::Result<()> {
        match (self.is_terminal, mem::replace(&mut self.is_empty, false)) {
            (true, _) => write!(self.out, "\x1b[H\x1b[2J"),
            (false, true) => Ok(()),
            (false, false) => writeln!(self.out),
        }
    }

    /// A line of text, whose control characters stand for themselves.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", clean(text))
    }

    /// A document: as it is where a program reads it, and without harm to a terminal.
    #[cfg(feature = "asyncapi")]
    pub(super) fn document(&mut self, text: &str) -> io::Result<()> {
        let text = text.trim_end();
        match self.is_terminal {
            true => text.lines().try_for_each(|line| self.line(line)),
            false => writeln!(self.out, "{text}"),
        }
    }

    /// A line of JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        writeln!(self.out, "{}", escaped(&serde_json::to_string(value)?))
    }

    /// Rows under their titles. The last column has what the others leave, and is cut where that is too little.
    pub(super) fn table(&mut self, titles: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        const GAP: usize = 2;

        let rows: Vec<Vec<_>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| clean(cell)).collect())
            .collect();
        let len = |text: &str| text.chars().count();
        let mut widths: Vec<_> = titles.iter().map(|title| len(title)).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(len(cell));
            }
        }
        let last = widths.len().saturating_sub(1);
        // none of the others takes more than a third of the line
        for width in &mut widths[..last] {
            *width = (*width).min(self.width / 3);
        }
        let taken: usize = widths[..last].iter().map(|width| width + GAP).sum();
        widths[last] = self.width.saturating_sub(taken).max(GAP);
        let written = |row: &[String]| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let cell = cut(cell, *width);
                let space = width + GAP - len(&cell);
                line.push_str(&cell);
                line.extend(std::iter::repeat_n(' ', space));
            }
            line.trim_end().to_owned()
        };
        let titles: Vec<_> = titles.iter().map(|title| (*title).to_owned()).collect();
        match self.is_bold {
            true => writeln!(self.out, "\x1b[1m{}\x1b[0m", written(&titles))?,
            false => writeln!(self.out, "{}", written(&titles))?,
        }
        for row in rows {
            writeln!(self.out, "{}", written(&row))?;
        }
        Ok(())
    }

    /// Words behind a beginning, on as many lines as it takes.
    pub(super) fn wrapped(&mut self, first: &str, text: &str) -> io::Result<()> {
        let len = |text: &str| text.chars().count();
        let indent = " ".repeat(len(first));
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in clean(text).split(' ') {
            if !is_empty && len(&line) + 1 + len(word) > self.width {
                writeln!(self.out, "{}", line.trim_end())?;
                line.clone_from(&indent);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        writeln!(self.out, "{}", line.trim_end())
    }

    /// As a [`table`](Self::table), whose last column goes on in lines of its own and is not cut.
    pub(super) fn list(&mut self, titles: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let last = titles.len().saturating_sub(1);
        let mut heads = vec![
            titles[..last]
                .iter()
                .map(|title| (*title).to_owned())
                .collect::<Vec<_>>(),
        ];
        heads.extend(rows.iter().map(|row| row[..last].to_vec()));
        let widths = (0..last).map(|column| {
            let lens = heads.iter().map(|head| head[column].chars().count());
            lens.max().unwrap_or_default()
        });
        let widths: Vec<_> = widths.collect();
        let written = |head: &[String]| {
            let cells = head.iter().zip(&widths);
            cells
                .map(|(cell, width)| format!("{cell:<width$}  "))
                .collect::<String>()
        };
        let head = written(&heads[0]) + titles[last];
        match self.is_bold {
            true => writeln!(self.out, "\x1b[1m{head}\x1b[0m")?,
            false => writeln!(self.out, "{head}")?,
        }
        for row in rows {
            self.wrapped(&written(&row[..last]), &row[last])?;
        }
        Ok(())
    }

    /// For lines that are written already.
    pub(super) fn writer(&mut self) -> &mut (dyn Write + Send) {
        &mut self.out
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text
            .chars()
            .take(most.saturating_sub(1))
            .chain(['…'])
            .collect(),
        false => text.to_owned(),
    }
}

/// Says on the standard error what went wrong.
pub(super) fn tell_error(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "error: {}", clean(text))
}

/// Says on the standard error what is going on.
pub(super) fn tell(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{}", clean(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(cut("Größe", 5), "Größe");
        assert_eq!(cut("Größe 5", 5), "Größ…");
    }
}
