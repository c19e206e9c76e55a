"""tocsin.delivery.revocations: what is revoked, for whom, and until when (SE-3, MS-12)."""

from collections.abc import Mapping
from typing import Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes.revocations import revocations
from tests.fakes.tokens import NOW
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery import revocations as module
from tocsin.delivery.revocations import MEMO, By, Revocation, Revocations
from tocsin.model.errors import RequestError, StoreError
from tocsin.model.principal import Principal
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.sqlite import SqliteStore, StoreSettings

ALICE = Principal(
    "alice",
    frozenset(),
    "app",
    "alice",
    "t1",
    NOW + 3600,
    digest="d1",
    issued_at=NOW - 100,
    subscriber="12",
    domain="acme",
)
DAY = 86_400


@attrs.define
class Clock:
    """Wall time as a test wants it."""

    time: float = NOW

    def __call__(self) -> float:
        return self.time


@attrs.define(eq=False)
class Told:
    """Counts how often it was told."""

    principal: Principal = ALICE
    times: int = 0

    def token_revoked(self) -> None:
        self.times += 1


class Failing(SqliteStore):
    """Remembers nothing as long as it fails."""

    fails = False

    async def remember(self, kind: str, values: Mapping[str, bytes | None]) -> None:
        if self.fails:
            await trio.lowlevel.checkpoint()
            raise StoreError("disk full")
        await super().remember(kind, values)


@pytest.fixture
async def store(nursery: trio.Nursery) -> Failing:
    made = Failing(StoreSettings(path=":memory:"), threaded=False)
    await nursery.start(made.run)
    return made


async def reopened(store: SqliteStore, now: Clock) -> Revocations:
    """What the next process knows."""
    again = revocations(store, now=now)
    await again.load()
    return again


WAYS = [
    *((By.TOKEN, "d1", None), (By.JTI, "t1", None), (By.USER, "alice", None)),
    *((By.CLIENT, "app", None), (By.SUBSCRIBER, "12", "acme")),
    *((By.TOKEN, "d1", "acme"), (By.JTI, "t1", "acme")),
]


@pytest.mark.parametrize(("by", "name", "domain"), WAYS)
async def test_a_revocation(store: Failing, by: By, name: str, domain: str | None) -> None:
    """SE-3, MS-12: from then on the token is void, here and after a restart, and no other one
    is; how long it took to tell is measured."""
    now, metrics = Clock(), Metrics()
    revoked = revocations(store, now=now, metrics=metrics)
    other = attrs.evolve(
        ALICE, user="bob", producer="crm", token_id="t2", digest="d2", subscriber="13"
    )
    assert not revoked.covers(ALICE)
    told, spared = Told(), Told(other)
    assert revoked.bear(told)
    assert revoked.bear(spared)
    assert await revoked.revoke(by, name, domain=domain) == 1
    assert (told.times, spared.times) == (1, 0)
    for one in (revoked, await reopened(store, now)):
        assert one.covers(ALICE)
        assert not one.covers(other)
    assert metrics.registry.get_sample_value("tocsin_revocations_total", {"by": by}) == 1
    assert metrics.registry.get_sample_value("tocsin_revocations_kept") == 1
    assert metrics.registry.get_sample_value("tocsin_messaging_revoke_seconds_count") == 1


@pytest.mark.parametrize("by", [By.TOKEN, By.JTI, By.SUBSCRIBER])
async def test_another_domain_is_spared(store: Failing, by: By) -> None:
    """MS-2, MS-66: whoever acts in one domain ends nothing in another, whatever he names."""
    revoked = revocations(store)
    told = Told()
    assert revoked.bear(told)
    name = {By.TOKEN: "d1", By.JTI: "t1", By.SUBSCRIBER: "12"}[by]
    assert await revoked.revoke(by, name, domain="other") == 0
    assert not revoked.covers(ALICE)
    assert revoked.covers(attrs.evolve(ALICE, domain="other"))


async def test_what_comes_too_late_is_not_told(store: Failing) -> None:
    """SE-3: whoever was let in before and only now begins, ends at once."""
    revoked = revocations(store)
    await revoked.revoke(By.JTI, "t1")
    told = Told()
    assert not revoked.bear(told)
    revoked.let_go(told)
    assert await revoked.revoke(By.JTI, "t1") == 0


async def test_it_is_in_force_before_anything_waits(store: Failing) -> None:
    """SE-3: while the first connections are told, nobody new is let in."""
    revoked = revocations(store)
    seen: list[bool] = []

    class Looking(Told):
        def token_revoked(self) -> None:
            seen.append(revoked.covers(ALICE))

    assert revoked.bear(Looking())
    await revoked.revoke(By.USER, "alice")
    assert seen == [True]


@pytest.mark.parametrize(
    ("by", "name", "domain"),
    [(By.USER, "alice", None), (By.CLIENT, "app", None), (By.SUBSCRIBER, "12", "acme")],
)
async def test_later_tokens_of_an_owner_are_valid(
    store: Failing, by: By, name: str, domain: str | None
) -> None:
    """MS-66: it ends every token issued up to now; the same second counts as before."""
    now = Clock(NOW + 0.5)
    revoked = revocations(store, now=now)
    await revoked.revoke(by, name, domain=domain)
    ages = {issued: revoked.covers(attrs.evolve(ALICE, issued_at=issued)) for issued in AGES}
    assert ages == AGES
    now.time += 100
    await revoked.revoke(by, name, domain=domain)
    assert revoked.covers(attrs.evolve(ALICE, issued_at=NOW + 1))


AGES = {NOW - DAY: True, NOW: True, NOW + 0.4: True, NOW + 0.6: False, NOW + 1: False}


async def test_a_token_without_iat(store: Failing) -> None:
    """MS-12: it counts as issued when first seen, also by an earlier process."""
    now = Clock()
    silent = attrs.evolve(ALICE, issued_at=None)
    first = revocations(store, now=now)
    old = first.dated(silent)
    await first.flush()
    now.time += 10
    again = await reopened(store, now)
    await again.revoke(By.USER, "alice")
    now.time += 10
    assert again.covers(old)
    assert again.covers(again.dated(silent))
    assert not again.covers(again.dated(attrs.evolve(silent, digest="d2")))


async def test_how_long_it_lasts(
    autojump_clock: MockClock, nursery: trio.Nursery, store: Failing
) -> None:
    """MS-12: until the token's expiry and what is granted beyond, 24 h where that is unknown; then
    it is forgotten, in the store, too."""
    now = Clock()
    revoked = revocations(store, now=now)
    nursery.start_soon(revoked.run, Progress(lambda _: None))
    await revoked.revoke(By.TOKEN, "d1", expires_at=NOW + 3600)
    await revoked.revoke(By.USER, "bob")
    for seconds, left in ((3629, 2), (3630, 1), (DAY + 29, 1), (DAY + 30, 0)):
        now.time = NOW + seconds
        await trio.sleep(2 * module.SWEEP)
        assert (len(revoked), len(await store.recall(MEMO))) == (left, left)
        assert revoked.covers(ALICE) == (left == 2)


async def test_it_lasts_as_long_as_a_token_that_turns_up(store: Failing) -> None:
    """SE-3: a token that lives for a year is not let in after a day because it was named by its
    user; one that says no end changes nothing."""
    now = Clock()
    revoked = revocations(store, now=now)
    await revoked.revoke(By.USER, "alice")
    [before] = revoked.page(after="", limit=2)
    assert revoked.covers(attrs.evolve(ALICE, expires_at=float("inf")))
    assert revoked.page(after="", limit=2) == [before]
    assert revoked.covers(attrs.evolve(ALICE, expires_at=NOW + 365 * DAY))
    await revoked.flush()
    for one in (revoked, await reopened(store, now)):
        [found] = one.page(after="", limit=2)
        assert found == attrs.evolve(before, until=(NOW + 365 * DAY + 30) * 1000)


@pytest.mark.parametrize("expires_at", [1e300, 1e18, -1e300])
async def test_absurd_times(store: Failing, expires_at: float) -> None:
    """SE-6: what an unverified token says of its end is stored in bounds."""
    now = Clock()
    revoked = revocations(store, now=now)
    await revoked.revoke(By.TOKEN, "d1", expires_at=expires_at)
    assert (await reopened(store, now)).covers(ALICE)


async def test_revoking_again_takes_nothing_back(store: Failing) -> None:
    """SE-3: neither the later time nor the later end of an earlier one."""
    now = Clock()
    revoked = revocations(store, now=now)
    await revoked.revoke(By.USER, "alice", expires_at=NOW + 10 * DAY)
    now.time -= 50
    await revoked.revoke(By.USER, "alice")
    [one] = revoked.page(after="", limit=9)
    assert (one.at, one.until) == (NOW * 1000, (NOW + 10 * DAY + 30) * 1000)


async def test_full(store: Failing) -> None:
    """SE-5: another one is refused with 503, those in force stay, and can be renewed; what has
    expired makes room."""
    now = Clock()
    revoked = revocations(store, now=now, most=2)
    await revoked.revoke(By.JTI, "t1", expires_at=NOW + 60)
    await revoked.revoke(By.JTI, "t2", expires_at=NOW + 6000)
    with pytest.raises(RequestError) as refusal:
        await revoked.revoke(By.JTI, "t3")
    assert (refusal.value.status, refusal.value.label) == (503, "revocations")
    await revoked.revoke(By.JTI, "t2")
    assert revoked.covers(ALICE)
    now.time += 4000
    await revoked.revoke(By.JTI, "t3")
    assert [one.name for one in revoked.page(after="", limit=9)] == ["t2", "t3"]


async def test_a_failing_store(
    autojump_clock: MockClock, nursery: trio.Nursery, store: Failing
) -> None:
    """SE-12: it is in force all the same, who asked is told, and it is stored when that works."""
    now = Clock()
    revoked = revocations(store, now=now)
    nursery.start_soon(revoked.run, Progress(lambda _: None))
    store.fails = True
    with pytest.raises(StoreError):
        await revoked.revoke(By.JTI, "t1")
    assert revoked.covers(ALICE)
    assert not (await reopened(store, now)).covers(ALICE)
    store.fails = False
    await trio.sleep(2)
    assert (await reopened(store, now)).covers(ALICE)


async def test_a_cancelled_revocation(nursery: trio.Nursery, store: Failing) -> None:
    """It is in force, too, and stored a moment later."""
    now = Clock()
    revoked = revocations(store, now=now)
    with trio.CancelScope() as scope:
        scope.cancel()
        await revoked.revoke(By.JTI, "t1")
    assert scope.cancelled_caught
    assert revoked.covers(ALICE)
    nursery.start_soon(revoked.run, Progress(lambda _: None))
    await wait_all_tasks_blocked()
    assert (await reopened(store, now)).covers(ALICE)


async def test_what_cannot_be_read_is_told(store: Failing) -> None:
    """SE-12: a damaged entry does not take the others along."""
    good = Revocation(By.JTI, "t1", NOW * 1000, (NOW + 60) * 1000)
    bad: dict[str, bytes] = {"a": b"?", "b": b"[1,2]", "c": b'["fax","x",1,2]'}
    await store.remember(MEMO, {**bad, good.key: good.to_bytes()})
    with capture_logs() as lines:
        again = await reopened(store, Clock())
    assert again.page(after="", limit=9) == [good]
    assert [line["key"] for line in lines] == ["a", "b", "c"]


async def test_pages(store: Failing) -> None:
    """OP-3: in the order of their keys, from anywhere."""
    revoked = revocations(store)
    names: list[Any] = [(By.USER, "b"), (By.USER, "a"), (By.CLIENT, "z"), (By.TOKEN, "m")]
    for by, name in names:
        await revoked.revoke(by, name)
    first = revoked.page(after="", limit=3)
    assert [one.name for one in first] == ["z", "m", "a"]
    assert [one.name for one in revoked.page(after=first[-1].key, limit=3)] == ["b"]
