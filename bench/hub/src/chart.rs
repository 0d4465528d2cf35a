//! The figures that say most, as bars.

use std::fmt::Write;

use anyhow::Result;

use crate::measure::Measured;
use crate::server::Contestant;
use crate::table::Figure;

struct Panel {
    title: &'static str,
    measure: &'static str,
    path: &'static str,
    factor: f64,
    digits: usize,
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "Processor time for a delivery, µs (less is better)",
        measure: "fanout 10000",
        path: "/server/cpu",
        factor: 1.0,
        digits: 1,
    },
    Panel {
        title: "Memory of an idle subscriber, bytes (less is better)",
        measure: "idle 15000",
        path: "/resident_per_subscriber",
        factor: 1.0,
        digits: 0,
    },
    Panel {
        title: "Subscribers let in, thousands a second",
        measure: "connects 10000",
        path: "/per_second",
        factor: 1e-3,
        digits: 1,
    },
    Panel {
        title: "Deliveries, millions a second",
        measure: "unwaiting 1000",
        path: "/per_second",
        factor: 1e-6,
        digits: 1,
    },
];

/// A chart of the medians in SVG; nothing where a panel has none.
pub fn chart(measured: &Measured) -> Result<Option<String>> {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"The hub \
         beside its peers\">\n{STYLE}\n",
        2 * WIDTH,
        2 * HEIGHT
    );
    for (number, panel) in PANELS.iter().enumerate() {
        let (x, y) = (number % 2 * WIDTH, number / 2 * HEIGHT);
        let median = |contestant| {
            let column = (panel.title, panel.path, panel.factor, panel.digits);
            Some((contestant, Figure::of(measured, panel.measure, contestant, column)?.median))
        };
        let bars: Vec<_> = Contestant::ALL.into_iter().filter_map(median).collect();
        let most = bars.iter().map(|(_, median)| *median).fold(0.0, f64::max);
        if most <= 0.0 {
            return Ok(None);
        }
        writeln!(
            out,
            "<g transform=\"translate({x} {y})\">\n<text x=\"16\" y=\"26\" class=\"title\">{}</text>",
            panel.title
        )?;
        for (row, (contestant, median)) in bars.into_iter().enumerate() {
            let (top, width) = (40 + 26 * row, (median / most * BAR).max(1.0));
            let class = if contestant == Contestant::Hub { "hub" } else { "peer" };
            let digits = panel.digits;
            writeln!(
                out,
                "<text x=\"76\" y=\"{}\" class=\"name\">{}</text><rect x=\"84\" y=\"{top}\" \
                 width=\"{width:.1}\" height=\"18\" rx=\"2\" class=\"{class}\"/><text x=\"{:.1}\" \
                 y=\"{}\">{median:.digits$}</text>",
                top + 14,
                contestant.name(),
                90.0 + width,
                top + 14,
            )?;
        }
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    Ok(Some(out))
}

const WIDTH: usize = 440;
const HEIGHT: usize = 156;
/// The longest bar.
const BAR: f64 = 270.0;

const STYLE: &str = "<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.name { text-anchor: end }
.peer { fill: #b6bcc4 }
.hub { fill: #2563eb }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .peer { fill: #57606a }
  .hub { fill: #60a5fa }
}
</style>";
