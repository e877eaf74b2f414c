"""How fresh a service is under load: from Kafka to a query's answer, and to an alert at a webhook.

Use: make bench-serve     or     scripts/serving bench_serve.py [--rate N] [--seconds N] [--clients N]

Records come at a steady rate while clients ask the lake without a pause longer than a second. Twice a second somebody
leaves and uses their token afterwards. Measured from the moment such a record was handed to Kafka:
  visible    to the end of the first query that shows it: what an analyst waits, the query's own time included
  delivered  to the webhook's taking the alert
The rate begins when the service has read a first record; how long that took from its start is told beside.
Then it stops, and the lag has to come back to 0.
"""
import argparse, os, pathlib, sys, tempfile, threading, time

from serving import TOPIC, Kafka, Service, Webhook, leaver, percentile, position, producer, query, steady


def client(folder, stop, produced, visible):
    """Asks for the newest marks, and notes when each was first in an answer."""
    while not stop.is_set():
        newest = query(folder, "SELECT event_id FROM events WHERE event_id LIKE 'mark-%-2'")
        now = time.time()
        for row in newest:
            name = row["event_id"].rsplit("-", 1)[0]
            if name in produced:
                visible[name] = min(visible.get(name, now), now)
        stop.wait(1)


def produce(to, arguments, produced):
    """Hands records to Kafka at the rate, and marks between them."""
    began, sent, marks = time.time(), 0, 0
    while (passed := time.time() - began) < arguments.seconds:
        while sent < passed * arguments.rate:
            to.produce(TOPIC, steady(sent, began + sent / arguments.rate, arguments.tokens), partition=sent % arguments.partitions)
            sent += 1
            if sent % 1000 == 0:
                to.poll(0)
        if marks < passed * 2:
            name, now = f"mark-{marks}", time.time()
            for record in leaver(name, now):
                to.produce(TOPIC, record, partition=0)
            produced[name] = now
            marks += 1
        time.sleep(0.005)
    to.flush(60)
    return sent + 3 * marks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokentrail-bench-serve.") as name:
        folder = pathlib.Path(name)
        kafka, webhook = Kafka(arguments.partitions), Webhook()
        service = Service(folder, "serve", kafka, webhook)
        try:
            service.start()
            measure(folder, service, kafka, webhook, arguments)
        finally:
            service.process.kill()
            service.process.wait()
            kafka.stop()


def first_record(folder, service, to):
    """Seconds from the service's start until it has read a record: a group waits for its members before it hands out partitions."""
    to.produce(TOPIC, steady(0, time.time(), 1), partition=0)
    to.flush(60)
    while not position(folder):
        if service.process.poll() is not None or time.monotonic() - service.began > 60:
            sys.exit(f"the service reads nothing:\n{service.log.read_text()[-3000:]}")
        time.sleep(0.1)
    return time.monotonic() - service.began


def measure(folder, service, kafka, webhook, arguments):
    produced, visible, stop = {}, {}, threading.Event()
    clients = [threading.Thread(target=client, args=(folder, stop, produced, visible)) for _ in range(arguments.clients)]
    [thread.start() for thread in clients]
    to = producer(kafka, **{"linger.ms": 5, "queue.buffering.max.messages": 2_000_000})
    joined = first_record(folder, service, to)
    total = 1 + produce(to, arguments, produced)
    ended = time.monotonic()
    while (read := position(folder)) < total and time.monotonic() - ended < 120:
        time.sleep(0.2)
    behind = time.monotonic() - ended
    time.sleep(15)
    stop.set()
    [thread.join() for thread in clients]
    delivered = {}
    for at, body in webhook.seen:
        for name in produced:
            if f"{name}@example.com" in body:
                delivered[name] = min(delivered.get(name, at), at)
    peak = service.memory_mib("VmHWM")
    errors = [line for line in service.log.read_text().splitlines() if "ERROR" in line]
    metrics = service.metrics()
    service.stop()
    print(f"{arguments.rate} events/s for {arguments.seconds} s, {arguments.clients} clients, {len(os.sched_getaffinity(0))} cores")
    print(f"reading after        {joined:6.2f} s")
    for what, seen, limit in [("visible in a query", visible, 5), ("alert delivered", delivered, 15)]:
        waits = [at - produced[name] for name, at in seen.items()]
        print(f"{what:20s} p50 {percentile(waits, .5):6.2f} s   p99 {percentile(waits, .99):6.2f} s (wanted: under {limit} s)   "
              f"{len(waits)} of {len(produced)} seen")
    print(f"lag 0 after          {behind:6.2f} s ({read} of {total} records)")
    runs, took = (metrics.get(f"tokentrail_detect_run_seconds_{what}", 0) for what in ("count", "sum"))
    print(f"runs of detectors    {runs:6.0f}, {took / max(runs, 1):.1f} s each")
    print(f"peak memory          {peak:6.0f} MiB")
    print(f"errors in the log    {len(errors):6d}")
    [print(f"  {line}") for line in errors[:5]]
    if read != total or len(delivered) != len(produced) or len(visible) != len(produced):
        sys.exit("not everything arrived")


main()
