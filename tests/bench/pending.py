"""A store with very much in it: how soon the daemon serves, and what it holds in memory.

The store is written before the daemon starts, by the store's own code: a tenth of the channels
call one webhook, the others are those of clients who are not there.
"""

import contextlib
import itertools
import time
from pathlib import Path

import apsw
from tests.bench.daemon import Daemon, running
from tests.bench.processes import sink
from tests.bench.report import Figure
from tests.bench.run import Run

from tocsin.model.channel import Channel, ChannelType, Webhook
from tocsin.model.delivery import Delivery
from tocsin.model.notification import Notification, Priority
from tocsin.store import rows, statements
from tocsin.store.schema import LEG_BITS, open_database

PER_CHANNEL = 10
WEBHOOKS = 10
BATCH = 1000
WEEK = 7 * 86_400_000
DELIVERING = 6
MIB = 1 << 20


def figures(run: Run) -> list[Figure]:
    """Start-up and memory with a hundred times as many deliveries as there are idle sockets."""
    folder, count = run.folder / "pending", run.idle * 100
    with sink(run.tools) as receiver:
        folder.mkdir()
        _fill(folder / "tocsin.db", count, f"http://127.0.0.1:{receiver.port}")
        started = time.monotonic()
        with running(folder) as daemon:
            ready = time.monotonic() - started
            resident = daemon.resident_bytes()
            seconds = DELIVERING * run.seconds
            most = _most_resident(daemon, seconds)
            delivered, _ = receiver.count()
    return [
        Figure(
            f"start with {count:,} pending",
            ready,
            "s",
            target=2,
            stretch=1,
            at_most=True,
            note=f"in {count // PER_CHANNEL:,} channels",
        ),
        _memory("  memory when ready", resident),
        _memory(f"  memory in {seconds:.0f} s of delivering", most),
        Figure("  webhooks called meanwhile", delivered / seconds, "/s"),
    ]


def _memory(name: str, held: int) -> Figure:
    return Figure(name, held / MIB, "MiB", target=300, at_most=True)


def _most_resident(daemon: Daemon, seconds: float) -> int:
    """The most memory it is seen with in this time."""
    deadline, most = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        most = max(most, daemon.resident_bytes())
        time.sleep(0.1)
    return most


# -- writing the store -------------------------------------------------------------------------


def _fill(path: Path, count: int, origin: str) -> None:
    now = time.time_ns() // 1_000_000
    channels = [_channel(number, now, origin) for number in range(count // PER_CHANNEL)]
    with contextlib.closing(open_database(str(path))) as db, db:
        for key, channel in enumerate(channels, 1):
            channel.key = key
            statements.add_channel(db, rows.channel_row(channel))
        everything = itertools.product(range(PER_CHANNEL), channels)
        keys = itertools.count(1)
        while batch := list(itertools.islice(everything, BATCH)):
            _insert(db, [_delivery(next(keys), channel, now) for _, channel in batch])


def _insert(db: apsw.Connection, deliveries: list[Delivery]) -> None:
    notifications = [
        rows.notification_row(one.id >> LEG_BITS, one.notification) for one in deliveries
    ]
    waiting = [statements.delivery_row(one) for one in deliveries]
    statements.insert(db, [statements.Numbered(notifications, waiting)])


def _channel(number: int, now: int, origin: str) -> Channel:
    kind = ChannelType.WEBSOCKETS if number % WEBHOOKS else ChannelType.WEBHOOKS
    id_, user = Channel.new_id(kind), f"user{number}"
    if kind is ChannelType.WEBHOOKS:
        hook = Webhook(f"{origin}/hook", origin)
        return Channel(id_, user, kind, now, "device", webhook=hook)
    return Channel(id_, user, kind, now, "device", lifetime=86_400, expires_at=now + 86_400_000)


def _delivery(key: int, channel: Channel, now: int) -> Delivery:
    text = b'{"chatMessageNotification":{"id":"n%d","chatMessage":{"text":"%b"}}}'
    notification = Notification(
        f"n{key}",
        channel.user,
        "chat",
        "chatMessageNotification",
        text % (key, b"x" * 120),
        Priority.NORMAL,
        now,
        now + WEEK,
        f"chat {key}",
    )
    return Delivery(key << LEG_BITS, notification, channel)
