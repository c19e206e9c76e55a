"""tocsin.delivery.lazymemo."""

from collections.abc import Mapping

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.lazymemo import SLICE, LazyMemo
from tocsin.model.errors import StoreError
from tocsin.store.sqlite import SqliteStore, StoreSettings


class Failing(SqliteStore):
    """Remembers nothing so many times."""

    def __init__(self, fails: int = 0) -> None:
        super().__init__(StoreSettings(path=":memory:"), threaded=False)
        self.fails = fails
        self.sizes: list[int] = []

    async def remember(self, kind: str, values: Mapping[str, bytes | None]) -> None:
        self.sizes.append(len(values))
        if self.fails:
            self.fails -= 1
            await trio.lowlevel.checkpoint()
            raise StoreError("disk full")
        await super().remember(kind, values)


async def test_a_failing_store_is_tried_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """SE-12: what changed meanwhile is written as it is then."""
    store, values = Failing(3), {"a": b"1", "b": b"2"}
    await nursery.start(store.run)
    memo = LazyMemo("k", store, values.get)
    nursery.start_soon(memo.run)
    memo.note("a")
    memo.note("b")
    await trio.sleep(1.5)
    assert await store.recall("k") == {}
    del values["b"]
    memo.note("b")
    await trio.sleep(10)
    assert await store.recall("k") == {"a": b"1"}


async def test_a_cancelled_write_is_made_up_for(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """OP-10: the service is started again and writes what the one before it could not."""
    store = Failing(2)
    await nursery.start(store.run)
    memo = LazyMemo("k", store, {"a": b"1"}.get)
    memo.note("a")
    with trio.move_on_after(0.5):
        await memo.run()
    assert await store.recall("k") == {}
    nursery.start_soon(memo.run)
    await trio.sleep(5)
    assert await store.recall("k") == {"a": b"1"}


async def test_much_is_written_in_slices(nursery: trio.Nursery) -> None:
    """SE-5: one transaction is bounded."""
    store = Failing()
    await nursery.start(store.run)
    memo = LazyMemo("k", store, lambda _name: b"x")
    for number in range(2 * SLICE + 1):
        memo.note(str(number))
    nursery.start_soon(memo.run)
    await wait_all_tasks_blocked()
    assert store.sizes == [SLICE, SLICE, 1]
    assert len(await store.recall("k")) == 2 * SLICE + 1


async def test_flushing(nursery: trio.Nursery) -> None:
    """OP-12: a stop writes what is left, and says if it cannot."""
    store = Failing()
    await nursery.start(store.run)
    memo = LazyMemo("k", store, lambda _name: b"x")
    memo.note("a")
    await memo.flush()
    assert await store.recall("k") == {"a": b"x"}
    store.fails = 1
    memo.note("b")
    with pytest.raises(StoreError):
        await memo.flush()
