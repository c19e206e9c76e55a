"""SIGKILL at any moment loses nothing of messaging that was acked (messaging.md, MS-70)."""

import os
import random
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from tests.end_to_end.accounting import Ledger
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.deaths import Deaths
from tests.end_to_end.gossip import FAILURES, Books, cast
from tests.end_to_end.load import PAUSE, Load
from tests.end_to_end.talkers import Rest, join, open_room, pass_of, revoke, talk
from tests.fakes.chance import SEED
from tests.fakes.messaging_client import Message, MessagingClient

pytestmark = pytest.mark.end_to_end

ROUNDS = int(os.environ.get("TOCSIN_TORTURE_ROUNDS", "5"))
PEOPLE = ("ann", "ben", "cat", "dan")
SETTINGS = {
    "messaging.resume_hold": 3600,
    "messaging.limits.rate": 10_000,
    "messaging.limits.burst": 10_000,
    "messaging.limits.flood": 100_000,
    "messaging.limits.log_entries": 100_000,
    "messaging.limits.connections": 1000,
    "messaging.sockjs.disconnect_delay": 20,
    "messaging.sockjs.prove_within": 0.2,
}


@attrs.define
class Clerk:
    """Opens Rooms and has somebody invited, who joins, and leaves every other one; all of it again
    until it is acked. What nobody was told may be there or not."""

    load: Load
    opened: list[str] = attrs.field(factory=list)
    joined: list[str] = attrs.field(factory=list)
    left: list[str] = attrs.field(factory=list)

    async def run(self) -> None:
        """Until it is calm, and what was begun is done."""
        while not self.load.calm.is_set():
            room = await self._insist(
                "clerk", {"type": "create-channel", "name": "case"}, once=True
            )
            if not room:
                continue
            self.opened.append(room)
            invite = {"type": "invite", "channel-id": room, "subscriber-ids": ["guest"]}
            await self._insist("clerk", invite)
            await self._insist("guest", {"type": "join-channel", "channel-id": room})
            self.joined.append(room)
            if len(self.joined) % 2 == 0:
                await self._insist("guest", {"type": "leave-channel", "channel-id": room})
                self.joined.remove(room)
                self.left.append(room)

    async def _insist(self, name: str, message: Message, *, once: bool = False) -> str:
        """Until it is acked; the `channel-id` in the reply, if any."""
        while True:
            try:
                async with talk(self.load.daemon, name, greeted=False) as client:
                    done = await _done(client, message)
                if done is not None or once:
                    return done or ""
            except* FAILURES:
                pass
            await trio.sleep(PAUSE)


async def _done(client: MessagingClient, message: Message) -> str | None:
    reply = await client.ask(message)
    if reply.ack is None:
        return None
    if not reply.is_ok:  # left already, but nobody was told
        is_late = message["type"] == "leave-channel" and reply.error == "not-found"
        return "" if is_late else None
    rooms = [one.get("channel-id", "") for one in reply.messages]
    return rooms[0] if rooms else ""


async def test_killed_under_load(tmp_path: Path, nursery: trio.Nursery) -> None:
    """MS-70, MS-21, MS-25, MS-27, MS-46 to MS-48, MS-60, MS-62: killed again and again while people
    write to each other and in a Room, resend what was not acked, and resume by cursor on every
    transport, nothing is lost that was acked and nothing doubled; each Log is given out whole, each
    entry once, in the order of its numbers, and each conversation in one order to everybody.
    Memberships, invitations, dedupe-ids and revocations last."""
    async with Daemon(tmp_path, SETTINGS) as daemon:
        load, books = Load(daemon, Ledger(), random.Random(SEED)), Books(PEOPLE)
        books.room = await gather(daemon)
        clerk, revoked = Clerk(load), [pass_of("spy", jti=str(n)) for n in range(ROUNDS)]
        async with trio.open_nursery() as clients:
            devices = cast(load, books)
            for device in devices:
                clients.start_soon(device.run)
            async with trio.open_nursery() as clerks:
                clerks.start_soon(clerk.run)
                deaths = Deaths(daemon, load.rng)
                for number, bearer in enumerate(revoked):
                    works = partial(more_than, books, len(books.promised), number)
                    await until(works, "it works, for everybody")
                    await revoke(daemon, token=bearer)
                    await deaths.die()
                await until(lambda: clerk.joined, "somebody has joined a Room")
                load.calm.set()
            await until(lambda: all(one.is_done for one in devices), f"all is acked ({SEED})")
            try:
                await until(lambda: not books.missing(), f"all arrives ({SEED})")
            except AssertionError as error:
                error.add_note(f"missing: {books.missing()[:9]}, {books.mistakes[:9]}")
                raise
            clients.cancel_scope.cancel()
        assert books.judge() == [], f"seed {SEED}"
        assert len(books.promised) > 20 * ROUNDS
        await check_rooms(daemon, clerk)
        await check_repeats(daemon, books)
        for bearer in revoked:
            assert (await Rest(daemon, bearer).get("/channels")).status == 401
        assert (await Rest(daemon, pass_of("spy", jti="new")).get("/channels")).status == 200


async def gather(daemon: Daemon) -> str:
    """The Room that everybody is in. What has come of it to Logs is there to be resumed."""
    async with talk(daemon, PEOPLE[0]) as first:
        room = await open_room(first, "everybody", *PEOPLE[1:])
        for name in PEOPLE[1:]:
            async with talk(daemon, name) as client:
                await join(client, room)
    return room


def more_than(books: Books, before: int, connections: int) -> bool:
    """Whether something like a burst was promised since, and every device came back."""
    came = min(one.connections for one in books.devices)
    return came > connections and len(books.promised) >= before + 30


async def check_rooms(daemon: Daemon, clerk: Clerk) -> None:
    """Who was told that he is in a Room is, and who was told that he has left it is not."""
    assert clerk.joined
    rooms = {name: await rooms_of(daemon, name) for name in ("clerk", "guest")}
    assert set(clerk.opened) <= rooms["clerk"]
    assert set(clerk.joined) == rooms["guest"]
    async with talk(daemon, "guest") as guest:
        replayed = (await guest.resume("")).messages
    invited = [one["channel-id"] for one in replayed if one["type"] == "invitation"]
    assert invited == [*clerk.opened[: len(invited)]]
    assert set(clerk.joined + clerk.left) <= set(invited)


async def rooms_of(daemon: Daemon, name: str) -> set[str]:
    """The Rooms he is a member of."""
    found = (await Rest(daemon, pass_of(name)).found("/channels"))["channels"]
    return {one["channel-id"] for one in found}


async def check_repeats(daemon: Daemon, books: Books) -> None:
    """What was acked is known by its `dedupe-id`, whatever else is said; nothing comes of it."""
    mine = [content for content in books.promised if content.startswith("ann ")][-50:]
    async with talk(daemon, "ann") as ann, talk(daemon, "ben") as ben:
        end = (ben.welcome or {})["cursor"]
        for content in mine:
            again = {"type": "direct-message", "subscriber-id": "ben", "content": "other"}
            reply = await ann.ask({**again, "dedupe-id": content})
            assert reply.one["message-id"] == books.promised[content]
        since = (await ben.resume(end)).messages
    assert {one["type"] for one in since} <= {"delivery", "resumed"}
