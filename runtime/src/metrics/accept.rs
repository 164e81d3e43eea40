//! Which form of the answer is wanted, by what the request's `Accept` says.

/// A form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    OpenMetrics,
    /// Prometheus' own messages, in which histograms are native too.
    Protobuf,
}

impl Form {
    pub(super) fn media(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// Of those that are wanted most the first; text for who wants nothing that there is.
    pub(super) fn of(accept: &str) -> Self {
        let mut best = (Self::Text, 0);
        for range in accept.split(',') {
            let Some((form, quality)) = wanted(range) else { continue };
            if quality > best.1 {
                best = (form, quality);
            }
        }
        best.0
    }
}

/// One of its parts: the form, and how much it is wanted in thousandths. None: there is no such form.
fn wanted(range: &str) -> Option<(Form, u32)> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    let parameters: Vec<(&str, &str)> =
        parts.filter_map(|part| part.split_once('=')).map(|(name, value)| (name.trim(), value.trim())).collect();
    let of = |name: &str| {
        let found = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(found.1.trim_matches('"'))
    };
    let form = match media.as_str() {
        "application/vnd.google.protobuf"
            if of("proto").is_none_or(|name| name == "io.prometheus.client.MetricFamily")
                && of("encoding").is_none_or(|encoding| encoding == "delimited") =>
        {
            Form::Protobuf
        }
        "application/openmetrics-text" if of("version").is_none_or(|v| matches!(v, "1.0.0" | "0.0.1")) => {
            Form::OpenMetrics
        }
        "text/plain" | "text/*" | "*/*" => Form::Text,
        _ => return None,
    };
    let quality = of("q").map_or(Some(1.0), |q| q.parse::<f64>().ok())?;
    Some((form, (quality.clamp(0.0, 1.0) * 1000.0) as u32))
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn what_is_wanted_most() {
        // Prometheus 2.42, with and without native histograms; 3.
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let text = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!((Form::of(protobuf), Form::of(text)), (Form::Protobuf, Form::OpenMetrics));
        let three = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/vnd.google.protobuf;proto=\"io.prometheus.client.MetricFamily\";encoding=delimited;q=0.4";
        assert_eq!(Form::of(three), Form::OpenMetrics);
        for plain in ["", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json", "text/plain"] {
            assert_eq!(Form::of(plain), Form::Text, "{plain}");
        }
        // Forms that there are not, or that are not wanted.
        for other in [
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
            "application/vnd.google.protobuf;proto=other",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0,text/plain;q=0.1",
            "application/openmetrics-text;q=nonsense",
        ] {
            assert_eq!(Form::of(other), Form::Text, "{other}");
        }
    }
}
