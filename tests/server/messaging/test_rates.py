"""tocsin.server.messaging.rates: how much a subscriber may say (messaging.md, 12)."""

import pytest

from tocsin.messaging.settings import MessagingLimits
from tocsin.server.messaging.rates import Rates

LIMITS = MessagingLimits(rate=20, burst=100, flood=200)


def test_a_burst_and_then_the_rate() -> None:
    """MS-19 and section 12: 100 at once, then 20 a second, and how long until the next."""
    rates = Rates(LIMITS)
    assert [rates.take(1, 50.0) for _ in range(100)] == [0.0] * 100
    assert rates.take(1, 50.0) == pytest.approx(0.05)
    assert rates.take(1, 50.025) == pytest.approx(0.025)
    assert rates.take(1, 50.05) == 0.0
    assert rates.take(1, 50.05) > 0
    assert [rates.take(1, 51.05) for _ in range(21)].count(0.0) == 20


def test_each_subscriber_has_his_own() -> None:
    """Section 12: counted by subscriber, over all his connections."""
    rates = Rates(LIMITS)
    for _ in range(100):
        rates.take(1, 0.0)
    assert rates.take(1, 0.0) > 0
    assert rates.take(2, 0.0) == 0.0


def flood(rates: Rates, second: int, count: int) -> bool:
    """What is said of the last of so many messages in one second."""
    return [rates.is_flood(1, second + n / count) for n in range(count)][-1]


def test_ten_seconds_of_flood() -> None:
    """Section 12: over 200 a second for 10 s, and not for less or in a single burst."""
    rates = Rates(LIMITS)
    assert not flood(rates, 0, 5000)
    assert not any(flood(rates, second, 201) for second in range(1, 10))
    assert rates.is_flood(1, 10.0)


def test_a_second_within_the_bound_begins_anew() -> None:
    """Section 12: it is the sustained flood that closes."""
    rates = Rates(LIMITS)
    assert not any(flood(rates, second, 201) for second in range(9))
    assert not flood(rates, 9, 200)
    assert not any(flood(rates, second, 201) for second in range(10, 20))
    assert flood(rates, 20, 1)


def test_a_pause_begins_anew() -> None:
    """Section 12: a second without a word is none of flood."""
    rates = Rates(LIMITS)
    assert not any(flood(rates, second, 201) for second in range(9))
    assert not any(flood(rates, second, 201) for second in range(10, 20))


def test_the_table_is_bounded() -> None:
    """MS-68: who has said nothing for longest is forgotten, and may say as much as anybody."""
    rates = Rates(LIMITS, capacity=2)
    for _ in range(100):
        rates.take(1, 0.0)
    rates.take(2, 0.0)
    assert rates.take(1, 0.0) > 0
    rates.take(3, 0.0)
    assert len(rates) == 2
    assert rates.take(1, 0.0) > 0
    rates.take(4, 0.0)
    rates.take(5, 0.0)
    assert rates.take(1, 0.0) == 0.0
