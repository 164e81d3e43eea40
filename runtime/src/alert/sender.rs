//! Sends to one sink, on a thread of its own: within its rate, again and again where there is no answer, and telling what was not taken.

use super::{
    engine::State,
    notice::{Notice, clean, cut},
    payload::{self, Post},
    target::Target,
    window::Window,
    worker::{REMEMBERED, Shared, WAITING},
};
use crate::{
    client::{Answer, Backoff, Client, Request},
    sys,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};
use weftrace_artifact::alert::SinkKind;

/// How long one waits for others, which go with it.
const GATHER: Duration = Duration::from_millis(200);
/// One attempt takes at most so long, and has at least so long.
const ATTEMPT: Duration = Duration::from_secs(10);
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(200);
/// Before the next; doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// However long a sink asks for: what waits is tried for five minutes.
const LONGEST_ASKED: Duration = Duration::from_mins(2);
/// What fires is sent to Alertmanager again so often.
const REFRESH: Duration = Duration::from_mins(1);

pub(super) struct Sender {
    target: Target,
    script: String,
    client: Client,
    shared: Arc<Shared>,
    /// The sink's rate.
    window: Option<Window>,
    /// Of a sink with a memory: its groups.
    known: BTreeMap<Vec<(String, String)>, Known>,
    /// Where metrics were pushed to.
    group: Option<String>,
    failing: bool,
}

/// A group's last notice, and how many came since it was sent.
struct Known {
    notice: Notice,
    new: u64,
}

impl Known {
    fn fires(&self) -> bool {
        self.notice.state != State::Resolved
    }
}

/// Why a request failed, whether it may be tried again, and when at the earliest.
struct Failed {
    why: String,
    again: bool,
    after: Option<Duration>,
}

impl Sender {
    pub(super) fn new(target: &Target, script: &str, client: Client, shared: Arc<Shared>) -> Self {
        Self {
            target: target.clone(),
            script: script.to_owned(),
            client,
            shared,
            window: payload::limits(target.kind).1.map(Window::new),
            known: BTreeMap::new(),
            group: None,
            failing: false,
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Box<Notice>>) {
        let mut refreshed = Instant::now();
        let mut open = true;
        while open {
            let mut batch: Vec<Notice> = Vec::new();
            let wait = REFRESH.saturating_sub(refreshed.elapsed());
            match queue.recv_timeout(wait) {
                Ok(first) => {
                    batch.push(*first);
                    open = gather(queue, &mut batch);
                }
                Err(RecvTimeoutError::Timeout) => refreshed = Instant::now(),
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
            for post in self.posts(&batch, open) {
                let _ = self.deliver(&post);
            }
        }
        self.delete_group();
    }

    /// What was pushed to a Pushgateway would stay there for ever.
    fn delete_group(&mut self) {
        let Some(path) = self.group.take() else { return };
        let post = Post { method: "DELETE", path, content: "text/plain", body: Vec::new(), count: 0 };
        let deleted = self.deliver(&post);
        self.shared.news().left_there = deleted.err();
    }

    /// The requests for what came; `open`: more may come.
    pub(super) fn posts(&mut self, batch: &[Notice], open: bool) -> Vec<Post> {
        match self.target.kind {
            SinkKind::Alertmanager => {
                self.remember(batch);
                if batch.is_empty() && !open {
                    return Vec::new();
                }
                let now = sys::now(libc::CLOCK_REALTIME);
                let script = &self.script;
                let posts = in_parts(&self.known, 500, |part| payload::alertmanager(script, part, now));
                self.known.retain(|_, known| known.fires());
                self.known.values_mut().for_each(|known| known.new = 0);
                posts
            }
            SinkKind::Pushgateway => {
                self.remember(batch);
                if batch.is_empty() {
                    return Vec::new();
                }
                if self.group.is_none() {
                    // Until it has been deleted.
                    self.shared.news().left_there = Some("no answer in time".into());
                }
                let group = self.group.get_or_insert_with(|| payload::push_group(&self.script, &host()));
                let posts = in_parts(&self.known, REMEMBERED, |part| payload::pushgateway(group, part));
                self.known.values_mut().for_each(|known| known.new = 0);
                posts
            }
            _ => payload::posts(&self.target, &self.script, batch),
        }
    }

    fn remember(&mut self, batch: &[Notice]) {
        if self.known.len() + batch.len() > REMEMBERED {
            // Those that are over, and were told to be, make room.
            self.known.retain(|_, known| known.fires());
        }
        for notice in batch {
            let mut key = notice.labels.clone();
            key.push(("alertname".into(), notice.name.clone()));
            let new = self.known.get(&key).map(|known| known.new + 1);
            if new.is_some() || self.known.len() < REMEMBERED {
                self.known.insert(key, Known { notice: notice.clone(), new: new.unwrap_or(1) });
            } else {
                self.shared.forgets(&self.target.name);
            }
        }
    }

    /// Sends a request, again and again for as long as there is patience; or why it was not taken.
    fn deliver(&mut self, post: &Post) -> Result<(), String> {
        let began = Instant::now();
        let mut backoff = Backoff::new(PAUSE, LONGEST_PAUSE, LONGEST_ASKED);
        loop {
            if !self.wait_for_rate(began) {
                return Err(self.failed(post, "the run ended before its turn came".into(), false));
            }
            let left = self.shared.news().patience(began).saturating_duration_since(Instant::now());
            let failed = match self.attempt(post, left.clamp(SHORTEST_ATTEMPT, ATTEMPT)) {
                Ok(()) => {
                    self.failing = false;
                    self.shared.taken.fetch_add(post.count, Relaxed);
                    return Ok(());
                }
                Err(failed) => failed,
            };
            let due = Instant::now() + backoff.wait(failed.after);
            if failed.again && due < self.shared.news().patience(began) {
                self.is_failing(&failed.why);
            }
            if !failed.again || !self.shared.wait(due, began) {
                return Err(self.failed(post, failed.why, true));
            }
        }
    }

    /// The first time it is told that it is tried again.
    fn is_failing(&mut self, why: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            let text = format!("alerts: {}: {why}; it is tried again", self.target.name);
            self.shared.news().said.push(text);
        }
    }

    fn failed(&mut self, post: &Post, why: String, tell: bool) -> String {
        let again = post.count == 0 && std::mem::replace(&mut self.failing, true);
        let mut news = self.shared.news();
        if tell && news.ended.is_none() {
            let name = &self.target.name;
            match post.count {
                // It holds only what was sent before.
                0 if again => {}
                0 => news.said.push(format!("alerts: {name}: what fires still was not sent again: {why}")),
                1 => news.said.push(format!("alerts: {name}: 1 alert not sent: {why}")),
                n => news.said.push(format!("alerts: {name}: {n} alerts not sent: {why}")),
            }
        }
        if post.method != "DELETE" {
            news.why = Some(why.clone());
        }
        why
    }

    /// Waits until one more is within the sink's rate. False: there is no time left.
    fn wait_for_rate(&mut self, began: Instant) -> bool {
        let Some(window) = &mut self.window else { return true };
        while let Err(next) = window.take(Instant::now()) {
            if !self.shared.wait(next, began) {
                return false;
            }
        }
        true
    }

    fn attempt(&self, post: &Post, time: Duration) -> Result<(), Failed> {
        let Some(url) = &self.target.url else {
            return Err(Failed { why: "it has no address".into(), again: false, after: None });
        };
        let mut path = format!("{}{}", url.path.trim_end_matches('/'), post.path);
        if post.path.is_empty() {
            path.clone_from(&url.path);
        }
        let bearer;
        let mut headers = vec![("Content-Type", post.content)];
        match (&self.target.secret, self.target.kind) {
            (Some(key), SinkKind::DingTalk) => {
                let mark = if path.contains('?') { '&' } else { '?' };
                path.push(mark);
                path.push_str(&payload::dingtalk_signature(key.reveal(), SystemTime::now()));
            }
            (Some(token), _) => {
                bearer = format!("Bearer {}", token.reveal());
                headers.push(("Authorization", &bearer));
            }
            (None, _) => {}
        }
        let request = Request { method: post.method, path: &path, headers: &headers, body: &post.body };
        match self.client.ask(url, &request, time) {
            Ok(answer) => judged(&self.target, &answer),
            Err(none) => Err(Failed { why: self.target.blotted(&none.why), again: none.again, after: None }),
        }
    }
}

/// What comes with the first. False: no more comes.
fn gather(queue: &Receiver<Box<Notice>>, batch: &mut Vec<Notice>) -> bool {
    let due = Instant::now() + GATHER;
    while batch.len() < WAITING {
        match queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(next) => batch.push(*next),
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// Requests of at most so many groups, each with how many notices it is the first to have.
fn in_parts(
    known: &BTreeMap<Vec<(String, String)>, Known>,
    most: usize,
    post: impl Fn(&[&Notice]) -> Post,
) -> Vec<Post> {
    let all: Vec<&Known> = known.values().collect();
    let one = |part: &[&Known]| {
        let notices: Vec<&Notice> = part.iter().map(|known| &known.notice).collect();
        Post { count: part.iter().map(|known| known.new).sum(), ..post(&notices) }
    };
    all.chunks(most).map(one).collect()
}

/// Whether a sink has taken a request.
fn judged(target: &Target, answer: &Answer) -> Result<(), Failed> {
    let failed = |what: String, again: bool, after: Option<Duration>| {
        // What is secret goes before anything is cut or written otherwise.
        let text = clean(&target.blotted(&String::from_utf8_lossy(&answer.body)), false);
        let said = if text.is_empty() { String::new() } else { format!(" ({})", cut(&text, 200)) };
        Err(Failed { why: format!("{what}{said}"), again, after })
    };
    if !matches!(answer.status, 200..=299) {
        let again = answer.may_be_tried_again();
        return failed(format!("it answers {}", answer.status), again, answer.after.filter(|_| again));
    }
    if !matches!(target.kind, SinkKind::WeCom | SinkKind::DingTalk) {
        return Ok(());
    }
    // These answer 200 whatever happens, and say in the body what did.
    let object: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    match object.and_then(|o| o.get("errcode").and_then(serde_json::Value::as_i64)) {
        Some(0) => Ok(()),
        // Too many in a minute.
        Some(45009 | 130_101) => failed("too many messages".into(), true, Some(Duration::from_mins(1))),
        Some(-1) => failed("it is busy".into(), true, None),
        Some(code) => failed(format!("it refuses: {code}"), false, None),
        None => failed("its answer says nothing of errcode".into(), false, None),
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".into() } else { name.to_owned() }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
