//! The run's numbers, for Prometheus and for collectors (`otlp`). For the first a listener on a thread of its own, which hands each question to the engine.
//!
//! - `model`: families and series, of which every answer is made; `maps`, `buckets`: those of a script's maps; `exemplars`: traces of what is counted
//! - `text`, `protobuf`: an answer in either form; `accept`: which one is wanted
//! - `serve`: HTTP; `connections`: how many at once; `tls`: encrypted or not

mod accept;
mod buckets;
mod connections;
mod exemplars;
mod maps;
mod model;
mod protobuf;
mod serve;
mod text;
mod tls;

pub(crate) use exemplars::{Exemplar, Exemplars, Trace};
pub(crate) use maps::{LEFT_OUT, MapNames};
pub(crate) use model::{Exposition, Family, Histogram, Kind, Labels, Number, Point, Powers, Series};
pub use tls::MetricsTls;

use accept::Form;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc::SyncSender},
    task::{Context, Poll},
    thread,
};
use tokio::sync::mpsc;

/// Series of one map that are shown unless the command line says otherwise.
pub const SERIES: usize = 1000;

/// Where and how metrics are offered.
#[derive(Clone)]
pub struct MetricsOptions {
    pub address: SocketAddr,
    /// Who asks must know it.
    pub token: Option<String>,
    /// Answers are encrypted.
    pub tls: Option<MetricsTls>,
    /// Of each map so many series, the largest.
    pub series: usize,
}

impl std::fmt::Debug for MetricsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsOptions")
            .field("address", &self.address)
            .field("series", &self.series)
            .finish_non_exhaustive()
    }
}

/// A question that waits for its answer.
pub(crate) struct Scrape {
    form: Form,
    answer: SyncSender<Vec<u8>>,
}

impl Scrape {
    /// Answers it, in the form that was asked for. Whoever asked may have gone.
    pub(crate) fn answer(&self, all: &Exposition) {
        let _ = self.answer.try_send(match self.form {
            Form::Text => text::write(all, false),
            Form::OpenMetrics => text::write(all, true),
            Form::Protobuf => protobuf::write(all),
        });
    }
}

/// What the engine has of it.
pub(crate) struct MetricsFeed {
    questions: mpsc::Receiver<Scrape>,
    next: Option<Scrape>,
    bound: Option<(TcpListener, serve::Server)>,
    address: SocketAddr,
    tls: bool,
    pub(crate) series: usize,
    /// Questions answered so far.
    pub(crate) answered: u64,
}

impl MetricsFeed {
    /// Opens the address; nobody is answered yet.
    pub(crate) fn bind(options: &MetricsOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.address)?;
        let address = listener.local_addr()?;
        let (sender, questions) = mpsc::channel(connections::MOST);
        let tls = options.tls.clone();
        let server = serve::Server {
            token: options.token.clone().map(Arc::from),
            // A page from elsewhere has no certificate that is good here: names are no danger then.
            local: address.ip().is_loopback() && tls.is_none(),
            tls,
            sender,
        };
        Ok(Self {
            questions,
            next: None,
            bound: Some((listener, server)),
            address,
            tls: options.tls.is_some(),
            series: options.series,
            answered: 0,
        })
    }

    /// Where it is asked.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}/metrics", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Begins to listen, on a thread that has the privileges of this one.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let Some((listener, server)) = self.bound.take() else { return Ok(()) };
        // It ends with the process: it only ever waits.
        thread::Builder::new().name("weftrace-metrics".into()).spawn(move || server.listen(&listener))?;
        Ok(())
    }

    /// Whether somebody asks; if not, `cx` is woken when somebody does.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> bool {
        if self.next.is_none()
            && let Poll::Ready(question) = self.questions.poll_recv(cx)
        {
            self.next = question;
        }
        self.next.is_some()
    }

    pub(crate) fn take(&mut self) -> Option<Scrape> {
        self.next.take()
    }
}
