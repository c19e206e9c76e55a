"""tocsin.delivery.schedule: when to try again (delivery.md, retry)."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.deliveries import T0, notification

from tocsin.delivery.schedule import LONGEST_RETRY_AFTER, MOST_URGENT_GAP, Schedule
from tocsin.delivery.settings import DeliverySettings
from tocsin.model.channel import ChannelType
from tocsin.model.notification import Priority

DAY = 86_400_000
NORMAL, URGENT = notification(), notification(priority=Priority.URGENT)
EXACT = Schedule(DeliverySettings(jitter=0), random.Random(0))

gaps = st.lists(st.floats(0, 1e6), min_size=1, max_size=12).map(sorted)


def gap(
    schedule: Schedule, attempts: int, *, urgent: bool = False, floor: float | None = None
) -> Any:
    """Milliseconds until the next attempt; None at the end of the list."""
    one = URGENT if urgent else NORMAL
    at = schedule.next_attempt(one, attempts, now=T0, retry_after=floor)
    return None if at is None else at - T0


def test_the_list_of_webhooks() -> None:
    """0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, then no more."""
    seconds = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert [gap(EXACT, attempts) for attempts in range(1, 10)] == [1000 * s for s in seconds]
    assert gap(EXACT, 10) is None


def test_the_compressed_list_of_urgent_ones() -> None:
    """0, 0.5, 1, 2, 4 s and on, doubling up to half a minute, without an end."""
    found = [gap(EXACT, attempts, urgent=True) for attempts in range(1, 10)]
    assert found == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
    assert gap(EXACT, 10_000, urgent=True) == MOST_URGENT_GAP * 1000


def test_the_list_of_devices() -> None:
    """0, 1, 4, 15, 60 s, then every 5 minutes without an end; Retry-After wins where it is longer
    (delivery.md, retry)."""
    pushes = Schedule(DeliverySettings(jitter=0), random.Random(0), ChannelType.OMAPUSH)
    found = [gap(pushes, attempts) for attempts in range(1, 8)]
    assert found == [1000, 4000, 15_000, 60_000, 300_000, 300_000, 300_000]
    assert gap(pushes, 10_000) == 300_000
    assert gap(pushes, 1, floor=900.0) == 900_000
    assert gap(pushes, 6, urgent=True) == 16_000


def test_a_longer_list_of_devices_never_shrinks() -> None:
    """The last gap of an operator's list is kept to where it is longer than ours."""
    settings = DeliverySettings(jitter=0, push_retries=[0, 600])
    pushes = Schedule(settings, random.Random(0), ChannelType.OMAPUSH)
    assert [gap(pushes, attempts) for attempts in (1, 2, 3)] == [600_000] * 3


@given(gaps, gaps, st.booleans())
def test_gaps_never_shrink(normal: list[float], urgent: list[float], is_urgent: bool) -> None:
    """Without jitter the schedule is monotone, whatever the lists."""
    settings = DeliverySettings(webhook_retries=normal, urgent_retries=urgent, jitter=0)
    schedule = Schedule(settings, random.Random(0))
    lasting = len(urgent) if is_urgent else len(normal)
    found = [gap(schedule, attempts, urgent=is_urgent) for attempts in range(1, lasting)]
    assert found == sorted(found)


@given(
    gaps,
    st.floats(0, 0.9),
    st.integers(),
    st.integers(1, 12),
    st.none() | st.floats(0, 1e9),
    st.booleans(),
)
def test_jitter_and_floor_are_bounded(
    lists: list[float],
    jitter: float,
    seed: int,
    attempts: int,
    floor: float | None,
    urgent: bool,
) -> None:
    """Within the share around the exact gap; never before `Retry-After`, which counts up to a
    day."""
    settings = DeliverySettings(webhook_retries=lists, urgent_retries=lists, jitter=jitter)
    schedule = Schedule(settings, random.Random(seed))
    still = Schedule(
        DeliverySettings(webhook_retries=lists, urgent_retries=lists, jitter=0), random.Random(0)
    )
    exact = gap(still, attempts, urgent=urgent)
    found = gap(schedule, attempts, urgent=urgent, floor=floor)
    if exact is None:
        assert found is None
        return
    least = min(floor or 0.0, LONGEST_RETRY_AFTER) * 1000
    assert found >= int(least)
    assert found <= max(exact * (1 + jitter) + 2, least)
    assert found >= int(exact * (1 - jitter)) - 2


def test_jitter_spreads() -> None:
    """Not all come back in the same moment."""
    schedule = Schedule(DeliverySettings(), random.Random(1))
    found = [gap(schedule, 1) for _ in range(200)]
    assert min(found) < 4300
    assert max(found) > 5700
    assert all(4000 <= one <= 6000 for one in found)


@pytest.mark.parametrize(
    ("floor", "expected"), [(3.0, 5000), (60.0, 60_000), (1e9, DAY), (0.0, 5000)]
)
def test_retry_after_is_a_floor(floor: float, expected: int) -> None:
    """It wins where it is longer, up to a day."""
    assert gap(EXACT, 1, floor=floor) == expected


@pytest.mark.parametrize("wrong", [[], [-1.0], [5.0, 4.0]])
def test_impossible_lists_are_refused(wrong: list[float]) -> None:
    """Empty, negative, or decreasing."""
    with pytest.raises(ValueError, match="must"):
        DeliverySettings(webhook_retries=wrong)
