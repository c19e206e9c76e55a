"""What is urgent and stands behind another delivery of its order key (delivery.md, priority).

It becomes due only when that one is settled, a moment after its attempt has ended. A worker that
took the next one held at once would let a normal one pass, and be busy with it. So who ends an
attempt that something urgent may follow waits for the settlement and the claim, a little.

Which keys these are is known from what has been accepted and what claims have brought since: of a
single call nothing is left here before its attempt begins.
"""

from collections.abc import Awaitable, Callable, Iterable

import attrs
import trio

from tocsin.model.notification import Priority
from tocsin.store.records import Claimed

LONGEST_WAIT = 0.25
MOST_KEYS = 256

Key = tuple[int, str]
"""A channel's key and an order key of it."""


class Followers:
    """The order keys of one lane with something urgent that no claim has brought yet.

    At most 256. Full: the one noted first goes; of that key a normal one may pass.
    """

    __slots__ = ("_keys", "_news")

    def __init__(self) -> None:
        self._keys: dict[Key, _Line] = {}
        self._news: trio.Event | None = None

    def __len__(self) -> int:
        """How many keys are known."""
        return len(self._keys)

    def announce(self, keys: Iterable[Key]) -> None:
        """Urgent ones have been accepted, one for each of these."""
        for key in keys:
            self._line(key).expected += 1

    def arrived(self, claimed: Iterable[Claimed]) -> None:
        """A claim has ended and brought these.

        One that was not announced may have been accepted before the daemon's start, with others
        behind it.
        """
        for one in claimed:
            if one.notification.priority is Priority.URGENT:
                line = self._line(_key(one))
                line.arrived += 1
                line.expected -= 1
                if not line.expected:
                    del self._keys[_key(one)]
        if self._news is not None:
            self._news.set()
            self._news = None

    def may_follow(self, ended: Claimed) -> bool:
        """Whether something urgent may stand behind this one."""
        return bool(self._keys) and _key(ended) in self._keys

    async def wait(
        self, ended: Claimed, written: Callable[[], Awaitable[None]], coming: Callable[[], bool]
    ) -> None:
        """Until what has `ended` is settled and nothing urgent is `coming`; 250 ms at most.

        So neither a slow store holds up the lane, nor one that fails. Then a key that had nothing
        urgent in line is forgotten.
        """
        line = self._keys[_key(ended)]
        arrived = line.arrived
        with trio.move_on_after(LONGEST_WAIT) as limit:
            await written()
            while coming():
                if self._news is None:
                    self._news = trio.Event()
                await self._news.wait()
        is_urgent = ended.notification.priority is Priority.URGENT
        if is_urgent and line.arrived == arrived and not limit.cancelled_caught:
            self._keys.pop(_key(ended), None)

    def _line(self, key: Key) -> "_Line":
        line = self._keys.get(key)
        if line is None:
            if len(self._keys) >= MOST_KEYS:
                del self._keys[next(iter(self._keys))]
            line = self._keys[key] = _Line()
        return line


@attrs.define(eq=False)
class _Line:
    """How many of a key are to come, and have come; below zero: nobody knows."""

    expected: int = 0
    arrived: int = 0


def _key(one: Claimed) -> Key:
    return one.channel_key, one.notification.order_key
