"""tocsin.server.messaging.outlet: room, and what is proven (messaging.md, 12; MS-54, MS-67)."""

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tocsin.messaging.settings import MessagingLimits
from tocsin.server.messaging.outlet import MOST_MARKS, Outlet

LIMITS = MessagingLimits(outbox_messages=4, outbox_bytes=2048)


@attrs.define(eq=False)
class Peer:
    """A connection whose client reads nothing."""

    principal: object = None
    transport: str = "websocket"
    is_open: bool = True
    sent: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    marks: list[int] = attrs.field(factory=list)

    def send(self, *messages: str | bytes) -> bool:
        self.sent += len(messages)
        self.waiting += len(messages)
        self.waiting_bytes += sum(map(len, messages))
        return self.is_open

    def mark(self, number: int) -> None:
        self.marks.append(number)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.is_open = False

    def pause(self) -> None: ...
    def resume(self) -> None: ...


def test_room() -> None:
    """Section 12: so many messages and so many bytes, and a first one whatever its size."""
    peer = Peer()
    outlet = Outlet(peer, LIMITS)
    assert outlet.has_room(1, 1_000_000)
    assert not outlet.has_room(2, 1_000_000)
    assert outlet.has_room(4, 2048)
    assert not outlet.has_room(5, 5)
    outlet.write(b"x" * 1000)
    assert outlet.has_room(3, 1048)
    assert not outlet.has_room(1, 1049)
    assert not outlet.has_room(4, 4)
    outlet.write(b"x", b"x", b"x")
    assert not outlet.has_room()


@pytest.mark.parametrize("leaves", [False, True])
async def test_waiting_for_room(leaves: bool, nursery: trio.Nursery) -> None:
    """MS-30, MS-64: until something has been read, or nobody is there any more."""
    peer = Peer()
    outlet = Outlet(peer, LIMITS)
    outlet.write(*[b"x"] * 4)
    done = trio.Event()

    async def wait() -> None:
        await outlet.room()
        done.set()

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    outlet.wake()
    await wait_all_tasks_blocked()
    assert outlet.is_waited_for
    assert not done.is_set()
    if leaves:
        peer.is_open = False
    else:
        peer.waiting = peer.waiting_bytes = 0
    outlet.wake()
    await wait_all_tasks_blocked()
    assert done.is_set()
    assert not outlet.is_waited_for


def test_proof() -> None:
    """MS-54: the count of messages that were proven says how far of the Log; once each."""
    outlet = Outlet(Peer(), LIMITS)
    outlet.write(b"welcome")
    outlet.write(b"a", b"b", upto=8)
    outlet.write(b"ack")
    outlet.write(b"c", upto=9)
    assert [outlet.proven(count) for count in (1, 2, 3, 4, 5, 5)] == [None, None, 8, None, 9, None]


def test_a_replay_goes_back() -> None:
    """MS-62: what comes again is proven again, and the highest counts."""
    outlet = Outlet(Peer(), LIMITS)
    outlet.write(b"a", upto=9)
    outlet.write(b"b", upto=4)
    assert outlet.proven(2) == 9
    outlet.write(b"c", upto=5)
    assert outlet.proven(3) == 5


def test_what_is_to_be_proven_is_bounded() -> None:
    """MS-68: beyond the bound proofs come later, for more at once; none is too early."""
    outlet = Outlet(Peer(), LIMITS)
    for seq in range(1, 101):
        outlet.write(b"x", upto=seq)
    assert [outlet.proven(count) for count in (MOST_MARKS - 1, 99, 100)] == [
        MOST_MARKS - 1,
        None,
        100,
    ]


def test_what_was_not_sent_is_not_proven() -> None:
    """MS-54: nothing is remembered of what nobody was there to be sent."""
    peer = Peer(is_open=False)
    outlet = Outlet(peer, LIMITS)
    outlet.write(b"x", upto=3)
    assert outlet.proven(1) is None


def test_pings_say_the_highest() -> None:
    """MS-67: the highest number written, and before any the one from which it goes on."""
    peer = Peer()
    outlet = Outlet(peer, LIMITS)
    outlet.expect_from(7)
    outlet.write(b"a")
    outlet.write(b"b", upto=9)
    outlet.write(b"c", upto=8)
    assert peer.marks == [7, 9]
