//! Who of several processes does what only one may do: a lease kept in the lake.
//!
//! The lease is a row of small files, numbered without a gap, each put only if it is not there yet: the one guarantee that
//! every store gives (a hard link on disks, `If-None-Match` on S3), and the one on which the lake's own commits rest. The
//! file with the highest number is the lease; its holder renews by putting the next number, and of several who put the
//! same number one gets through.
//!
//! Clocks of two machines are never compared. Who waits watches whether the number moves, and takes over when it stood
//! still for the lease's length by its own steady clock. The holder counts the same length from before it began to write,
//! so its time is over first. A holder that was paused finds its time over when it wakes ([`Held::guard`]); what was under
//! way at that moment is refused by the findings log, which takes rows only on the version they were derived from.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::event::time;
use crate::lake::{Lake, LakeError};

/// Files behind the newest that are kept: for people who look, and so that who is slow meets a number that is taken.
const KEPT: i64 = 16;

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    owner: String,
    /// For how long it holds.
    milliseconds: u64,
    /// Its holder went in good order: nobody need wait.
    released: bool,
    /// RFC 3339, for people; nothing is decided by it.
    at: String,
}

/// A lease that several processes want.
#[derive(Clone)]
pub struct Lease {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    owner: String,
    length: Duration,
}

/// What one who waits should do.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Claim,
    Wait,
}

/// Whether the time has come: nobody holds it, the holder let go of it, or it stood still for its length.
fn turn(newest: Option<&Entry>, still_for: Duration) -> Turn {
    match newest {
        Some(entry) if !entry.released && still_for < Duration::from_millis(entry.milliseconds) => Turn::Wait,
        _ => Turn::Claim,
    }
}

impl Lease {
    /// The lease `name` of a lake.
    ///
    /// # Errors
    /// The lake's address is no path.
    pub fn new(lake: &Lake, name: &str, owner: &str, length: Duration) -> Result<Self, LakeError> {
        let base = Path::from_url_path(lake.uri().path())
            .map_err(|e| LakeError::Location(lake.uri().to_string(), e.to_string()))?;
        let (store, _) = lake.events().root_store();
        Ok(Self { store, folder: base.join("leases").join(name), owner: owner.to_owned(), length })
    }

    /// Waits until the lease is ours; `None` if `stop` came first.
    ///
    /// # Errors
    /// The lake cannot be read or written.
    pub async fn acquire(&self, stop: &mut watch::Receiver<bool>) -> Result<Option<Held>, LakeError> {
        let mut seen: Option<(i64, Instant)> = None;
        loop {
            let newest = self.newest().await?;
            let number = newest.as_ref().map_or(-1, |(number, _)| *number);
            let since = match seen {
                Some((before, since)) if before == number => since,
                _ => Instant::now(),
            };
            seen = Some((number, since));
            if turn(newest.as_ref().map(|(_, entry)| entry), since.elapsed()) == Turn::Claim {
                let began = Instant::now();
                if self.put(number + 1, false).await? && self.is_newest(number + 1).await? {
                    return Ok(Some(Held::new(self.clone(), number + 1, began)));
                }
            }
            if timeout(self.length / 10, stop.wait_for(|stop| *stop)).await.is_ok() {
                return Ok(None);
            }
        }
    }

    /// Puts a number; `false` if another was first.
    async fn put(&self, number: i64, released: bool) -> Result<bool, LakeError> {
        let path = self.path(number);
        let milliseconds = u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX);
        let entry = Entry { owner: self.owner.clone(), milliseconds, released, at: time::format(clock::now_micros()) };
        let bytes = serde_json::to_vec(&entry).map_err(|e| LakeError::Log(path.to_string(), e.to_string()))?;
        match self.store.put_opts(&path, bytes.into(), PutOptions::from(PutMode::Create)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(cause) => Err(LakeError::Storage { doing: format!("writing {path}"), cause }),
        }
    }

    /// A number that was put where older ones had been tidied away is not the newest, and not the lease.
    async fn is_newest(&self, number: i64) -> Result<bool, LakeError> {
        let highest = self.numbers().await?.into_iter().max();
        if highest == Some(number) {
            return Ok(true);
        }
        self.forget(number).await;
        Ok(false)
    }

    async fn newest(&self) -> Result<Option<(i64, Entry)>, LakeError> {
        let Some(number) = self.numbers().await?.into_iter().max() else { return Ok(None) };
        let path = self.path(number);
        let doing = || format!("reading {path}");
        let got = match self.store.get(&path).await {
            Ok(got) => got,
            // Tidied away since: there are newer ones, to be seen at the next look.
            Err(object_store::Error::NotFound { .. }) => return Ok(Some((number, self.unreadable()))),
            Err(cause) => return Err(LakeError::Storage { doing: doing(), cause }),
        };
        let bytes = got.bytes().await.map_err(|cause| LakeError::Storage { doing: doing(), cause })?;
        Ok(Some((number, serde_json::from_slice(&bytes).unwrap_or_else(|_| self.unreadable()))))
    }

    /// What cannot be read is held by somebody, for as long as we would.
    fn unreadable(&self) -> Entry {
        let milliseconds = u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX);
        Entry { owner: String::new(), milliseconds, released: false, at: String::new() }
    }

    async fn numbers(&self) -> Result<Vec<i64>, LakeError> {
        let listed: Vec<_> = match self.store.list(Some(&self.folder)).try_collect().await {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(cause) => return Err(LakeError::Storage { doing: format!("listing {}", self.folder), cause }),
        };
        let number = |name: &str| name.strip_suffix(".json")?.parse::<i64>().ok();
        Ok(listed.iter().filter_map(|meta| number(meta.location.filename()?)).collect())
    }

    fn path(&self, number: i64) -> Path {
        self.folder.clone().join(format!("{number:020}.json"))
    }

    /// Deletes a file; if it stays, it does no harm.
    async fn forget(&self, number: i64) {
        if let Err(error) = self.store.delete(&self.path(number)).await {
            tracing::debug!(%error, number, "an old file of a lease could not be deleted");
        }
    }
}

/// A lease that is ours, renewed in the background for as long as this lives.
pub struct Held {
    lease: Lease,
    /// Until when it is ours, and its newest number.
    until: watch::Receiver<(Instant, i64)>,
    renewing: JoinHandle<()>,
}

impl Held {
    fn new(lease: Lease, number: i64, began: Instant) -> Self {
        let (sender, until) = watch::channel((began + lease.length, number));
        let renewing = tokio::spawn(renew(lease.clone(), number, sender));
        Self { lease, until, renewing }
    }

    /// Whether it is still ours.
    pub fn is_ours(&self) -> bool {
        Instant::now() < self.until.borrow().0
    }

    /// Does something as long as the lease is ours; `None` if it was lost. Whenever the work goes on after it waited, the
    /// lease is looked at first: a process that slept through the end of its lease does nothing more.
    pub async fn guard<W: Future>(&self, work: W) -> Option<W::Output> {
        let mut work = std::pin::pin!(work);
        let guarded = std::future::poll_fn(|context| {
            if !self.is_ours() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        });
        tokio::select! {
            biased;
            () = self.lost() => None,
            done = guarded => done,
        }
    }

    /// Waits until it is lost.
    pub async fn lost(&self) {
        while self.is_ours() {
            let until = self.until.borrow().0;
            sleep(until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))).await;
        }
    }

    /// Lets go of it, so that nobody need wait.
    pub async fn release(self) {
        self.renewing.abort();
        let number = self.until.borrow().1;
        if self.is_ours()
            && let Err(error) = self.lease.put(number + 1, true).await
        {
            tracing::debug!(%error, "a lease was not released; others wait until it ends");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

/// Puts number after number, three for each length, until another was first.
async fn renew(lease: Lease, mut number: i64, until: watch::Sender<(Instant, i64)>) {
    loop {
        sleep(lease.length / 3).await;
        let began = Instant::now();
        match lease.put(number + 1, false).await {
            Ok(true) => {
                number += 1;
                // Who slept through the end of its lease must ask whether others went on meanwhile.
                if began >= until.borrow().0 && !lease.is_newest(number).await.unwrap_or(false) {
                    return;
                }
                until.send_replace((began + lease.length, number));
                lease.forget(number - KEPT).await;
            }
            Ok(false) => {
                until.send_replace((began, number));
                return;
            }
            Err(error) => tracing::warn!(%error, "a lease could not be renewed; it is tried again"),
        }
    }
}

#[cfg(test)]
mod tests;
