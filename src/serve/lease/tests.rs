use super::*;

const LENGTH: Duration = Duration::from_millis(400);

async fn lease(folder: &tempfile::TempDir, owner: &str) -> Lease {
    let lake = Lake::open_or_create(&folder.path().join("lake").display().to_string()).await.unwrap();
    Lease::new(&lake, "scheduler", owner, LENGTH).unwrap()
}

fn never() -> (watch::Sender<bool>, watch::Receiver<bool>) {
    watch::channel(false)
}

#[test]
fn who_waits_claims_what_is_free_released_or_stood_still() {
    let entry = |released| Entry { owner: "a".into(), milliseconds: 1000, released, at: String::new() };
    let (short, long) = (Duration::from_millis(999), Duration::from_millis(1000));
    assert_eq!(turn(None, Duration::ZERO), Turn::Claim);
    assert_eq!(turn(Some(&entry(false)), short), Turn::Wait);
    assert_eq!(turn(Some(&entry(false)), long), Turn::Claim);
    assert_eq!(turn(Some(&entry(true)), Duration::ZERO), Turn::Claim);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_one_holds_it_and_the_next_takes_over_when_it_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let (_keep, mut stop) = never();
    let first = lease(&folder, "first").await.acquire(&mut stop).await.unwrap().unwrap();
    let second = lease(&folder, "second").await;
    let (_keep, mut waiting) = never();
    // Renewed three times a length, it is not taken in three lengths.
    assert!(timeout(LENGTH * 3, second.acquire(&mut waiting)).await.is_err());
    assert!(first.is_ours());
    // Its process is gone: nobody renews.
    let began = Instant::now();
    drop(first);
    let held = timeout(LENGTH * 5, second.acquire(&mut waiting)).await.unwrap().unwrap().unwrap();
    assert!(began.elapsed() >= LENGTH / 2, "taken over before its time was over");
    // Who let go of it in good order is not waited for.
    held.release().await;
    let began = Instant::now();
    let third = lease(&folder, "third").await.acquire(&mut waiting).await.unwrap();
    assert!(third.is_some() && began.elapsed() < LENGTH / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_it_does_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let (_keep, mut stop) = never();
    let lease = lease(&folder, "sleeper").await;
    let held = lease.acquire(&mut stop).await.unwrap().unwrap();
    assert_eq!(held.guard(async { 1 }).await, Some(1));
    // Another put the next number, as it does when ours was not renewed in time.
    while !lease.put(held.until.borrow().1 + 1, false).await.unwrap() {}
    let work = async {
        sleep(LENGTH * 3).await;
        2
    };
    assert_eq!(held.guard(work).await, None);
    assert!(!held.is_ours());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_was_tidied_away_is_no_lease() {
    let folder = tempfile::tempdir().unwrap();
    let lease = lease(&folder, "late").await;
    assert!(lease.put(40, false).await.unwrap());
    assert!(lease.put(3, false).await.unwrap());
    assert!(!lease.is_newest(3).await.unwrap());
    assert_eq!(lease.numbers().await.unwrap(), [40]);
}
