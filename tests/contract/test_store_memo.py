"""The rules of `tocsin.store.interface`, for every store: little things to be known again."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from tests.fakes.deliveries import T0
from tests.fakes.fault import Fault
from tests.fakes.stores import OpenStore, Reports

from tocsin.model.errors import StoreError
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, StoredAnswer, Submitted


async def test_what_was_to_be_remembered_is_known_by_kind(store: Store) -> None:
    """The last value of each name counts, and one that is forgotten is not there (PU-49)."""
    await store.remember("a", {"x": b"1", "y": b"2"})
    await store.remember("b", {"x": b"3"})
    await store.remember("a", {"x": b"4", "y": None, "z": b""})
    assert await store.recall("a") == {"x": b"4", "z": b""}
    assert await store.recall("b") == {"x": b"3"}
    assert await store.recall("c") == {}


async def test_it_is_known_after_a_restart(open_store: OpenStore) -> None:
    """What returned is on disk (PU-41, PU-49)."""
    async with trio.open_nursery() as first:
        store = open_store()
        await first.start(store.run)
        await store.remember("a", {"x": b"\x00\xff"})
        first.cancel_scope.cancel()
    async with trio.open_nursery() as second:
        again = open_store()
        await second.start(again.run)
        assert await again.recall("a") == {"x": b"\x00\xff"}
        second.cancel_scope.cancel()


async def test_all_names_or_none_are_stored(store: Store, tmp_path: Path) -> None:
    """A store that fails keeps what it had."""
    await store.remember("a", {"x": b"1"})
    fault = Fault(tmp_path / "store.db")
    fault.begin("memo")
    with pytest.raises(StoreError):
        await store.remember("a", {"x": None, "y": b"2"})
    fault.end()
    fault.close()
    assert await store.recall("a") == {"x": b"1"}


@pytest.mark.parametrize("size", [0, 1024, 1025, 90_000])
async def test_an_answer_of_any_length_comes_back_as_it_was(store: Store, size: int) -> None:
    """Long ones are packed (CH-114)."""
    body = bytes(number % 251 for number in range(size))

    def answer(_repeats: Mapping[int, int]) -> StoredAnswer:
        return StoredAnswer(1, 200, body)

    await store.accept(Acceptance(submitted=Submitted(7, 8, answer, T0)), Reports())
    found = await store.find_submission(7, 8)
    assert found is not None
    assert found.body == body


async def test_of_what_is_remembered_the_oldest_go_first(open_store: OpenStore) -> None:
    """Beyond the bound they go though their day is not over, and the count is right (CH-114)."""

    def submitted(number: int) -> Submitted:
        answer = StoredAnswer(number, 200, b"")
        return Submitted(number, number, lambda _repeats: answer, T0 + number)

    store = open_store()
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        for number in range(1, 8):
            await store.accept(Acceptance(submitted=submitted(number)), Reports())
        assert store.remembered["submission"] == 7
        assert await store.forget_submissions(T0 + 3, keep=99, limit=1) == 1
        assert await store.forget_submissions(T0, keep=3, limit=2) == 2
        assert await store.forget_submissions(T0, keep=3, limit=2) == 1
        assert await store.forget_submissions(T0, keep=3, limit=2) == 0
        there = [number for number in range(9) if await store.find_submission(number, number)]
        assert there == [5, 6, 7]
        assert store.remembered["submission"] == 3
        assert (await store.counts()).remembered["submission"] == 3
        nursery.cancel_scope.cancel()
