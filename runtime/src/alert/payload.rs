//! What is sent to each kind of sink, within the limits that it documents.

use super::{
    engine::State,
    notice::{Notice, cut},
    target::Target,
};
use crate::{join::show::json::rfc3339, json::write_string, text::push};
use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use weftrace_artifact::alert::SinkKind;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) method: &'static str,
    /// Behind the address's own path.
    pub(super) path: String,
    pub(super) content: &'static str,
    pub(super) body: Vec<u8>,
    /// How many notices it has.
    pub(super) count: u64,
}

impl Post {
    fn json(body: Vec<u8>, count: usize) -> Self {
        Self {
            method: "POST",
            path: String::new(),
            content: "application/json; charset=utf-8",
            body,
            count: count as u64,
        }
    }
}

/// So many requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) count: usize,
    pub(super) within: Duration,
}

/// What a chat takes: bytes of text, and requests.
pub(super) fn limits(kind: SinkKind) -> (usize, Option<Rate>) {
    let rate = |count, seconds| Some(Rate { count, within: Duration::from_secs(seconds) });
    match kind {
        // Longer text is cut by Slack from 40,000 characters on, and hard to read long before; a message a second.
        SinkKind::Slack => (4000, rate(1, 1)),
        // `content` at most 2048 bytes, 20 messages a minute.
        SinkKind::WeCom => (2048, rate(20, 60)),
        // A message of at most 20,000 bytes: twice as much as this becomes where all of it is escaped; 20 messages a minute.
        SinkKind::DingTalk => (8000, rate(20, 60)),
        _ => (usize::MAX, None),
    }
}

/// Notices of one request to a program.
const AT_ONCE: usize = 64;

/// The requests for some notices.
pub(super) fn posts(target: &Target, script: &str, notices: &[Notice]) -> Vec<Post> {
    let most = limits(target.kind).0;
    let chat = |escape: fn(&str) -> String, body: fn(&str) -> Vec<u8>| {
        texts(notices, most, escape).into_iter().map(|(text, count)| Post::json(body(&text), count)).collect()
    };
    match target.kind {
        SinkKind::Stderr | SinkKind::File | SinkKind::Alertmanager | SinkKind::Pushgateway => Vec::new(),
        SinkKind::Webhook => {
            notices.chunks(AT_ONCE).map(|part| Post::json(webhook(script, part), part.len())).collect()
        }
        SinkKind::Slack => chat(slack_text, slack),
        SinkKind::WeCom => chat(chat_text, wecom),
        SinkKind::DingTalk => chat(chat_text, dingtalk),
    }
}

/// Notices as lines, as many in one text as fit.
fn texts(notices: &[Notice], most: usize, escape: fn(&str) -> String) -> Vec<(String, usize)> {
    let mut all: Vec<(String, usize)> = Vec::new();
    for notice in notices {
        let mut line = escape(&notice.line());
        if line.len() > most {
            // An escape that is cut in two would not be one any more.
            let mut room = most;
            while line.len() > most && room > 0 {
                room = room.saturating_sub(line.len() - most + 8);
                line = escape(&cut(&notice.line(), room));
            }
        }
        match all.last_mut() {
            Some((text, count)) if text.len() + 1 + line.len() <= most => {
                text.push('\n');
                text.push_str(&line);
                *count += 1;
            }
            _ => all.push((line, 1)),
        }
    }
    all
}

/// Nothing in it is a mention or a link of Slack's.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `<@…>` mentions somebody.
fn chat_text(text: &str) -> String {
    text.replace("<@", "< @")
}

fn webhook(script: &str, notices: &[Notice]) -> Vec<u8> {
    let mut out = b"{\"schema\": 1, \"script\": ".to_vec();
    write_string(&mut out, script.as_bytes());
    push(&mut out, ", \"alerts\": [");
    for (n, notice) in notices.iter().enumerate() {
        push(&mut out, if n > 0 { ", " } else { "" });
        out.extend(notice.json());
    }
    push(&mut out, "]}");
    out
}

fn slack(text: &str) -> Vec<u8> {
    let mut out = b"{\"text\": ".to_vec();
    write_string(&mut out, text.as_bytes());
    push(&mut out, ", \"mrkdwn\": false, \"link_names\": false, \"unfurl_links\": false}");
    out
}

fn wecom(text: &str) -> Vec<u8> {
    let mut out = b"{\"msgtype\": \"text\", \"text\": {\"content\": ".to_vec();
    write_string(&mut out, text.as_bytes());
    push(&mut out, "}}");
    out
}

fn dingtalk(text: &str) -> Vec<u8> {
    let mut out = wecom(text);
    out.pop();
    push(&mut out, ", \"at\": {\"isAtAll\": false}}");
    out
}

/// What is added to the address of a robot that wants its requests signed: the time in ms, and its HMAC by the robot's key.
pub(super) fn dingtalk_signature(key: &str, now: SystemTime) -> String {
    let ms = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(format!("{ms}\n{key}").as_bytes());
    let sign = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let sign = sign.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("timestamp={ms}&sign={sign}")
}

/// How long Alertmanager takes an alert for true that is not sent again.
const ALERTMANAGER_HOLDS: Duration = Duration::from_mins(4);

/// Alertmanager's list: of those that fire again and again, until they resolve. `now`: CLOCK_REALTIME ns.
pub(super) fn alertmanager(script: &str, notices: &[&Notice], now: u64) -> Post {
    let mut out = b"[".to_vec();
    for (n, notice) in notices.iter().enumerate() {
        push(&mut out, if n > 0 { ", " } else { "" });
        push(&mut out, "{\"labels\": {\"alertname\": ");
        write_string(&mut out, notice.name.as_bytes());
        for (name, value) in &notice.labels {
            push(&mut out, ", ");
            write_string(&mut out, name.as_bytes());
            push(&mut out, ": ");
            write_string(&mut out, value.as_bytes());
        }
        push(&mut out, "}, \"annotations\": {\"summary\": ");
        write_string(&mut out, notice.message.as_bytes());
        // One that blocks tell has none.
        if !notice.condition.is_empty() {
            push(&mut out, ", \"condition\": ");
            write_string(&mut out, notice.condition.as_bytes());
        }
        push(&mut out, ", \"script\": ");
        write_string(&mut out, script.as_bytes());
        if let Some((json, _)) = &notice.record {
            push(&mut out, ", \"record\": ");
            write_string(&mut out, json.as_bytes());
        }
        let end = if notice.state == State::Resolved { now } else { now + ALERTMANAGER_HOLDS.as_nanos() as u64 };
        let since = rfc3339(notice.since.min(end));
        let _ = write!(out, "}}, \"startsAt\": \"{since}\", \"endsAt\": \"{}\"}}", rfc3339(end));
    }
    push(&mut out, "]");
    Post { path: "/api/v2/alerts".into(), ..Post::json(out, notices.len()) }
}

/// A name that is no plain word, in Pushgateway's path.
fn path_label(name: &str, value: &str) -> String {
    format!("/{name}@base64/{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value))
}

/// Where this run's metrics are kept.
pub(super) fn push_group(script: &str, host: &str) -> String {
    format!(
        "/metrics/job/weftrace{}{}",
        path_label("script", if script.is_empty() { "-" } else { script }),
        path_label("instance", &format!("{host}:{}", std::process::id()))
    )
}

/// A gauge for each group that was told: 1 while it fires.
pub(super) fn pushgateway(group: &str, notices: &[&Notice]) -> Post {
    let mut text = String::from(
        "# HELP weftrace_alert_firing Whether a group of an alert fires.\n# TYPE weftrace_alert_firing gauge\n",
    );
    for notice in notices {
        let mut labels = vec![format!("alertname=\"{}\"", label_value(&notice.name))];
        labels.extend(
            notice.labels.iter().map(|(name, value)| format!("{}=\"{}\"", push_name(name, notice), label_value(value))),
        );
        let firing = u8::from(notice.state != State::Resolved);
        text.extend([format!("weftrace_alert_firing{{{}}} {firing}\n", labels.join(","))]);
    }
    Post {
        method: "PUT",
        path: group.to_owned(),
        content: "text/plain; version=0.0.4; charset=utf-8",
        body: text.into_bytes(),
        count: notices.len() as u64,
    }
}

/// Labels of the group have their meaning in its address. As Prometheus does, until no other label has the name.
fn push_name(name: &str, notice: &Notice) -> String {
    let mut made = name.to_owned();
    if matches!(name, "job" | "instance" | "script") {
        made = format!("exported_{made}");
        while notice.labels.iter().any(|(other, _)| *other == made) {
            made = format!("exported_{made}");
        }
    }
    made
}

/// A label's value in Prometheus' text.
pub(crate) fn label_value(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
