"""tocsin.server.messaging.application: tasks, and the end of all of them (messaging.md, MS-69)."""

import random
from typing import Any

import pytest
import structlog.testing
import trio
from tests.fakes.talk import Client, Talk, talking

from tocsin.messaging.settings import MessagingLimits
from tocsin.model.conversation import Subscriber
from tocsin.server.messaging.application import MessagingApplication

RESTART = (1012, "Service restart")


async def drain(talk: Talk, window: float = 0) -> None:
    """Close them all."""
    await talk.application.drain(window, rng=random.Random(0))


async def test_spread_over_the_window(autojump_clock: trio.testing.MockClock) -> None:
    """MS-69: 1012 to all, not in one moment."""
    async with talking() as talk:
        clients = [await talk.connect(f"s{number}") for number in range(20)]
        start, ended = trio.current_time(), list[float]()
        for client in clients:
            note_end(client, ended)
        await drain(talk, 10)
        assert [client.closing for client in clients] == [RESTART] * 20
        assert all(
            number * 0.5 <= at - start <= number * 0.5 + 0.5 for number, at in enumerate(ended)
        )


def note_end(client: Client, ended: list[float]) -> None:
    """Have the time written down at which it is closed."""
    close = client.close

    def noted(*args: Any) -> None:
        ended.append(trio.current_time())
        close(*args)

    client.close = noted  # type: ignore[method-assign] # to look at the clock


async def test_the_message_in_hand_is_finished() -> None:
    """MS-69: replies and `ack` come before the end, what is behind it is dropped."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        talk.desk.opening = opening = trio.Event()
        ann.say(type="direct-message", subscriber_id="bob", content="the last")
        ann.say(type="direct-message", subscriber_id="bob", content="one more")
        await talk.settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain, talk)
            await talk.settle()
            assert (ann.closing, bob.closing) == (None, RESTART)
            assert ann.take() == []
            opening.set()
        assert [one["type"] for one in ann.take()] == ["delivery", "ack"]
        assert ann.closing == RESTART
        assert [one["content"] for one in bob.take()] == ["the last"]
        await talk.settle()
        assert len(talk.application) == 0


async def test_who_does_not_read_is_not_waited_for() -> None:
    """MS-69: a replay under way is none of what has to be finished."""
    async with talking(limits=MessagingLimits(outbox_messages=2)) as talk:
        ann = await talk.join("ann")
        for _ in range(5):
            await ann.ask(type="direct-message", subscriber_id="bob", content="x")
        bob = await talk.connect("bob")
        bob.stalls = True
        bob.say(type="resume", cursor="")
        await talk.settle()
        with trio.fail_after(30):
            await drain(talk)
        assert bob.closing == RESTART


async def test_who_is_just_coming() -> None:
    """MS-69: comes in, and is sent away."""
    async with talking() as talk:
        with talk.store.held_up():
            ann = talk.arrive("ann")
            await talk.settle()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drain, talk)
                await talk.settle()
                talk.store.is_slow = False
                nursery.cancel_scope.cancel()
        await talk.settle()
        assert ann.closing == RESTART


async def test_a_crash_ends_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """MS-68: that one 1011, and nobody else notices; not even if its client has gone already."""
    async with talking() as talk:
        bob = await talk.join("bob")

        async def crash(_subscriber: Subscriber) -> None:
            await trio.lowlevel.checkpoint()
            raise ZeroDivisionError

        monkeypatch.setattr(talk.world.register, "hold_rooms", crash)
        with structlog.testing.capture_logs() as logs:
            ann, cid = talk.arrive("ann"), talk.arrive("cid")
            cid.say(type="unannounce")
            cid.leave()
            await talk.settle()
        assert ann.closing == (1011, "Internal error")
        assert [entry["event"] for entry in logs] == ["messaging.connection_crashed"] * 2
        assert talk.clients == [bob]
        assert (len(talk.application), len(talk.world.live)) == (1, 1)
        assert [one["type"] for one in await bob.ask(type="list-channels")] == ["channels", "ack"]


async def test_nobody_is_let_in_without_tasks() -> None:
    """Before it runs, and when it does no more: 1013, to come again."""
    async with talking() as talk:
        talk.application = MessagingApplication(talk.world)
        ann = talk.arrive("ann")
        assert ann.closing == (1013, "Try again later")
        await talk.settle()
        assert len(talk.application) == 0
