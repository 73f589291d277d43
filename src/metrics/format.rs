//! Which of two text formats a scraper gets: `OpenMetrics`, or the older one of Prometheus for those that ask for nothing else.

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Text,
}

impl Format {
    /// The format that an `Accept` header prefers; `OpenMetrics` where it does not care.
    #[must_use]
    pub fn preferred(accept: &str) -> Self {
        let text = quality(accept, "text", "plain", &["0.0.4"]);
        let open = quality(accept, "application", "openmetrics-text", &["1.0.0", "0.0.1"]);
        if text > open { Self::Text } else { Self::OpenMetrics }
    }

    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// An exposition in `OpenMetrics`, in this format.
    #[must_use]
    pub fn of(self, exposition: String) -> String {
        match self {
            Self::OpenMetrics => exposition,
            Self::Text => text(&exposition),
        }
    }
}

/// How much a media type is wanted, in thousandths: what the most exact of the ranges says that it falls under. A range of a
/// version that we do not speak does not count.
fn quality(accept: &str, kind: &str, subtype: &str, versions: &[&str]) -> u16 {
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let (range_kind, range_subtype) = parts.next()?.split_once('/')?;
        let exactness = match (range_kind, range_subtype) {
            ("*", "*") => 0,
            (range_kind, "*") if range_kind.eq_ignore_ascii_case(kind) => 1,
            (range_kind, range_subtype)
                if range_kind.eq_ignore_ascii_case(kind) && range_subtype.eq_ignore_ascii_case(subtype) =>
            {
                2
            }
            _ => return None,
        };
        let parameters: Vec<_> = parts.filter_map(|parameter| parameter.split_once('=')).collect();
        let value =
            |name: &str| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        if value("version").is_some_and(|version| !versions.contains(&version)) {
            return None;
        }
        Some((exactness, value("q").map_or(1000, thousandths)))
    });
    ranges.max().map_or(0, |(_, quality)| quality)
}

/// A number from 0 to 1 with up to three digits behind the point; 0 for whatever else.
fn thousandths(text: &str) -> u16 {
    let (whole, behind) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{behind:0<3}");
    digits.parse().ok().filter(|number| *number <= 1000 && behind.len() <= 3).unwrap_or_default()
}

/// The same in the text format: there the samples of a family have its name, and neither an info nor an end is known.
fn text(exposition: &str) -> String {
    let mut renamed = Vec::new();
    for line in exposition.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ")
            && let Some((name, kind)) = typed.rsplit_once(' ')
        {
            match kind {
                "counter" => renamed.push((name, format!("{name}_total"), "counter")),
                "info" => renamed.push((name, format!("{name}_info"), "gauge")),
                _ => {}
            }
        }
    }
    let mut text = String::with_capacity(exposition.len());
    for line in exposition.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        let family = match (words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name)) => {
                renamed.iter().find(|(before, _, _)| *before == name).map(|found| (what, found))
            }
            _ => None,
        };
        match family {
            Some(("TYPE", (_, name, kind))) => text.extend(["# TYPE ", name, " ", kind]),
            Some((what, (_, name, _))) => text.extend(["# ", what, " ", name, " ", words.next().unwrap_or_default()]),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Prometheus 3 sends, without the media types that we do not speak.
    const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
        text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

    #[test]
    fn the_format_is_the_one_that_is_preferred() {
        let table = [
            ("", Format::OpenMetrics),
            ("*/*", Format::OpenMetrics),
            (PROMETHEUS, Format::OpenMetrics),
            ("application/openmetrics-text; version=1.0.0", Format::OpenMetrics),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::OpenMetrics),
            ("text/plain", Format::Text),
            ("text/*", Format::Text),
            ("Text/Plain; version=0.0.4; charset=utf-8", Format::Text),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Text),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.25", Format::Text),
            ("application/openmetrics-text;q=0,*/*", Format::Text),
            // Versions that we do not speak.
            ("text/plain;version=1.0.0", Format::OpenMetrics),
            ("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.1", Format::Text),
            // Nonsense.
            ("text/plain;q=many", Format::OpenMetrics),
            (";;,,/,text", Format::OpenMetrics),
        ];
        for (accept, format) in table {
            assert_eq!(Format::preferred(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_text_format_names_families_as_their_samples() {
        let open = "# HELP a_b Counted.\n# TYPE a_b counter\na_b_total{c=\"d\"} 1\n# HELP build The version.\n# TYPE build info\n\
            build_info{version=\"1\"} 1\n# HELP wait Waited.\n# TYPE wait histogram\nwait_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let text = "# HELP a_b_total Counted.\n# TYPE a_b_total counter\na_b_total{c=\"d\"} 1\n# HELP build_info The version.\n\
            # TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n# HELP wait Waited.\n# TYPE wait histogram\n\
            wait_bucket{le=\"+Inf\"} 2\n";
        assert_eq!(Format::Text.of(open.to_owned()), text);
        assert_eq!(Format::OpenMetrics.of(open.to_owned()), open);
    }
}
