"""tocsin.delivery.events: what an operator is told, three ways."""

from pathlib import Path

import orjson
import pytest
import structlog
import trio
from structlog.testing import capture_logs
from tests.fakes.fault import Fault
from tests.fakes.world import CountingProgress, World
from trio.testing import MockClock

from tocsin.delivery.eventhook import MOST_WAITING, EventHook
from tocsin.delivery.events import FEEDBACK, OPERATOR, Events
from tocsin.model.channel import Webhook
from tocsin.store.sqlite import SqliteStore, StoreSettings
from tocsin.wire.push.tokens import fingerprint

ORIGIN = "https://ops.example:443"
SECRET = "whsec_" + "A" * 32


@pytest.fixture
async def world(tmp_path: Path, nursery: trio.Nursery) -> World:
    """A store in a file, so that it can fail; nothing else runs."""
    store = SqliteStore(StoreSettings(path=str(tmp_path / "store.db")), threaded=False)
    await nursery.start(store.run)
    return World(store=store)


@pytest.fixture
def events(world: World) -> Events:
    """The world's events; suspensions are told."""
    made = Events(metrics=world.metrics, clock=world.clock)
    world.directory.on_switched = made.note_channel
    return made


def hook(world: World, url: str | None = f"{ORIGIN}/events") -> EventHook:
    """The operator's webhook."""
    return EventHook(
        OPERATOR,
        None if url is None else Webhook(url, ORIGIN, None, SECRET),
        world.directory,
        world.ingest.store,
        metrics=world.metrics,
        clock=world.clock,
    )


async def sent(world: World) -> list[dict[str, object]]:
    """The bodies that wait for the operator's endpoint, taken from the store."""
    claim = await world.store.claim(ORIGIN, now=world.clock(), limit=5000, provisional=0)
    return [orjson.loads(one.notification.body) for one in claim.deliveries]


async def test_an_event_is_logged_and_counted(
    world: World, events: Events, autojump_clock: MockClock
) -> None:
    """Without a webhook too; what an operator should act on is a warning (PU-56, OP-17)."""
    await trio.lowlevel.checkpoint()
    structlog.reset_defaults()
    with capture_logs() as logged:
        events.emit("lane.blocked", lane="l", reason="breaker")
        events.emit("lane.unblocked", lane="l")
        events.emit("something.else")
    assert logged == [
        {"event": "lane.blocked", "log_level": "warning", "lane": "l", "reason": "breaker"},
        {"event": "lane.unblocked", "log_level": "info", "lane": "l"},
        {"event": "something.else", "log_level": "info"},
    ]
    assert world.sample("operator_events_total", event="lane.blocked") == 1
    assert world.sample("operator_events_total", event="other") == 1


async def test_an_event_becomes_a_webhook(
    world: World, events: Events, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Durable, in order, of the form of PU-56, to a channel signed with the operator's secret."""
    events.hook = hook(world)
    events.emit("lane.blocked", lane="l", reason="breaker")
    nursery.start_soon(events.hook.run, CountingProgress())
    await trio.sleep(1)
    events.emit("lane.unblocked", lane="l")
    await trio.sleep(1)
    [channel] = (await world.directory.account(OPERATOR)).channels.values()
    assert channel.webhook == Webhook(f"{ORIGIN}/events", ORIGIN, None, SECRET)
    [first] = await sent(world)
    assert first == {
        "type": "lane.blocked",
        "timestamp": "2023-11-14T22:13:20.000Z",
        "data": {"lane": "l", "reason": "breaker"},
    }
    assert world.store.backlog == 2


async def test_what_is_about_one_notification_waits_for_no_other(
    world: World, events: Events, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Late outcomes are as many as pushes; one at a time they would be too slow to fit into their
    channel (PU-56). Everything else keeps its order."""
    events.hook = hook(world)
    nursery.start_soon(events.hook.run, CountingProgress())
    for id_ in ("a", "b"):
        events.emit("delivery.dead", notification_id=id_)
    for reason in ("key_paused", "oauth"):
        events.emit("push.key.paused", reason=reason)
    await trio.sleep(1)
    assert [one["data"] for one in await sent(world)] == [
        {"notification_id": "a"},
        {"notification_id": "b"},
        {"reason": "key_paused"},
    ]


async def test_events_wait_for_a_failing_store(
    world: World, events: Events, nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """They are kept and stored when it works again, once each; what is too much goes, the oldest
    first, and is counted (bounded)."""
    events.hook = hook(world)
    nursery.start_soon(events.hook.run, CountingProgress())
    await trio.sleep(1)
    fault = Fault(tmp_path / "store.db")
    fault.begin()
    for number in range(MOST_WAITING + 3):
        events.emit("lane.blocked", number=number)
    await trio.sleep(30)
    assert world.store.backlog == 0
    fault.end()
    fault.close()
    await trio.sleep(3)
    assert world.store.backlog == MOST_WAITING
    assert world.sample("operator_events_dropped_total") == 3
    [first] = await sent(world)
    assert first["data"] == {"number": 3}


async def test_the_channel_follows_the_configuration(
    world: World, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Another URL is another channel and the former is gone; the same is the same; none leaves
    none."""
    found = []
    for url in (f"{ORIGIN}/a", f"{ORIGIN}/a", f"{ORIGIN}/b", None):
        async with trio.open_nursery() as running:
            running.start_soon(hook(world, url).run, CountingProgress())
            await trio.sleep(1)
            running.cancel_scope.cancel()
        channels = (await world.directory.account(OPERATOR)).channels
        found.append([(one.id, one.webhook and one.webhook.url) for one in channels.values()])
    [[first], [second], [third], none] = found
    assert first == second
    assert (first[1], third[1], none) == (f"{ORIGIN}/a", f"{ORIGIN}/b", [])
    assert first[0] != third[0]


async def test_a_deleted_channel_is_made_again(
    world: World, events: Events, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """With the next event, whoever deleted it."""
    events.hook = hook(world)
    nursery.start_soon(events.hook.run, CountingProgress())
    await trio.sleep(1)
    account = await world.directory.account(OPERATOR)
    [channel] = account.channels.values()
    await world.directory.remove_channel(account, channel, outcome="refused")
    events.emit("lane.unblocked")
    await trio.sleep(1)
    assert [one["type"] for one in await sent(world)] == ["lane.unblocked"]


async def test_nothing_is_sent_about_the_operators_channel(
    world: World, events: Events, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A dead event must not make another event for the same endpoint, and so on for ever."""
    events.hook = hook(world)
    nursery.start_soon(events.hook.run, CountingProgress())
    await trio.sleep(1)
    [channel] = (await world.directory.account(OPERATOR)).channels.values()
    events.emit("delivery.dead", channel_id=channel.id)
    events.emit("delivery.dead", channel_id="wh-other")
    await trio.sleep(1)
    assert [one["data"] for one in await sent(world)] == [{"channel_id": "wh-other"}]
    assert world.sample("operator_events_total", event="delivery.dead") == 2


async def test_suspension_is_told_once(
    world: World, events: Events, autojump_clock: MockClock
) -> None:
    """Each change of state of a channel is one event, repeats are none (circuit breaker)."""
    channel = await world.hook()
    for _ in range(2):
        await world.directory.suspend(channel)
    assert world.sample("operator_events_total", event="channel.suspended") == 1
    for _ in range(2):
        await world.directory.resume(channel)
    assert world.sample("operator_events_total", event="channel.resumed") == 1


async def test_the_stores_state_is_told_when_it_changes(
    world: World, events: Events, autojump_clock: MockClock
) -> None:
    """Failing once, working once, however often it is looked at."""
    await trio.lowlevel.checkpoint()
    for failing in (None, "disk full", "disk full", "read-only", None, None):
        events.note_store(failing)
    assert world.sample("operator_events_total", event="store.failing") == 1
    assert world.sample("operator_events_total", event="store.working") == 1


async def test_feedback_gets_the_token_and_nobody_else(
    world: World, events: Events, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What concerns pushes goes to the feedback webhook whole; log and operator see a token's
    fingerprint, and not every late outcome (PU-43, PU-56)."""
    events.hook = hook(world)
    feedback_origin = "https://keeper.example:443"
    events.feedback = EventHook(
        FEEDBACK,
        Webhook(f"{feedback_origin}/pushes", feedback_origin),
        world.directory,
        world.ingest.store,
        metrics=world.metrics,
        clock=world.clock,
    )
    for one in (events.hook, events.feedback):
        nursery.start_soon(one.run, CountingProgress())
    structlog.reset_defaults()
    with capture_logs() as logged:
        events.emit("push.token.removed", app_id="com.x", token="c0ffee")
        events.emit("push.outcome", id="1", outcome="expired")
        events.emit("lane.blocked", lane="apns/com.x", reason="key_paused")
    await trio.sleep(1)
    told = await sent(world)
    assert [one["type"] for one in told] == ["push.token.removed"]
    assert "c0ffee" not in str(told) + str(logged)
    assert told[0]["data"] == {"app_id": "com.x", "token_hash": fingerprint("c0ffee")}
    claim = await world.store.claim(feedback_origin, now=world.clock(), limit=50, provisional=0)
    [first] = [orjson.loads(one.notification.body) for one in claim.deliveries]
    assert first["data"] == {"app_id": "com.x", "token": "c0ffee"}
    assert world.store.backlog == 4
