//! The dashboard as a picture: its panels where they stand, with their titles, units, legends and what their queries found.

use std::fmt::Write as _;

use super::dashboard::{Panel, Series};

/// Size of a cell of the dashboard's grid, in pixels, and the space between panels.
const CELL: (f64, f64) = (44.0, 30.0);
const GAP: f64 = 8.0;
/// Colours of lines, in their order.
const COLOURS: [&str; 10] =
    ["#1a7f37", "#9a6700", "#0969da", "#bc4c00", "#cf222e", "#8250df", "#1b7c83", "#bf3989", "#57606a", "#7d4e00"];

/// A place on the picture.
#[derive(Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// The picture, as SVG.
pub fn drawn(panels: &[Panel]) -> String {
    let bottom = panels.iter().map(area).map(|area| area.y + area.height).fold(0.0, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"system-ui, sans-serif\" font-size=\"11\" \
         role=\"img\" aria-labelledby=\"title\">\n<title id=\"title\">The dashboard over half an hour.</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#f6f8fa\"/>\n",
        24.0 * CELL.0 + GAP,
        bottom + GAP,
    );
    for panel in panels {
        let at = area(panel);
        let title = escaped(panel.definition["title"].as_str().unwrap());
        if panel.definition["type"] == "row" {
            text(&mut svg, at.x + 4.0, at.y + 18.0, "font-size=\"14\" font-weight=\"600\"", &title);
            continue;
        }
        let Area { x, y, width, height } = at;
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"#fff\" stroke=\"#d0d7de\"/>"
        )
        .unwrap();
        text(&mut svg, x + 8.0, y + 16.0, "font-weight=\"600\"", &title);
        let unit = panel.definition["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        if panel.definition["type"] == "stat" {
            let last = panel.answers.iter().flat_map(|(_, series)| series).find_map(|series| series.values.last());
            let shown = last.map_or_else(|| "no data".to_owned(), |(_, value)| worded(*value, unit));
            let middle = format!("font-size=\"32\" text-anchor=\"middle\" fill=\"{}\"", COLOURS[0]);
            text(&mut svg, x + width / 2.0, y + height / 2.0 + 20.0, &middle, &shown);
        } else {
            graph(&mut svg, panel, at, unit);
        }
    }
    svg + "</svg>\n"
}

fn area(panel: &Panel) -> Area {
    let of = |field: &str| panel.definition["gridPos"][field].as_f64().unwrap();
    Area {
        x: of("x") * CELL.0 + GAP,
        y: of("y") * CELL.1 + GAP,
        width: of("w") * CELL.0 - GAP,
        height: of("h") * CELL.1 - GAP,
    }
}

/// Lines over time, with the axes and a legend below.
fn graph(svg: &mut String, panel: &Panel, Area { x, y, width, height }: Area, unit: &str) {
    let lines: Vec<(String, &Series)> = panel
        .answers
        .iter()
        .flat_map(|(legend, series)| series.iter().map(|series| (named(legend, series), series)))
        .filter(|(_, series)| !series.values.is_empty())
        .collect();
    let points = || lines.iter().flat_map(|(_, series)| &series.values);
    let (begin, end) =
        points().fold((f64::MAX, f64::MIN), |(begin, end), (time, _)| (begin.min(*time), end.max(*time)));
    let most = points().map(|(_, value)| *value).fold(0.0, f64::max);
    let top = if most > 0.0 { most * 1.1 } else { 1.0 };
    let (left, plot_width) = (x + 66.0, width - 78.0);
    let rows = legend(svg, &lines, Area { x: x + 8.0, y: y + height, width: width - 16.0, height });
    let (upper, plot_height) = (y + 26.0, height - 46.0 - 14.0 * rows);
    for quarter in 0..=2 {
        let part = f64::from(quarter) / 2.0;
        let line = upper + plot_height * (1.0 - part);
        writeln!(svg, "<path d=\"M{left} {line:.1}h{plot_width}\" stroke=\"#eaeef2\"/>").unwrap();
        text(
            svg,
            left - 4.0,
            line + 4.0,
            "text-anchor=\"end\" fill=\"#57606a\" font-size=\"10\"",
            &worded(top * part, unit),
        );
    }
    for minutes in [0.0, 10.0, 20.0] {
        let at = left + plot_width * minutes * 60.0 / (end - begin).max(60.0);
        let label = format!("+{minutes} min");
        text(svg, at, upper + plot_height + 13.0, "fill=\"#57606a\" font-size=\"10\"", &label);
    }
    for (number, (_, series)) in lines.iter().enumerate() {
        let place = |(time, value): &(f64, f64)| {
            let across = (time - begin) / (end - begin).max(1.0);
            format!("{:.1},{:.1}", left + plot_width * across, upper + plot_height * (1.0 - value / top))
        };
        let places: Vec<String> = series.values.iter().map(place).collect();
        let colour = COLOURS[number % COLOURS.len()];
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
            places.join(" ")
        )
        .unwrap();
    }
}

/// The names of lines with their colours, from the bottom of an area upwards; gives the number of rows.
fn legend(svg: &mut String, lines: &[(String, &Series)], area: Area) -> f64 {
    let mut rows: Vec<Vec<(usize, &str, f64)>> = vec![Vec::new()];
    let mut across = 0.0;
    for (number, (name, _)) in lines.iter().enumerate() {
        let width = 20.0 + 5.6 * f64::from(u32::try_from(name.chars().count()).unwrap());
        if across > 0.0 && across + width > area.width {
            rows.push(Vec::new());
            across = 0.0;
        }
        rows.last_mut().unwrap().push((number, name, across));
        across += width;
    }
    let count = f64::from(u32::try_from(rows.len()).unwrap());
    let mut line = area.y - 14.0 * count + 8.0;
    for row in rows {
        for (number, name, across) in row {
            let (x, colour) = (area.x + across, COLOURS[number % COLOURS.len()]);
            writeln!(svg, "<path d=\"M{x:.0} {:.1}h10\" stroke=\"{colour}\" stroke-width=\"3\"/>", line - 4.0).unwrap();
            text(svg, x + 13.0, line, "fill=\"#24292f\" font-size=\"10\"", &escaped(name));
        }
        line += 14.0;
    }
    count
}

/// The legend of a series: the labels that its format names.
fn named(format: &str, series: &Series) -> String {
    series
        .labels
        .iter()
        .fold(format.to_owned(), |text, (label, value)| text.replace(&format!("{{{{{label}}}}}"), value))
}

/// A value with its unit, as Grafana words it.
fn worded(value: f64, unit: &str) -> String {
    let number = |value: f64| {
        let digits = if value.abs() >= 100.0 || value.fract() == 0.0 {
            0
        } else if value.abs() >= 1.0 {
            1
        } else {
            3
        };
        format!("{value:.digits$}")
    };
    match unit {
        "s" if value >= 3_600.0 => format!("{} h", number(value / 3_600.0)),
        "s" if value >= 60.0 => format!("{} min", number(value / 60.0)),
        "s" if value > 0.0 && value < 1.0 => format!("{} ms", number(value * 1_000.0)),
        "s" => format!("{} s", number(value)),
        "reqps" => format!("{} req/s", number(value)),
        "ops" => format!("{} ops/s", number(value)),
        "wps" => format!("{} wr/s", number(value)),
        _ => number(value),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, text: &str) {
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>").unwrap();
}
