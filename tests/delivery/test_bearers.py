"""tocsin.delivery.bearers."""

from typing import Any

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tocsin.delivery.bearers import SLICE, Bearers, Kind
from tocsin.model.principal import Principal

NAMES = st.sampled_from(["a", "b", "c"])
PRINCIPALS = st.builds(
    Principal,
    user=NAMES,
    scopes=st.just(frozenset()),
    producer=NAMES,
    subject=NAMES,
    token_id=NAMES,
    expires_at=st.just(0.0),
    digest=NAMES,
    subscriber=st.sampled_from(["", "a", "b", "c"]),
    domain=NAMES,
)
ALICE = Principal(
    "alice", frozenset(), "app", "alice", "t1", 0, digest="d1", subscriber="12", domain="acme"
)


@attrs.define(eq=False)
class Told:
    """Counts how often it was told."""

    principal: Principal = ALICE
    times: int = 0

    def token_revoked(self) -> None:
        self.times += 1


async def test_each_way_to_name_a_token() -> None:
    """SE-3, MS-9: its id, its digest, its user, its client and its subscriber all lead to the
    connection; no other name does, and none after it has ended."""
    bearers, told = Bearers(), Told()
    bearers.add(told)
    names = [(Kind.TOKEN, "t1"), (Kind.TOKEN, "d1"), (Kind.USER, "alice"), (Kind.CLIENT, "app")]
    names.append((Kind.SUBSCRIBER, "12"))
    for number, (kind, name) in enumerate(names, 1):
        assert await bearers.cut(kind, name) == 1
        assert told.times == number
    for kind, name in ((Kind.USER, "app"), (Kind.CLIENT, "t1"), (Kind.TOKEN, "alice")):
        assert await bearers.cut(kind, name) == 0
    bearers.discard(told)
    assert [await bearers.cut(kind, name) for kind, name in names] == [0, 0, 0, 0, 0]
    bearers.discard(told)


@pytest.mark.parametrize(("kind", "name"), [(Kind.SUBSCRIBER, "12"), (Kind.TOKEN, "t1")])
async def test_only_those_of_a_domain(kind: Kind, name: str) -> None:
    """MS-2, MS-66: what is called the same in another domain is spared."""
    bearers, told = Bearers(), Told()
    spared = Told(attrs.evolve(ALICE, domain="other", digest="d2"))
    for one in (told, spared):
        bearers.add(one)
    assert await bearers.cut(kind, name, domain="acme") == 1
    assert (told.times, spared.times) == (1, 0)


@given(st.lists(st.tuples(PRINCIPALS, st.booleans()), max_size=20))
def test_the_index_agrees_with_a_list(given_: list[tuple[Principal, bool]]) -> None:
    """SE-3: whoever comes and goes, those told are those that are there."""
    trio.run(_compare, given_)


async def _compare(given_: list[tuple[Principal, bool]]) -> None:
    bearers = Bearers()
    there: list[Told] = []
    for principal, stays in given_:
        told = Told(principal)
        bearers.add(told)
        there.append(told)
        if not stays:
            bearers.discard(there.pop(0))
    for name in "abc":
        for kind, names_of in _WAYS.items():
            expected = sum(name in names_of(one.principal) for one in there)
            assert await bearers.cut(kind, name) == expected
    for one in there:
        bearers.discard(one)
    indexes = (bearers._tokens, bearers._users, bearers._clients, bearers._subscribers)
    assert not any(index._held for index in indexes)


_WAYS: dict[Kind, Any] = {
    Kind.TOKEN: lambda one: {one.digest, one.token_id},
    Kind.USER: lambda one: {one.user},
    Kind.CLIENT: lambda one: {one.producer},
    Kind.SUBSCRIBER: lambda one: {one.subscriber},
}


async def test_thousands_are_told_in_slices() -> None:
    """MS-12: everybody else gets a turn in between; who leaves meanwhile is told, which does no
    harm, and who comes is not."""
    bearers = Bearers()
    crowd = [Told() for _ in range(5 * SLICE)]
    for one in crowd:
        bearers.add(one)
    late, turns = Told(), 0

    async def come_and_go() -> None:
        nonlocal turns
        bearers.discard(crowd[-1])
        bearers.add(late)
        while any(one.times == 0 for one in crowd):
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(come_and_go)
        assert await bearers.cut(Kind.USER, "alice") == len(crowd)
    assert {one.times for one in crowd} == {1}
    assert late.times == 0
    assert turns > 1
