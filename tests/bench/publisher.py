"""Publishes notifications as a process of its own: a `Load` in as JSON, a `Summary` out.

Each notification carries the time it was due under `t` (CLOCK_MONOTONIC in nanoseconds, the
same clock in every process), for whoever receives it to know how long it took.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import attrs
from tests.bench.http_load import Answer, Outgoing, drive, post
from tests.bench.percentiles import percentile

ITEM = (
    '{"user":"%s%d","service":"chat","notification":{"chatMessageNotification":{"t":%d,'
    '"text":"All human beings are born free and equal in dignity and rights."}}%s}'
)


@attrs.frozen
class Load:
    """What to publish: to users `prefix` 0, 1, .. `users` - 1 in turn, `batch` in a request.

    It ends after `seconds` or `count` requests, whichever is set. `rate` is requests a second,
    0 for as fast as answered. `spread` gives each notification an order key of its own.
    """

    port: int
    token: str
    prefix: str
    connections: int
    users: int = 1
    batch: int = 1
    rate: float = 0
    seconds: float = 0
    count: int = 0
    spread: bool = False


@attrs.frozen
class Summary:
    """What came of it; `busy` is the share of a core this process needed."""

    notifications: int
    requests: int
    seconds: float
    busy: float
    p50_ms: float
    p99_ms: float


def publish(load: Load) -> Summary:
    """Run a load in a process of its own and wait for its end; anything but 202 is fatal."""
    command = [sys.executable, "-m", "tests.bench.publisher", json.dumps(attrs.asdict(load))]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Summary(**json.loads(done.stdout))


def requests_of(load: Load) -> Iterator[Outgoing]:
    """The requests of a load, each rendered when it is asked for."""
    start = time.monotonic()
    number = 0
    while not load.count or number < load.count:
        due = start + number / load.rate if load.rate else time.monotonic()
        if load.seconds and due >= start + load.seconds:
            return
        first = number * load.batch
        items = [_item(load, place, int(due * 1e9)) for place in range(first, first + load.batch)]
        body = items[0] if load.batch == 1 else f"[{','.join(items)}]"
        yield Outgoing(post("/v1/notifications", load.token, body.encode()), due)
        number += 1


def _item(load: Load, place: int, due: int) -> str:
    more = f',"order_key":"{place}"' if load.spread else ""
    return ITEM % (load.prefix, place % load.users, due, more)


def main() -> None:
    """Carry out the load given as the only argument."""
    load = Load(**json.loads(sys.argv[1]))
    seconds: list[float] = []
    statuses: Counter[int] = Counter()

    def answered(answer: Answer) -> None:
        seconds.append(answer.seconds)
        statuses[answer.status] += 1

    started, worked = time.monotonic(), time.process_time()
    drive(load.port, requests_of(load), connections=load.connections, answered=answered)
    elapsed = time.monotonic() - started
    if set(statuses) != {202}:
        raise SystemExit(f"answers were {dict(statuses)}")
    seconds.sort()
    summary = Summary(
        notifications=len(seconds) * load.batch,
        requests=len(seconds),
        seconds=elapsed,
        busy=(time.process_time() - worked) / elapsed,
        p50_ms=percentile(seconds, 0.5) * 1000,
        p99_ms=percentile(seconds, 0.99) * 1000,
    )
    print(json.dumps(attrs.asdict(summary)))


if __name__ == "__main__":
    main()
