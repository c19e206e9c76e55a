"""tocsin.delivery.firstseen: when tokens were issued that do not say so."""

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from tocsin.delivery.firstseen import KIND, FirstSeen
from tocsin.model.principal import Principal
from tocsin.store.sqlite import SqliteStore, StoreSettings

T0 = 1_800_000_000_000
DAY = 86_400_000
SILENT = Principal("alice", frozenset(), "app", "alice", "t", 2e9, digest="d")


def seen(store: SqliteStore | None = None, most: int = 10) -> FirstSeen:
    return FirstSeen(
        store or SqliteStore(StoreSettings(path=":memory:"), threaded=False), most=most
    )


def at(memory: FirstSeen, principal: Principal, now: int, until: int = T0 + DAY) -> float | None:
    return memory.dated(principal, now, until).issued_at


def test_a_token_that_does_not_say() -> None:
    """MS-12: it counts as issued when it came here first, however often it comes."""
    memory = seen()
    assert at(memory, SILENT, T0) == T0 / 1000
    assert at(memory, SILENT, T0 + 5000) == T0 / 1000
    assert len(memory) == 1


def test_a_token_that_says() -> None:
    """MS-12: it is believed, and nothing is kept of it."""
    memory = seen()
    principal = attrs.evolve(SILENT, issued_at=T0 / 1000 - 5)
    assert memory.dated(principal, T0, T0 + DAY) is principal
    assert len(memory) == 0


def test_a_token_from_a_clock_ahead() -> None:
    """SE-12: it was not issued later than it came here, or it would outlive its revocation."""
    memory = seen()
    early = attrs.evolve(SILENT, issued_at=T0 / 1000 + 20)
    assert at(memory, early, T0) == T0 / 1000


def test_it_is_bounded() -> None:
    """SE-5: the one that came longest ago is forgotten, and counts as new."""
    memory = seen(most=2)
    for number, digest in enumerate("abc"):
        at(memory, attrs.evolve(SILENT, digest=digest), T0 + number)
    assert len(memory) == 2
    assert at(memory, attrs.evolve(SILENT, digest="b"), T0 + 9) == (T0 + 1) / 1000
    assert at(memory, attrs.evolve(SILENT, digest="a"), T0 + 9) == (T0 + 9) / 1000


async def test_it_outlives_the_daemon(nursery: trio.Nursery) -> None:
    """MS-12: also who is revoked after a restart has old tokens; what is damaged is passed by."""
    store = SqliteStore(StoreSettings(path=":memory:"), threaded=False)
    await nursery.start(store.run)
    first = seen(store)
    at(first, SILENT, T0)
    nursery.start_soon(first.memo.run)
    await wait_all_tasks_blocked()
    await store.remember(KIND, {"x": b"?", "y": b"[1]"})
    again = seen(store)
    await again.load()
    assert len(again) == 1
    assert at(again, SILENT, T0 + 5000) == T0 / 1000


async def test_what_is_over_is_forgotten(nursery: trio.Nursery) -> None:
    """SE-5: also in the store; one without an end is kept as long as it comes."""
    store = SqliteStore(StoreSettings(path=":memory:"), threaded=False)
    await nursery.start(store.run)
    memory = seen(store)
    nursery.start_soon(memory.memo.run)
    for hour in range(0, 48, 6):
        now = T0 + hour * 3_600_000
        assert at(memory, SILENT, now, now + DAY) == T0 / 1000
        memory.forget(now)
    await wait_all_tasks_blocked()
    assert list(await store.recall(KIND)) == ["d"]
    memory.forget(T0 + 4 * DAY)
    await wait_all_tasks_blocked()
    assert await store.recall(KIND) == {}
