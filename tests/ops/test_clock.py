"""tocsin.ops.clock"""

import trio
from trio.testing import MockClock

from tocsin.ops.clock import Clock


async def test_follows_trios_clock_from_the_wall_time_at_start(autojump_clock: MockClock) -> None:
    """Epoch milliseconds at the start, and afterwards only what Trio's clock says."""
    clock = Clock.start(wall=lambda: 1_700_000_000.25)
    assert clock() == 1_700_000_000_250
    await trio.sleep(1.5)
    assert clock() == 1_700_000_001_750


async def test_may_be_called_from_a_worker_thread(mock_clock: MockClock) -> None:
    """A store's writer thread reads the same time."""
    clock = Clock.start(wall=lambda: 5.0)
    assert await trio.to_thread.run_sync(clock) == 5000
