"""Tests of the time between two attempts to connect."""

import pytest
import trio
import trio.testing

from tocsin.transports.push.backoff import Backoff


async def waits(backoff: Backoff, failures: int) -> list[float]:
    """How long is waited after each of so many failures."""
    times = []
    for _ in range(failures):
        backoff.failed()
        before = trio.current_time()
        await backoff.wait()
        times.append(trio.current_time() - before)
    return times


@pytest.mark.parametrize(("jitter", "factor"), [(1.0, 1.0), (0.0, 0.5)])
async def test_it_doubles(
    jitter: float, factor: float, autojump_clock: trio.testing.MockClock
) -> None:
    """PU-66: 0.2 s, doubled up to 30 s, of which chance takes half at most."""
    expected = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]
    found = await waits(Backoff(lambda: jitter), len(expected))
    assert found == pytest.approx([seconds * factor for seconds in expected])


async def test_success_starts_it_anew(autojump_clock: trio.testing.MockClock) -> None:
    """PU-66: after a connection that worked the next one need not wait."""
    backoff = Backoff(lambda: 1.0)
    assert backoff.is_first
    await waits(backoff, 5)
    assert not backoff.is_first
    backoff.worked()
    assert backoff.is_first
    before = trio.current_time()
    await backoff.wait()
    assert trio.current_time() == before
    assert await waits(backoff, 1) == pytest.approx([0.2])
