//! A thread for each sink that is elsewhere: within its rate, again and again where there is no answer, and telling what was not taken.

use super::{
    engine::State,
    notice::{Notice, clean, cut},
    payload::{self, Post},
    target::Target,
};
use crate::{
    client::{Answer, Client, Request, Url},
    sys,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};
use weftrace_artifact::alert::SinkKind;

/// Notices that wait for one sink.
const WAITING: usize = 2048;
/// How long one waits for others, which go with it.
const GATHER: Duration = Duration::from_millis(200);
/// One attempt takes at most so long.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Before the next; doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// So long one request is tried.
const PATIENCE: Duration = Duration::from_mins(5);
/// And so long all that is left, once the run has ended.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// What fires is sent to Alertmanager again so often.
const REFRESH: Duration = Duration::from_mins(1);
/// Groups that a sink with a memory keeps.
const REMEMBERED: usize = 10_000;

/// What a sink's thread and the run share.
#[derive(Debug, Default)]
struct Shared {
    /// Notices given to it, of those the ones taken by the sink, and those that there was no room for.
    all: AtomicU64,
    taken: AtomicU64,
    dropped: AtomicU64,
    news: Mutex<News>,
}

#[derive(Debug, Default)]
struct News {
    said: Vec<String>,
    /// Why the last failed.
    why: Option<String>,
    /// When the run ended.
    ended: Option<Instant>,
}

impl Shared {
    fn news(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One sink that is elsewhere.
#[derive(Debug)]
pub(super) struct Remote {
    name: String,
    queue: Option<SyncSender<Box<Notice>>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Remote {
    /// Its thread has the privileges that the run has by now.
    pub(super) fn start(target: &Target, script: &str, client: Client) -> Option<Self> {
        let url = Url::parse(target.at.reveal()).ok()?;
        let (queue, receiver) = sync_channel(WAITING);
        let shared = Arc::new(Shared::default());
        let sender = Sender {
            target: target.clone(),
            url,
            script: script.to_owned(),
            client,
            shared: Arc::clone(&shared),
            sent: VecDeque::new(),
            known: BTreeMap::new(),
            group: None,
            failing: false,
        };
        let thread = thread::Builder::new().name("weftrace-alerts".into()).spawn(move || sender.run(&receiver)).ok()?;
        Some(Self { name: target.name.clone(), queue: Some(queue), thread: Some(thread), shared })
    }

    pub(super) fn send(&self, notice: Box<Notice>) {
        self.shared.all.fetch_add(1, Relaxed);
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_)) = queue.try_send(notice)
            && self.shared.dropped.fetch_add(1, Relaxed) == 0
        {
            let text = format!("alerts: {}: more than {WAITING} wait to be sent: what comes is dropped", self.name);
            self.shared.news().said.push(text);
        }
    }

    /// What is to be told of it now.
    pub(super) fn take_said(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.news().said)
    }

    /// No more comes.
    pub(super) fn end(&mut self) {
        self.shared.news().ended = Some(Instant::now());
        self.queue = None;
    }

    /// Waits for what is on its way, for a while; what was not taken, if anything wasn't.
    pub(super) fn finish(mut self) -> Option<String> {
        let due = Instant::now() + LAST_PATIENCE + Duration::from_secs(1);
        let thread = self.thread.take()?;
        while !thread.is_finished() && Instant::now() < due {
            thread::sleep(Duration::from_millis(2));
        }
        let (all, taken) = (self.shared.all.load(Relaxed), self.shared.taken.load(Relaxed));
        let dropped = self.shared.dropped.load(Relaxed);
        let lost = all - taken.min(all);
        if lost == 0 {
            return None;
        }
        let why = self.shared.news().why.clone().unwrap_or_else(|| "no answer".into());
        let why = if dropped == lost { "too many at once".into() } else { why };
        let room = if dropped > 0 && dropped < lost {
            format!("; {dropped} of them: too many at once")
        } else {
            String::new()
        };
        Some(format!("alerts: {}: {lost} of {all} were not taken: {why}{room}", self.name))
    }
}

struct Sender {
    target: Target,
    url: Url,
    script: String,
    client: Client,
    shared: Arc<Shared>,
    /// When requests were sent, for the rate.
    sent: VecDeque<Instant>,
    /// Of a sink with a memory: the last notice of each group.
    known: BTreeMap<Vec<(String, String)>, Notice>,
    /// Where metrics were pushed to.
    group: Option<String>,
    failing: bool,
}

impl Sender {
    fn run(mut self, queue: &Receiver<Box<Notice>>) {
        let mut refreshed = Instant::now();
        let mut open = true;
        while open {
            let mut batch: Vec<Notice> = Vec::new();
            let wait = REFRESH.saturating_sub(refreshed.elapsed());
            match queue.recv_timeout(wait) {
                Ok(first) => {
                    batch.push(*first);
                    let due = Instant::now() + GATHER;
                    while batch.len() < WAITING {
                        match queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
                            Ok(next) => batch.push(*next),
                            Err(RecvTimeoutError::Timeout) => break,
                            Err(RecvTimeoutError::Disconnected) => {
                                open = false;
                                break;
                            }
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => refreshed = Instant::now(),
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
            for post in self.posts(&batch, open) {
                self.deliver(&post);
            }
        }
        if let Some(path) = self.group.take() {
            let post = Post { method: "DELETE", path, content: "text/plain", body: Vec::new(), count: 0 };
            self.deliver(&post);
        }
    }

    /// The requests for what came; `open`: more may come.
    fn posts(&mut self, batch: &[Notice], open: bool) -> Vec<Post> {
        match self.target.kind {
            SinkKind::Alertmanager => {
                self.remember(batch);
                let now = sys::now(libc::CLOCK_REALTIME);
                if batch.is_empty() && !open {
                    return Vec::new();
                }
                let all: Vec<&Notice> = self.known.values().collect();
                let posts: Vec<Post> =
                    all.chunks(500).map(|part| payload::alertmanager(&self.script, part, now)).collect();
                self.known.retain(|_, notice| notice.state != State::Resolved);
                counted(posts, batch.len())
            }
            SinkKind::Pushgateway => {
                self.remember(batch);
                if batch.is_empty() {
                    return Vec::new();
                }
                let group = self.group.get_or_insert_with(|| payload::push_group(&self.script, &host()));
                let all: Vec<&Notice> = self.known.values().collect();
                counted(vec![payload::pushgateway(group, &all)], batch.len())
            }
            _ => payload::posts(&self.target, &self.script, batch),
        }
    }

    fn remember(&mut self, batch: &[Notice]) {
        for notice in batch {
            let mut key = notice.labels.clone();
            key.push(("alertname".into(), notice.name.clone()));
            if self.known.len() < REMEMBERED || self.known.contains_key(&key) {
                self.known.insert(key, notice.clone());
            }
        }
    }

    /// Until when it is tried.
    fn patience(&self, began: Instant) -> Instant {
        match self.shared.news().ended {
            Some(ended) => ended + LAST_PATIENCE,
            None => began + PATIENCE,
        }
    }

    /// Sends a request, again and again for as long as there is patience.
    fn deliver(&mut self, post: &Post) {
        let began = Instant::now();
        let mut pause = PAUSE;
        loop {
            if !self.wait_for_rate(began) {
                return self.failed(post, "the run ended before its turn came", false);
            }
            let left = self.patience(began).saturating_duration_since(Instant::now());
            let (why, again, after) = match self.attempt(post, left.clamp(Duration::from_millis(200), ATTEMPT)) {
                Ok(()) => {
                    self.failing = false;
                    self.shared.taken.fetch_add(post.count, Relaxed);
                    return;
                }
                Err(failed) => failed,
            };
            let due = Instant::now() + after.unwrap_or(pause);
            if !again || due >= self.patience(began) {
                return self.failed(post, &why, true);
            }
            if !std::mem::replace(&mut self.failing, true) {
                let text = format!("alerts: {}: {why}; it is tried again", self.target.name);
                self.shared.news().said.push(text);
            }
            while Instant::now() < due {
                if due >= self.patience(began) {
                    return self.failed(post, &why, true);
                }
                thread::sleep(Duration::from_millis(20));
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    fn failed(&mut self, post: &Post, why: &str, tell: bool) {
        let mut news = self.shared.news();
        if tell && post.count > 0 && news.ended.is_none() {
            let s = if post.count == 1 { "" } else { "s" };
            news.said.push(format!("alerts: {}: {} alert{s} not sent: {why}", self.target.name, post.count));
        }
        news.why = Some(why.to_owned());
    }

    /// Waits until one more is within the sink's rate. False: there is no time left.
    fn wait_for_rate(&mut self, began: Instant) -> bool {
        let Some(rate) = payload::limits(self.target.kind).1 else { return true };
        loop {
            let now = Instant::now();
            while self.sent.front().is_some_and(|at| now.duration_since(*at) >= rate.within) {
                self.sent.pop_front();
            }
            if self.sent.len() < rate.count {
                self.sent.push_back(now);
                return true;
            }
            let next = self.sent.front().map_or(now, |at| *at + rate.within);
            if next >= self.patience(began) {
                return false;
            }
            thread::sleep(Duration::from_millis(20).min(next.saturating_duration_since(now)));
        }
    }

    /// Why it failed, whether it may be tried again, and when at the earliest.
    fn attempt(&self, post: &Post, time: Duration) -> Result<(), (String, bool, Option<Duration>)> {
        let mut path = format!("{}{}", self.url.path.trim_end_matches('/'), post.path);
        if post.path.is_empty() {
            path.clone_from(&self.url.path);
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
        match self.client.ask(&self.url, &request, time) {
            Ok(answer) => judged(self.target.kind, &answer),
            Err(none) => Err((none.why, none.again, None)),
        }
    }
}

/// The first of several requests stands for what came.
fn counted(mut posts: Vec<Post>, count: usize) -> Vec<Post> {
    for (n, post) in posts.iter_mut().enumerate() {
        post.count = if n == 0 { count as u64 } else { 0 };
    }
    posts
}

/// Whether a sink has taken a request.
fn judged(kind: SinkKind, answer: &Answer) -> Result<(), (String, bool, Option<Duration>)> {
    let said = || {
        let text = clean(&String::from_utf8_lossy(&answer.body), false);
        if text.is_empty() { String::new() } else { format!(" ({})", cut(&text, 200)) }
    };
    if !matches!(answer.status, 200..=299) {
        let again = answer.may_be_tried_again();
        return Err((format!("it answers {}{}", answer.status, said()), again, answer.after.filter(|_| again)));
    }
    if !matches!(kind, SinkKind::WeCom | SinkKind::DingTalk) {
        return Ok(());
    }
    // These answer 200 whatever happens, and say in the body what did.
    let object: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    match object.and_then(|o| o.get("errcode").and_then(serde_json::Value::as_i64)) {
        Some(0) => Ok(()),
        // Too many in a minute.
        Some(45009 | 130_101) => Err((format!("too many messages{}", said()), true, Some(Duration::from_mins(1)))),
        Some(-1) => Err((format!("it is busy{}", said()), true, None)),
        Some(code) => Err((format!("it refuses: {code}{}", said()), false, None)),
        None => Err((format!("its answer says nothing of errcode{}", said()), false, None)),
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".into() } else { name.to_owned() }
}
