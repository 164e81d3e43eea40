//! Sinks with their addresses and secrets, which come from the environment and from files.

use std::{collections::HashMap, fmt, fs};
use weftrace_artifact::{
    Place,
    alert::{AlertSpec, SinkKind, SinkSpec, ValueFrom},
};

/// Something that is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// One sink, ready to be used.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: SinkKind,
    /// As messages name it: without what is secret.
    pub(crate) name: String,
    /// A path or an address.
    pub(crate) at: Secret,
    pub(crate) secret: Option<Secret>,
}

impl Target {
    pub(crate) fn is_remote(&self) -> bool {
        !matches!(self.kind, SinkKind::Stderr | SinkKind::File)
    }
}

/// Where a script's alerts go.
#[derive(Clone, Debug, Default)]
pub struct AlertTargets {
    pub(crate) targets: Vec<Target>,
    /// By alert: which of them.
    pub(crate) of: Vec<Vec<usize>>,
    /// What made the script, as sinks show it.
    pub(crate) script: String,
    /// More certificates to trust: a PEM file.
    pub(crate) trusted: Option<String>,
}

/// What is wrong with a sink, and where it is in the script.
#[derive(Clone, Debug)]
pub struct TargetError {
    pub place: Place,
    pub text: String,
}

impl AlertTargets {
    /// Reads what the sinks need. `environment` answers for variables.
    pub fn resolve(
        script: &str,
        alerts: &[AlertSpec],
        trusted: Option<String>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, TargetError> {
        let mut made = Self { script: script.to_owned(), trusted, ..Self::default() };
        let mut known: HashMap<_, usize> = HashMap::new();
        for alert in alerts {
            let mut of = Vec::new();
            for sink in &alert.sinks {
                let key = (sink.kind, &sink.at, &sink.secret);
                let at = if let Some(at) = known.get(&key) {
                    *at
                } else {
                    let target = target(sink, environment).map_err(|text| TargetError {
                        place: sink.place,
                        text: format!("alert \"{}\": {}: {text}", alert.name, sink.kind.name()),
                    })?;
                    made.targets.push(target);
                    known.insert(key, made.targets.len() - 1);
                    made.targets.len() - 1
                };
                of.push(at);
            }
            made.of.push(of);
        }
        Ok(made)
    }

    /// Only lines beside the output: whatever the script says.
    pub fn only_stderr(script: &str, alerts: &[AlertSpec]) -> Self {
        let target = Target { kind: SinkKind::Stderr, name: "stderr".into(), at: Secret(String::new()), secret: None };
        Self {
            targets: vec![target],
            of: alerts.iter().map(|_| vec![0]).collect(),
            script: script.to_owned(),
            trusted: None,
        }
    }
}

fn target(sink: &SinkSpec, environment: &dyn Fn(&str) -> Option<String>) -> Result<Target, String> {
    let read = |from: &ValueFrom| match from {
        ValueFrom::Script(text) => Ok(text.clone()),
        ValueFrom::Env(name) => match environment(name).filter(|text| !text.trim().is_empty()) {
            Some(text) => Ok(text.trim().to_owned()),
            None => Err(format!("the environment variable {name} isn't set")),
        },
        ValueFrom::File(path) => {
            let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
            match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
                Some(line) => Ok(line.to_owned()),
                None => Err(format!("{path}: its first line is empty")),
            }
        }
    };
    let kind = sink.kind.name();
    let at = sink.at.as_ref().map(read).transpose()?.unwrap_or_default();
    let secret = sink.secret.as_ref().map(read).transpose()?.map(Secret);
    let mut name = match &sink.at {
        None => kind.to_owned(),
        Some(ValueFrom::Env(variable)) => format!("{kind} (of {variable})"),
        Some(ValueFrom::File(path)) => format!("{kind} (of {path})"),
        Some(ValueFrom::Script(path)) => format!("{kind} {path}"),
    };
    if !matches!(sink.kind, SinkKind::Stderr | SinkKind::File) {
        let url = crate::client::Url::parse(&at).map_err(|why| match &sink.at {
            Some(ValueFrom::Script(_)) => why,
            // What it is isn't shown.
            _ => "this is no address: https://HOST/PATH".to_owned(),
        })?;
        if secret.is_some() && !url.is_private() {
            return Err("a secret goes over https only, or to this machine".to_owned());
        }
        if matches!(sink.at, Some(ValueFrom::Script(_))) {
            name = format!("{kind} {}", url.origin());
        }
    }
    Ok(Target { kind: sink.kind, name, at: Secret(at), secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: SinkKind, at: ValueFrom, secret: Option<ValueFrom>) -> AlertSpec {
        AlertSpec {
            name: "a".into(),
            condition: String::new(),
            group: Vec::new(),
            labels: Vec::new(),
            for_ns: 0,
            every_ns: None,
            on_events: false,
            sinks: vec![SinkSpec { kind, at: Some(at), secret, place: Place::default() }],
            place: Place::default(),
        }
    }

    fn env(name: &str) -> Option<String> {
        (name == "HOOK").then(|| "http://h.example/s/TOPSECRET\n".to_owned())
    }

    #[test]
    fn secrets_are_not_shown() {
        let alerts = [
            alert(SinkKind::Slack, ValueFrom::Env("HOOK".into()), None),
            alert(SinkKind::Slack, ValueFrom::Env("HOOK".into()), None),
        ];
        let made = AlertTargets::resolve("s", &alerts, None, &env).expect("resolved");
        assert_eq!((made.targets.len(), &made.of), (1, &vec![vec![0], vec![0]]));
        assert_eq!(made.targets[0].at.reveal(), "http://h.example/s/TOPSECRET");
        assert!(!format!("{made:?}").contains("TOPSECRET"));
        assert_eq!(made.targets[0].name, "slack (of HOOK)");
    }

    #[test]
    fn what_is_missing_is_told() {
        let why = |alert: AlertSpec| AlertTargets::resolve("s", &[alert], None, &env).expect_err("refused").text;
        let other = why(alert(SinkKind::Slack, ValueFrom::Env("OTHER".into()), None));
        assert_eq!(other, "alert \"a\": slack: the environment variable OTHER isn't set");
        let file = why(alert(SinkKind::Slack, ValueFrom::File("/nowhere/x".into()), None));
        assert!(file.contains("/nowhere/x: No such file"), "{file}");
        let token = Some(ValueFrom::Env("HOOK".into()));
        let plain = why(alert(SinkKind::Webhook, ValueFrom::Script("http://h.example/".into()), token.clone()));
        assert!(plain.contains("https only"), "{plain}");
        let near = alert(SinkKind::Webhook, ValueFrom::Script("http://127.0.0.1:1/".into()), token);
        assert!(AlertTargets::resolve("s", &[near], None, &env).is_ok());
    }
}
