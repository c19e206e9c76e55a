"""Messaging: what a message costs in Rooms and between two, what a connection holds, and how soon
one whose token is revoked is closed (messaging.md)."""

import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from tests.bench.daemon import LIFETIME, Daemon, running
from tests.bench.percentiles import percentile
from tests.bench.processes import child, hear, python, tell
from tests.bench.report import Figure
from tests.bench.run import Run, limited

from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

DOMAIN = "acme"
CONFIGURATION = """
[messaging.limits]
rate = 1000000
burst = 1000000
flood = 1000000
connections = 20000
"""
SUBSCRIBERS = 2000
ROOM = 50
WINDOW = 64
LIGHT = 5.0
SETTLE = 1.5
PATIENCE = 60.0
REVOKED = 200
MILLION = 1e6


@attrs.frozen
class Work:
    """Processor time of the daemon: of its event loop, and of its other threads (the store's)."""

    loop: float
    store: float

    def since(self, earlier: "Work") -> "Work":
        """What was done in between."""
        return Work(self.loop - earlier.loop, self.store - earlier.store)


@attrs.frozen
class Sent:
    """What came of a load; see `messaging_crowd`."""

    sent: int
    received: int
    refused: int
    seconds: float
    busy: float
    p50_ms: float
    p99_ms: float
    ack_p50_ms: float
    ack_p99_ms: float


class Members:
    """Messaging clients (see tests.bench.messaging_crowd)."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.connect_seconds = float(hear(process))

    def meet(self, size: int) -> None:
        """Have them join Rooms of so many."""
        self._ask(f"rooms {size}")

    def send(self, kind: str, *, window: int, seconds: float, rate: float = 0) -> Sent:
        """Have them write."""
        return Sent(**self._ask(f"send {kind} {window} {seconds} {rate}"))

    def closures(self, number: int) -> list[tuple[int, int]]:
        """Who was closed and when, once so many were."""
        return [(who, at) for who, at in self._ask(f"closures {number} {PATIENCE}")]

    def _ask(self, command: str) -> Any:
        tell(self._process, command)
        return json.loads(hear(self._process))


@contextlib.contextmanager
def members(daemon: Daemon, kind: str, tokens: Sequence[str]) -> Iterator[Members]:
    """Clients with these tokens, all connected; they are gone at the end."""
    with child(*python("tests.bench.messaging_crowd")) as process:
        tell(process, json.dumps({"port": daemon.port, "kind": kind, "tokens": list(tokens)}))
        yield Members(process)


def figures(run: Run) -> list[Figure]:
    """Traffic, memory, revocations."""
    return [*_traffic(run), *_memory(run), *_revocations(run)]


# -- traffic -----------------------------------------------------------------------------------


def _traffic(run: Run) -> list[Figure]:
    with (
        running(run.folder / "messaging", more=CONFIGURATION) as daemon,
        members(daemon, "raw", _tokens(daemon, SUBSCRIBERS)) as crowd,
    ):
        crowd.meet(ROOM)
        crowd.send("room", window=WINDOW, seconds=1.0)
        return [
            *_load(daemon, crowd, run, "room", f"to Rooms of {ROOM}"),
            *_load(daemon, crowd, run, "direct", "to one other"),
        ]


def _load(daemon: Daemon, crowd: Members, run: Run, kind: str, what: str) -> list[Figure]:
    sent, spent = _measured(daemon, crowd, kind, run.seconds)
    alone, _ = _measured(daemon, crowd, kind, run.seconds, rate=LIGHT)
    half, _ = _measured(daemon, crowd, kind, run.seconds, rate=sent.sent / sent.seconds / 2)
    count = sent.received
    return [
        Figure(f"messages {what}, delivered", count / sent.seconds, "/s", note=limited(sent.busy)),
        Figure("  one core could", count / (spent.loop + spent.store), "/s"),
        Figure("  the loop, for each received", spent.loop / count * MILLION, "us CPU"),
        Figure("  the store's thread", spent.store / count * MILLION, "us CPU"),
        Figure("  for each sent, both", (spent.loop + spent.store) / sent.sent * MILLION, "us CPU"),
        Figure("  send to receipt at full load, p99", sent.p99_ms, "ms"),
        Figure("  at half of that, p50", half.p50_ms, "ms"),
        Figure("  p99", half.p99_ms, "ms"),
        Figure(f"  at {LIGHT:.0f}/s, p50", alone.p50_ms, "ms", floor=1000 / run.syncs),
        Figure("  p99", alone.p99_ms, "ms", floor=1000 / run.syncs),
    ]


def _measured(
    daemon: Daemon, crowd: Members, kind: str, seconds: float, *, rate: float = 0
) -> tuple[Sent, Work]:
    """A load and what the daemon did for it, with the receipts that come later."""
    before = _work(daemon)
    sent = crowd.send(kind, window=WINDOW, seconds=seconds, rate=rate)
    if sent.refused:
        raise SystemExit(f"{sent.refused} messages were refused")
    time.sleep(SETTLE)
    return sent, _work(daemon).since(before)


def _work(daemon: Daemon) -> Work:
    tasks = Path(f"/proc/{daemon.process.pid}/task")
    seconds = {
        task.name: int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in tasks.iterdir()
    }
    loop = seconds.pop(str(daemon.process.pid))
    return Work(loop, sum(seconds.values()))


# -- memory ------------------------------------------------------------------------------------


def _memory(run: Run) -> list[Figure]:
    return [
        _held(run, "raw", "raw WebSocket", target=8, stretch=2),
        _held(run, "framed", "SockJS WebSocket", target=8, stretch=2),
        _held(run, "streaming", "xhr-streaming"),
    ]


def _held(
    run: Run, kind: str, what: str, *, target: float | None = None, stretch: float | None = None
) -> Figure:
    """Everything that is there for one: subscriber, token, connection."""
    with running(run.folder / kind, more=CONFIGURATION) as daemon:
        with members(daemon, kind, _tokens(daemon, 64, "warm")):
            time.sleep(1)
        empty = daemon.resident_bytes()
        tokens = _tokens(daemon, run.idle)
        with members(daemon, kind, tokens) as crowd:
            time.sleep(3)
            held = (daemon.resident_bytes() - empty) / len(tokens)
            return Figure(
                f"memory of an idle connection, {what}",
                held / 1024,
                "KiB",
                target=target,
                stretch=stretch,
                at_most=True,
                note=f"{len(tokens) / crowd.connect_seconds:,.0f} connects/s",
            )


# -- revocations -------------------------------------------------------------------------------


def _revocations(run: Run) -> list[Figure]:
    """Each is sent alone; its time is from there until the client has the Close."""
    with running(run.folder / "revocations", more=CONFIGURATION) as daemon:
        operator = _token(daemon, "operator", "admin")
        tokens = _tokens(daemon, run.idle)
        with members(daemon, "raw", tokens) as crowd:
            some = [({"subscriber-id": f"user{number}"}, 1) for number in range(0, REVOKED * 2, 2)]
            others = [({"token": tokens[number]}, 1) for number in range(1, REVOKED * 2, 2)]
            by_subscriber = _closed(daemon, crowd, operator, some)
            by_token = _closed(daemon, crowd, operator, others)
        one = _token(daemon, "many")
        with members(daemon, "raw", [one] * run.idle) as crowd:
            everybody = _closed(daemon, crowd, operator, [({"token": one}, run.idle)])
    return [
        *_times(f"revoked by subscriber, {run.idle:,} live", by_subscriber),
        *_times(f"revoked by token, {run.idle:,} live", by_token),
        *_times(f"one token of {run.idle:,} connections revoked", everybody),
    ]


def _closed(
    daemon: Daemon, crowd: Members, token: str, revoked: Sequence[tuple[dict[str, str], int]]
) -> list[float]:
    """Milliseconds until each connection was closed."""
    taken: list[float] = []
    for body, count in revoked:
        began = time.monotonic_ns()
        _post_revoke(daemon, token, body)
        closed = crowd.closures(count)
        if len(closed) != count:
            raise SystemExit(f"{len(closed)} of {count} connections were closed")
        taken += [(at - began) / MILLION for _, at in closed]
    return sorted(taken)


def _post_revoke(daemon: Daemon, token: str, body: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port)
    connection.request(
        "POST",
        "/v1/messaging/revoke",
        json.dumps(body),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    answer = connection.getresponse()
    if answer.status != 204:
        raise SystemExit(f"revoke: {answer.status} {answer.read().decode()}")
    connection.close()


def _times(what: str, taken: Sequence[float]) -> list[Figure]:
    return [
        Figure(f"{what}, p50", percentile(taken, 0.5), "ms"),
        Figure("  p99", percentile(taken, 0.99), "ms", target=250, stretch=50, at_most=True),
    ]


# -- tokens ------------------------------------------------------------------------------------


def _tokens(daemon: Daemon, count: int, prefix: str = "user") -> list[str]:
    return [_token(daemon, f"{prefix}{number}") for number in range(count)]


def _token(daemon: Daemon, subscriber: str, scope: str = "messaging") -> str:
    claims = {
        "sub": subscriber,
        "preferred_username": subscriber,
        "domain": DOMAIN,
        "scope": scope,
    }
    return mint(claims, shared_secret(daemon.secret), now=time.time(), lifetime=LIFETIME)
