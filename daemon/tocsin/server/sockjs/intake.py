"""What the client of a WebSocket says, read no faster than the application takes it.

    READING ──full──> STOPPED ──half empty──> READING
                         └──`room_by` has passed──> to be closed

A client that comes back with everything it could not say meanwhile writes it in one piece, without
waiting for answers. So a full inbox has the link stop reading, and the client's network makes it
wait, as `xhr_send` does (SJ-19), until half of the room is free.

Bound: the limits of the inbox, and beyond them one message, taken whole, and what had been read
together with the one that filled it: one buffer of the engine, 64 KiB.
"""

import math
from collections.abc import Callable
from typing import Final

from tocsin.server.handler import Link
from tocsin.server.sockjs.inbox import Inbox, InboxLimits
from tocsin.server.sockjs.sending import ROOM_WITHIN

NEVER: Final = math.inf


class Intake(Inbox):
    """An inbox with a link behind it.

    `room_by` is when a client that is not read has waited for too long: nothing it said was taken
    since. `reading_since` is when reading last began again. Each is `NEVER` in the other state.
    """

    __slots__ = ("_link", "_now", "reading_since", "room_by")

    def __init__(
        self, limits: InboxLimits, deliver: Callable[[str], None], now: Callable[[], float]
    ) -> None:
        super().__init__(limits, deliver)
        self._now = now
        self._link: Link | None = None
        self.room_by = NEVER
        self.reading_since = 0.0

    def begin(self, link: Link) -> None:
        """What is put in from here on was read from this link."""
        self._link = link

    def moved(self) -> None:
        """The application can get on: time is counted from now."""
        if self.room_by != NEVER:
            self.room_by = self._now() + ROOM_WITHIN

    def _run(self) -> None:
        before = len(self)
        super()._run()
        if self._link is None:
            return
        if self._link.is_reading:
            if self.is_full:
                self._stop(self._link)
        elif self.is_half_empty:
            self._go_on(self._link)
        elif len(self) < before:
            self.moved()

    def _stop(self, link: Link) -> None:
        link.stop_reading()
        if not link.is_reading:
            self.reading_since = NEVER
            self.room_by = self._now() + ROOM_WITHIN

    def _go_on(self, link: Link) -> None:
        link.read_on()
        self.reading_since = self._now()
        self.room_by = NEVER
