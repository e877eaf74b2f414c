//! Exactly once through a real Kafka, whatever is killed or paused, whenever.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokentrail::lake::Lake;

use crate::harness::{TempLake, assert_tiled, program, record, tokentrail};
use crate::kafka_broker::Broker;

const PARTITIONS: u64 = 6;

/// What stands at one offset: mostly events, some repeats, some broken, some tombstones.
fn payload(partition: u64, offset: u64) -> Option<Vec<u8>> {
    match offset % 1000 {
        7 => None,
        13 => Some(b"{\"broken\":".to_vec()),
        17 => Some(record(partition * 10_000_000 + offset - 1)),
        _ => Some(record(partition * 10_000_000 + offset)),
    }
}

struct Ingester(Child);

impl Ingester {
    fn start(lake: &TempLake, broker: &Broker, topic: &str) -> Self {
        let child = program()
            .args([
                "-q",
                "--lake",
                &lake.uri(),
                "ingest",
                "--from",
                "kafka",
                "--bootstrap",
                &broker.bootstrap,
                "--topic",
                topic,
            ])
            .args([
                "--group",
                topic,
                "--commit-ms",
                "200",
                "-X",
                "session.timeout.ms=1500",
                "-X",
                "heartbeat.interval.ms=300",
            ])
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap().success());
    }

    fn kill(&mut self) {
        self.0.kill().unwrap(); // SIGKILL
        self.0.wait().unwrap();
    }

    fn stop(mut self) {
        self.signal("-TERM");
        assert_eq!(self.0.wait().unwrap().code(), Some(0), "SIGTERM ends it well");
    }
}

/// Waits until the lake has read every partition to its end.
async fn wait_for(lake: &Lake, ends: &BTreeMap<String, i64>, limit: Duration) {
    let started = Instant::now();
    loop {
        let state = lake.events().refresh().await.unwrap();
        if ends.iter().all(|(id, end)| state.positions.get(id) == Some(end)) {
            return;
        }
        let behind: Vec<_> = ends.iter().map(|(id, end)| (id, end, state.positions.get(id))).collect();
        assert!(started.elapsed() < limit, "not read to the end: {behind:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_under_kill_9() {
    let Some(broker) = Broker::shared() else { return };
    const RECORDS: u64 = 1_000_000 / PARTITIONS + 1;
    const KILLS: u32 = 24;
    let topic = "exactly-once";
    broker.create_topic(topic, PARTITIONS as i32);
    let temp = TempLake::new();
    let lake = temp.open().await;
    let (done, produced) = std::sync::mpsc::channel();
    // Records keep coming while ingesters die: a kill finds work under way.
    let producer = std::thread::spawn(move || {
        for part in 0..40 {
            for partition in 0..PARTITIONS {
                let range = RECORDS * part / 40..RECORDS * (part + 1) / 40;
                broker.produce(topic, partition as i32, range.map(|offset| payload(partition, offset)));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        done.send(()).unwrap();
    });
    let mut dice = fastrand::Rng::with_seed(20_261_101);
    let mut ingesters = [Ingester::start(&temp, broker, topic), Ingester::start(&temp, broker, topic)];
    let (mut kills, mut committed_before_the_end) = (0, 0);
    // Where a group comes together slowly, the first of them find nothing under way: then there are more.
    while kills < KILLS || (kills < 3 * KILLS && committed_before_the_end <= i64::from(KILLS / 2)) {
        tokio::time::sleep(Duration::from_millis(dice.u64(100..2500))).await;
        let victim = &mut ingesters[dice.usize(..2)];
        victim.kill();
        *victim = Ingester::start(&temp, broker, topic);
        kills += 1;
        committed_before_the_end = lake.events().refresh().await.unwrap().version;
    }
    tokio::task::spawn_blocking(move || produced.recv().unwrap()).await.unwrap();
    producer.join().unwrap();
    let ends: BTreeMap<_, _> = (0..PARTITIONS).map(|p| (format!("kafka:{topic}/{p}"), RECORDS as i64)).collect();
    wait_for(&lake, &ends, Duration::from_secs(180)).await;
    ingesters.into_iter().for_each(Ingester::stop);
    let rows = assert_tiled(&lake, &ends).await;
    let expected_rejected = PARTITIONS * (0..RECORDS).filter(|o| o % 1000 == 13).count() as u64;
    assert_eq!(rows.iter().filter(|r| r.class == "rejected").count() as u64, expected_rejected);
    // A repeat may be stored when a crash fell between the two: then its id stands twice, and nothing else does.
    let unique: std::collections::BTreeSet<_> = rows.iter().filter_map(|r| r.event_id.as_deref()).collect();
    let expected_events = PARTITIONS * (0..RECORDS).filter(|o| !matches!(o % 1000, 7 | 13 | 17)).count() as u64;
    assert_eq!(unique.len() as u64, expected_events);
    assert!(committed_before_the_end > u64::from(KILLS) as i64 / 2, "the kills found nothing under way");
    eprintln!("{} records, {kills} kills, {} versions", RECORDS * PARTITIONS, lake.events().state().await.version);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingester_that_was_paused_over_its_loss_doubles_nothing() {
    let Some(broker) = Broker::shared() else { return };
    const RECORDS: u64 = 60_000;
    let topic = "paused";
    broker.create_topic(topic, 1);
    let temp = TempLake::new();
    let lake = temp.open().await;
    let feeder = std::thread::spawn(move || {
        for part in 0..60 {
            broker.produce(topic, 0, (part * 1000..(part + 1) * 1000).map(|offset| payload(0, offset)));
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let first = Ingester::start(&temp, broker, topic);
    let id = format!("kafka:{topic}/0");
    while lake.position(&id).await.unwrap().is_none_or(|p| p < 3000) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.signal("-STOP"); // in the middle of its work, with records in hand
    let held = lake.position(&id).await.unwrap().unwrap();
    let second = Ingester::start(&temp, broker, topic);
    while lake.position(&id).await.unwrap().is_none_or(|p| p < held + 5000) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    first.signal("-CONT");
    feeder.join().unwrap();
    let ends = BTreeMap::from([(id, RECORDS as i64)]);
    wait_for(&lake, &ends, Duration::from_secs(90)).await;
    first.stop();
    second.stop();
    assert_tiled(&lake, &ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_stops_at_the_ends_seen_at_the_start() {
    let Some(broker) = Broker::shared() else { return };
    broker.create_topic("once-a", 2);
    broker.create_topic("once-b", 1);
    let temp = TempLake::new();
    let produce = |from: u64, to: u64| {
        for (topic, partition) in [("once-a", 0), ("once-a", 1), ("once-b", 0)] {
            broker.produce(topic, partition, (from..to).map(|o| payload(partition as u64, o)));
        }
    };
    let ingest = || {
        let uri = temp.uri();
        let arguments = [
            "--lake",
            &uri,
            "-o",
            "json",
            "ingest",
            "--from",
            "kafka",
            "--once",
            "--group",
            "once",
            "--bootstrap",
            &broker.bootstrap,
            "--topic",
            "once-a",
            "once-b",
        ];
        let output = tokentrail(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["records"].as_u64().unwrap()
    };
    assert_eq!(ingest(), 0, "nothing there, nothing to wait for");
    produce(0, 1000);
    assert_eq!(ingest(), 3000);
    assert_eq!(ingest(), 0);
    produce(1000, 1100);
    assert_eq!(ingest(), 300);
    let ends = BTreeMap::from([
        ("kafka:once-a/0".to_owned(), 1100),
        ("kafka:once-a/1".to_owned(), 1100),
        ("kafka:once-b/0".to_owned(), 1100),
    ]);
    assert_tiled(&temp.open().await, &ends).await;
}
