"""tocsin.delivery.slots, and the queue that lives by them."""

import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.world import World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.slots import Slots


@given(total=st.integers(1, 2000), width=st.integers(1, 256))
def test_a_share_shrinks_and_never_ends(total: int, width: int) -> None:
    """The more is busy, the less a lane may have, but always one; its width at first."""
    slots = Slots(total)
    shares = []
    for slots.busy in range(total + 1):
        shares.append(slots.share(width))
    assert shares[0] == width
    assert shares == sorted(shares, reverse=True)
    assert min(shares) >= 1


@given(
    total=st.integers(1, 50),
    kept=st.integers(0, 20),
    line=st.integers(0, 60),
    held=st.integers(0, 60),
)
def test_some_are_kept_for_urgent_ones(total: int, kept: int, line: int, held: int) -> None:
    """Nobody gets more than there are; what is not urgent leaves the kept ones free, and those
    that urgent lanes stand in line for; what is held and urgent may have them all (PU-36)."""
    slots = Slots(total, kept)
    for number in range(line):
        slots.wait(str(number), urgent=True)
    for slots.busy in range(total + 1):
        rest = total - slots.busy
        assert slots.free(urgent=False) == max(0, rest - max(kept, line))
        assert slots.free(urgent=True, held=held) == max(0, min(rest, max(rest - kept, held)))
        assert slots.are_taken(urgent=True) is (rest == 0)
        assert slots.are_taken(urgent=False) is (rest <= kept)
        assert slots.are_overdrawn is (rest < kept)


@pytest.mark.parametrize("hanging", [1, 40, 100])
async def test_many_hanging_lanes_leave_room_for_a_healthy_one(
    hanging: int, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Though their widths together are more than all slots (delivery.md, isolation)."""
    world = World(width=8, slots=256)
    await world.start(nursery)
    for number in range(hanging):
        await world.hook(f"u{number}", f"https://hangs-{number}.example:443")
        ids = [f"{number}-{n}" for n in range(20)]
        world.transport.script.update({id_: [math.inf] for id_ in ids})
        await world.publish(*ids, user=f"u{number}")
    await trio.sleep(1)
    await world.hook("healthy", "https://healthy.example:443")
    before = trio.current_time()
    await world.publish(*map(str, range(30)), user="healthy")
    await wait_all_tasks_blocked()
    assert len(world.transport.delivered) == 30
    assert trio.current_time() == before


async def test_more_lanes_than_slots_all_get_their_turn(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Slots go round; no more attempts than slots are ever under way."""
    world = World(width=4, slots=10)
    await world.start(nursery)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sum(world.transport.running.values()))
            await trio.sleep(0.1)

    nursery.start_soon(watch)
    published = []
    for number in range(50):
        await world.hook(f"u{number}", f"https://slow-{number}.example:443")
        ids = [f"{number}-{n}" for n in range(40)]
        published += ids
        world.transport.script.update({id_: [1.0] for id_ in ids})
        await world.publish(*ids, user=f"u{number}")
    await trio.sleep(60)
    lanes = {attempt.lane for attempt in world.transport.attempts}
    assert len(lanes) >= 20
    await trio.sleep(400)
    assert sorted(world.transport.delivered) == sorted(published)
    assert most == 10
    assert world.queue.statistics()["lanes"] == 0
