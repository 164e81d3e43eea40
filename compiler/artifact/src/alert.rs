//! Alerts as data. Their conditions are asked by blocks of their own, which tell what they find by
//! [`crate::action::ActionKind::Alert`].

use crate::Place;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AlertSpec {
    pub name: String,
    /// The condition as it was written.
    pub condition: String,
    /// Names of the keys that it is grouped by, in the order of the action's arguments.
    pub group: Vec<String>,
    pub labels: Vec<(String, String)>,
    /// ns of event time that the condition must hold.
    pub for_ns: u64,
    /// How often it is told again while it goes on; None: once.
    pub every_ns: Option<u64>,
    /// Asked at events, which say nothing once they are over; otherwise by time.
    pub on_events: bool,
    pub sinks: Vec<SinkSpec>,
    pub place: Place,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SinkSpec {
    pub kind: SinkKind,
    /// A path, or an address.
    pub at: Option<ValueFrom>,
    /// A token, or a key to sign with.
    pub secret: Option<ValueFrom>,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SinkKind {
    Stderr,
    File,
    Webhook,
    Slack,
    WeCom,
    DingTalk,
    Alertmanager,
    Pushgateway,
}

impl SinkKind {
    /// By the name that scripts have for it.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Stderr,
            Self::File,
            Self::Webhook,
            Self::Slack,
            Self::WeCom,
            Self::DingTalk,
            Self::Alertmanager,
            Self::Pushgateway,
        ];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// Whoever knows the address of one can write there.
    pub fn has_secret_address(self) -> bool {
        matches!(self, Self::Slack | Self::WeCom | Self::DingTalk)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::File => "file",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::WeCom => "wecom",
            Self::DingTalk => "dingtalk",
            Self::Alertmanager => "alertmanager",
            Self::Pushgateway => "pushgateway",
        }
    }
}

/// Where a text comes from: secrets never stand in an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ValueFrom {
    Script(String),
    /// An environment variable.
    Env(String),
    /// The first line of a file.
    File(String),
}
