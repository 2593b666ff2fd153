//! What was found, as Markdown.

use std::{fmt::Write, fs, path::Path};

use ploomby_benches::{environment, samples::Samples};

use crate::{
    plan::Plan,
    plot::{self, Chart},
};

/// All sections, in the order in which they were measured.
pub(crate) struct Report {
    head: String,
    sections: Vec<Section>,
    charts: Vec<Chart>,
    faults: Vec<String>,
}

/// One table, and what it says.
pub(crate) struct Section {
    title: String,
    text: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    ratios: Vec<Vec<String>>,
}

const TEXT: &str = "\
Written by `./scripts/bench`: what is measured, how, and what it does not say stands in
[performance.md](../docs/performance.md).
";

impl Report {
    pub(crate) fn new(plan: &Plan) -> anyhow::Result<Self> {
        let (rounds, close) = (plan.rounds(), plan.rounds_of_close());
        let extent = if plan.is_quick {
            " in the quick mode, whose runs are too short to compare by"
        } else {
            ""
        };
        Ok(Self {
            head: format!(
                "# Results\n\n{TEXT}\n{}; {}. Each figure is from {rounds} rounds, \
                 interleaved{extent}; those of ploomby and of amqprs with acks held and one ack a message, and \
                 their ratios, from {close}.\n",
                environment::of_machine(),
                environment::compiler()?,
            ),
            sections: Vec::new(),
            charts: Vec::new(),
            faults: Vec::new(),
        })
    }

    pub(crate) fn add(&mut self, section: Section) {
        eprintln!("{section}");
        self.sections.push(section);
    }

    /// Shows these values in the plot.
    pub(crate) fn plot(&mut self, title: &str, bars: Vec<(&'static str, f64)>) {
        self.charts.push(Chart {
            title: title.to_owned(),
            bars,
        });
    }

    /// Something could not be measured.
    pub(crate) fn fault(&mut self, what: &str, at: &str, error: &anyhow::Error) {
        let fault = format!("{what}: {at}: {error:#}");
        eprintln!("not measured: {fault}");
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let mut text = self.head.clone();
        if !self.charts.is_empty() {
            fs::write(folder.join("results.svg"), plot::svg(&self.charts))?;
            text.push_str("\n![Messages per second](results.svg)\n");
        }
        for section in &self.sections {
            write!(text, "\n{section}")?;
        }
        if !self.faults.is_empty() {
            text.push_str("\n## Not measured\n\n");
            for fault in &self.faults {
                writeln!(text, "- {fault}")?;
            }
        }
        fs::write(folder.join("RESULTS.md"), text)?;
        Ok(())
    }
}

impl Section {
    pub(crate) fn new<const COUNT: usize>(
        title: String,
        text: &str,
        columns: [&str; COUNT],
    ) -> Self {
        Self {
            title,
            text: text.to_owned(),
            columns: columns.map(str::to_owned).to_vec(),
            rows: Vec::new(),
            ratios: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// How many times the other it is, round by round.
    pub(crate) fn ratio(&mut self, name: &str, ratios: &[f64]) {
        if !ratios.is_empty() {
            let ratios = Samples::new(ratios.iter().copied());
            self.ratios
                .push(columns(name, &ratios, |ratio| format!("{ratio:.2}")));
        }
    }
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "## {}\n\n{}\n\n", self.title, self.text)?;
        table(f, &self.columns, &self.rows)?;
        if !self.ratios.is_empty() {
            let head = ["round by round", "best", "median", "worst"].map(str::to_owned);
            f.write_str("\n")?;
            table(f, &head, &self.ratios)?;
        }
        Ok(())
    }
}

fn table(
    f: &mut std::fmt::Formatter<'_>,
    head: &[String],
    rows: &[Vec<String>],
) -> std::fmt::Result {
    writeln!(f, "| {} |", head.join(" | "))?;
    writeln!(f, "|---|{}", "---:|".repeat(head.len() - 1))?;
    rows.iter()
        .try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
}

/// A row with best, median and worst.
pub(crate) fn columns(name: &str, samples: &Samples, show: impl Fn(f64) -> String) -> Vec<String> {
    let values = [samples.best(), samples.median(), samples.worst()].map(show);
    [vec![name.to_owned()], values.to_vec()].concat()
}

/// A whole number, its thousands apart.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
