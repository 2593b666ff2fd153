//! Bars, as SVG.

use std::fmt::Write;

use crate::report::thousands;

/// Values of several manners to consume.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) bars: Vec<(&'static str, f64)>,
}

const WIDTH: f64 = 860.0;
const NAMES: f64 = 350.0;
const LONGEST_BAR: f64 = 420.0;
const LINE: f64 = 22.0;
const BAR: f64 = 14.0;

// readable on a white and on a dark page
const OURS: &str = "#d9480f";
const OTHERS: &str = "#748ffc";
const TEXT: &str = "#868e96";

/// The charts, one below the other, each with its own scale.
pub(crate) fn svg(charts: &[Chart]) -> String {
    let lines: usize = charts.iter().map(|chart| chart.bars.len() + 2).sum();
    let height = lines as f64 * LINE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"{TEXT}\">\n"
    );
    let mut y = 0.0;
    for chart in charts {
        y += LINE;
        text(
            &mut svg,
            (8.0, y),
            "font-weight=\"bold\"",
            &format!("{}: messages/s", chart.title),
        );
        let longest = chart
            .bars
            .iter()
            .map(|(_, value)| *value)
            .fold(1.0, f64::max);
        for (name, value) in &chart.bars {
            y += LINE;
            text(&mut svg, (NAMES - 8.0, y), "text-anchor=\"end\"", name);
            let (top, width) = (y - BAR + 2.0, value / longest * LONGEST_BAR);
            let color = if *name == "ploomby" { OURS } else { OTHERS };
            let _ = writeln!(
                svg,
                "<rect x=\"{NAMES}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{color}\"/>"
            );
            text(&mut svg, (NAMES + width + 6.0, y), "", &thousands(*value));
        }
        y += LINE;
    }
    svg.push_str("</svg>\n");
    svg
}

/// None of the texts has a character that XML would read as its own.
fn text(svg: &mut String, (x, y): (f64, f64), style: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" {style}>{text}</text>");
}
