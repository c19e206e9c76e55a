"""tocsin.delivery.settler, of pushes: when they are tried again, what is told of their end, and
what becomes a dead letter (push.md, A.5, C.6; delivery.md, retry)."""

from pathlib import Path

import pytest
import trio
from tests.fakes.device_world import OK, DeviceWorld
from tests.fakes.fault import Fault
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.endings import Ending
from tocsin.model.channel import Channel
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Outcome, Refused, Sign, Word
from tocsin.store.records import Acceptance, Claimed, FirstPush, PushIdentity

DOWN = Deferred("unavailable", status=503)
WRONG = Refused("bad_request", 400)
SLOWER = Deferred("throttled_device", status=429, sign=Sign.CONTACT, words=frozenset({Word.DELAY}))
A = PushIdentity(1, 2)


@pytest.fixture
async def channel(it: DeviceWorld) -> Channel:
    """A device the gateway pushes to."""
    return await it.opened()


async def due_after(it: DeviceWorld, one: Claimed, channel: Channel, outcome: Outcome) -> float:
    """Seconds after which a delivery is due again."""
    it.judge(one, channel, outcome)
    await it.settler.flush()
    [lane] = await it.store.lanes()
    return (lane.due_at - it.world.clock()) / 1000


def watch(it: DeviceWorld, one: Claimed) -> list[Ending]:
    """Wait for a delivery; what is told."""
    told: list[Ending] = []
    it.endings.watch(one.id, told.append)
    return told


# -- retry ---------------------------------------------------------------------------------


async def test_it_is_tried_again_by_the_list_until_its_deadline(
    it: DeviceWorld, channel: Channel, autojump_clock: MockClock
) -> None:
    """Then every five minutes; the end is a dead letter (delivery.md, retry)."""
    [one] = await it.push(channel, "n", expires_in=700_000)
    gaps = []
    while True:
        it.judge(one, channel, DOWN)
        await it.settler.flush()
        if not (lanes := await it.store.lanes()):
            break
        gaps.append((lanes[0].due_at - it.world.clock()) / 1000)
        await trio.sleep(gaps[-1])
        [one] = await it.claim()
    assert gaps == [1, 4, 15, 60, 300, 300]
    assert it.told == [("n", Ending("expired", "expired", 503))]
    assert await it.world.dead() == 1


async def test_what_was_not_answered_is_tried_again_for_ever(
    it: DeviceWorld, channel: Channel, autojump_clock: MockClock
) -> None:
    """The same push replaces itself on the device (PU-54)."""
    lost = Deferred("unknown", unanswered=True)
    [one] = await it.push(channel, "n")
    for _ in range(6):
        await trio.sleep(await due_after(it, one, channel, lost))
        [one] = await it.claim()
    assert one.unanswered == 6


async def test_a_device_is_left_alone_longer_each_time(
    it: DeviceWorld, channel: Channel, autojump_clock: MockClock
) -> None:
    """1 s doubling to 5 min, reset by a success; other devices are not touched (PU-55)."""
    other = await it.opened("another", "\x01other")
    [one] = await it.push(channel, "n", priority=Priority.URGENT)
    gaps = []
    for _ in range(12):
        gaps.append(await due_after(it, one, channel, SLOWER))
        assert channel.held_until >= it.world.clock() + 1000
        await trio.sleep(gaps[-1])
        [one] = await it.claim()
    assert gaps == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert other.held_until == 0
    it.judge(one, channel, OK)
    [one] = await it.push(channel, "m", priority=Priority.URGENT)
    assert await due_after(it, one, channel, SLOWER) == 1


async def test_answers_to_what_was_under_way_together_count_once(
    it: DeviceWorld, channel: Channel, autojump_clock: MockClock
) -> None:
    """Ten at once are one "not so fast" (PU-55)."""
    for one in await it.push(channel, *"abcdefghij"):
        it.judge(one, channel, SLOWER)
    assert channel.held_until == it.world.clock() + 1000


async def test_a_rest_beyond_the_deadline_is_its_end(
    it: DeviceWorld, channel: Channel, autojump_clock: MockClock
) -> None:
    """It is not kept for nothing (PU-14)."""
    [one] = await it.push(channel, "n", expires_in=900)
    told = watch(it, one)
    it.judge(one, channel, SLOWER)
    await it.settler.flush()
    assert told == [Ending("expired", "expired", 429)]


async def test_a_new_token_owes_nothing(it: DeviceWorld, autojump_clock: MockClock) -> None:
    """What was asked for of the old one is no concern of it (PU-25, PU-55)."""
    channel = await it.registered()
    [one] = await it.push(channel, "n")
    it.judge(one, channel, SLOWER)
    await it.registered("u", "new")
    assert (channel.held_until, channel.rest) == (0, 0)


# -- who is told ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "ending"),
    [
        (OK, Ending("delivered")),
        (WRONG, Ending("refused", "bad_request", 400)),
        (Refused("payload_too_large"), Ending("refused", "payload_too_large")),
    ],
)
async def test_who_waits_is_told_after_the_commit(
    it: DeviceWorld, channel: Channel, tmp_path: Path, outcome: Outcome, ending: Ending
) -> None:
    """Not before, and then nothing of the push is queued and it is no dead letter (PU-14,
    PU-15)."""
    [one] = await it.push(channel, "n")
    told = watch(it, one)
    fault = Fault(tmp_path / "store.db")
    fault.begin("delivery")
    it.judge(one, channel, outcome)
    await wait_all_tasks_blocked()
    assert told == []
    assert not it.endings.unwatch(one.id)
    fault.end()
    fault.close()
    await it.settler.flush()
    assert told == [ending]
    assert (it.world.store.backlog, await it.world.dead(), it.told) == (0, 0, [])


@pytest.mark.parametrize(
    ("outcome", "letters"), [(OK, 0), (WRONG, 1)], ids=["delivered", "refused"]
)
async def test_what_nobody_waits_for_is_feedback(
    it: DeviceWorld, channel: Channel, outcome: Outcome, letters: int
) -> None:
    """It was answered 2xx: what is not delivered is a dead letter (PU-15, PU-17)."""
    [one] = await it.push(channel, "n")
    it.judge(one, channel, outcome)
    await it.settler.flush()
    [(id_, ending)] = it.told
    assert (id_, ending.result) == ("n", type(outcome).__name__.lower())
    assert await it.world.dead() == letters


async def test_who_came_too_late_to_the_judgement_finds_a_letter(
    it: DeviceWorld, channel: Channel, tmp_path: Path
) -> None:
    """Whether anybody waits is decided once (PU-15)."""
    [one] = await it.push(channel, "n")
    it.judge(one, channel, WRONG)
    told = watch(it, one)
    await it.settler.flush()
    assert told == [Ending("refused", "bad_request", 400)]
    assert await it.world.dead() == 1


async def test_ordinary_notifications_have_nobody_who_waits(it: DeviceWorld) -> None:
    """Their refusals are in the log alone, as before (delivery.md)."""
    channel = await it.registered()
    await it.attempt(channel, WRONG, service="sms")
    assert (it.told, await it.world.dead()) == ([], 0)
    assert await it.results() == [("refused", "bad_request")]


async def test_deferred_goes_on_waiting(
    it: DeviceWorld, channel: Channel, autojump_clock: MockClock
) -> None:
    """Until there is an end (PU-14)."""
    [one] = await it.push(channel, "n")
    told = watch(it, one)
    await trio.sleep(await due_after(it, one, channel, DOWN))
    assert (told, one.id in it.endings.watched) == ([], True)
    [one] = await it.claim()
    it.judge(one, channel, OK)
    await it.settler.flush()
    assert told == [Ending("delivered")]


@pytest.mark.parametrize("attempts", [0, 1])
async def test_what_expires_in_hand_is_told(
    it: DeviceWorld, channel: Channel, autojump_clock: MockClock, attempts: int
) -> None:
    """With or without an attempt; nobody needs a letter of what he is told (PU-14, PU-15)."""
    [one] = await it.push(channel, "n", expires_in=2000)
    told = watch(it, one)
    if attempts:
        await trio.sleep(await due_after(it, one, channel, DOWN))
        [one] = await it.claim()
    it.settler.expire(one)
    await it.settler.flush()
    assert told == [Ending("expired", "expired")]
    assert (it.world.store.backlog, await it.world.dead()) == (0, 0)
    assert (await it.results())[-1][0] == "expired"


async def test_a_removed_channel_is_the_end_of_its_pushes(
    it: DeviceWorld, channel: Channel
) -> None:
    """Whoever removed it (PU-14)."""
    [one] = await it.push(channel, "n")
    told = watch(it, one)
    account = await it.world.directory.account(channel.user)
    await it.world.directory.remove_channel(account, channel, outcome="refused")
    assert told == [Ending("removed")]


# -- repeats -------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [OK, DOWN, WRONG])
async def test_a_repeat_learns_what_became_of_the_first(
    it: DeviceWorld, channel: Channel, outcome: Outcome
) -> None:
    """Delivered: that; pending: what to wait for; refused: it is sent (PU-19)."""
    [one] = await it.push(channel, "n", identity=A)
    it.judge(one, channel, outcome)
    await it.settler.flush()
    again = Acceptance(pushes={0: A})
    again.add(it.world.note("n", service="push"), [channel])
    await it.ingest.store(again)
    expected = {
        "Delivered": {0: FirstPush(one.id, "delivered")},
        "Deferred": {0: FirstPush(one.id, None)},
        "Refused": {},
    }
    assert again.firsts == expected[type(outcome).__name__]
