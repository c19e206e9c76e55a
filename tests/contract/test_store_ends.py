"""The rules of `tocsin.store.interface`: what ends without an attempt leaves a line in the log."""

import attrs
from tests.fakes.deliveries import T0, notification, socket_channel, webhook_channel
from tests.fakes.stores import Reports, accept, add

from tocsin.store.archive import LogQuery
from tocsin.store.records import Acceptance, LogEnd, Resumption
from tocsin.store.sqlite import SqliteStore


async def log_of(store: SqliteStore) -> list[tuple[str, str, int | None, str | None]]:
    """Notification, result, latency and reason of each line, the oldest first."""
    page = await store.read_log(LogQuery(), before=None, limit=99, look=99)
    return [
        (one.notification_id, one.result, one.latency_ms, one.reason)
        for one in reversed(page.items)
    ]


async def test_a_receipt_is_a_line_of_the_log(store: SqliteStore) -> None:
    """One for each delivery that was still there, with how long it took since it was accepted; a
    receipt that comes again leaves none (delivery.md, delivery log)."""
    channel = socket_channel()
    await add(store, channel)
    ids = await accept(store, *((notification(id_), [channel]) for id_ in ("a", "b", "c")))
    counted: list[object] = []
    store.settle_lazily(ids[:2], counted.append, now=T0 + 40)
    store.settle_lazily(ids, counted.append, now=T0 - 5)
    await store.barrier()
    assert await log_of(store) == [
        ("a", "delivered", 40, None),
        ("b", "delivered", 40, None),
        ("c", "delivered", 0, None),
    ]


async def test_what_a_client_turns_out_to_have_is_logged(store: SqliteStore) -> None:
    """It says so by its position when it comes back (`since`), and that is its receipt."""
    channel = socket_channel()
    await add(store, channel)
    ids = await accept(store, *((notification(id_), [channel]) for id_ in ("a", "b")))
    store.mark_written(channel, [(ids[0], 1), (ids[1], 2)])
    reports = Reports()
    store.resume(channel, Resumption(settle_upto=1), now=T0 + 9, then=reports.both)
    await store.barrier()
    assert reports.results == [1]
    assert await log_of(store) == [("a", "delivered", 9, None)]


async def test_what_ends_with_its_channel_is_logged(store: SqliteStore) -> None:
    """Written or not, with a lane or without: with the word its channel ended with (CH-21)."""
    channel, hook = socket_channel(), webhook_channel()
    await add(store, channel, hook)
    ids = await accept(store, *((notification(id_), [channel, hook]) for id_ in ("a", "b")))
    store.mark_written(channel, [(ids[0], 1)])
    for one in (channel, hook):
        end = LogEnd(T0 + 3, "refused", "channel_deleted")
        await store.remove_channel(one, Reports().both, end=end)
    assert sorted(await log_of(store)) == [
        (id_, "refused", None, "channel_deleted") for id_ in ("a", "a", "b", "b")
    ]


async def test_what_makes_way_is_logged(store: SqliteStore) -> None:
    """What was replaced and what was too much, of any channel."""
    channel, hook = socket_channel(), webhook_channel()
    await add(store, channel, hook)
    for id_, key in (("a", "k"), ("b", "k"), ("c", None)):
        acceptance = Acceptance(bounds=(1, 1 << 20))
        acceptance.add(attrs.evolve(notification(id_), collapse_key=key), [channel, hook])
        acceptance.collapsing = acceptance.deliveries[0] if key is not None else []
        acceptance.crowded = {one.key: one for one in (channel, hook)}
        await store.accept(acceptance, Reports())
    assert sorted(await log_of(store)) == [
        *[("a", "collapsed", None, None)] * 2,
        *[("b", "overflow", None, None)] * 2,
    ]
