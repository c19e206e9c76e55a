"""Buckets against a simple model, and the connection counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.errors import RequestError
from tocsin.model.principal import Principal
from tocsin.server.limits import (
    Buckets,
    ConnectionGate,
    FailedAuthentications,
    per_producer,
    per_token,
)
from tocsin.server.peers import Networks
from tocsin.server.settings import HttpLimits


@given(st.integers(1, 10), st.lists(st.floats(0, 5), max_size=60))
def test_buckets_behave_like_buckets(rate: int, pauses: list[float]) -> None:
    """What gets through is what a bucket of 3 x rate tokens, refilled at `rate`, would let."""
    buckets, now, tokens = Buckets(rate), 0.0, 3.0 * rate
    for pause in pauses:
        now += pause
        tokens = min(tokens + pause * rate, 3.0 * rate)
        wait = buckets.take("k", now)
        if abs(tokens - 1) < 1e-6:
            return
        assert (wait == 0) is (tokens >= 1)
        if wait:
            assert wait == pytest.approx((1 - tokens) / rate, abs=1e-6)
        else:
            tokens -= 1


def test_keys_do_not_share() -> None:
    """Each key has a bucket of its own."""
    buckets = Buckets(0.1)
    assert [buckets.take(key, 0) > 0 for key in "aab"] == [False, True, False]


def test_many_at_once() -> None:
    """What is larger than any burst is let in where one would be, and paid for before the next
    (SE-5, PU-5)."""
    buckets = Buckets(10)
    assert buckets.take("k", 0, 1000) == 0
    assert buckets.take("k", 0) == pytest.approx(97.1)
    assert buckets.take("k", 97) > 0
    assert buckets.take("k", 97.2) == 0


def test_a_rate_of_zero_is_off() -> None:
    """0 lets everything through and remembers nothing."""
    buckets = Buckets(0)
    assert not any(buckets.take("a", 0) for _ in range(1000))
    assert len(buckets) == 0


def test_the_table_is_bounded() -> None:
    """The bucket unused for longest makes room, so a busy one cannot be forgotten (SE-5)."""
    buckets = Buckets(1 / 3, capacity=2)
    for key in ("busy", "a", "busy", "b", "busy", "c", "busy"):
        refused = buckets.take(key, 0)
    assert refused > 0
    assert len(buckets) == 2


def test_rates_by_token_and_by_producer() -> None:
    """A rate counts tokens or producers, and refuses with whole seconds in Retry-After."""
    one = Principal("u", frozenset(), "app", "s", "t1", 0)
    other = Principal("u", frozenset(), "app", "s", "t2", 0)
    tokens, producers = per_token(0.3), per_producer(0.3)
    tokens.check(one, 0)
    tokens.check(other, 0)
    producers.check(one, 0)
    with pytest.raises(RequestError) as caught:
        producers.check(other, 0)
    assert (caught.value.status, caught.value.headers) == (429, (("Retry-After", "4"),))


def test_failed_authentications() -> None:
    """Failures count by address, IPv6 by /64; unlimited networks and Unix peers never."""
    failures = FailedAuthentications(0.1, unlimited=Networks(["127.0.0.0/8"]))
    failures.count("2001:db8::1", 0)
    with pytest.raises(RequestError) as caught:
        failures.count("2001:db8::2", 0)
    assert caught.value.status == 429
    for peer in ("2001:db8:0:1::1", "127.0.0.1", "127.0.0.1", "", ""):
        failures.count(peer, 0)


def gate(*, all_: int = 100, each: int = 2) -> ConnectionGate:
    limits = HttpLimits(http_connections=all_, connections_per_address=each)
    return ConnectionGate(limits, Networks(["127.0.0.0/8"]))


def test_connections_per_address() -> None:
    """One address gets so many, others are not touched, exempt networks have no bound."""
    counted = gate()
    peers = ["192.0.2.1"] * 3 + ["192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8::3"]
    assert [counted.admit(peer) is not None for peer in peers] == [
        *(True, True, False),
        *(True, True, True, False),
    ]
    assert all(counted.admit("127.0.0.1") and counted.admit("") for _ in range(10))
    assert (counted.refused_address, counted.refused_full) == (2, 0)


def test_connections_in_all() -> None:
    """The bound over all holds for exempt networks too, and places come back."""
    counted = gate(all_=2)
    lease = counted.admit("127.0.0.1")
    assert lease is not None
    assert counted.admit("")
    assert counted.admit("") is None
    assert counted.refused_full == 1
    lease.finish()
    lease.finish()
    assert counted.open == 1
    assert counted.admit("")


def test_kept_leases() -> None:
    """A socket that lives on counts for its address, not as an HTTP connection, until released."""
    counted = gate(each=1)
    lease = counted.admit("192.0.2.1")
    assert lease is not None
    release = lease.keep()
    lease.finish()
    assert counted.open == 0
    assert counted.admit("192.0.2.1") is None
    release()
    release()
    assert counted.admit("192.0.2.1")
