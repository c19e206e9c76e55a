"""One at a time, each in the order of asking."""

import weakref
from collections.abc import Hashable

import trio


class Turns:
    """Locks by name, as many as are in use."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[Hashable, trio.Lock] = (
            weakref.WeakValueDictionary()
        )

    def __len__(self) -> int:
        return len(self._locks)

    def of(self, name: Hashable) -> trio.Lock:
        """What to hold while it is one's turn; to be used in an `async with` at once."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = trio.Lock()
        return lock
