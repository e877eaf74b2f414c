"""A service for a while, under what happens to services: restarts one after the other, and of the broker.

Use: make soak     SOAK_MINUTES=2 make soak     or     scripts/serving soak.py [--minutes N] [--rate N]

Two processes share one lake. Records come at a steady rate; every so often one of the processes is stopped and started,
and halfway through the broker. At the end: every record is in the lake once, the lag is 0, each who left was alerted of
and under one key, memory is flat, and no error is left in a log outside of the broker's restart.

Flat means: what both processes hold for themselves (RssAnon: without the pages of the program's file, which the system
takes back when it likes) has, in the last third of the last quarter of the time, a median that is at most GROWTH_SHARE
and GROWTH_MIB (GROWTH_MIB_SHORT in a soak of less than SHORT_MINUTES) above that of the first third. Nobody is restarted
in that quarter. And neither ever holds more than MEMORY_MAX_MIB.
"""
import argparse, datetime, os, pathlib, re, signal, statistics, sys, tempfile, threading, time

from serving import TOPIC, Kafka, Service, Webhook, leaver, position, producer, query, steady

# What a run of the detectors more or less, or a merge that is under way, makes of a median. In the first minutes after a
# start a process still comes to what it needs: a short soak allows for that, and leaves slow growth to the long one.
GROWTH_SHARE, GROWTH_MIB, GROWTH_MIB_SHORT, SHORT_MINUTES = 0.05, 32, 96, 10
# Before files were merged with a few rows of each in memory, a process came to 1,900 MiB after twenty minutes.
MEMORY_MAX_MIB = 1_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("SOAK_MINUTES", 20)))
    parser.add_argument("--rate", type=int, default=2_000)
    arguments = parser.parse_args()
    # Who ends us must not leave a broker and two services behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with tempfile.TemporaryDirectory(prefix="tokentrail-soak.") as name:
        folder, kafka, webhook = pathlib.Path(name), Kafka(4), Webhook()
        services = [Service(folder, name, kafka, webhook) for name in ("one", "two")]
        try:
            [service.start() for service in services]
            soak(folder, services, kafka, webhook, arguments)
        finally:
            for service in services:
                service.process.kill()
                service.process.wait()
            kafka.stop()


def produce(to, rate, stop, counted):
    """Records at a rate, and somebody who leaves every five seconds, until told to stop."""
    began = time.time()
    while not stop.is_set():
        passed = time.time() - began
        while counted["records"] < passed * rate:
            number = counted["records"]
            record = steady(number, began + number / rate, 5000)
            to.produce(TOPIC, record, partition=number % 4)
            counted["records"] += 1
        if counted["leavers"] < passed / 5:
            for record in leaver(f"leaver-{counted['leavers']}", time.time()):
                to.produce(TOPIC, record, partition=0)
            counted["leavers"] += 1
        to.poll(0)
        time.sleep(0.05)
    if left := to.flush(120):
        sys.exit(f"{left} records were never taken by the broker")


def soak(folder, services, kafka, webhook, arguments):
    counted, stop = {"records": 0, "leavers": 0}, threading.Event()
    to = producer(kafka, **{"enable.idempotence": True, "linger.ms": 20})
    # Whatever ends this script does not wait for what a broker that is gone would have taken.
    thread = threading.Thread(target=produce, args=(to, arguments.rate, stop, counted), daemon=True)
    thread.start()
    began, seconds = time.monotonic(), arguments.minutes * 60
    # Restarts end before the last quarter: memory is compared over a stretch without any.
    every, restarts, away, memory, slowest, told = max(20, seconds / 16), 0, None, [], 0, 0
    while (passed := time.monotonic() - began) < seconds:
        if passed > (restarts + 1) * every and passed < seconds * 0.6:
            service = services[restarts % 2]
            slowest = max(slowest, service.stop())
            service.start()
            restarts += 1
        if away is None and passed > seconds * 0.65:
            away = time.time(), kafka.restart()
        if any(service.process.poll() is not None for service in services):
            sys.exit("a service ended by itself")
        memory.append((passed, [service.memory_mib("RssAnon") for service in services]))
        if passed > 60 * (told + 1):
            told += 1
            of_minute = list(zip(*(mib for at, mib in memory if at > 60 * (told - 1))))
            medians = " and ".join(f"{statistics.median(mib):.0f}" for mib in of_minute)
            print(f"{told} min: {counted['records']} records, memory {medians} MiB, {restarts} restarts", file=sys.stderr, flush=True)
        time.sleep(1)
    stop.set()
    thread.join()
    total, ended = counted["records"] + 3 * counted["leavers"], time.monotonic()
    while position(folder) < total and time.monotonic() - ended < 120:
        time.sleep(0.5)
    lag = total - position(folder)
    time.sleep(20)
    slowest = max([slowest] + [service.stop() for service in services])
    wrong = judged(folder, services, webhook, counted, total, away)
    steady, most = [sum(mib) for at, mib in memory if at > seconds * 0.75], max(max(mib) for _, mib in memory)
    early, late = statistics.median(steady[:len(steady) // 3]), statistics.median(steady[-(len(steady) // 3):])
    wrong += [f"lag {lag}"] if lag else []
    more = GROWTH_MIB if arguments.minutes >= SHORT_MINUTES else GROWTH_MIB_SHORT
    wrong += [f"memory grew from {early:.0f} to {late:.0f} MiB"] if late > early * (1 + GROWTH_SHARE) + more else []
    wrong += [f"a process held {most:.0f} MiB: at most {MEMORY_MAX_MIB} are allowed"] if most > MEMORY_MAX_MIB else []
    print(f"{arguments.minutes:g} minutes, {total} records, {restarts} restarts of services (slowest stop {slowest:.1f} s), "
          f"one of the broker ({away[1]:.1f} s)")
    print(f"lag {lag}; memory of both {early:.0f} MiB, then {late:.0f} MiB in the last quarter; of one at most {most:.0f} MiB")
    print("\n".join(f"WRONG: {line}" for line in wrong) or "counts exact, every alert delivered, no error in the logs")
    sys.exit(1 if wrong else 0)


def judged(folder, services, webhook, counted, total, away):
    """What is not as it should be."""
    wrong = []
    rows = query(folder, "SELECT COUNT(*) AS n, COUNT(DISTINCT event_id) AS ids FROM events")
    if not rows or (rows[0]["n"], rows[0]["ids"]) != (total, total):
        wrong.append(f"{rows} in the lake, {total} produced")
    keys = {}
    for _, body in webhook.seen:
        for name in set(re.findall(r"leaver-\d+@example\.com", body)):
            keys.setdefault(name, set()).add(body)
    if len(keys) != counted["leavers"]:
        wrong.append(f"alerts about {len(keys)} of {counted['leavers']} who left")
    twice = [name for name, bodies in keys.items() if len(bodies) > 1]
    wrong += [f"{len(twice)} alerts came twice and differ: {keys[twice[0]]}"] if twice else []
    opened = query(folder, "SELECT COUNT(*) AS n, COUNT(DISTINCT finding_id) AS ids FROM finding_changes WHERE change = 'opened'")
    if not opened or opened[0]["n"] != opened[0]["ids"]:
        wrong.append(f"findings opened twice: {opened}")
    for service in services:
        for line in service.log.read_text().splitlines():
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
            stamp = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", plain)
            if " ERROR " in plain and stamp:
                at = datetime.datetime.fromisoformat(stamp[1] + "+00:00").timestamp()
                if not away[0] - away[1] - 5 < at < away[0] + 30:
                    wrong.append(f"{service.name}: {plain}")
    return wrong


main()
