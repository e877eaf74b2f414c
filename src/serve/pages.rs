//! The pages by which others see that the service is well: /healthz, /readyz and /metrics, over HTTP.
//!
//! They listen on loopback unless the configuration says otherwise, answer with little text and nothing out of a record,
//! and are bounded: so many connections, each so long.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Sleep, sleep};

use super::metrics::Metrics;

/// Where the pages are if nothing else is said.
pub const ADDRESS: &str = "127.0.0.1:9464";
/// Connections at once; the next one waits.
const CONNECTIONS_MAX: usize = 64;
/// A connection is ended after this long: a client that says nothing must not keep others out.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(120);

/// How one part of the service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Starting,
    Ready,
    /// It is tried again.
    Failing(Failure),
    Stopping,
}

/// What failed. These pages are read by whoever reaches them, and what an error says may quote a record or a secret: so
/// there is no room for it here, and it stands in the log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The source's name in the configuration, where a source failed.
    pub source: Option<String>,
    pub what: &'static str,
}

impl Failure {
    pub fn new(what: &'static str) -> Self {
        Self { source: None, what }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(name) => write!(f, "source {name}: {}", self.what),
            None => f.write_str(self.what),
        }
    }
}

/// How each part is. Ready is who has parts that are all ready.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    conditions: Arc<Mutex<BTreeMap<&'static str, Condition>>>,
    metrics: Metrics,
}

impl Parts {
    /// No part yet; what is said of them is counted too.
    pub fn new(metrics: Metrics) -> Self {
        Self { conditions: Arc::default(), metrics }
    }

    /// A part is so from now on.
    pub fn set(&self, part: &'static str, condition: Condition) {
        self.metrics.part(part, condition == Condition::Ready);
        // A lock whose holder panicked still guards plain values.
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).insert(part, condition);
    }

    /// Whether all are ready, and a line about each.
    pub fn readiness(&self) -> (bool, String) {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |(part, condition): (&&str, &Condition)| match condition {
            Condition::Starting => format!("{part}: starting\n"),
            Condition::Ready => format!("{part}: ready\n"),
            Condition::Failing(failure) => format!("{part}: failing: {failure}; the log of this process says why\n"),
            Condition::Stopping => format!("{part}: stopping\n"),
        };
        let ready = !conditions.is_empty() && conditions.values().all(|condition| *condition == Condition::Ready);
        let lines: String = conditions.iter().map(line).collect();
        (ready, if lines.is_empty() { "nothing has started yet\n".to_owned() } else { lines })
    }
}

/// Pages that are being served.
pub struct Pages {
    /// Where; the port is the one the system gave if 0 was asked for.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Pages {
    /// Serves the pages until `stop` becomes true.
    ///
    /// # Errors
    /// Nobody can listen at this address, with what to do about it.
    pub async fn open(
        address: &str,
        metrics: Metrics,
        parts: Parts,
        mut stop: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let explain = |e: io::Error| {
            let hint = "another address is set under [telemetry] listen; port 0 takes a free one";
            io::Error::new(e.kind(), format!("listening on {address}: {e}; {hint}"))
        };
        let listener = TcpListener::bind(address).await.map_err(explain)?;
        let bound = listener.local_addr()?;
        if !bound.ip().is_loopback() {
            tracing::warn!(address = %bound, "health pages and metrics can be read by whoever reaches this address");
        }
        let listener = Bounded { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
        let pages = router(metrics, parts);
        let task = tokio::spawn(async move {
            let stopped = async move {
                // Whoever held the other end is gone too, if this fails.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(listener, pages).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "health pages and metrics are no longer served");
            }
        });
        Ok(Self { address: bound, task })
    }

    /// Ends them at once.
    pub fn close(self) {
        self.task.abort();
    }
}

fn router(metrics: Metrics, parts: Parts) -> Router {
    Router::new()
        .route("/", get(|| async { "/healthz: it lives\n/readyz: every part works\n/metrics: for Prometheus\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state((metrics, parts))
}

async fn readyz(State((_, parts)): State<(Metrics, Parts)>) -> Response {
    let (ready, lines) = parts.readiness();
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, lines).into_response()
}

async fn scrape(State((metrics, _)): State<(Metrics, Parts)>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Takes no more connections than there are places.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        loop {
            let place = self.places.clone().acquire_owned().await;
            match (place, self.listener.accept().await) {
                (Ok(place), Ok((stream, from))) => {
                    return (Placed { stream, _place: place, age: Box::pin(sleep(CONNECTION_AGE_MAX)) }, from);
                }
                // Too many open files, or a client that left: it is over in a moment.
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its place back, and does not live for ever.
struct Placed {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    age: Pin<Box<Sleep>>,
}

impl AsyncRead for Placed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.age.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.age.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
