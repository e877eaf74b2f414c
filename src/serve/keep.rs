//! Keeping a part at work: what fails is begun again, later and later, and says how it is.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::pages::{Condition, Failure};

/// How long to wait after the first failure; then twice as long each time.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Does `work` again and again until `stop`. Work that ends well has nothing left to do until then.
pub async fn keep<W, F>(name: &str, stop: watch::Receiver<bool>, report: impl Fn(Condition), work: W)
where
    W: FnMut() -> F,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    keep_from(FIRST, name, stop, report, work).await;
}

async fn keep_from<W, F>(
    first: Duration,
    name: &str,
    mut stop: watch::Receiver<bool>,
    report: impl Fn(Condition),
    mut work: W,
) where
    W: FnMut() -> F,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let mut wait = first;
    report(Condition::Starting);
    while !*stop.borrow() {
        let began = Instant::now();
        let mut what = "it ended with an error, and is tried again";
        // On a task of its own: a panic ends the work and not the service.
        let ended = tokio::spawn(work()).await.unwrap_or_else(|error| {
            what = "it broke off, and is tried again";
            Err(format!("it broke off: {error}"))
        });
        if *stop.borrow() {
            break;
        }
        let reason = match ended {
            Ok(()) => break,
            Err(reason) => reason,
        };
        if began.elapsed() > LONGEST {
            wait = first;
        }
        tracing::error!(part = name, seconds = wait.as_secs(), "{reason}; it is tried again");
        report(Condition::Failing(Failure::new(what)));
        // The time passed, or the service stops.
        let _ = timeout(wait, stop.wait_for(|stop| *stop)).await;
        wait = (wait * 2).min(LONGEST);
    }
    report(Condition::Stopping);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_fails_or_panics_is_begun_again_until_stop() {
        let (sender, stop) = watch::channel(false);
        let tries = Arc::new(AtomicU32::new(0));
        let (counted, seen) = (tries.clone(), std::sync::Mutex::new(Vec::new()));
        let work = || {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            if number == 2 {
                sender.send(true).unwrap();
            }
            async move { if number == 1 { panic!("broken") } else { Err(format!("try {number}")) } }
        };
        let report = |condition| seen.lock().unwrap().push(condition);
        let began = Instant::now();
        keep_from(Duration::from_millis(20), "part", stop, report, work).await;
        assert_eq!(tries.load(Ordering::Relaxed), 3);
        assert!(began.elapsed() >= Duration::from_millis(60), "20 and then 40 ms between them");
        let seen = seen.into_inner().unwrap();
        assert_eq!(seen.first(), Some(&Condition::Starting));
        assert_eq!(seen.last(), Some(&Condition::Stopping));
        assert_eq!(seen[1], Condition::Failing(Failure::new("it ended with an error, and is tried again")));
        assert!(matches!(&seen[2], Condition::Failing(failure) if failure.what.contains("broke off")), "{seen:?}");
    }
}
