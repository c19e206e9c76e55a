"""Tests of the token that APNs is shown (push.md, PU-41)."""

import jwt
import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes import pushkeys
from tests.fakes.push_world import T0, Memory
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.model.errors import StoreError
from tocsin.ops.clock import Clock
from tocsin.transports.push.apns_credential import ApnsCredential
from tocsin.wire.push.keys import apns_key

KEY = apns_key(pushkeys.p8())
MINUTE = 60.0


class Bench:
    """A credential under a wall clock that a test may set."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.clock = Clock.start(lambda: T0 / 1000)
        self.slip = 0
        self.memory = memory or Memory()
        self.credential = ApnsCredential(
            KEY,
            team="TEAM",
            key_id="KID",
            memory=self.memory,
            clock=self.clock,
            wall=lambda: self.clock() + self.slip,
        )

    def age(self) -> float:
        """Seconds since the token in use says it was issued, by the wall clock."""
        claims = jwt.decode(self.credential.token(), options={"verify_signature": False})
        return (self.clock() + self.slip) / 1000 - float(claims["iat"])

    def kept(self) -> bytes:
        return self.memory.kept["jwt"]["TEAM/KID"]


async def test_one_token_for_40_minutes(autojump_clock: MockClock) -> None:
    """PU-41: the same for every push, then another; it is good for an hour."""
    bench = Bench()
    assert bench.credential.expires_at == 0
    first = bench.credential.token()
    assert bench.credential.expires_at == T0 / 1000 + 3600
    await trio.sleep(40 * MINUTE - 1)
    assert bench.credential.token() == first
    await trio.sleep(1)
    assert bench.credential.token() != first
    assert bench.age() == 0


async def test_a_refused_token_is_renewed_once(autojump_clock: MockClock) -> None:
    """PU-41, C.3: over 20 minutes old it is renewed, by the first of all pushes it was refused to;
    the others find the new one."""
    bench = Bench()
    first = bench.credential.token()
    await trio.sleep(20 * MINUTE)
    assert bench.credential.renew(first)
    second = bench.credential.token()
    assert second != first
    assert bench.credential.renew(first)
    assert bench.credential.token() == second


async def test_not_within_20_minutes(autojump_clock: MockClock) -> None:
    """PU-41: what is refused younger than that stays."""
    bench = Bench()
    first = bench.credential.token()
    await trio.sleep(20 * MINUTE - 1)
    assert not bench.credential.renew(first)
    assert bench.credential.token() == first


async def test_too_many_tokens(autojump_clock: MockClock) -> None:
    """C.3: after TooManyProviderTokenUpdates there is no other for 20 minutes."""
    bench = Bench()
    first = bench.credential.token()
    await trio.sleep(39 * MINUTE)
    bench.credential.hold()
    await trio.sleep(20 * MINUTE - 1)
    assert not bench.credential.renew(first)
    assert bench.credential.token() == first
    await trio.sleep(1)
    assert bench.credential.token() != first


async def test_kept_over_a_restart(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """PU-41: the next run goes on with it, and renews it when its 40 minutes are over."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    await wait_all_tasks_blocked()
    first = bench.credential.token()
    assert bench.kept().decode() == first
    await trio.sleep(15 * MINUTE)
    again = Bench(bench.memory)
    again.slip = bench.clock() - again.clock()
    again.credential.restore(bench.kept())
    assert again.credential.token() == first
    assert not again.credential.renew(first)
    await trio.sleep(25 * MINUTE)
    assert again.credential.token() != first


async def test_what_is_kept_and_of_no_use(autojump_clock: MockClock) -> None:
    """PU-41: a token of another key, one too old, one of the future and garbage make a new one."""
    bench = Bench()
    first = bench.credential.token().encode()
    await trio.sleep(MINUTE)
    old, early, other, none = (Bench() for _ in range(4))
    old.slip, early.slip = 40 * 60_000, -2 * 60_000
    other.credential = ApnsCredential(
        apns_key(pushkeys.p8.__wrapped__()),
        team="TEAM",
        key_id="KID",
        memory=Memory(),
        clock=other.clock,
        wall=other.clock,
    )
    for another, kept in [(old, first), (early, first), (other, first), (none, b"\xff.x")]:
        another.credential.restore(kept)
        assert another.credential.token().encode() != first


async def test_renewed_without_pushes(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """PU-41, OP-15: in the background, too, so that what the store has is of use and the metric
    tells no end that is past."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    for _ in range(20):
        await trio.sleep(10 * MINUTE)
        await wait_all_tasks_blocked()
        assert bench.credential.expires_at - bench.clock() / 1000 >= 18 * MINUTE
        assert bench.kept().decode() == bench.credential.token()


async def test_a_store_that_fails(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """PU-41: pushes go on with the token; it is kept once the store works; no log shows it."""
    bench = Bench()
    bench.memory.fails_with = StoreError("disk full")
    with capture_logs() as logs:
        nursery.start_soon(bench.credential.run)
        await trio.sleep(2 * MINUTE)
    assert [entry["event"] for entry in logs][:1] == ["push.jwt_not_kept"]
    assert not bench.memory.kept["jwt"]
    bench.memory.fails_with = None
    await trio.sleep(2 * MINUTE)
    assert bench.kept().decode() == bench.credential.token()
    assert bench.credential.token() not in str(logs)


async def test_a_machine_that_slept(autojump_clock: MockClock) -> None:
    """PU-41: the wall clock went on without ours: the token is as old as that says."""
    bench = Bench()
    first = bench.credential.token()
    await trio.sleep(MINUTE)
    bench.slip = 2 * 3600_000
    assert bench.credential.token() != first
    assert bench.age() == pytest.approx(0, abs=1)


async def test_a_clock_set_back(autojump_clock: MockClock) -> None:
    """PU-41: a token from the future is renewed, but not within 20 minutes of its making."""
    bench = Bench()
    first = bench.credential.token()
    bench.slip = -2 * 3600_000
    assert bench.credential.token() == first
    await trio.sleep(20 * MINUTE)
    assert bench.credential.token() != first
    assert bench.age() == pytest.approx(0, abs=1)
