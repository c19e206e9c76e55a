"""What blocks lanes beyond the end of the process: an operator's pause, an open breaker.

Written a moment after it has changed. Losing the last change to a crash costs a few attempts at a
far side that does not work, or an operator his last word of that moment.
"""

from typing import Self

import attrs
import orjson
import structlog

from tocsin.delivery.lazymemo import LazyMemo
from tocsin.model.channel import ChannelType, type_of_lane
from tocsin.store.interface import Store

KIND = "lane"
MOST = 10_000

log = structlog.get_logger()


@attrs.frozen
class Remembered:
    """One lane: whether an operator has paused it, and until when its breaker is open (epoch
    ms, 0: it is closed), for how long it was opened (ms)."""

    paused: bool
    until: int
    rest: int

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return orjson.dumps([self.paused, self.until, self.rest])

    @classmethod
    def from_bytes(cls, text: bytes) -> Self:
        """As it was stored; ValueError if it was not."""
        match orjson.loads(text):
            case [bool(paused), int(until), int(rest)]:
                return cls(paused, until, rest)
        raise ValueError("not what a lane is remembered by")


class LaneMemory:
    """Keeps what is remembered of one type's lanes, `MOST` of them; beyond that a restart
    forgets."""

    def __init__(self, kind: ChannelType, store: Store) -> None:
        self._kind = kind
        self._store = store
        self._known: dict[str, Remembered] = {}
        self._memo = LazyMemo(KIND, store, self._value)

    def note(self, lane: str, remembered: Remembered | None) -> None:
        """What is to be remembered of a lane now, None for nothing; never waits."""
        if self._known.get(lane) == remembered:
            return
        if remembered is None:
            del self._known[lane]
        elif lane in self._known or len(self._known) < MOST:
            self._known[lane] = remembered
        else:
            return
        self._memo.note(lane)

    async def recall(self) -> dict[str, Remembered]:
        """What was remembered by an earlier process, but of what this one knows better; raises
        `StoreError`."""
        found: dict[str, Remembered] = {}
        for lane, text in (await self._store.recall(KIND)).items():
            if type_of_lane(lane) is not self._kind or lane in self._memo:
                continue
            try:
                found[lane] = Remembered.from_bytes(text)
            except ValueError:
                log.warning("lane.forgotten", lane=lane)
        self._known = found | self._known
        return found

    async def run(self) -> None:
        """Write what has changed, until cancelled; what a failing store did not take is tried
        again."""
        await self._memo.run()

    def _value(self, lane: str) -> bytes | None:
        known = self._known.get(lane)
        return None if known is None else known.to_bytes()
