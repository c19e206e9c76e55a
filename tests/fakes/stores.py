"""Asking a store for things in a test's few words."""

from collections import Counter
from collections.abc import Callable

from tests.fakes.deliveries import HOOK, T0

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.model.notification import Notification
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, Claimed, DeadLetter, Position, Resumption, Waiting
from tocsin.store.sqlite import SqliteStore

LEASE = T0 + 120_000
WEBHOOKS, SOCKETS = ChannelType.WEBHOOKS, ChannelType.WEBSOCKETS

OpenStore = Callable[[], SqliteStore]


class Reports:
    """Remembers what a callback was told."""

    def __init__(self) -> None:
        self.errors: list[StoreError | None] = []
        self.results: list[object] = []

    def __call__(self, error: StoreError | None) -> None:
        self.errors.append(error)

    def both(self, result: object, error: StoreError | None) -> None:
        """For callbacks that get a result too."""
        self.results.append(result)
        self.errors.append(error)


async def add(store: Store, *channels: Channel) -> None:
    """Store channels."""
    for channel in channels:
        await store.add_channel(channel, Reports())


async def accept(store: Store, *entries: tuple[Notification, list[Channel]]) -> list[int]:
    """Store notifications in one go; the ids of their deliveries."""
    acceptance = Acceptance()
    for one, channels in entries:
        acceptance.add(one, channels)
    await store.accept(acceptance, Reports())
    return [delivery.id for legs in acceptance.deliveries for delivery in legs]


async def claim(
    store: Store, lane: str = HOOK, *, now: int = T0, limit: int = 100
) -> list[Claimed]:
    """What a claim finds."""
    return (await store.claim(lane, now=now, limit=limit, provisional=LEASE)).deliveries


async def claimed_ids(store: Store, *, now: int = T0, limit: int = 100) -> list[str]:
    """The notification ids a claim finds."""
    return [one.notification.id for one in await claim(store, now=now, limit=limit)]


async def waiting(
    store: Store, channel: Channel, *, after: int = 0, now: int = T0, limit: int = 100
) -> list[Waiting]:
    """What waits for a socket."""
    reports = Reports()
    store.fetch_waiting(channel, now=now, after=after, limit=limit, then=reports.both)
    await store.barrier()
    assert reports.errors == [None]
    [found] = reports.results
    assert isinstance(found, list)
    return found


async def assert_counts_are_right(store: Store, **pending: int) -> None:
    """The running count, the walked count and the expected one are the same."""
    counts = await store.counts()
    assert {kind.name.lower(): count for kind, count in counts.pending.items()} == pending
    assert store.backlog == sum(pending.values())
    assert +Counter(store.dead) == counts.dead


def letter(one: Claimed, *, died_at: int = T0, reason: str = "HTTP 500") -> DeadLetter:
    """A dead letter of a claimed delivery."""
    return DeadLetter(
        one.id,
        one.channel_id,
        ChannelType.WEBHOOKS,
        one.notification,
        died_at,
        one.attempts,
        reason,
        500,
    )


async def position(store: Store, channel: Channel) -> Position:
    """What is known of a channel's numbering."""
    reports = Reports()
    store.read_position(channel, then=reports.both)
    await store.barrier()
    assert reports.errors == [None]
    [found] = reports.results
    assert isinstance(found, Position)
    return found


async def resume(store: Store, channel: Channel, resumption: Resumption) -> object:
    """How many deliveries the client turned out to have."""
    reports = Reports()
    store.resume(channel, resumption, now=T0, then=reports.both)
    await store.barrier()
    assert reports.errors == [None]
    [count] = reports.results
    return count
