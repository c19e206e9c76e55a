"""Sockets that ask for their position: what they are told and sent (CH-50, CH-52, CH-58)."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import orjson
import pytest
import trio
from tests.fakes.bench import Bench, Client, bench
from tests.fakes.stores import waiting
from trio.testing import MockClock
from wsproto.frame_protocol import Opcode

from tocsin.model.channel import Channel
from tocsin.model.errors import RequestError, StoreError
from tocsin.store.records import Position
from tocsin.store.statements.positions import pass_over

QUESTION = "0:0"


def resumed(channel: Channel, seq: int, *, missed: int = 0, recovered: bool | None = None) -> Any:
    """What a client that asked is told first."""
    told = {"epoch": channel.epoch, "seq": seq, "missed": missed}
    return {"channelResumed": {**told, "recovered": not missed if recovered is None else recovered}}


def ids(messages: list[Any]) -> list[str]:
    return [message["chatMessageNotification"]["id"] for message in messages]


async def come_back(it: Bench, channel: Channel, seq: int) -> tuple[Client, Any, list[str]]:
    """A client with this position: what it is told first, and the ids that follow."""
    client = await it.open(channel, since=f"{channel.epoch}:{seq}")
    told, *rest = client.messages()
    return client, told, ids(rest)


async def killed(it: Bench, channel: Channel) -> Channel:
    """The process has died without a word; the channel as the next one finds it."""
    sessions = it.sessions
    gathered = (sessions._receipts, sessions._upto, sessions._written, sessions._live)
    for one in (*gathered, sessions._kept):
        one.clear()
    it.directory._recent.clear()
    it.directory._known.clear()
    return (await it.account()).channels[channel.id]


def results(it: Bench) -> dict[str, float]:
    """Sockets by what became of their backlog."""
    found = {name: one._value.get() for name, one in it.metrics.ws_resumes.items()}
    return {name: count for name, count in found.items() if count}


async def test_asking_without_claiming(autojump_clock: MockClock) -> None:
    """The first frame says where the client is; from there it counts (CH-52, CH-58)."""
    async with bench() as it:
        channel = await it.channel()
        await it.publish("a", "b")
        client = await it.open(channel, since=QUESTION)
        told, *rest = client.messages()
        assert told == resumed(channel, 0)
        assert ids(rest) == ["a", "b"]
        client.pong(2)
        client.vanish()
        assert (await it.open(channel, since=QUESTION)).messages() == [resumed(channel, 2)]
        assert results(it) == {"fresh": 2}


async def test_a_position_settles_what_is_before_it(autojump_clock: MockClock) -> None:
    """What the client has is over without a receipt, the rest is replayed in its place, and what
    is new follows (CH-58)."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        await it.publish(*"abcd")
        client.vanish()
        await it.publish("e")
        client, told, rest = await come_back(it, channel, 3)
        assert (told, rest) == (resumed(channel, 3), ["d", "e"])
        assert await it.pending() == it.store.backlog == 2
        assert client.pings() == []
        client.pong(5)
        assert await it.pending() == 0
        assert results(it) == {"fresh": 1, "recovered": 1}
        delivered = it.metrics.registry.get_sample_value(
            "tocsin_deliveries_total", {"type": "websockets", "outcome": "delivered"}
        )
        assert delivered == 5


async def test_a_gap_is_told_until_the_client_has_read_it(autojump_clock: MockClock) -> None:
    """What expired unwritten and what expired on the way is missed, counted, and told again to a
    client that broke off before it knew (CH-58)."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        await it.publish("a")
        await it.publish("b", expires_in=5)
        await it.publish("c")
        client.vanish()
        await it.publish("d", expires_in=5)
        await trio.sleep(7)
        for _ in range(2):
            client, told, rest = await come_back(it, channel, 1)
            assert told["channelResumed"]["missed"] == 2
            assert not told["channelResumed"]["recovered"]
            assert rest == ["c"]
            client.vanish()
        base = told["channelResumed"]["seq"]
        client, told, rest = await come_back(it, channel, base)
        assert (told, rest) == (resumed(channel, base), ["c"])
        client.pong(base + 1)
        assert await it.pending() == 0
        assert results(it) == {"fresh": 1, "gap": 2, "recovered": 1}


async def test_what_the_client_has_may_expire(autojump_clock: MockClock) -> None:
    """It lost the connection before its receipt, and has missed nothing."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        await it.publish("a", expires_in=5)
        client.vanish()
        await trio.sleep(7)
        assert (await come_back(it, channel, 1))[1] == resumed(channel, 1)


async def test_a_receipt_is_not_a_claim(autojump_clock: MockClock) -> None:
    """A client that claims less than it has receipted lacks what was in between."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        await it.publish("a", "b", "c")
        client.pong(3)
        client.vanish()
        _, told, rest = await come_back(it, channel, 1)
        assert (told, rest) == (resumed(channel, 3, missed=2), [])


async def test_positions_of_another_channel(autojump_clock: MockClock) -> None:
    """Nothing is settled and nothing guessed; a position nobody was told of is no better."""
    async with bench() as it:
        channel = await it.channel()
        await it.publish("a", "b")
        (await it.open(channel)).vanish()
        for since in (f"{channel.epoch}:1", "cafe:7"):
            client = await it.open(channel, since=since)
            told, *rest = client.messages()
            assert (told, ids(rest)) == (resumed(channel, 0, recovered=False), ["a", "b"])
            client.vanish()
        assert results(it) == {"fresh": 1, "gap": 2}


@pytest.mark.parametrize("since", ["", "zz", "a:", ":1", "a:-1", "a:1:2", "{epoch}:1", "a b:1"])
async def test_malformed_and_future_positions(autojump_clock: MockClock, since: str) -> None:
    """Refused before the 101 (CH-50)."""
    async with bench() as it:
        channel = await it.channel()
        with pytest.raises(RequestError) as refused:
            await it.open(channel, since=since.format(epoch=channel.epoch))
        assert (refused.value.status, refused.value.variables) == (400, ("since",))


async def test_whoever_does_not_ask_is_not_told(autojump_clock: MockClock) -> None:
    """No unknown frame, also where another connection of the channel asked before (CH-52)."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        await it.publish("a", "b", "c")
        client.vanish()
        client = await it.open(channel)
        assert ids(client.messages()) == ["a", "b", "c"]
        client.pong(2)
        client.vanish()
        _, told, rest = await come_back(it, channel, 2)
        assert (told, rest) == (resumed(channel, 2), ["c"])


@pytest.mark.parametrize("is_marked", [True, False])
async def test_killed(autojump_clock: MockClock, is_marked: bool) -> None:
    """After kill -9 no number is given twice, nothing is missed, and a position from before is
    good; only what was not marked comes again (CH-58)."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        await it.publish(*"abcd")
        if is_marked:
            it.sessions.mark()
        channel = await killed(it, channel)
        assert channel.last_seq > 4
        for _ in range(2):
            client, told, rest = await come_back(it, channel, 3)
            base = told["channelResumed"]["seq"]
            assert base > 4
            assert told == resumed(channel, base)
            assert rest == (["d"] if is_marked else list("abcd"))
            client.vanish()
        client = await it.open(channel)
        client.pong(base + len(rest))
        client.vanish()
        assert (await it.open(channel)).messages() == []


async def test_killed_and_back_without_asking(autojump_clock: MockClock) -> None:
    """What happens between does not spoil a position from before; what the next process wrote
    under new numbers may come again."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        await it.publish("a", "b")
        it.sessions.mark()
        channel = await killed(it, channel)
        client = await it.open(channel)
        assert client.ids() == ["a", "b"]
        await it.publish("c")
        client.vanish()
        _, told, rest = await come_back(it, channel, 1)
        assert told == resumed(channel, told["channelResumed"]["seq"])
        assert rest == ["a", "b", "c"]


async def test_back_with_a_backup(autojump_clock: MockClock) -> None:
    """A number that was given after the backup was made is given to nothing else: the client has
    all it had, and goes on behind it (CH-58)."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        await it.publish("a")
        client.pong(1)
        client.vanish()
        pass_over(it.store._writer._batches.connection, 1000)
        channel = await killed(it, channel)
        await it.publish("b")
        _, told, rest = await come_back(it, channel, 9)
        assert (told, rest) == (resumed(channel, 1001), ["b"])


async def test_expiry_during_the_replay(autojump_clock: MockClock) -> None:
    """The client has been told what it is to count: it is closed 1012, and told anew when it comes
    back (CH-58)."""
    async with bench(outbox_bytes=262_144) as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        for number in range(10):
            brief = {"expires_in": 5} if number == 7 else {}
            await it.publish(number, text="x" * 60_000, **brief)
        client.vanish()
        client = await it.open(channel, since=f"{channel.epoch}:0", blocked=True)
        told, *rest = client.messages()
        assert told == resumed(channel, 0)
        assert ids(rest) == ["0", "1", "2", "3"]
        await trio.sleep(7)
        client.drain()
        assert (client.ended(), client.messages()) == (1012, [])
        client.vanish()
        client, told, rest = await come_back(it, channel, 4)
        assert told["channelResumed"]["missed"] == 1
        assert rest == ["4", "5", "6", "8", "9"]


async def test_expiry_at_the_end_of_the_replay(autojump_clock: MockClock) -> None:
    """What is new must not take the number of what is gone."""
    async with bench(outbox_bytes=262_144) as it:
        channel = await it.channel()
        client = await it.open(channel, since=QUESTION)
        for number in range(6):
            brief = {"expires_in": 5} if number == 5 else {}
            await it.publish(number, text="x" * 60_000, **brief)
        client.vanish()
        client = await it.open(channel, since=f"{channel.epoch}:0", blocked=True)
        await trio.sleep(7)
        await it.publish("new")
        while client.ended() is None:
            client.drain()
        assert client.ended() == 1012
        client.vanish()
        _, told, rest = await come_back(it, channel, 5)
        assert told["channelResumed"]["missed"] == 1
        assert rest == ["new"]


Then = Callable[[Position | None, StoreError | None], None]


class SlowStore:
    """Stands before a store's `read_position`: keeps each answer back until told."""

    def __init__(self, it: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self._kept: list[Callable[[], None]] = []
        ask = it.store.read_position

        def read_position(channel: Channel, *, then: Then) -> None:
            self._kept.append(lambda: ask(channel, then=then))

        monkeypatch.setattr(it.store, "read_position", read_position)

    def answer(self) -> None:
        kept, self._kept = self._kept, []
        for one in kept:
            one()


async def test_nothing_comes_before_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notifications, connChecks and connAcks wait for `channelResumed` (CH-52, CH-54, CH-55)."""
    async with bench() as it:
        store = SlowStore(it, monkeypatch)
        channel = await it.channel(role="server")
        client = await it.open(channel, since=QUESTION)
        client.say({"connCheck": {"interval": 5}})
        client.say({"connCheck": {"interval": 5}})
        await it.publish("a")
        assert client.messages() == []
        store.answer()
        told, *rest = client.messages()
        assert told == resumed(channel, 0)
        assert rest[:2] == [{"connAck": {}}] * 2
        assert [next(iter(one)) for one in rest[2:]] == ["chatMessageNotification", "connCheck"]


async def test_a_newer_socket_while_one_is_still_asking(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older one is told nothing and numbers nothing; the newer finds all as it was (CH-51)."""
    async with bench() as it:
        channel = await it.channel()
        first = await it.open(channel, since=QUESTION)
        await it.publish("a", "b")
        first.vanish()
        store = SlowStore(it, monkeypatch)
        older = await it.open(channel, since=f"{channel.epoch}:1")
        newer = await it.open(channel, since=f"{channel.epoch}:0")
        assert older.ended() == 1000
        store.answer()
        assert older.messages() == []
        told, *rest = newer.messages()
        assert (told, ids(rest)) == (resumed(channel, 0), ["a", "b"])
        assert (channel.last_seq, await it.pending()) == (2, 2)


@pytest.mark.parametrize("method", ["read_position", "resume"])
async def test_a_failing_store(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The socket ends 1011 without a word; the next one finds all as it was (CH-59)."""
    async with bench() as it:
        channel = await it.channel()
        first = await it.open(channel, since=QUESTION)
        await it.publish("a", "b")
        first.vanish()

        def refuse(
            *_args: object, then: Callable[[None, StoreError], None], **_named: object
        ) -> None:
            then(None, StoreError("full"))

        with monkeypatch.context() as patched:
            patched.setattr(it.store, method, refuse)
            client = await it.open(channel, since=f"{channel.epoch}:1")
            assert (client.ended(), client.messages()) == (1011, [])
            client.vanish()
        assert channel.last_seq == 2
        _, told, rest = await come_back(it, channel, 1)
        assert (told, rest) == (resumed(channel, 1), ["b"])


async def test_a_late_receipt_before_anybody_asked(autojump_clock: MockClock) -> None:
    """It counts, and the client that asks then is told of a row without it."""
    async with bench() as it:
        channel = await it.channel()
        older = await it.open(channel)
        await it.publish("a", "b")
        older.session.end(1012)
        older.pong(2)
        await it.publish("c")
        client = await it.open(channel, since=QUESTION)
        told, *rest = client.messages()
        assert (told, ids(rest), client.ended()) == (resumed(channel, 2), ["c"], None)


async def test_a_late_receipt_of_a_counted_connection(autojump_clock: MockClock) -> None:
    """A Pong on the older socket settles nothing any more: the newer counts what it is sent."""
    async with bench() as it:
        channel = await it.channel()
        older = await it.open(channel, since=QUESTION)
        await it.publish("a", "b")
        newer = await it.open(channel, since=f"{channel.epoch}:0")
        older.pong(2)
        assert await it.pending() == 2
        assert ids(newer.messages()[1:]) == ["a", "b"]
        newer.pong(2)
        assert await it.pending() == 0


@contextmanager
def refusing_receipts(it: Bench) -> Iterator[None]:
    """The store takes no receipts, and everything else."""

    def refuse(_ids: object, then: Callable[[None], None], **_named: object) -> None:
        then(None)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(it.store, "settle_lazily", refuse)
        yield


@pytest.mark.parametrize("is_marked", [True, False])
async def test_receipts_that_are_stored_late(autojump_clock: MockClock, is_marked: bool) -> None:
    """What the client has is not sent again: it would count that, and get ahead of the numbers;
    or it would be told to have missed the second number as soon as the store takes the receipt.
    What is new is found behind it."""
    async with bench() as it:
        channel = await it.channel()
        first = await it.open(channel, since=QUESTION)
        old = [f"old-{number}" for number in range(40)]
        await it.publish(*old)
        if is_marked:
            it.sessions.mark()
        with refusing_receipts(it):
            first.pong(40)
            first.session.fall_behind()
            first.session.flush()
            assert ids(first.messages()[1:]) == old
            first.vanish()
            await it.publish("new")
            client, told, rest = await come_back(it, channel, 40)
            assert (told, rest) == (resumed(channel, 40), ["new"])
        client.vanish()
        _, told, rest = await come_back(it, channel, 40)
        assert (told, rest, await it.pending()) == (resumed(channel, 40), ["new"], 1)


async def test_a_position_before_a_receipt_that_is_stored_late(autojump_clock: MockClock) -> None:
    """Whoever goes back behind a receipt gets what the store still has, without a hole."""
    async with bench() as it:
        channel = await it.channel()
        first = await it.open(channel, since=QUESTION)
        await it.publish("a", "b", "c")
        it.sessions.mark()
        with refusing_receipts(it):
            first.pong(3)
            first.vanish()
            client, told, rest = await come_back(it, channel, 1)
            assert (told, rest, client.ended()) == (resumed(channel, 1), ["b", "c"], None)


@attrs.define
class Life:
    """A client that counts, and everything that happens to it and its channel."""

    it: Bench
    channel: Channel
    rng: random.Random
    published: set[str] = attrs.field(factory=set)
    client: Client | None = None
    position: tuple[str, int] | None = None
    has: set[str] = attrs.field(factory=set)
    is_counting: bool = False

    async def publish(self) -> None:
        ids = [str(len(self.published) + number) for number in range(self.rng.randint(1, 4))]
        self.published.update(ids)
        await self.it.publish(*ids, expires_in=self.rng.choice([4, 10, 600]))

    async def receipt(self) -> None:
        if self.client is not None and self.client.session._window.open_pings:
            self.client.pong(self.rng.choice(self.client.session._window._pings))

    async def wait(self) -> None:
        await trio.sleep(self.rng.uniform(0, 6))

    async def mark(self) -> None:
        self.it.sessions.mark()

    async def leave(self) -> None:
        if self.client is not None:
            self.client.vanish()
            self.client = None

    async def die(self) -> None:
        """kill -9 of the daemon, with what was written marked or not."""
        if self.rng.random() < 0.5:
            self.it.sessions.mark()
        self.channel, self.client = await killed(self.it, self.channel), None

    async def come_without_asking(self) -> None:
        await self.leave()
        self.client, self.is_counting = await self.it.open(self.channel), False

    async def come(self) -> None:
        """Back with the count; what the client is told of it is true."""
        await self.leave()
        epoch, seq = self.position or ("0", 0)
        self.client = await self.it.open(self.channel, since=f"{epoch}:{seq}")
        self.is_counting = True
        [first, *frames] = self.client.peer.take()
        self.client.peer.frames = frames
        told = orjson.loads(first[1])["channelResumed"]
        there = {one.notification.id for one in await waiting(self.it.store, self.channel, now=0)}
        lost = self.published - self.has - there
        assert told["recovered"] == (told["missed"] == 0)
        if self.position is not None:
            assert told["missed"] >= len(lost)
        self.position = (told["epoch"], told["seq"])
        self.has |= lost

    def read(self) -> None:
        """All that has come; a Ping's payload is what the client has counted."""
        if self.client is None:
            return
        for kind, payload in self.client.peer.take():
            if not self.is_counting:
                continue
            assert self.position is not None
            epoch, seq = self.position
            if kind is Opcode.TEXT:
                [body] = orjson.loads(payload).values()
                self.has.add(body["id"])
                self.position = (epoch, seq + 1)
            elif kind is Opcode.PING:
                assert int(payload) in {0, seq}
        if self.client.ended() is not None:
            self.client.vanish()
            self.client = None


@pytest.mark.parametrize("seed", range(40))
async def test_any_life(autojump_clock: MockClock, seed: int) -> None:
    """Through receipts, expiry, crashes and any way to come back: what the client counts is what
    we count, and it is told of everything it lacks (CH-56, CH-58)."""
    async with bench(window=6) as it:
        life = Life(it, await it.channel(), random.Random(seed))
        steps = [life.publish, life.receipt, life.wait, life.mark, life.leave, life.die]
        steps += [life.come] * 3 + [life.come_without_asking, life.publish, life.receipt]
        for _ in range(80):
            await life.rng.choice(steps)()
            life.read()
        await trio.sleep(20)
        await life.come()
        for _ in range(100):
            await life.receipt()
            life.read()
        assert life.has == life.published
        assert await it.pending() == 0
