"""Measures Tokentrail beside DuckDB on the same files in the same run, one after the other in turn.

Use: scripts/bench [ingest|decode|kafka|detect|flat|timeline|pack] [--events N] [--rounds N]     (installs and builds what it needs, then runs this)

A shared machine is noisy: quote the ratio of each pair and the median, not single times. What is printed:
  ingest   NDJSON to a lake (commit, repeats, hashes) against DuckDB writing typed zstd Parquet from the same file
  decode   records of each provider, recognised and decoded on every core, beside DuckDB reading the same file as JSON
  kafka    Kafka to a lake against consuming and discarding with the same client
  detect   a pass after new events against DuckDB's four queries from the raw events of the same lake
  timeline one token, grant, subject, device and host, beyond start-up, against DuckDB finding the same rows in the same files
  pack     a quarter's evidence out of the lake of one company, seconds and memory
  flat     the same while the history of one company grows to 5, 20 and 50 million events
"""
import argparse, datetime, itertools, json, os, pathlib, resource, shutil, statistics, subprocess, sys, tempfile, time

import duckdb

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKENTRAIL = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "tokentrail"
TEXT = "VARCHAR"
RECORD = {
    "event_id": TEXT, "event_time": TEXT, "action": TEXT, "outcome": TEXT, "project": TEXT,
    "token": 'STRUCT(id VARCHAR, family VARCHAR, kind VARCHAR, "grant" VARCHAR, issued_at VARCHAR, expires_at VARCHAR, scopes VARCHAR[], storage VARCHAR)',
    "subject": "STRUCT(id VARCHAR, kind VARCHAR)", "client": "STRUCT(id VARCHAR, kind VARCHAR)", "device": "STRUCT(id VARCHAR)",
    "host": "STRUCT(id VARCHAR, kind VARCHAR, os_user VARCHAR)", "network": "STRUCT(ip VARCHAR, country VARCHAR)",
}


def run(arguments):
    """Seconds and peak memory (MiB) of one run of the program."""
    started = time.monotonic()
    process = subprocess.Popen([str(a) for a in arguments], stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"failed: {arguments}")
    return seconds, usage.ru_maxrss / 1024, output


def duckdb_ingest(source, target):
    """What DuckDB does in SQL with the same records: read, type, write compressed Parquet."""
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in RECORD.items())
    connection.execute(f"""
        COPY (SELECT event_id, event_time::TIMESTAMP AS event_time, action, outcome, token.id AS token_id, token.family AS family_id,
            token.kind AS token_kind, token."grant" AS grant_type, token.issued_at::TIMESTAMP AS issued_at,
            token.expires_at::TIMESTAMP AS expires_at, token.scopes AS scopes, token.storage AS token_storage, subject.id AS subject_id,
            subject.kind AS subject_kind, client.id AS client_id, client.kind AS client_kind, device.id AS device_id, host.id AS host_id,
            host.kind AS host_kind, host.os_user AS os_user, network.ip AS ip, network.country AS country, project AS project_id
        FROM read_json('{source}', format = 'newline_delimited', columns = {{{columns}}}))
        TO '{target}' (FORMAT parquet, COMPRESSION zstd)""")


def ratios(name, ours, theirs):
    pairs = [t / o for o, t in zip(ours, theirs)]
    print(f"{name:34s} ours {statistics.median(ours):7.2f} s   peer {statistics.median(theirs):7.2f} s   "
          f"peer/ours {statistics.median(pairs):.2f}x (pairs {', '.join(f'{p:.2f}' for p in pairs)})", flush=True)


def ingest(folder, events, rounds):
    source = folder / "workload.ndjson"
    run([TOKENTRAIL, "-q", "generate", "--shape", "workload", "--events", events, "--out", source])
    print(f"ingest: {events} records, {source.stat().st_size / events:.0f} bytes each")
    ours, peak = {"true": [], "false": []}, 0
    theirs = []
    for _ in range(rounds):
        for keep_raw in ours:
            lake = folder / "lake"
            shutil.rmtree(lake, ignore_errors=True)
            seconds, memory, _ = run([TOKENTRAIL, "-q", "--lake", lake, "ingest", "--keep-raw", keep_raw, "--from", source])
            ours[keep_raw].append(seconds)
            peak = max(peak, memory)
            size = sum(f.stat().st_size for f in lake.rglob("*.parquet"))
            print(f"  keep-raw {keep_raw:5s} {seconds:6.2f} s, {size / events:.0f} bytes/event stored")
        started = time.monotonic()
        duckdb_ingest(source, folder / "peer.parquet")
        theirs.append(time.monotonic() - started)
        print(f"  duckdb         {theirs[-1]:6.2f} s, {(folder / 'peer.parquet').stat().st_size / events:.0f} bytes/event stored")
    ratios("ingest without the original", ours["false"], theirs)
    ratios("ingest with the original", ours["true"], theirs)
    print(f"peak memory: {peak:.0f} MiB (limit 1024)")


T = "$as_of"  # put in as a literal
# What the peer needs more than once; the workload has no policy of its own, no reinstatement, recovery or broad revocation.
PEER_GRANTS = f"""
    SELECT grant_id, coalesce(min(coalesce(issued_at, event_time)) FILTER (action = 'issue'), min(issued_at), min(event_time)) AS started_at,
        least(
            min(event_time) FILTER (action = 'revoke' AND token_kind NOT IN ('access', 'id')),
            CASE WHEN bool_and(token_kind IN ('access', 'id')) THEN min(event_time) FILTER (action = 'revoke') END,
            coalesce(max(expires_at) FILTER (token_kind NOT IN ('access', 'id')), max(expires_at))
        ) AS ended_at,
        max(event_time) FILTER (action IN ('issue', 'refresh', 'use')) AS last_exercised_at
    FROM events WHERE outcome = 'success' AND grant_id IS NOT NULL AND event_time <= {T} GROUP BY grant_id HAVING last_exercised_at IS NOT NULL"""
# The four detectors from the raw events, as somebody would write them in DuckDB: key columns and violated_at.
PEER_DETECT = {
    "refresh_after_offboarding": f"""
        WITH away AS (
            SELECT o.subject_id, o.event_time AS since, min(r.event_time) AS until FROM events o
            LEFT JOIN (SELECT subject_id, event_time FROM events WHERE action = 'reinstate' AND event_time <= {T}) r
                ON r.subject_id = o.subject_id AND r.event_time > o.event_time
            WHERE o.action = 'offboard' AND o.event_time <= {T} GROUP BY 1, 2)
        SELECT e.subject_id, e.grant_id, min(e.event_time) FROM events e JOIN away a USING (subject_id)
        WHERE e.action = 'refresh' AND e.outcome = 'success' AND e.event_time >= a.since AND (a.until IS NULL OR e.event_time < a.until)
            AND e.event_time <= {T} GROUP BY 1, 2""",
    "token_older_than_policy": f"""
        WITH grants AS ({PEER_GRANTS})
        SELECT grant_id, 'age', started_at + INTERVAL 30 DAY FROM grants WHERE least(ended_at, {T}) - started_at > INTERVAL 30 DAY
        UNION ALL
        SELECT grant_id, 'idle', last_exercised_at + INTERVAL 14 DAY FROM grants WHERE least(ended_at, {T}) - last_exercised_at > INTERVAL 14 DAY""",
    "shared_host_reuse": f"""
        WITH exercises AS (SELECT * FROM events WHERE action IN ('issue', 'refresh', 'use') AND outcome = 'success' AND host_id IS NOT NULL
            AND event_time <= {T}),
        presence AS (SELECT host_id, subject_id, min(event_time) AS first, max(event_time) AS last FROM exercises
            WHERE subject_id IS NOT NULL AND subject_kind IS DISTINCT FROM 'service' GROUP BY 1, 2),
        accounts AS (SELECT host_id, grant_id, os_user, min(event_time) AS first FROM exercises WHERE os_user IS NOT NULL AND grant_id IS NOT NULL
            GROUP BY 1, 2, 3),
        found AS (
            SELECT a.host_id, greatest(a.first, b.first) AS moment FROM presence a JOIN presence b ON a.host_id = b.host_id
                AND a.subject_id < b.subject_id AND greatest(a.first, b.first) <= least(a.last, b.last) + INTERVAL 12 HOUR
            UNION ALL
            SELECT a.host_id, greatest(a.first, b.first) FROM accounts a JOIN accounts b ON a.host_id = b.host_id
                AND a.grant_id = b.grant_id AND a.os_user < b.os_user)
        SELECT host_id, min(moment) FROM found GROUP BY 1""",
    "unrevoked_lost_device": f"""
        WITH grants AS ({PEER_GRANTS}),
        lost AS (
            SELECT l.device_id, l.event_time + INTERVAL 1 HOUR AS x, min(r.event_time) AS until FROM events l
            LEFT JOIN (SELECT device_id, event_time FROM events WHERE action = 'device_recovered' AND event_time <= {T}) r
                ON r.device_id = l.device_id AND r.event_time > l.event_time
            WHERE l.action = 'device_lost' AND l.outcome = 'success' AND l.event_time <= {T} GROUP BY 1, 2),
        used AS (SELECT device_id, grant_id, min(event_time) AS used_at FROM events JOIN (SELECT DISTINCT device_id FROM lost) USING (device_id)
            WHERE action IN ('issue', 'refresh', 'use') AND outcome = 'success' AND event_time <= {T} GROUP BY 1, 2)
        SELECT device_id, grant_id, min(x) FROM used JOIN lost USING (device_id) JOIN grants USING (grant_id)
        WHERE started_at <= x AND (ended_at IS NULL OR ended_at > x) AND (until IS NULL OR (x < until AND used_at < until)) AND x <= {T} GROUP BY 1, 2""",
}


def peer_detect(lake, as_of):
    """Seconds DuckDB needs for the four, and their rows, detector by detector."""
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE VIEW events AS SELECT * FROM read_parquet('{lake}/events/class=*/*/*.parquet', hive_partitioning = true)")
    started = time.monotonic()
    for name, sql in PEER_DETECT.items():
        sql = sql.replace(T, f"TIMESTAMPTZ '{as_of}'")
        connection.execute(f"CREATE TABLE {name} AS {sql}")
    seconds = time.monotonic() - started
    found = {}
    for name in PEER_DETECT:
        columns = [row[0] for row in connection.execute(f"DESCRIBE {name}").fetchall()]
        names = ", ".join(f'"{c}"' for c in columns[:-1])
        rows = connection.execute(f"SELECT {names}, epoch_us(\"{columns[-1]}\") FROM {name}").fetchall()
        found[name] = {(*row[:-1], row[-1]) for row in rows}
    return seconds, found


def our_rows(lake):
    """What was found of the four and still stands: key and violated_at, detector by detector."""
    sql = "SELECT detector, key, violated_at FROM findings WHERE state <> 'retracted'"
    _, _, output = run([TOKENTRAIL, "-q", "--lake", lake, "-o", "ndjson", "query", sql])
    found = {name: set() for name in PEER_DETECT}
    for line in output.splitlines():
        row = json.loads(line)
        if row["detector"] in found:
            at = datetime.datetime.fromisoformat(row["violated_at"])
            micros = (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)
            key = row["key"] if isinstance(row["key"], dict) else json.loads(row["key"])
            found[row["detector"]].add((*key.values(), micros))
    return found


DAILY = 13_700  # records of a steady company
NEW = 100_000
PIECE = 1_000_000
END = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


class Company:
    """A steady company whose events arrive piece by piece, each judged as it comes: always as many live grants, ever more history."""

    def __init__(self, folder, total):
        self.lake, self.file, self.told, self.total = folder / "lake-detect", folder / "piece.ndjson", 0, total
        generate = [TOKENTRAIL, "-q", "generate", "--shape", "steady", "--events", total]
        self.records = subprocess.Popen([str(a) for a in generate], stdout=subprocess.PIPE)

    def grow(self, events):
        """More events into the lake."""
        ingest = [str(a) for a in [TOKENTRAIL, "-q", "--lake", self.lake, "ingest", "--keep-raw", "false", "--from", "-"]]
        into = subprocess.Popen(ingest, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        into.stdin.writelines(itertools.islice(self.records.stdout, events))
        into.stdin.close()
        if into.wait():
            sys.exit("the lake could not be made")
        self.told += events

    def as_of(self):
        """The moment of the newest event, and some more."""
        at = END - datetime.timedelta(days=(self.total - self.told) / DAILY)
        return (at.replace(microsecond=0) + datetime.timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def run(self, detectors):
        """Seconds and MiB of a pass."""
        seconds, memory, _ = run([TOKENTRAIL, "-q", "--lake", self.lake, "-o", "ndjson", "detect", *detectors, "--as-of", self.as_of()])
        return seconds, memory


def detect(folder, events, rounds):
    """Passes over one history."""
    flat(folder, events, rounds, [events])


def flat(folder, events, rounds, lengths=(5_000_000, 20_000_000, 50_000_000)):
    """A pass after 100,000 new events over a short history and over longer ones of the same company."""
    lengths = [length for length in lengths if length <= events]
    company = Company(folder, max(lengths) + len(lengths) * rounds * NEW)
    passes = {}
    for length in lengths:
        while company.told < length:
            company.grow(min(PIECE if company.told else lengths[0], length - company.told))
            for name, detectors in [("the four", PEER_DETECT), ("all detectors", [])]:
                seconds, memory = company.run(detectors)
                print(f"  {company.told} events: {name}, after the last piece: {seconds:.2f} s, {memory:.0f} MiB", flush=True)
        passes[length] = measure(company, rounds)
    shortest = min(passes)
    for length, seconds in passes.items():
        print(f"all detectors after {NEW} new events on {length}: {seconds:.2f} s, {seconds / passes[shortest]:.2f}x of {shortest}", flush=True)


def measure(company, rounds):
    """Passes after new events, beside DuckDB's four queries."""
    length, of_four, of_all, theirs = company.told, [], [], []
    for _ in range(rounds):
        company.grow(NEW)
        for name, detectors, times in [("the four", PEER_DETECT, of_four), ("all detectors", [], of_all)]:
            seconds, memory = company.run(detectors)
            times.append(seconds)
            print(f"  pass of {name} after {NEW} new events: {seconds:.2f} s, {memory:.0f} MiB", flush=True)
        seconds, peer = peer_detect(company.lake, company.as_of())
        theirs.append(seconds)
        print(f"  duckdb, four queries from raw events: {seconds:.2f} s; the four took {of_four[-1] / seconds:.1%} of it", flush=True)
    found = our_rows(company.lake)
    for name, rows in peer.items():
        ours, others = found[name] - rows, rows - found[name]
        print(f"  {name}: {len(rows)} rows, {len(ours)} only ours, {len(others)} only the peer's {[*(ours | others)][:2]}", flush=True)
    ratios(f"the four, {length} events", of_four, theirs)
    return statistics.median(of_all)


ABOUT = {"token": "token_id", "grant": "grant_id", "subject": "subject_id", "device": "device_id", "host": "host_id"}
START_UP = ["timeline", "--help"]


def steady(folder, events):
    """The lake of a steady company; one that is there already is named by TOKENTRAIL_BENCH_LAKE."""
    lake = os.environ.get("TOKENTRAIL_BENCH_LAKE")
    if lake:
        return lake
    company = Company(folder, events)
    while company.told < events:
        company.grow(min(PIECE, events - company.told))
    return company.lake


def pack(folder, events, rounds):
    """A quarter's evidence out of a lake in which detectors run, as they do beside a service."""
    lake, key = steady(folder, events), folder / "pseudonym-key"
    seconds, memory, _ = run([TOKENTRAIL, "-q", "--lake", lake, "-o", "ndjson", "detect", "--as-of", END.strftime("%Y-%m-%dT%H:%M:%SZ")])
    print(f"pack: detectors before it {seconds:.1f} s, {memory:.0f} MiB", flush=True)
    for round in range(rounds):
        out = folder / f"pack-{round}"
        seconds, memory, _ = run([TOKENTRAIL, "-q", "--lake", lake, "export", "--framework", "nist-csf-2.0", "--from", "2026-07-01T00:00:00Z",
                                  "--to", "2026-10-01T00:00:00Z", "--out", out, "--pseudonym-key-file", key])
        rows = sum(len(file.read_bytes().splitlines()) - 1 for file in out.rglob("*.csv"))
        print(f"  a quarter: {seconds:.1f} s (120 asked), {memory:.0f} MiB (2048 asked); {rows} rows in its CSV files", flush=True)


def timeline(folder, events, rounds):
    """One id's chronology."""
    lake = steady(folder, events)
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    connection.execute(f"CREATE VIEW events AS SELECT * FROM read_parquet('{lake}/events/class=*/*/*.parquet', hive_partitioning = true)")
    total = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    # Ids from the middle of the history; the first look-up also writes down where the filters lie.
    middle = connection.execute(f"SELECT {', '.join(ABOUT.values())} FROM events WHERE action = 'refresh' AND device_id IS NOT NULL "
                                f"AND host_id IS NOT NULL ORDER BY hash(event_id) LIMIT 1").fetchone()
    first, _, _ = run([TOKENTRAIL, "-q", "--lake", lake, "-o", "ndjson", "timeline", "--grant", middle[1]])
    files = sum(1 for _ in pathlib.Path(lake).glob("events/class=*/*/*.parquet"))
    print(f"timeline: {total} events in {files} files; the first look-up took {first * 1000:.0f} ms", flush=True)
    differ = []
    for (about, column), value in zip(ABOUT.items(), middle):
        ours, theirs = [], []
        for _ in range(rounds):
            start = min(run([TOKENTRAIL, *START_UP])[0] for _ in range(3))
            seconds, memory, output = run([TOKENTRAIL, "-q", "--lake", lake, "-o", "ndjson", "timeline", f"--{about}", value])
            ours.append(max(seconds - start, 0.001))
            entries = [json.loads(line) for line in output.splitlines()]
            rows = {entry["details"]["event_id"] for entry in entries if entry["kind"] in ("event", "context") and entry["details"].get(column) == value}
            started = time.monotonic()
            connection.execute(f"CREATE OR REPLACE TEMP TABLE found AS SELECT * FROM events WHERE {column} = ? ORDER BY event_time", [value])
            theirs.append(time.monotonic() - started)
            found = {row[0] for row in connection.execute("SELECT event_id FROM found").fetchall()}
        print(f"  {about}: {len(rows)} events shown, {len(found)} found by DuckDB; start-up {start * 1000:.0f} ms, beyond it "
              f"{', '.join(f'{s * 1000:.0f}' for s in ours)} ms (50 asked), {memory:.0f} MiB", flush=True)
        ratios(f"timeline of a {about}", ours, theirs)
        if rows != found:
            differ.append(f"{about}: {len(rows - found)} only ours, {len(found - rows)} only the peer's {[*(rows ^ found)][:2]}")
    if differ:
        sys.exit("the rows differ: " + "; ".join(differ))


def decode(folder, events, rounds):
    """Each provider's sample records over and over: how many a second are recognised, cleaned and decoded."""
    source, empty, slowest = folder / "records.ndjson", folder / "empty.ndjson", []
    empty.write_bytes(b"")
    start = min(run([TOKENTRAIL, "decode", "--summary", empty])[0] for _ in range(5))
    for sample in sorted((ROOT / "sample-data" / "providers").glob("*.ndjson")):
        lines = sample.read_bytes().splitlines(keepends=True)
        copies = max(1, min(events, 300_000) // len(lines))
        with open(source, "wb") as file:
            for _ in range(copies):
                file.writelines(lines)
        records, size = copies * len(lines), source.stat().st_size
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(run([TOKENTRAIL, "decode", "--summary", source])[0] - start)
            connection = duckdb.connect()
            connection.execute("SET threads = 2")
            started = time.monotonic()
            connection.execute(f"SELECT count(*), max(length(json ->> '$.id')) FROM read_json_objects('{source}', format = 'newline_delimited', ignore_errors = true)")
            theirs.append(time.monotonic() - started)
        rate = records / statistics.median(ours)
        slowest.append((rate, sample.stem))
        print(f"  {sample.stem:18s} {size / records:5.0f} bytes each  {rate:9,.0f} records/s  {size / 1e6 / statistics.median(ours):5.0f} MB/s   "
              f"DuckDB parses at {records / statistics.median(theirs):9,.0f}/s", flush=True)
    print("slowest: {1}, {0:,.0f} records/s (200,000 asked)".format(*min(slowest)))


def fill(bootstrap, source):
    """One topic of 6 partitions with the records of a file."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})  # has to outlive its answers
    for created in admin.create_topics([NewTopic("bench", 6, 1)]).values():
        created.result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    with open(source, "rb") as lines:
        for number, line in enumerate(lines):
            while True:
                try:
                    producer.produce("bench", line.rstrip(b"\n"), partition=number % 6)
                    break
                except BufferError:
                    producer.poll(0.1)
    producer.flush()


def kafka(folder, events, rounds):
    """The same client commits to a lake, or consumes and discards; a broker on loopback serves both."""
    started = subprocess.run([ROOT / "scripts" / "kafka-start"], check=True, capture_output=True, text=True).stdout
    answer = dict(word.split("=", 1) for word in started.split() if "=" in word)
    try:
        source = folder / "kafka.ndjson"
        run([TOKENTRAIL, "-q", "generate", "--shape", "workload", "--events", events, "--out", source])
        broker = ["--bootstrap", answer["bootstrap"], "--topic", "bench"]
        fill(answer["bootstrap"], source)
        ours, theirs = [], []
        for round in range(rounds):
            lake, empty = folder / f"lake-kafka-{round}", folder / f"lake-discard-{round}"
            command = ["-q", "-o", "json", "ingest", "--from", "kafka", "--once", *broker]
            ours.append(run([TOKENTRAIL, "--lake", lake, *command, "--group", f"lake-{round}"])[0])
            # A lake of its own: positions decide where reading starts.
            seconds, _, output = run([TOKENTRAIL, "--lake", empty, *command, "--group", f"discard-{round}", "--discard"])
            assert json.loads(output)["records"] == events
            theirs.append(seconds)
            print(f"  to the lake {ours[-1]:.2f} s, discarded {theirs[-1]:.2f} s", flush=True)
        ratios("Kafka to lake (peer: discard)", ours, theirs)
    finally:
        subprocess.run([ROOT / "scripts" / "kafka-stop", answer["pid"]], check=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["ingest", "decode", "detect"])
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for what in arguments.what:
            {"ingest": ingest, "detect": detect, "decode": decode, "kafka": kafka, "flat": flat, "timeline": timeline, "pack": pack}[what](pathlib.Path(folder), arguments.events, arguments.rounds)


main()
