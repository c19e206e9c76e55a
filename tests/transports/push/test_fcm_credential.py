"""Tests of the access token that FCM is shown (push.md, PU-42)."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import jwt
import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes import pushkeys
from tests.fakes.oauth_server import oauth_server
from tests.fakes.push_world import T0
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.ops.clock import Clock
from tocsin.transports.push.fcm_credential import FcmCredential, Fetch
from tocsin.transports.push.tokenfetch import TokenFetchError, post_form
from tocsin.wire.push.assertion import Grant
from tocsin.wire.push.keys import service_account

DOWN = TokenFetchError("ConnectError")


class Bench:
    """A credential, and an endpoint that answers `T1`, `T2` ... or `does` something else."""

    def __init__(self, fetch: Fetch | None = None, token_uri: str = "https://x/token") -> None:
        self.clock = Clock.start(lambda: T0 / 1000)
        self.fetches: list[float] = []
        self.forms: list[Mapping[str, str]] = []
        self.states: list[tuple[float, str | None]] = []
        self.events: list[dict[str, Any]] = []
        self.does: Exception | bytes | None = None
        self.takes = 0.1
        self.lives = 3600
        self.credential = FcmCredential(
            "google",
            service_account(pushkeys.account(token_uri=token_uri)),
            fetch=fetch or self.fetch,
            on_state=lambda _name, state: self.states.append((trio.current_time(), state)),
            emit=lambda name, **fields: self.events.append({"event": name, **fields}),
            clock=self.clock,
            wall=self.clock,
        )

    async def fetch(self, _url: str, form: Mapping[str, str]) -> bytes:
        self.fetches.append(trio.current_time())
        self.forms.append(form)
        await trio.sleep(self.takes)
        if isinstance(self.does, Exception):
            raise self.does
        grant = b'{"access_token":"T%d","expires_in":%d}'
        return self.does or grant % (len(self.fetches), self.lives)

    @property
    def token(self) -> str | None:
        return None if (grant := self.credential.grant) is None else grant.token

    async def access(self, seconds: float = 10) -> str | None:
        grant = await self.credential.current(deadline=trio.current_time() + seconds)
        return None if grant is None else grant.token

    async def first(self) -> Grant:
        """The first access token, of which there must be one."""
        grant = await self.credential.current(deadline=trio.current_time() + 10)
        assert grant is not None
        return grant

    async def renew(self, refused: Grant, seconds: float = 10) -> bool:
        return await self.credential.renew(refused, deadline=trio.current_time() + seconds)


async def test_the_first_push_waits_for_the_first_token(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-42: it is being fetched since the start; no lane is blocked for that."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    assert bench.token is None
    assert await bench.access() == "T1"
    assert trio.current_time() == pytest.approx(bench.fetches[0] + 0.1)
    assert bench.credential.expires_at == pytest.approx(T0 / 1000 + 3600, abs=1)
    assert not bench.states


async def test_renewed_at_three_quarters_of_its_life(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-42: in the background; there is a valid token at every moment."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    await trio.sleep(1)
    for _ in range(100):
        assert bench.token is not None
        await trio.sleep(100)
    gaps = [after - before for before, after in pairwise(bench.fetches)]
    assert gaps == pytest.approx([2700.1] * 3)
    assert not bench.states


async def test_the_endpoint_down_for_two_hours(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-42, PU-91: retries after 1 s x2 to 60 s; the lanes are blocked when the token ends, and
    free when there is another; an operator is told once."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    await trio.sleep(1)
    begin = bench.fetches[0] + 0.1
    bench.does = DOWN
    await trio.sleep(2700 + 7200)
    down = bench.fetches[1:]
    gaps = [after - before - 0.1 for before, after in pairwise(down)]
    assert gaps[:7] == pytest.approx([1, 2, 4, 8, 16, 32, 60])
    assert max(gaps) == pytest.approx(60)
    bench.does = None
    await trio.sleep(61)
    assert bench.token is not None
    assert [state for _, state in bench.states] == ["oauth", None]
    assert bench.states[0][0] == pytest.approx(begin + 3590, abs=0.2)
    assert bench.events == [
        {"event": "push.credential.failing", "key": "google", "reason": "ConnectError"}
    ]


async def test_one_failure_is_no_alarm(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """PU-42: while the token of now is good, an operator need not know of every failure."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    await trio.sleep(1)
    bench.does = DOWN
    await trio.sleep(2700)
    bench.does = None
    await trio.sleep(60)
    assert len(bench.fetches) == 3
    assert not bench.events
    assert not bench.states


async def test_without_a_token_nobody_waits(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-42: the first fetch has failed: pushes are told so at once."""
    bench = Bench()
    bench.does = TokenFetchError("answered 400 invalid_grant")
    nursery.start_soon(bench.credential.run)
    assert await bench.access() is None
    now = trio.current_time()
    assert await bench.access() is None
    assert trio.current_time() == now
    assert bench.states == [(now, "oauth")]
    assert [event["reason"] for event in bench.events] == ["answered 400 invalid_grant"]


async def test_a_push_waits_no_longer_than_it_may(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-52: the attempt's own deadline holds for the first token, too."""
    bench = Bench()
    bench.takes = 30
    nursery.start_soon(bench.credential.run)
    assert await bench.access(5) is None
    assert trio.current_time() == pytest.approx(5)


@pytest.mark.parametrize("seconds", [0, 10])
async def test_a_refused_token(
    seconds: float, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """C.4: many pushes say that it was refused: one fetch, and all get the new one, however young
    the old one was."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    first = await bench.first()
    await trio.sleep(seconds)
    got: list[tuple[bool, str | None]] = []

    async def ask() -> None:
        got.append((await bench.renew(first), bench.token))

    async with trio.open_nursery() as askers:
        for _ in range(50):
            askers.start_soon(ask)
    assert got == [(True, "T2")] * 50
    now = trio.current_time()
    assert await bench.renew(first)
    assert trio.current_time() == now
    assert len(bench.fetches) == 2


async def test_the_same_token_again(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """C.4: Google may give it once more; it was renewed all the same, and once for all."""
    bench = Bench()
    bench.does = b'{"access_token":"T","expires_in":3600}'
    nursery.start_soon(bench.credential.run)
    first = await bench.first()
    assert await bench.renew(first)
    assert await bench.renew(first)
    assert len(bench.fetches) == 2
    assert bench.token == "T"


async def test_refused_for_its_age(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """C.4, PU-91: one that ended in flight is renewed like any other."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    first = await bench.first()
    bench.takes = 1000
    await trio.sleep(3595)
    assert bench.token is None
    assert await bench.renew(first, 1000)
    assert (bench.token, len(bench.fetches)) == ("T2", 2)


async def test_a_renewal_that_takes_too_long(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-52: a push waits within its own deadline; the next one finds the new token."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    first = await bench.first()
    bench.takes = 15
    begin = trio.current_time()
    assert not await bench.renew(first, 10)
    assert trio.current_time() == pytest.approx(begin + 10)
    assert await bench.renew(first, 10)
    assert trio.current_time() == pytest.approx(begin + 15)
    assert len(bench.fetches) == 2


async def test_refused_while_the_endpoint_is_down(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-42: pushes do not hurry the pauses between failing fetches."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    first = await bench.first()
    bench.does = DOWN
    assert not await bench.renew(first)
    count = len(bench.fetches)
    for _ in range(100):
        assert not await bench.renew(first)
    assert len(bench.fetches) == count == 2


async def test_a_short_lived_token(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """PU-42: however short its life is, there is a valid one."""
    bench = Bench()
    bench.lives = 20
    nursery.start_soon(bench.credential.run)
    await trio.sleep(1)
    for _ in range(200):
        assert bench.token is not None
        await trio.sleep(1)
    assert len(bench.fetches) == pytest.approx(200 / 15.1, abs=2)


async def test_one_that_was_replaced(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """PU-20: while its last pushes are under way its failures block nobody and alarm nobody."""
    bench = Bench()
    nursery.start_soon(bench.credential.run)
    await trio.sleep(1)
    bench.does = DOWN
    bench.credential.retire()
    await trio.sleep(4000)
    assert bench.token is None
    assert not bench.states
    assert not bench.events


async def test_nothing_secret_is_logged(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """PU-43: neither token nor assertion, whatever happens."""
    bench = Bench()
    with capture_logs() as logs:
        nursery.start_soon(bench.credential.run)
        await trio.sleep(1)
        bench.does = b'{"access_token":"SECRET"}'
        await trio.sleep(3000)
    assert {entry["event"] for entry in logs} == {
        "push.access_token_renewed",
        "push.access_token_failed",
    }
    text = str(logs) + str(bench.events)
    assert not any(form["assertion"] in text for form in bench.forms)
    assert not any(secret in text for secret in ("SECRET", "'T1'", "BEGIN", "eyJ"))


async def test_over_a_real_connection(nursery: trio.Nursery) -> None:
    """PU-42, PU-82: the assertion that arrives is signed by the account's key."""
    async with oauth_server() as server:
        bench = Bench(partial(post_form, tls=server.trusting), server.url)
        nursery.start_soon(bench.credential.run)
        with trio.fail_after(30):
            assert await bench.access() == "T"
        assertion = server.requests[0].rpartition(b"assertion=")[2].decode()
    key = service_account(pushkeys.account()).key.public_key()
    claims = jwt.decode(
        assertion, key, algorithms=["RS256"], audience=server.url, options={"verify_exp": False}
    )
    assert claims["iat"] == pytest.approx(T0 / 1000, abs=5)
    await wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()
