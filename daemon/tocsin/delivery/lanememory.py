"""What blocks lanes beyond the end of the process: an operator's pause, an open breaker.

Written a moment after it has changed. Losing the last change to a crash costs a few attempts at a
far side that does not work, or an operator his last word of that moment.
"""

from typing import Self

import attrs
import orjson
import structlog
import trio

from tocsin.model.channel import ChannelType, type_of_lane
from tocsin.model.errors import StoreError
from tocsin.store.interface import Store

KIND = "lane"
MOST = 10_000
PAUSE_AFTER_FAILURE = 1.0

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
        self._changed: dict[str, None] = {}
        self._work = trio.Event()

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
        self._changed[lane] = None
        self._work.set()

    async def recall(self) -> dict[str, Remembered]:
        """What was remembered by an earlier process, but of what this one knows better; raises
        `StoreError`."""
        found: dict[str, Remembered] = {}
        for lane, text in (await self._store.recall(KIND)).items():
            if type_of_lane(lane) is not self._kind or lane in self._changed:
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
        while True:
            while self._changed:
                if not await self._write():
                    await trio.sleep(PAUSE_AFTER_FAILURE)
            await self._work.wait()
            self._work = trio.Event()

    async def _write(self) -> bool:
        changed, self._changed = self._changed, {}
        states = {lane: self._known.get(lane) for lane in changed}
        written = False
        try:
            await self._store.remember(
                KIND,
                {lane: None if one is None else one.to_bytes() for lane, one in states.items()},
            )
            written = True
        except StoreError as error:
            log.warning("store.remember_failed", reason=str(error))
        finally:
            if not written:
                self._changed = changed | self._changed
        return written
