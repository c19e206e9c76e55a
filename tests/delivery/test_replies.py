"""Replies while they come in: who is waited for, until when (push.md, PU-14, PU-17)."""

import pytest
import trio
import trio.testing
from tests.fakes.deliveries import notification

from tocsin.delivery.endings import Ending, Endings
from tocsin.delivery.replies import BEING_WRITTEN, Replies, Waiting, reply_to
from tocsin.wire.push.pnm2 import FAILED, QUEUED, SENT, TOO_LARGE, Endpoint, Reply

GONE = Endpoint.SEND.gone
DELIVERED = Ending("delivered")


def replies(waiting: Waiting, count: int = 1) -> Replies:
    return Replies(waiting, [None] * count, gone=GONE)


@pytest.mark.parametrize(
    ("ending", "reply"),
    [
        (DELIVERED, SENT),
        (Ending("gone", "unregistered", 410), GONE),
        (Ending("collapsed"), QUEUED),
        (Ending("refused", "payload_too_large"), TOO_LARGE),
        *((Ending("refused", reason), FAILED) for reason in ("bad_request", "unproven_app", None)),
        *((Ending(result), FAILED) for result in ("expired", "dead", "overflow", "removed")),
    ],
)
def test_endings(ending: Ending, reply: Reply) -> None:
    """What each is answered with (A.4, PU-14)."""
    assert reply_to(ending, gone=GONE) == reply


async def test_until_all_are_told(autojump_clock: trio.testing.MockClock) -> None:
    """The answer is ready with the last, in the order of the request (PU-6)."""
    waiting = Waiting(Endings(), 10)
    one = replies(waiting, 3)
    one.put(1, FAILED)
    one.expect(0, 7)
    one.expect(2, 8)

    async def tell() -> None:
        await trio.sleep(1)
        waiting.endings.tell(8, None, DELIVERED)
        assert waiting.count == 1
        await trio.sleep(1)
        waiting.endings.tell(7, None, Ending("expired"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell)
        await one.wait(trio.current_time() + 4)
    assert trio.current_time() == pytest.approx(2)
    assert one.finish() == [FAILED, FAILED, SENT]
    assert (waiting.count, len(waiting.endings)) == (0, 0)


async def test_settled_at_the_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """What is decided but not yet written is waited for a moment more: nobody is told "queued" of
    what is over (PU-15)."""
    waiting = Waiting(Endings(), 10)
    one = replies(waiting, 2)
    one.expect(0, 7)
    one.expect(1, 8)

    async def settle() -> None:
        await trio.sleep(3.9)
        waiting.endings.decide(7)
        await trio.sleep(0.5)
        waiting.endings.tell(7, None, Ending("refused"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(settle)
        await one.wait(trio.current_time() + 4)
    assert trio.current_time() == pytest.approx(4.4)
    assert one.finish() == [FAILED, QUEUED]


async def test_a_store_that_does_not_get_on(autojump_clock: trio.testing.MockClock) -> None:
    """No caller is held for ever; what becomes of it is told as feedback (PU-17)."""
    late: list[tuple[str, Ending]] = []
    waiting = Waiting(Endings(), 10)
    waiting.endings.unwatched = lambda _id, note, ending: late.append((note.id, ending))
    one, pushed = replies(waiting), notification()
    one.expect(0, 7, pushed)
    waiting.endings.decide(7)
    await one.wait(trio.current_time() + 4)
    assert trio.current_time() == pytest.approx(4 + BEING_WRITTEN)
    assert (one.finish(), waiting.count) == ([QUEUED], 0)
    waiting.endings.tell(7, pushed, DELIVERED)
    assert late == [(pushed.id, DELIVERED)]
    assert one.finish() == [QUEUED]


async def test_two_that_wait_for_the_same(autojump_clock: trio.testing.MockClock) -> None:
    """One that gives up does not end the waiting of the other (PU-19)."""
    waiting = Waiting(Endings(), 10)
    first, second = replies(waiting), replies(waiting)
    first.expect(0, 7)
    second.expect(0, 7)
    await first.wait(trio.current_time() + 1)
    waiting.endings.tell(7, None, DELIVERED)
    await second.wait(trio.current_time() + 1)
    assert (first.finish(), second.finish()) == ([QUEUED], [SENT])


async def test_the_bound(autojump_clock: trio.testing.MockClock) -> None:
    """Over all requests together; who has given up makes room (PU-17)."""
    waiting = Waiting(Endings(), 1)
    first, second = replies(waiting), replies(waiting)
    first.expect(0, 7)
    second.expect(0, 8)
    await second.wait(trio.current_time() + 4)
    assert trio.current_time() == 0
    first.close()
    third = replies(waiting)
    third.expect(0, 9)
    assert waiting.count == 1


def test_a_request_that_is_over_awaits_nothing() -> None:
    """A commit that comes after the request was cancelled finds nobody (PU-8)."""
    waiting = Waiting(Endings(), 1)
    one = replies(waiting)
    one.close()
    one.expect(0, 7)
    assert (waiting.count, len(waiting.endings)) == (0, 0)


async def test_the_end_of_all_waiting(autojump_clock: trio.testing.MockClock) -> None:
    """OP-12: when the daemon stops, what is still out is queued; nothing is waited for again."""
    waiting = Waiting(Endings(), 10)
    one, later = replies(waiting, 2), replies(waiting)
    one.expect(0, 7)
    one.expect(1, 8)

    async def end() -> None:
        await trio.sleep(1)
        waiting.endings.tell(7, None, DELIVERED)
        waiting.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        await one.wait(trio.current_time() + 4)
    assert trio.current_time() == pytest.approx(1)
    later.expect(0, 9)
    await later.wait(trio.current_time() + 4)
    assert trio.current_time() == pytest.approx(1)
    assert (one.finish(), later.finish()) == ([SENT, QUEUED], [QUEUED])
    assert (waiting.count, len(waiting.endings)) == (0, 0)
