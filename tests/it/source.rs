//! The conformance suite that every source runs: all records, in order, from where the lake stands, nothing twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokentrail::source::file::FileSource;
use tokentrail::source::kafka::{KafkaOptions, KafkaSource};
use tokentrail::source::memory::MemorySource;
use tokentrail::source::{Body, Polled, Source, SourceId};

use crate::harness::TempLake;
use crate::kafka_broker::Broker;

type Payloads = Vec<Vec<Option<Vec<u8>>>>;

/// What each partition gave, with its offsets.
type Read = BTreeMap<i32, Vec<(i64, Option<Vec<u8>>)>>;

/// Two partitions with a tombstone, an empty record, a long one and one that is no UTF-8.
fn payloads() -> Payloads {
    let text = |n: usize| Some(format!(r#"{{"n":{n}}}"#).into_bytes());
    let mut first: Vec<_> = (0..500).map(text).collect();
    first[7] = None;
    first[9] = Some(vec![b'x'; 300_000]);
    first[11] = Some(vec![0xff, 0, 0xfe]);
    vec![first, (500..700).map(text).collect()]
}

/// Reads to the end.
async fn drain(source: &mut dyn Source) -> Read {
    let mut read: BTreeMap<i32, Vec<_>> = BTreeMap::new();
    let mut assigned: BTreeMap<i32, Option<i64>> = BTreeMap::new();
    loop {
        match source.next().await.unwrap() {
            Polled::Assigned(list) => assigned.extend(list.iter().map(|(id, from)| (id.partition, *from))),
            Polled::Revoked(list) => list.iter().for_each(|id| {
                assigned.remove(&id.partition);
            }),
            Polled::End => return read,
            Polled::Chunk(chunk) => {
                for record in &chunk.records {
                    let id = &chunk.sources[record.source];
                    assert!(assigned.contains_key(&id.partition), "a record of a partition that is not ours");
                    let body = match &record.body {
                        Body::Bytes(range) => Some(chunk.data[range.clone()].to_vec()),
                        Body::Oversized { .. } => panic!("nothing here is over the limit"),
                        Body::Skip => None,
                    };
                    read.entry(id.partition).or_default().push((record.offset, body));
                }
            }
        }
    }
}

fn from(payloads: &Payloads, positions: &BTreeMap<i32, i64>) -> Read {
    let mut expected = BTreeMap::new();
    for (partition, records) in payloads.iter().enumerate() {
        let start = positions.get(&(partition as i32)).copied().unwrap_or(0);
        let rest: Vec<_> =
            records.iter().enumerate().skip(start as usize).map(|(n, r)| (n as i64, r.clone())).collect();
        if !rest.is_empty() {
            expected.insert(partition as i32, rest);
        }
    }
    expected
}

/// The suite: `open` makes the source over [`payloads`], starting from the given positions.
async fn conforms<S: Source>(open: impl AsyncFn(BTreeMap<i32, i64>) -> S) {
    let payloads = payloads();
    for positions in [BTreeMap::new(), BTreeMap::from([(0, 100), (1, 0)]), BTreeMap::from([(0, 500), (1, 200)])] {
        let mut source = open(positions.clone()).await;
        let read = drain(&mut source).await;
        assert_eq!(read, from(&payloads, &positions), "from {positions:?}");
    }
    // What the lake refused is read again from its position, announced first.
    let mut source = open(BTreeMap::new()).await;
    let mut read = Vec::new();
    let (mut restarted, mut announced) = (false, false);
    loop {
        match source.next().await.unwrap() {
            Polled::Assigned(list)
                if list.iter().any(|(id, from)| restarted && id.partition == 0 && *from == Some(3)) =>
            {
                announced = true;
                read.clear();
            }
            Polled::Chunk(chunk) => {
                for record in chunk.records.iter().filter(|r| chunk.sources[r.source].partition == 0) {
                    read.push(record.offset);
                    if !restarted {
                        restarted = true;
                        source.restart(&chunk.sources[record.source].clone(), 3).await.unwrap();
                    }
                }
            }
            // The end may have been said before the restart was heard.
            Polled::End if announced => break,
            _ => {}
        }
    }
    assert!(restarted);
    assert_eq!(read, (3..500).collect::<Vec<_>>(), "after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    conforms(async |positions: BTreeMap<i32, i64>| {
        MemorySource::new("t", payloads(), |id| positions.get(&id.partition).copied()).with_chunk_records(64)
    })
    .await;
}

async fn kafka(bootstrap: &str, topic: &str, positions: BTreeMap<i32, i64>) -> KafkaSource {
    static GROUPS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let group =
        format!("conformance-{}-{}", std::process::id(), GROUPS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let properties = BTreeMap::from([("bootstrap.servers".into(), bootstrap.into()), ("group.id".into(), group)]);
    let options = KafkaOptions { topics: vec![topic.into()], properties, once: true };
    KafkaSource::open(options, Arc::new(move |id: &SourceId| Ok(positions.get(&id.partition).copied()))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_conforms_on_the_mock_cluster() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("mock", 2, 1).unwrap();
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    for (partition, records) in payloads().iter().enumerate() {
        for payload in records {
            let mut record = BaseRecord::<(), [u8]>::to("mock").partition(partition as i32);
            if let Some(payload) = payload {
                record = record.payload(payload);
            }
            producer.send(record).map_err(|(e, _)| e).unwrap();
            producer.poll(std::time::Duration::ZERO);
        }
    }
    producer.flush(std::time::Duration::from_secs(30)).unwrap();
    let bootstrap = cluster.bootstrap_servers();
    conforms(async |positions| kafka(&bootstrap, "mock", positions).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_conforms_on_a_real_broker() {
    let Some(broker) = Broker::shared() else { return };
    broker.create_topic("conformance", 2);
    for (partition, records) in payloads().into_iter().enumerate() {
        broker.produce("conformance", partition as i32, records);
    }
    conforms(async |positions| kafka(&broker.bootstrap, "conformance", positions).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_give_the_same_lines_however_they_are_packed() {
    let temp = TempLake::new();
    let lines: Vec<String> = (0..20_000).map(|n| format!(r#"{{"n":{n},"pad":"{}"}}"#, "x".repeat(n % 700))).collect();
    let text = lines.join("\n");
    let halves = text.split_at(text.len() / 2);
    let gzip = |part: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, part.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zst = |part: &str| zstd::encode_all(part.as_bytes(), 1).unwrap();
    for (name, bytes) in [
        ("a.ndjson", text.clone().into_bytes()),
        ("b.ndjson.gz", [gzip(halves.0), gzip(halves.1)].concat()),
        ("c.ndjson.zst", [zst(halves.0), zst(halves.1)].concat()),
    ] {
        let path = temp.path(name);
        std::fs::write(&path, bytes).unwrap();
        let read = drain(&mut open(&path)).await;
        let expected: Vec<_> =
            lines.iter().enumerate().map(|(n, l)| (n as i64, Some(l.clone().into_bytes()))).collect();
        assert_eq!(read, BTreeMap::from([(0, expected)]), "{name}");
    }
}

fn open(path: &Path) -> FileSource {
    FileSource::open(&[path.to_owned()], BTreeMap::new()).unwrap()
}
