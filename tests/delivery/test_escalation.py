"""tocsin.delivery.escalation: a device's socket first, its push when that does not answer."""

from pathlib import Path

import attrs
import pytest
import trio
from tests.fakes.deliveries import webhook_channel
from tests.fakes.phones import PHONE, Phones
from tests.fakes.stores import assert_counts_are_right
from tests.fakes.world import EXACT, World
from trio.testing import MockClock

from tocsin.model.channel import ChannelType
from tocsin.model.errors import StoreError
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred
from tocsin.store.archive import LogQuery
from tocsin.store.sqlite import SqliteStore, StoreSettings

T = 10.0


@pytest.fixture
async def phones(nursery: trio.Nursery) -> Phones:
    """A world that delivers."""
    made = Phones()
    await made.start(nursery)
    return made


# -- receipts and time ---------------------------------------------------------------------


async def test_a_receipt_in_time(autojump_clock: MockClock, phones: Phones) -> None:
    """It is never pushed, and counts as cancelled."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    await phones.world.publish("a")
    assert session.ids == ["a"]
    await trio.sleep(T - 0.1)
    phones.receipt(session, "a")
    await trio.sleep(60)
    assert phones.push.attempts == []
    assert (phones.legs(), phones.ended()) == ({"socket": 1, "cancelled": 1}, {"cancelled": 1})
    assert phones.ended("websockets") == {"delivered": 1}
    await assert_counts_are_right(phones.world.store)


@pytest.mark.parametrize(("service", "after"), [("sms", 10.0), ("chat", 10.0), ("call", 2.0)])
async def test_no_receipt(
    autojump_clock: MockClock, phones: Phones, service: str, after: float
) -> None:
    """It is pushed when the time is up, calls sooner than messages; not twice."""
    tab, _ = await phones.tab(PHONE, service), await phones.device(PHONE, service)
    session = phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a", service=service)
    await trio.sleep(60)
    assert phones.push.times("a") == [start + after]
    assert (phones.legs(), phones.ended()) == ({"socket": 1, "push": 1}, {"delivered": 1})
    phones.receipt(session, "a")
    await assert_counts_are_right(phones.world.store)


async def test_as_long_as_configured(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """`delivery.escalate_after`, and zero for at once."""
    settings = attrs.evolve(EXACT, escalate_after=3.5, escalate_after_call=0)
    phones = Phones(World(settings=settings))
    await phones.start(nursery)
    tab = await phones.tab(PHONE, "sms", "call")
    await phones.device(PHONE, "sms", "call")
    phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a")
    await phones.world.ingest.accept(
        [phones.world.note("b", service="call", priority=Priority.URGENT)]
    )
    await trio.sleep(60)
    assert (phones.push.times("a"), phones.push.times("b")) == ([start + 3.5], [start])


async def test_a_short_life(autojump_clock: MockClock, phones: Phones) -> None:
    """What would be over by then is pushed while it is worth something."""
    tab, _ = await phones.tab(), await phones.device()
    phones.connect(tab)
    start = trio.current_time()
    await phones.world.ingest.accept([phones.world.note("a", expires_in=8_000)])
    await trio.sleep(60)
    assert phones.push.times("a") == [start + 4]


async def test_two_tabs(autojump_clock: MockClock, phones: Phones) -> None:
    """The receipt of one is enough; the other still gets it."""
    tabs, _ = [await phones.tab(), await phones.tab()], await phones.device()
    sessions = [phones.connect(tab) for tab in tabs]
    await phones.world.publish("a")
    phones.receipt(sessions[1], "a")
    await trio.sleep(60)
    assert [session.ids for session in sessions] == [["a"], ["a"]]
    assert phones.push.attempts == []
    await assert_counts_are_right(phones.world.store, websockets=1)


@pytest.mark.parametrize("connected", [True, False])
async def test_another_device(autojump_clock: MockClock, phones: Phones, connected: bool) -> None:
    """An open tab of another one silences no phone (CH-70)."""
    tab, _ = await phones.tab("browser"), await phones.device()
    if connected:
        phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a")
    await trio.sleep(1)
    assert phones.push.times("a") == [start]
    assert phones.legs() == {}


async def test_nobody_connected(autojump_clock: MockClock, phones: Phones) -> None:
    """Without a live socket of the device it is pushed at once; a receipt that comes after a
    long time changes nothing."""
    tab, _ = await phones.tab(), await phones.device()
    phones.push.script["a"] = [30.0]
    start = trio.current_time()
    await phones.world.publish("a")
    await trio.sleep(1)
    assert phones.push.times("a") == [start]
    await trio.sleep(60)
    assert (phones.legs(), phones.ended()) == ({}, {"delivered": 1})
    assert phones.world.sessions.of(tab) is None


async def test_every_device_of_the_user(autojump_clock: MockClock, phones: Phones) -> None:
    """One has a socket, one has not, one has and does not answer: each as if it were alone."""
    for name in ("phone", "tablet", "watch"):
        await phones.device(name)
    phone, watch = await phones.tab("phone"), await phones.tab("watch")
    session, _ = phones.connect(phone), phones.connect(watch)
    start = trio.current_time()
    await phones.world.publish("a")
    phones.receipt(session, "a")
    await trio.sleep(60)
    assert phones.push.times("a") == [start, start + T]
    assert phones.legs() == {"socket": 2, "push": 1, "cancelled": 1}


async def test_a_poll_counts(autojump_clock: MockClock, phones: Phones) -> None:
    """A channel that is polled is a live one of its device, and its receipt one."""
    tab, _ = await phones.tab(kind=ChannelType.LONG_POLLING), await phones.device()
    session = phones.connect(tab)
    await phones.world.publish("a", "b")
    phones.receipt(session, "a")
    start = trio.current_time()
    await trio.sleep(60)
    assert (phones.push.times("a"), phones.push.times("b")) == ([], [start + T])


# -- policies ------------------------------------------------------------------------------


async def test_policy_all(autojump_clock: MockClock, phones: Phones) -> None:
    """The push goes at once, whoever is connected (CH-98)."""
    tab, _ = await phones.tab(), await phones.device(policy="all")
    session = phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a")
    phones.receipt(session, "a")
    await trio.sleep(1)
    assert phones.push.times("a") == [start]
    assert phones.legs() == {}


@pytest.mark.parametrize(("policy", "after"), [(None, 0), ("all", 0), ("escalate", T)])
async def test_webhooks(
    autojump_clock: MockClock, phones: Phones, policy: str | None, after: float
) -> None:
    """They go at once, unless their subscription asks to be the second choice (CH-98)."""
    tab = await phones.tab()
    await phones.subscribed(webhook_channel(correlator=PHONE), policy=policy)
    phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a")
    await trio.sleep(60)
    assert phones.world.transport.times("a") == [start + after]


# -- who leaves and comes back -------------------------------------------------------------


@pytest.mark.parametrize("cleanly", [True, False])
async def test_the_socket_drops(autojump_clock: MockClock, phones: Phones, cleanly: bool) -> None:
    """It is pushed at once (CH-57)."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a", "b")
    await trio.sleep(3)
    phones.world.sessions.detach(session, [], cleanly=cleanly)
    await trio.sleep(60)
    assert (phones.push.times("a"), phones.push.times("b")) == ([start + 3], [start + 3])
    assert phones.legs() == {"socket": 2, "push": 2}


async def test_what_it_had_is_not_pushed(autojump_clock: MockClock, phones: Phones) -> None:
    """Receipts that were on their way when it dropped count first."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    await phones.world.publish("a", "b")
    phones.receipt(session, "a", flush=False)
    session.end(1012)
    await trio.sleep(60)
    assert phones.push.order() == ["b"]


async def test_the_last_of_two_tabs_drops(autojump_clock: MockClock, phones: Phones) -> None:
    """One that stays is enough to wait for, up to the end of the time."""
    tabs, _ = [await phones.tab(), await phones.tab()], await phones.device()
    sessions = [phones.connect(tab) for tab in tabs]
    start = trio.current_time()
    await phones.world.publish("a")
    await trio.sleep(1)
    sessions[0].end(1001)
    await trio.sleep(1)
    assert phones.push.attempts == []
    sessions[1].end(1001)
    await trio.sleep(1)
    assert phones.push.times("a") == [start + 2]


async def test_a_tab_that_stays_but_does_not_get_it(
    autojump_clock: MockClock, phones: Phones
) -> None:
    """Nobody waits for it."""
    tab, other = await phones.tab(), await phones.tab(PHONE, "chat")
    await phones.device()
    session, _ = phones.connect(tab), phones.connect(other)
    start = trio.current_time()
    await phones.world.publish("a")
    await trio.sleep(1)
    session.end(1001)
    await trio.sleep(60)
    assert phones.push.times("a") == [start + 1]


async def test_another_device_drops(autojump_clock: MockClock, phones: Phones) -> None:
    """That is nothing to this one."""
    tab, other = await phones.tab(), await phones.tab("tablet")
    await phones.device()
    _, session = phones.connect(tab), phones.connect(other)
    start = trio.current_time()
    await phones.world.publish("a")
    session.end(1001)
    await trio.sleep(60)
    assert phones.push.times("a") == [start + T]


async def test_the_channel_is_deleted(autojump_clock: MockClock, phones: Phones) -> None:
    """Its client is gone, and so is what it waited for: pushed at once."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a")
    account = await phones.world.directory.account("u")
    phones.world.directory.on_removed = lambda _channel: session.end(1000)
    await phones.world.directory.remove_channel(account, tab, outcome="refused")
    await trio.sleep(60)
    assert phones.push.times("a") == [start]


async def test_a_client_that_comes_back(autojump_clock: MockClock, phones: Phones) -> None:
    """Its receipt cancels what no queue has taken up meanwhile; here the provider is paused."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    phones.queue.pause("apns/com.example.app")
    await phones.world.publish("a", "b")
    session.end(1006)
    await trio.sleep(1)
    again = phones.connect(tab)
    again.pushed = session.pushed
    phones.receipt(again, "a")
    assert phones.queue.resume("apns/com.example.app")
    await trio.sleep(60)
    assert phones.push.order() == ["b"]


async def test_a_newer_socket_of_the_same_channel(
    autojump_clock: MockClock, phones: Phones
) -> None:
    """A client that replaces its socket has not gone: its time goes on, its receipt counts."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a", "b")
    await trio.sleep(1)
    newer = phones.connect(tab)
    assert session.ended == [1000]
    newer.pushed = session.pushed
    phones.receipt(newer, "a")
    await trio.sleep(60)
    assert (phones.push.times("a"), phones.push.times("b")) == ([], [start + T])


async def test_a_client_that_leaves_costs_nothing(
    autojump_clock: MockClock, phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is not asked where nothing can be waiting: no push, nothing held, all in time."""
    asked: list[object] = []
    monkeypatch.setattr(phones.world.store, "escalate", lambda *args, **_named: asked.append(args))
    tab = await phones.tab()
    phones.connect(tab).end(1000)
    await phones.device()
    await phones.world.publish("a")
    session = phones.connect(tab)
    session.end(1000)
    session = phones.connect(tab)
    await phones.world.publish("b")
    await trio.sleep(T + 1)
    session.end(1000)
    assert asked == []


async def test_a_store_that_fails(
    autojump_clock: MockClock, phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be made due is pushed when its time is up."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a")
    monkeypatch.setattr(
        phones.world.store,
        "escalate",
        lambda *_args, then, **_named: then(None, StoreError("full")),
    )
    session.end(1001)
    await trio.sleep(60)
    assert phones.push.times("a") == [start + T]


# -- with everything else ------------------------------------------------------------------


async def test_order_behind_one_that_waits(autojump_clock: MockClock, phones: Phones) -> None:
    """Of one order key nothing overtakes, of another nothing waits."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a", order_key="k")
    await trio.sleep(1)
    session.end(1001)
    await trio.sleep(0.5)
    session = phones.connect(tab)
    await phones.world.publish("b", "c", order_key="k")
    await trio.sleep(0.5)
    phones.receipt(session, "b")
    await trio.sleep(60)
    assert phones.push.order() == ["a", "c"]
    assert (phones.push.times("a"), phones.push.times("c")) == ([start + 1], [start + 11.5])


async def test_what_stands_behind_a_cancelled_one(
    autojump_clock: MockClock, phones: Phones
) -> None:
    """It is pushed in its own time, or at once where that is over."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    start = trio.current_time()
    await phones.world.publish("a", order_key="k")
    await trio.sleep(2)
    await phones.world.ingest.accept(
        [phones.world.note("b", order_key="k", expires_in=4_000)]  # its push is due at 4
    )
    await trio.sleep(3)
    phones.receipt(session, "a")
    await trio.sleep(60)
    assert (phones.push.times("a"), phones.push.times("b")) == ([], [start + 5])


async def test_collapse(autojump_clock: MockClock, phones: Phones) -> None:
    """A newer state replaces one that waits, and waits in its place."""
    _, _ = phones.connect(await phones.tab()), await phones.device()
    start = trio.current_time()
    for id_ in "ab":
        note = attrs.evolve(phones.world.note(id_), collapse_key="c")
        await phones.world.ingest.accept([note])
        await trio.sleep(1)
    await trio.sleep(60)
    assert phones.push.order() == ["b"]
    assert phones.push.times("b") == [start + 1 + T]
    assert phones.ended() == {"collapsed": 1, "delivered": 1}


async def test_an_expired_one(autojump_clock: MockClock, phones: Phones) -> None:
    """A lane that is blocked until the deadline: never pushed."""
    phones.connect(await phones.tab())
    await phones.device()
    phones.queue.pause("apns/com.example.app")
    await phones.world.ingest.accept([phones.world.note("a", expires_in=5_000)])
    await trio.sleep(6)
    phones.queue.resume("apns/com.example.app")
    await trio.sleep(60)
    assert (phones.push.attempts, phones.ended()) == ([], {"expired": 1})


async def test_a_receipt_while_it_is_being_pushed(
    autojump_clock: MockClock, phones: Phones
) -> None:
    """What a queue has taken up is finished, and not cancelled as well."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    phones.push.script["a"] = [5.0]
    await phones.world.publish("a")
    await trio.sleep(T + 1)
    phones.receipt(session, "a")
    await trio.sleep(60)
    assert (phones.push.delivered, phones.ended()) == (["a"], {"delivered": 1})
    assert phones.legs() == {"socket": 1, "push": 1}


async def test_one_push_of_several_attempts(autojump_clock: MockClock, phones: Phones) -> None:
    """It is escalated once, however often it is tried; what has been tried is not cancelled."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    phones.push.script["a"] = [Deferred("busy"), Deferred("busy")]
    await phones.world.publish("a")
    await trio.sleep(T + 1)
    phones.receipt(session, "a")
    await trio.sleep(3600)
    assert len(phones.push.times("a")) == 3
    assert phones.legs() == {"socket": 1, "push": 1}


async def test_the_log_tells_why(autojump_clock: MockClock, phones: Phones) -> None:
    """Direct ones, those that waited, and those that were cancelled."""
    tab, push = await phones.tab(), await phones.device()
    await phones.world.publish("a")
    await trio.sleep(1)
    session = phones.connect(tab)
    await phones.world.publish("b", "c")
    phones.receipt(session, "c")
    await trio.sleep(60)
    page = await phones.world.store.read_log(
        LogQuery(channel_id=push.id), before=None, limit=9, look=99
    )
    assert [(one.notification_id, one.result, one.reason) for one in reversed(page.items)] == [
        ("a", "delivered", "direct"),
        ("c", "cancelled", "receipted"),
        ("b", "delivered", "escalated"),
    ]


async def test_straight_to_one_channel(autojump_clock: MockClock, phones: Phones) -> None:
    """Who names a push channel gets a push (CH-116)."""
    tab, push = await phones.tab(), await phones.device()
    phones.connect(tab)
    start = trio.current_time()
    await phones.world.ingest.accept_for(push, phones.world.note("a"))
    await trio.sleep(1)
    assert phones.push.times("a") == [start]


async def test_a_batch(autojump_clock: MockClock, phones: Phones) -> None:
    """Each notification of one request has its own legs and its own receipt, repeats have none."""
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    named = [phones.world.note(id_, producer="p", is_named=True) for id_ in "abc"]
    await phones.world.ingest.accept(named[:1])
    await phones.world.ingest.accept(named)
    assert phones.legs() == {"socket": 3}
    phones.receipt(session, "a", "c")
    await trio.sleep(60)
    assert phones.push.order() == ["b"]
    assert phones.legs() == {"socket": 3, "push": 1, "cancelled": 2}


# -- starts --------------------------------------------------------------------------------


@pytest.mark.parametrize("drained", [True, False])
async def test_over_a_start(autojump_clock: MockClock, tmp_path: Path, drained: bool) -> None:
    """Drained, what was held is due at the start; killed, when its time is up. Not lost, once."""
    path = StoreSettings(path=str(tmp_path / "store.db"))
    clock = World().clock
    start = trio.current_time()
    async with trio.open_nursery() as running:
        phones = Phones(World(store=SqliteStore(path, threaded=False), clock=clock))
        await phones.start(running)
        tab, _ = await phones.tab(), await phones.device()
        session = phones.connect(tab)
        await phones.world.publish("a", "b")
        phones.receipt(session, "a")
        await trio.sleep(2)
        phones.queue.stop()
        if drained:
            session.end(1012)
        assert phones.push.attempts == []
        running.cancel_scope.cancel()
    await trio.sleep(1)
    async with trio.open_nursery() as running:
        again = Phones(World(store=SqliteStore(path, threaded=False), clock=clock))
        await again.start(running)
        await trio.sleep(60)
        assert again.push.order() == ["b"]
        assert again.push.times("b") == [start + 3 if drained else start + T]
        await assert_counts_are_right(again.world.store, websockets=1)
        running.cancel_scope.cancel()


async def test_without_a_push_transport(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """What nobody can push waits, and ends with its receipt or its deadline."""
    phones = Phones()
    phones.world.queues.remove(phones.queue)
    await phones.world.start(nursery)
    tab, _ = await phones.tab(), await phones.device()
    session = phones.connect(tab)
    await phones.world.publish("a", "b")
    phones.receipt(session, "a")
    await trio.sleep(60)
    await assert_counts_are_right(phones.world.store, websockets=1, omapush=1)
