"""tocsin.server.messaging.tokens: connections end with their tokens (MS-9, MS-11)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from tests.fakes.introspection_server import IntrospectionServer, introspection_server
from tests.fakes.token_watch import TALKER, Line, Watched, talker, watched
from tests.fakes.tokens import NOW
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.revocations import By
from tocsin.model.errors import RequestError
from tocsin.ops.service import Progress
from tocsin.store.sqlite import SqliteStore, StoreSettings

CUT = [(3000, "Unauthorized")]
SHUT_OUT = [(3003, "Forbidden")]


@pytest.fixture
async def server() -> AsyncIterator[IntrospectionServer]:
    async with introspection_server() as running:
        running.tokens["opaque"] = dict(TALKER)
        yield running


@pytest.fixture
async def store(nursery: trio.Nursery) -> SqliteStore:
    made = SqliteStore(StoreSettings(path=":memory:"), threaded=False)
    await nursery.start(made.run)
    return made


@pytest.mark.parametrize(
    ("by", "name", "domain"),
    [
        *((By.JTI, "j1", None), (By.USER, "12", None), (By.CLIENT, "app", None)),
        *((By.SUBSCRIBER, "12", "acme"), (By.JTI, "j1", "acme")),
    ],
)
async def test_revoked(store: SqliteStore, by: By, name: str, domain: str | None) -> None:
    """MS-9, MS-12, SE-3: every connection by the token is told before the revocation is answered,
    by whatever it was named; nobody else is, and nobody new is let in by it."""
    world = await watched(store=store)
    mine = talker(jti="j1", client_id="app")
    lines = [(await world.connect(mine))[0] for _ in range(3)]
    spared, _ = await world.connect(talker("13", jti="j2", client_id="crm"))
    abroad, _ = await world.connect(
        talker("12", domain="other", jti="j3", client_id="crm", preferred_username="else")
    )
    assert await world.revocations.revoke(by, name, domain=domain) == 3
    assert [line.ended for line in lines] == [CUT] * 3
    assert spared.ended == abroad.ended == []
    with pytest.raises(RequestError) as refused:
        await world.admit(mine)
    assert refused.value.status == 401


async def test_revoked_before_it_begins(store: SqliteStore) -> None:
    """MS-12: who was let in and only now begins is told that it is too late, and leaves nothing
    behind."""
    world = await watched(store=store)
    admitted = await world.admit(talker(jti="j1"))
    await world.revocations.revoke(By.JTI, "j1")
    line = Line()
    assert not world.watch.begin(line, admitted)
    world.watch.ended(line, admitted)
    assert len(world.watch) == 0
    assert (line.ended, world.clock.entries) == ([], [])


async def test_who_has_ended_is_told_nothing(store: SqliteStore) -> None:
    """MS-9: neither of a revocation nor of the token's end; and the wheel lets go of it within a
    minute, however long the token lives (SE-5)."""
    world = await watched(store=store)
    line, admitted = await world.connect(talker(jti="j1", exp=NOW + 86_400))
    world.watch.ended(line, admitted)
    assert await world.revocations.revoke(By.JTI, "j1") == 0
    world.clock.advance(60)
    assert world.clock.entries == []
    assert len(world.watch) == 0
    assert line.ended == []


@pytest.mark.parametrize("lifetime", [10, 59, 60, 61, 3600])
async def test_expiry(lifetime: int) -> None:
    """MS-9: cut at `exp` plus the 30 s of leeway, the instant from which a new connection is
    refused."""
    world = await watched()
    mine = talker(exp=NOW + lifetime)
    line, _ = await world.connect(mine)
    world.clock.advance(lifetime + 29.9)
    assert line.ended == []
    await world.admit(mine)
    world.clock.advance(0.1)
    assert line.ended == CUT
    with pytest.raises(RequestError):
        await world.admit(mine)
    world.clock.advance(60)
    assert (line.ended, world.clock.entries) == (CUT, [])


async def test_expiry_switched_off() -> None:
    """MS-9: `cut_on_token_expiry = false` lets a connection outlive its token."""
    world = await watched(cut_on_token_expiry=False)
    line, _ = await world.connect(talker(exp=NOW + 10))
    world.clock.advance(86_400)
    assert line.ended == []


async def test_a_clock_that_was_put_back() -> None:
    """MS-9: the instant is one of the wall clock, as for new connections."""
    world = await watched()
    line, _ = await world.connect(talker(exp=NOW + 100))
    world.clock.advance(50)
    world.tokens._now = lambda: world.clock.time - 1000
    world.clock.advance(1000)
    assert line.ended == []
    world.clock.advance(200)
    assert line.ended == CUT


async def test_asked_once_per_token(server: IntrospectionServer) -> None:
    """MS-11: however many connections live by it, and though an answer is still kept; signed ones
    that nobody is asked about are not asked about."""
    world = await watched(server=server)
    server.tokens["other"] = {**TALKER, "sub": "13"}
    lines = [(await world.connect("opaque"))[0] for _ in range(3)]
    lines += [(await world.connect(one))[0] for one in ("other", talker("14"))]
    server.asked.clear()
    await world.recheck()
    assert sorted(server.asked) == ["opaque", "other"]
    assert [line.ended for line in lines] == [[]] * 5


@pytest.mark.parametrize(
    ("said", "ended"),
    [
        (None, CUT),
        ({**TALKER, "exp": NOW - 31}, CUT),
        ({**TALKER, "subscriber_active": False}, SHUT_OUT),
        ({**TALKER, "scope": "channels"}, SHUT_OUT),
        ({**TALKER, "scope": "channels messaging"}, []),
    ],
)
async def test_what_its_issuer_says(
    server: IntrospectionServer, said: dict[str, Any] | None, ended: list[tuple[int, str]]
) -> None:
    """MS-11: 3000 where it is void, 3003 where the subscriber is inactive or the scope gone; and
    new connections see the same at once, kept answer or not."""
    world = await watched(server=server)
    lines = [(await world.connect("opaque"))[0] for _ in range(2)]
    del server.tokens["opaque"]
    if said is not None:
        server.tokens["opaque"] = said
    await world.recheck()
    assert [line.ended for line in lines] == [ended] * 2
    if ended:
        with pytest.raises(RequestError) as refused:
            await world.admit("opaque")
        assert refused.value.status == (401 if ended == CUT else 403)


async def test_nobody_can_be_asked(server: IntrospectionServer) -> None:
    """MS-11: live connections stay."""
    world = await watched(server=server)
    line, _ = await world.connect("opaque")
    server.status = "500 Oops"
    await world.recheck()
    assert line.ended == []
    server.status = "200 OK"
    del server.tokens["opaque"]
    await world.recheck()
    assert line.ended == CUT


async def test_signed_tokens_are_asked_about_where_wanted(server: IntrospectionServer) -> None:
    """MS-7, MS-11: `introspect_jwt`, for platforms that void them without telling us."""
    world = await watched(server=server, introspect_jwt=True)
    mine = talker()
    with pytest.raises(RequestError) as refused:
        await world.admit(mine)
    assert refused.value.status == 401
    server.tokens[mine] = {}
    line, _ = await world.connect(mine)
    del server.tokens[mine]
    await world.recheck()
    assert line.ended == CUT


async def test_a_token_whose_end_is_put_off(server: IntrospectionServer) -> None:
    """MS-9, MS-11: the end that its issuer told last is the one that counts."""
    world = await watched(server=server)
    server.tokens["opaque"] = {**TALKER, "exp": NOW + 50}
    line, _ = await world.connect("opaque")
    server.tokens["opaque"]["exp"] = NOW + 500
    await world.recheck()
    world.clock.advance(500)
    assert line.ended == []
    world.clock.advance(30)
    assert line.ended == CUT


async def test_one_that_may_outlive_its_token_is_not_asked_about_then(
    server: IntrospectionServer,
) -> None:
    """MS-9: an issuer calls a token inactive that has only expired, which is not to end it where
    `cut_on_token_expiry` is off."""
    world = await watched(server=server, cut_on_token_expiry=False)
    server.tokens["opaque"] = {**TALKER, "exp": NOW + 50}
    line, _ = await world.connect("opaque")
    del server.tokens["opaque"]
    world.clock.advance(50)
    await world.recheck()
    assert line.ended == []


async def test_bounded(server: IntrospectionServer) -> None:
    """MS-11, SE-5: only so many questions at once; who ends meanwhile is not asked about any
    more, and who begins waits for the next time."""
    world = await watched(server=server, concurrency=3)
    there = {}
    for number in range(20):
        server.tokens[f"t{number}"] = {**TALKER, "sub": str(number)}
        there[f"t{number}"] = await world.connect(f"t{number}")
    server.asked.clear()
    server.gate, server.most_under_way = trio.Event(), 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.recheck)
        while server.under_way < 3:
            await wait_all_tasks_blocked()
        assert server.most_under_way == 3
        for name in there.keys() - set(server.asked):
            world.watch.ended(*there[name])
        server.gate.set()
    assert len(server.asked) == 3


async def test_one_that_ends_by_its_own_end(server: IntrospectionServer) -> None:
    """MS-9: a connection that is gone as soon as it is told takes none of the others along."""
    world = await watched(server=server)
    lines = [await world.connect("opaque") for _ in range(3)]
    for line, admitted in lines:
        line.on_end = _leave(world, line, admitted)
    del server.tokens["opaque"]
    await world.recheck()
    assert [line.ended for line, _ in lines] == [CUT] * 3
    assert len(world.watch) == 0
    assert not world.watch._known


def _leave(world: Watched, line: Line, admitted: Any) -> Any:
    return lambda: world.watch.ended(line, admitted)


async def test_run(
    server: IntrospectionServer, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """MS-11: every `recheck` seconds, until cancelled."""
    world = await watched(server=server, recheck=60)
    asked: list[float] = []

    async def recheck(_progress: Progress) -> None:
        await trio.lowlevel.checkpoint()
        asked.append(trio.current_time())

    world.watch.recheck = recheck  # type: ignore[method-assign]
    began = trio.current_time()
    nursery.start_soon(world.watch.run, Progress(lambda _: None))
    await trio.sleep(200)
    assert asked == [began + 60, began + 120, began + 180]


async def test_a_tick_that_crashes() -> None:
    """MS-68: it ends that connection only."""
    world = await watched()
    line, _ = await world.connect(talker())
    [(_, _, one)] = world.clock.entries
    one.end(1011)
    assert line.ended == [(1011, "Internal error")]


async def test_no_token_is_shown() -> None:
    """MS-13: what is kept to ask again is in no log."""
    world, mine = await watched(), talker()
    line, admitted = await world.connect(mine)
    assert mine not in f"{admitted!r}{world.watch._known!r}{world.watch._lives[line]!r}"
