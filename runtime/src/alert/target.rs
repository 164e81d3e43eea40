//! Sinks with their addresses and secrets, which come from the environment and from files.

use super::blot;
use crate::client::{Client, Url};
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
    /// Of one that is elsewhere.
    pub(crate) url: Option<Url>,
    pub(crate) secret: Option<Secret>,
}

impl Target {
    pub(crate) fn is_remote(&self) -> bool {
        self.url.is_some()
    }

    /// A text from elsewhere without what is secret here.
    pub(crate) fn blotted(&self, text: &str) -> String {
        blot::blotted(text, self.at.reveal(), self.secret.as_ref().map(Secret::reveal))
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
    pub(crate) client: Client,
}

/// What is wrong with a sink, and where it is in the script; None: the script doesn't name it.
#[derive(Clone, Debug)]
pub struct TargetError {
    pub place: Option<Place>,
    pub text: String,
}

impl AlertTargets {
    /// Reads what the sinks need. `more`: sinks of each alert beside its own. `trusted`: a PEM file of more certificates to trust.
    /// `environment` answers for variables.
    pub fn resolve(
        script: &str,
        (alerts, more): (&[AlertSpec], &[SinkSpec]),
        trusted: Option<&str>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, TargetError> {
        let mut made = Self { script: script.to_owned(), ..Self::default() };
        let mut trusts = false;
        let mut known: HashMap<_, usize> = HashMap::new();
        for alert in alerts {
            let mut of = Vec::new();
            let own = alert.sinks.iter().map(|sink| (sink, Some(sink.place)));
            for (sink, place) in own.chain(more.iter().map(|sink| (sink, None))) {
                let key = (sink.kind, &sink.at, &sink.secret);
                let at = if let Some(at) = known.get(&key) {
                    *at
                } else {
                    let kind = sink.kind.name();
                    let wrong = |text: String| TargetError {
                        place,
                        text: match place {
                            Some(_) => format!("alert \"{}\": {kind}: {text}", alert.name),
                            None => format!("{kind}: {text}"),
                        },
                    };
                    let target = target(sink, environment).map_err(wrong)?;
                    // Who sends to no https address needs no certificates, and may have any file named for others.
                    if target.url.as_ref().is_some_and(Url::is_encrypted) && !std::mem::replace(&mut trusts, true) {
                        let why = |why| wrong(format!("certificates to trust (--ca-file, SSL_CERT_FILE): {why}"));
                        made.client = Client::new(trusted).map_err(why)?;
                    }
                    made.targets.push(target);
                    known.insert(key, made.targets.len() - 1);
                    made.targets.len() - 1
                };
                // One that is named twice is told once.
                if !of.contains(&at) {
                    of.push(at);
                }
            }
            made.of.push(of);
        }
        Ok(made)
    }

    /// The sinks of an alert that are elsewhere, as messages name them.
    pub fn elsewhere(&self, alert: usize) -> impl Iterator<Item = &str> {
        let of = self.of.get(alert).map_or(&[][..], Vec::as_slice);
        let targets = of.iter().filter_map(|&at| self.targets.get(at));
        targets.filter(|target| target.kind != SinkKind::Stderr).map(|target| target.name.as_str())
    }

    /// Only lines beside the output: whatever the script says.
    pub fn only_stderr(script: &str, alerts: &[AlertSpec]) -> Self {
        let (kind, name) = (SinkKind::Stderr, "stderr".into());
        let target = Target { kind, name, at: Secret(String::new()), url: None, secret: None };
        Self {
            targets: vec![target],
            of: alerts.iter().map(|_| vec![0]).collect(),
            script: script.to_owned(),
            client: Client::default(),
        }
    }
}

/// A value from where it is, in one line.
fn read(from: &ValueFrom, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (text, whose) = match from {
        ValueFrom::Script(text) => return Ok(text.clone()),
        ValueFrom::Env(name) => {
            let text = environment(name).unwrap_or_default();
            if text.trim().is_empty() {
                return Err(format!("the environment variable {name} isn't set"));
            }
            (text.trim().to_owned(), format!("the environment variable {name}"))
        }
        ValueFrom::File(path) => {
            let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
            match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
                Some(line) => (line.to_owned(), format!("{path}: its first line")),
                None => return Err(format!("{path}: its first line is empty")),
            }
        }
    };
    // It goes into a request's head, where a line's end would begin another header.
    match text.chars().find(|c| c.is_control()) {
        Some(c) => {
            Err(format!("{whose} has a control character ({}): it is one line of plain text", c.escape_default()))
        }
        None => Ok(text),
    }
}

fn target(sink: &SinkSpec, environment: &dyn Fn(&str) -> Option<String>) -> Result<Target, String> {
    let read = |from: &ValueFrom| read(from, environment);
    let kind = sink.kind.name();
    let at = sink.at.as_ref().map(read).transpose()?.unwrap_or_default();
    let secret = sink.secret.as_ref().map(read).transpose()?.map(Secret);
    let mut name = match &sink.at {
        None => kind.to_owned(),
        Some(ValueFrom::Env(variable)) => format!("{kind} (of {variable})"),
        Some(ValueFrom::File(path)) => format!("{kind} (of {path})"),
        Some(ValueFrom::Script(path)) => format!("{kind} {path}"),
    };
    let url = match sink.kind {
        SinkKind::Stderr | SinkKind::File => None,
        _ => Some(Url::parse(&at).map_err(|why| match &sink.at {
            Some(ValueFrom::Script(_)) => why,
            // What it is isn't shown.
            _ => "this is no address: https://HOST/PATH".to_owned(),
        })?),
    };
    if let Some(url) = &url {
        if sink.kind.has_secret_address() && !url.is_private() {
            return Err("its address is a secret, which goes over https only, or to this machine".to_owned());
        }
        if secret.is_some() && !url.is_private() {
            return Err("a secret goes over https only, or to this machine".to_owned());
        }
        if matches!(sink.at, Some(ValueFrom::Script(_))) {
            name = format!("{kind} {}", url.origin());
        }
    }
    Ok(Target { kind: sink.kind, name, at: Secret(at), url, secret })
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
