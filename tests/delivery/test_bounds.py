"""tocsin.delivery.bounds: what is too much or outdated makes way, and is seen to (delivery.md)."""

import attrs
import pytest
import trio
from tests.fakes.deliveries import HOOK, T0, socket_channel, subscription, webhook_channel
from tests.fakes.memory_session import MemorySession
from tests.fakes.stores import Reports, assert_counts_are_right, letter, waiting
from tests.fakes.world import World
from trio.testing import MockClock

from tocsin.delivery.settings import DeliveryLimits
from tocsin.delivery.submissions import Accepted
from tocsin.model.channel import Channel
from tocsin.model.notification import Notification, Priority
from tocsin.store.records import Acceptance, Position, Settlements

LOW, NORMAL, URGENT = Priority.LOW, Priority.NORMAL, Priority.URGENT


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    """Ten deliveries or 128 KiB a channel."""
    made = World(limits=DeliveryLimits(buffer_count=10, buffer_bytes=131_072))
    await nursery.start(made.store.run)
    return made


@pytest.fixture
async def channel(world: World) -> Channel:
    """A subscribed socket channel of `u` whose client is away."""
    return await world.subscribed(socket_channel())


async def held(world: World, channel: Channel) -> list[str]:
    """The ids that wait for a client, the oldest first."""
    found = await waiting(world.store, channel, now=world.clock())
    return [one.notification.id for one in sorted(found, key=lambda one: one.id)]


def ended(world: World, outcome: str, kind: str = "websockets") -> int:
    """How many deliveries ended so."""
    value = world.metrics.registry.get_sample_value(
        "tocsin_deliveries_total", {"type": kind, "outcome": outcome}
    )
    assert value is not None
    return int(value)


async def position(world: World, channel: Channel) -> Position:
    """What the store knows of a channel's numbering."""
    reports = Reports()
    world.store.read_position(channel, then=reports.both)
    await world.store.barrier()
    [found] = reports.results
    assert isinstance(found, Position)
    return found


def about(world: World, id_: str, key: str | None, **members: object) -> Notification:
    """A notification with a collapse key."""
    return attrs.evolve(world.note(id_), collapse_key=key, **members)


# -- overflow ------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 7, 25])
async def test_the_newest_stay(world: World, channel: Channel, at_once: int) -> None:
    """One by one or in batches, never more than the bound, and each drop is counted."""
    ids = [f"n{number:02}" for number in range(25)]
    for start in range(0, 25, at_once):
        await world.publish(*ids[start : start + at_once])
    assert await held(world, channel) == ids[-10:]
    assert ended(world, "overflow") == 15
    await assert_counts_are_right(world.store, websockets=10)


async def test_the_oldest_low_goes_first(world: World, channel: Channel) -> None:
    """Then the oldest, whatever its priority."""
    await world.publish("a", priority=URGENT)
    await world.publish("b", "c", priority=LOW)
    await world.publish(*"defghij")
    await world.publish("k")
    assert await held(world, channel) == list("acdefghijk")
    await world.publish("l", "m")
    assert await held(world, channel) == list("defghijklm")


async def test_bytes_count_too(world: World, channel: Channel) -> None:
    """The same bound in bytes of JSON text."""
    for id_ in "abcd":
        await world.ingest.accept([attrs.evolve(world.note(id_), body=b"x" * 60_000)])
    assert await held(world, channel) == ["c", "d"]
    assert ended(world, "overflow") == 2


async def test_room_is_what_was_delivered(world: World, channel: Channel) -> None:
    """A client that reads makes room; nothing of what came after that is dropped."""
    await world.publish(*"abcdefghij")
    session = MemorySession(world.sessions, channel)
    world.sessions.attach(session)
    found = await waiting(world.store, channel, now=world.clock())
    world.store.settle_lazily([one.id for one in found[:5]], lambda _counts: None, now=T0)
    world.sessions.detach(session, [])
    await world.publish(*"klmno")
    assert await held(world, channel) == list("fghijklmno")
    assert ended(world, "overflow") == 0
    await world.publish("p")
    assert await held(world, channel) == list("ghijklmnop")


async def test_a_full_channel_costs_no_other_its_own(world: World, channel: Channel) -> None:
    """Two channels of one user, one nearly full."""
    await world.publish(*"abcdefghij")
    other = await world.subscribed(attrs.evolve(socket_channel(), client_correlator="second"))
    await world.publish("k")
    assert await held(world, channel) == list("bcdefghijk")
    assert await held(world, other) == ["k"]


async def test_a_drop_is_a_gap(world: World, channel: Channel) -> None:
    """Where the client is told positions (delivery.md, Receipts)."""
    channel.reserved = 0
    await world.store.place(channel, [])
    await world.publish(*"abcdefghijkl")
    assert (await position(world, channel)).dropped == 2


async def test_what_was_written_does_not_make_way(world: World, channel: Channel) -> None:
    """The client may have it; what it was not sent goes instead."""
    await world.publish(*"abcdefghij")
    found = await waiting(world.store, channel, now=world.clock())
    channel.last_seq = 3
    world.store.mark_written(channel, [(one.id, seq) for seq, one in enumerate(found[:3], 1)])
    await world.publish("k", "l")
    assert await held(world, channel) == list("abcfghijkl")


async def test_webhooks_are_bounded_too(world: World) -> None:
    """What is under way stays; when the head of an order key goes, the next one is due."""
    hook = await world.subscribed(webhook_channel())
    await world.publish("a", "b", order_key="k")
    [first] = (await world.store.claim(HOOK, now=world.clock(), limit=1, provisional=T0)).deliveries
    await world.publish(*"cdefghijk", order_key="k")
    assert first.notification.id == "a"
    assert ended(world, "overflow", "Webhooks") == 1
    await assert_counts_are_right(world.store, webhooks=10)
    assert hook.lane == HOOK


async def test_a_repeat_drops_nothing(world: World, channel: Channel) -> None:
    """Nothing of it is stored, so nothing makes way (CH-115)."""
    notes = [attrs.evolve(world.note(id_), is_named=True) for id_ in "abcdefghij"]
    await world.ingest.accept(notes)
    await world.ingest.accept(notes)
    assert await held(world, channel) == list("abcdefghij")
    assert ended(world, "overflow") == 0


async def test_racing_publishers_keep_the_bound(world: World, channel: Channel) -> None:
    """However their commits fall."""
    async with trio.open_nursery() as publishers:
        for start in range(0, 60, 3):
            publishers.start_soon(world.publish, *(f"{n:02}" for n in range(start, start + 3)))
    assert len(await held(world, channel)) == 10
    assert ended(world, "overflow") == 50


async def test_what_a_channel_took_over_counts(
    world: World, autojump_clock: MockClock, channel: Channel
) -> None:
    """The bound holds for an heir too, from the next delivery on (CH-45)."""
    await world.publish(*"abcdefgh")
    await trio.sleep(31)
    heir = await world.subscribed(socket_channel(now=world.clock()), "chat")
    await world.publish("before", service="chat")
    account = await world.directory.account("u")
    await world.directory.subscribe(account, subscription(heir), b"{}")
    assert len(await held(world, heir)) == 9
    await world.publish("i", "j")
    assert await held(world, heir) == [*"bcdefgh", "before", "i", "j"]


# -- collapse ------------------------------------------------------------------------------


async def test_a_newer_one_replaces(world: World, channel: Channel) -> None:
    """Of the same channel and key, undelivered; counted, and no gap."""
    channel.reserved = 0
    await world.store.place(channel, [])
    await world.ingest.accept([about(world, "a", "bob"), about(world, "b", "eve")])
    await world.ingest.accept([about(world, "c", "bob"), about(world, "d", None)])
    assert await held(world, channel) == ["b", "c", "d"]
    assert ended(world, "collapsed") == 1
    assert (await position(world, channel)).dropped == 0
    await assert_counts_are_right(world.store, websockets=3)


async def test_a_dead_letter_tried_again_replaces_nothing(world: World) -> None:
    """What came in between is newer than it, whatever their ids say."""
    hook = await world.subscribed(webhook_channel())
    await world.ingest.accept([about(world, "old", "bob")])
    claim = await world.store.claim(HOOK, now=world.clock(), limit=1, provisional=T0)
    [old] = claim.deliveries
    await world.store.settle(Settlements(dead=[letter(old, died_at=T0)]), now=T0)
    await world.ingest.accept([about(world, "new", "bob")])
    again = Acceptance(replays={0: old.id})
    again.add(old.notification, [hook])
    await world.ingest.store(again)
    claim = await world.store.claim(HOOK, now=world.clock(), limit=9, provisional=T0)
    assert {one.notification.id for one in claim.deliveries} == {"new", "old"}
    assert ended(world, "collapsed", "Webhooks") == 0


async def test_within_one_batch_the_last_one_stays(world: World, channel: Channel) -> None:
    """Also where all of them are new."""
    await world.ingest.accept([about(world, id_, "bob") for id_ in "abc"])
    assert await held(world, channel) == ["c"]
    assert ended(world, "collapsed") == 2


async def test_nothing_makes_way_for_a_repeat(world: World, channel: Channel) -> None:
    """A producer that hands in an older state again does not undo the newer one (CH-115)."""
    older, newer, again = (
        about(world, id_, "bob", producer="p", is_named=True) for id_ in ("old", "new", "old")
    )
    await world.ingest.accept([older])
    await world.ingest.accept([newer])
    assert await world.ingest.accept([again]) == [Accepted(1, duplicate=True)]
    assert await held(world, channel) == ["new"]
    assert ended(world, "collapsed") == 1
    await assert_counts_are_right(world.store, websockets=1)


async def test_one_channel_collapses_not_another(world: World, channel: Channel) -> None:
    """The key is the channel's own matter."""
    await world.ingest.accept([about(world, "a", "bob")])
    other = await world.subscribed(attrs.evolve(socket_channel(), client_correlator="second"))
    await world.ingest.accept([about(world, "b", "bob")])
    assert (await held(world, channel), await held(world, other)) == (["b"], ["b"])


async def test_a_client_that_keeps_up_gets_each(world: World, channel: Channel) -> None:
    """They go to it from memory; nothing is taken back (delivery.md, The straight line)."""
    session = MemorySession(world.sessions, channel)
    world.sessions.attach(session)
    await world.ingest.accept([about(world, "a", "bob")])
    await world.ingest.accept([about(world, "b", "bob")])
    assert session.ids == ["a", "b"]
    assert ended(world, "collapsed") == 0


async def test_a_claimed_one_is_not_replaced(world: World) -> None:
    """It may be on the wire; the newer one follows it."""
    await world.subscribed(webhook_channel())
    await world.ingest.accept([about(world, "a", "bob", order_key="k")])
    await world.store.claim(HOOK, now=world.clock(), limit=1, provisional=T0)
    await world.ingest.accept([about(world, "b", "bob", order_key="k")])
    await world.ingest.accept([about(world, "c", "bob", order_key="k")])
    assert ended(world, "collapsed", "Webhooks") == 1
    await assert_counts_are_right(world.store, webhooks=2)


async def test_the_head_that_was_replaced_makes_the_next_due(world: World) -> None:
    """What stood behind it in its order key is not stuck."""
    await world.subscribed(webhook_channel())
    await world.ingest.accept(
        [about(world, "a", "bob", order_key="k"), about(world, "b", None, order_key="k")]
    )
    await world.ingest.accept([about(world, "c", "bob", order_key="k")])
    now = world.clock()
    found = (await world.store.claim(HOOK, now=now, limit=9, provisional=T0)).deliveries
    assert [one.notification.id for one in found] == ["b"]
