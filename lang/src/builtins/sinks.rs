//! Where alerts go: one row for each kind of sink.

/// What stands in a sink's brackets without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Nothing,
    Path,
    /// An address that may stand in the script.
    Url,
    /// An address that lets whoever knows it write: never in a script. By default it is in this environment variable.
    SecretUrl(&'static str),
}

/// What else a sink may need to know, which is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    None,
    /// `token_env=`, `token_file=`: `Authorization: Bearer …`
    Token,
    /// `key_env=`, `key_file=`: requests are signed by it.
    Key,
}

impl Secret {
    /// The options that name it: of the environment, of a file.
    pub fn options(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::None => None,
            Self::Token => Some(("token_env", "token_file")),
            Self::Key => Some(("key_env", "key_file")),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    pub at: At,
    pub secret: Secret,
    pub signature: &'static str,
    pub doc: &'static str,
}

/// All sinks.
pub static SINKS: &[Row] = &[
    Row {
        name: "stderr",
        at: At::Nothing,
        secret: Secret::None,
        signature: "stderr",
        doc: "A line beside the output; with `-f json` an `alert` object in it.",
    },
    Row {
        name: "file",
        at: At::Path,
        secret: Secret::None,
        signature: "file(\"PATH\")",
        doc: "One JSON object a line, appended.",
    },
    Row {
        name: "webhook",
        at: At::Url,
        secret: Secret::Token,
        signature: "webhook(\"URL\", token_env=\"NAME\")",
        doc: "The same object, posted.",
    },
    Row {
        name: "slack",
        at: At::SecretUrl("WEFTRACE_SLACK_WEBHOOK"),
        secret: Secret::None,
        signature: "slack(env=\"NAME\")",
        doc: "An incoming webhook of Slack.",
    },
    Row {
        name: "wecom",
        at: At::SecretUrl("WEFTRACE_WECOM_WEBHOOK"),
        secret: Secret::None,
        signature: "wecom(env=\"NAME\")",
        doc: "A group robot of WeCom.",
    },
    Row {
        name: "dingtalk",
        at: At::SecretUrl("WEFTRACE_DINGTALK_WEBHOOK"),
        secret: Secret::Key,
        signature: "dingtalk(env=\"NAME\", key_env=\"NAME\")",
        doc: "A custom robot of DingTalk, signed if there is a key.",
    },
    Row {
        name: "alertmanager",
        at: At::Url,
        secret: Secret::Token,
        signature: "alertmanager(\"http://127.0.0.1:9093\")",
        doc: "Prometheus Alertmanager (API v2).",
    },
    Row {
        name: "pushgateway",
        at: At::Url,
        secret: Secret::Token,
        signature: "pushgateway(\"http://127.0.0.1:9091\")",
        doc: "Prometheus Pushgateway, as a gauge for each group; the run's group is deleted at its end.",
    },
];

/// The row of a name.
pub fn find(name: &str) -> Option<&'static Row> {
    SINKS.iter().find(|row| row.name == name)
}
