"""Little things to be known at the next start, written a moment after they have changed.

Losing the last moment to a crash must be bearable; what is not goes through `Store.remember`.
"""

from collections.abc import Callable, Iterable
from itertools import islice

import structlog
import trio

from tocsin.model.errors import StoreError
from tocsin.store.interface import Store

SLICE = 1000
PAUSE_AFTER_FAILURE = 1.0

log = structlog.get_logger()


class LazyMemo:
    """Values of one kind by name. `value_of` says what a name has when it is written, None:
    nothing any more. Bounded as those values are."""

    def __init__(self, kind: str, store: Store, value_of: Callable[[str], bytes | None]) -> None:
        self._kind = kind
        self._store = store
        self._value_of = value_of
        self._changed: dict[str, None] = {}
        self._work = trio.Event()

    def __contains__(self, name: str) -> bool:
        """Whether a change of its value is still to be written."""
        return name in self._changed

    def note(self, name: str) -> None:
        """The value of a name has changed; never waits."""
        self._changed[name] = None
        self._work.set()

    async def run(self) -> None:
        """Write what has changed, until cancelled; what a failing store did not take is tried
        again."""
        while True:
            while self._changed:
                if not await self._write():
                    await trio.sleep(PAUSE_AFTER_FAILURE)
            await self._work.wait()
            self._work = trio.Event()

    async def flush(self) -> None:
        """Write what is left, once; raises `StoreError`."""
        names, self._changed = self._changed, {}
        await self._remember(names)

    async def _write(self) -> bool:
        names = list(islice(self._changed, SLICE))
        for name in names:
            del self._changed[name]
        written = False
        try:
            await self._remember(names)
            written = True
        except StoreError as error:
            log.warning("store.remember_failed", reason=str(error))
        finally:
            if not written:
                self._changed |= dict.fromkeys(names)
        return written

    async def _remember(self, names: Iterable[str]) -> None:
        await self._store.remember(self._kind, {name: self._value_of(name) for name in names})
