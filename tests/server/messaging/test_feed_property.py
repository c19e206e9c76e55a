"""Whatever connections of one subscriber do, each is given his Log: all of it, once, in order."""

from typing import Any

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.talk import Client, Talk, talking

from tocsin.messaging.settings import MessagingLimits

PROFILE = settings(max_examples=150, deadline=None, derandomize=True)
ANN, BOB = 0, 3
SIZES = (1, 120, 2000)

which = st.sampled_from([ANN, ANN, 1, 2, BOB])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), which, st.tuples(st.sampled_from(SIZES), st.integers(1, 6))),
        st.tuples(st.just("write"), which, st.tuples(st.sampled_from(SIZES), st.integers(1, 6))),
        st.tuples(st.just("administer"), which, st.none()),
        st.tuples(st.just("stall"), which, st.none()),
        st.tuples(st.just("read"), which, st.integers(1, 4)),
        st.tuples(st.just("read_on"), which, st.booleans()),
        st.tuples(st.just("read_on"), which, st.booleans()),
        st.tuples(st.just("prove"), which, st.none()),
        st.tuples(st.just("resume"), which, st.integers(0, 20)),
        st.tuples(st.just("come_back"), which, st.booleans()),
        st.tuples(st.just("hold"), which, st.booleans()),
        st.tuples(st.just("pages"), which, st.booleans()),
        st.tuples(st.just("settle"), which, st.none()),
    ),
    min_size=10,
    max_size=50,
)


def seq(cursor: str) -> int:
    """The number in a cursor of ours."""
    epoch, _, number = cursor.partition(":")
    assert epoch == "e1"
    return int(number)


@attrs.define
class Reader:
    """A device: what it `has` of its Log, over all the connections it has had. `starts` are the
    numbers it has resumed from, by request."""

    client: Client
    name: str
    has: int = 0
    checked: int = 0
    starts: dict[str, int] = attrs.field(factory=dict)
    replay: str = ""

    def check(self) -> None:
        """Take what has arrived: no number is missing, but for acts whose reply has none; none
        comes twice, but in answer to a `resume`."""
        for message in self.client.log[self.checked :]:
            if message["type"] == "welcome" or "cursor" not in message:
                continue
            request = message.get("reply-to")
            if request in self.starts and request != self.replay:
                self.replay, self.has = request, self.starts[request]
            at = seq(message["cursor"])
            if message["type"] == "resumed":
                assert message["complete"] is True
                assert at == self.has
            else:
                assert at == self.has + 1, (message, self.has)
                self.has = at
        self.checked = len(self.client.log)


@attrs.define
class Story:
    """Three devices of one subscriber, one of another, and what they do."""

    talk: Talk
    readers: list[Reader] = attrs.field(factory=list)

    async def begin(self) -> None:
        """Everybody is here and fed; there is a Room of both."""
        for name in ("ann", "ann", "ann", "bob"):
            self.readers.append(Reader(await self.talk.join(name), name))
        ann, bob = self.readers[ANN].client, self.readers[BOB].client
        [made, _] = await ann.ask(type="create-channel", id="0", name="Room", invite_token="s3")
        self.room = made["channel-id"]
        await bob.ask(type="join-channel", channel_id=self.room, invite_token="s3")

    room: str = ""

    async def do(self, what: str, who: int, how: Any) -> None:
        reader = self.readers[who]
        client = reader.client
        match what:
            case "write":
                self.write(reader, *how)
            case "administer":
                client.say(type="update-channel", id="u", channel_id=self.room, name="Other")
            case "stall":
                client.stalls = True
            case "read":
                client.read(how)
            case "read_on":
                client.read_on(stalls=how)
            case "prove":
                client.prove()
            case "resume":
                self.resume(reader, max(0, reader.has - how))
                client.stalls = how % 2 > 0
            case "come_back":
                await self.come_back(reader, settles=how)
            case "hold":
                self.hold(is_held=how)
            case "pages":
                self.talk.store.is_slow = how
                self.talk.store.turn_pages()
            case "settle":
                await self.talk.settle()

    def write(self, reader: Reader, size: int, count: int) -> None:
        """Some messages to the other."""
        other = "bob" if reader.name == "ann" else "ann"
        for _ in range(count):
            reader.client.say(
                type="direct-message", id="w", subscriber_id=other, content="x" * size
            )

    def resume(self, reader: Reader, position: int) -> None:
        """From here, or from what it had some entries ago; only when all is read, for what is on
        its way would have come before."""
        reader.client.read_on()
        reader.check()
        number = f"resume {len(reader.starts)}"
        reader.starts[number] = position
        reader.client.say(type="resume", id=number, cursor=f"e1:{position}")

    async def come_back(self, reader: Reader, *, settles: bool) -> None:
        """Another connection of the same device, which says what it has."""
        reader.client.read_on()
        reader.check()
        reader.client.leave()
        reader.client = self.talk.arrive(reader.name)
        reader.checked = 0
        if settles:
            await self.talk.settle()
        self.resume(reader, reader.has)

    def hold(self, *, is_held: bool) -> None:
        """What is asked of the desk takes its time."""
        opening, self.talk.desk.opening = self.talk.desk.opening, None
        if opening is not None:
            opening.set()
        if is_held:
            self.talk.desk.opening = trio.Event()

    async def end(self) -> None:
        """Everything gets on, everybody reads everything, and has everything."""
        self.hold(is_held=False)
        self.talk.store.is_slow = False
        self.talk.store.turn_pages()
        while any(reader.client.waiting or reader.client.stalls for reader in self.readers):
            for reader in self.readers:
                reader.client.read_on()
            await self.talk.settle()
        await self.talk.settle()
        for reader in self.readers:
            reader.check()
            assert reader.client.closing is None
            log = await self.talk.desks.log_of(
                await self.talk.desks.register.subscriber("acme", reader.name)
            )
            assert reader.has == len(log)


@PROFILE
@given(steps)
def test_each_entry_once_in_order(plan: list[tuple[str, int, Any]]) -> None:
    """MS-47, MS-48, MS-61, MS-62: over acts, stalls, replays and reconnects with the largest
    cursor, every device gets every number once and in order, its own acts' replies included."""

    async def story() -> None:
        limits = MessagingLimits(outbox_messages=4, outbox_bytes=4096, rate=1e6, burst=10_000)
        async with talking(limits=limits) as talk:
            it = Story(talk)
            await it.begin()
            for what, who, how in plan:
                await it.do(what, who, how)
            await it.end()

    trio.run(story)
