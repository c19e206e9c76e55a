"""A connection is a position in its subscriber's Log (messaging.md, MS-48, MS-61).

    HELD ──first message, or `resume_hold` over──> LIVE   caught up: fed from memory
                                          └──────> BEHIND fed from the store, a page at a time
    LIVE ──no room, or too much while a message is in hand──> BEHIND
    BEHIND ──everything there is was written──> LIVE
    any ──stand_by(): a replay──> BEHIND ──go_on()──> LIVE or BEHIND

While a message of the client is in hand (`hold_back` to `free`) nothing leaves but by `reach`: what
is posted then waits here, up to the bounds of the outbox, and in the store beyond. Outside of that
nothing of the Log waits here, so a slow reader costs no memory. A page that does not fit is read
again, in smaller pages.
"""

import enum
from typing import Final

from tocsin.model.errors import StoreError
from tocsin.server.messaging.news import News
from tocsin.server.messaging.outlet import Outlet
from tocsin.server.messaging.world import World
from tocsin.store.mail import LogPage, LogState, Posted
from tocsin.wire.messaging.cursor import cursor
from tocsin.wire.sockjs.frames import TRY_AGAIN_LATER

PAGE: Final = 100


class _State(enum.Enum):
    HELD = enum.auto()
    LIVE = enum.auto()
    BEHIND = enum.auto()


class Feed:
    """Writes what is new in a Log, each entry once and in order, and what is not in the Log in
    between. `position`: everything up to there was sent, or is not wanted."""

    __slots__ = (
        "_held",
        "_in_hand",
        "_is_reading",
        "_key",
        "_last",
        "_limit",
        "_news",
        "_outlet",
        "_ready",
        "_state",
        "_unwanted",
        "_world",
        "position",
    )

    def __init__(self, world: World, outlet: Outlet, key: int, log: LogState) -> None:
        """At the opening of the Log of the subscriber of this key: what is posted from here on has
        to come to `posted`."""
        self._world = world
        self._outlet = outlet
        self._key = key
        self._state = _State.HELD
        self._last = log.last
        # Entries nobody has proven to have may be gone: who wants to know resumes.
        self.position = max(log.proven, log.trimmed)
        self._ready: list[Posted] = []
        self._news = News(world.settings.limits.outbox_messages)
        self._limit = PAGE
        self._in_hand = self._is_reading = False
        self._held = 0
        self._unwanted = 0
        outlet.expect_from(self.position)

    # -- what there is to write --------------------------------------------------------------

    def posted(self, entry: Posted, *, is_wanted: bool = True) -> None:
        """See `Link`. It may be known already from the store. The last one that is not wanted is
        passed over."""
        if not is_wanted:
            self._unwanted = entry.seq
        if entry.seq <= self._last:
            return
        self._last = entry.seq
        if self._state is not _State.LIVE:
            return
        self._ready.append(entry)
        if not self._in_hand:
            self._go()
            return
        self._held += len(entry.rendered.members)
        if not self._may_wait:
            self._fall_behind()

    def note(self, text: bytes) -> None:
        """See `Link.notify`: it goes behind what is in the Log now."""
        if self._is_free and not self._news.has_notes and self._outlet.has_room(1, len(text)):
            self._outlet.write(text)
        elif not self._news.note(text, behind=self._last):
            self._outlet.close(*TRY_AGAIN_LATER)

    def told(self, about: int, text: bytes) -> None:
        """See `Link`."""
        if self._is_free and not self._news and self._outlet.has_room(1, len(text)):
            self._outlet.write(text)
            return
        if self._news.is_known(about):
            self._world.metrics.messaging_collapsed.inc()
        if not self._news.state(about, text):
            self._outlet.close(*TRY_AGAIN_LATER)

    def hinted(self, text: bytes) -> None:
        """See `Link`."""
        if self._is_free and not self._news.has_notes:
            if self._outlet.has_room(1, len(text)):
                self._outlet.write(text)
        elif self._state is _State.HELD or (self._state is _State.LIVE and self._in_hand):
            self._news.hint(text, behind=self._last)

    # -- when it may be written --------------------------------------------------------------

    def begin(self) -> None:
        """The hold is over (MS-61); no-op if it was before."""
        if self._state is _State.HELD:
            self._stand(self.position)
            self._go()

    def hold_back(self) -> None:
        """A message is in hand (MS-19)."""
        self._in_hand = True
        self._held = 0

    def free(self) -> None:
        """It has been answered."""
        self._in_hand = False
        self._go()

    def drained(self) -> None:
        """There is room again."""
        self._go()

    def reach(self, entry: Posted) -> str | None:
        """Write what stands before an entry that has been posted while a message is in hand; the
        caller writes the reply that stands for it, with the cursor returned. None: entries before
        it are still to be sent, so the reply has no cursor, and the entry comes in its turn."""
        if self._state is not _State.LIVE:
            return None
        if not self._write(before=entry.seq):
            self._fall_behind()
            return None
        if not self._ready or self._ready[0].seq != entry.seq:
            return None
        del self._ready[0]
        self.position = entry.seq
        return cursor(self._world.epoch, entry.seq)

    def stand_by(self) -> None:
        """Somebody else writes from the Log, while a message is in hand: a replay."""
        self._fall_behind()

    def go_on(self, position: int) -> None:
        """That is over: everything up to there was sent."""
        self._ready.clear()
        self.position = max(self.position, position)
        self._last = max(self._last, position)
        self._stand(self.position)

    # -- inside ------------------------------------------------------------------------------

    @property
    def _is_free(self) -> bool:
        """What comes may be written at once, if there is room."""
        return self._state is _State.LIVE and not self._in_hand

    @property
    def _may_wait(self) -> bool:
        limits, count = self._world.settings.limits, len(self._ready)
        return count == 1 or (count <= limits.outbox_messages and self._held <= limits.outbox_bytes)

    @property
    def _is_worth_a_page(self) -> bool:
        return self._outlet.has_room(1, self._world.settings.limits.outbox_bytes // 2)

    def _stand(self, position: int) -> None:
        self._state = _State.LIVE if position == self._last else _State.BEHIND

    def _fall_behind(self) -> None:
        self._state = _State.BEHIND
        self._ready.clear()
        self._held = 0

    def _go(self) -> None:
        """Write what there is, as far as there is room, and see to it that more comes."""
        if self._in_hand or self._state is _State.HELD:
            return
        ready = len(self._ready)
        self._write()
        if self._state is _State.BEHIND:
            self._go_behind(ready)
        elif self._ready:
            self._fall_behind()
        if self._is_free:
            self._write_states()

    def _go_behind(self, ready: int) -> None:
        """So many were ready; what has not gone is read again, in its turn."""
        written = ready - len(self._ready)
        if self._ready:
            self._limit = max(1, written)
            self._ready.clear()
            return
        self._limit = min(PAGE, self._limit + written)
        if self.position == self._last:
            self._state = _State.LIVE
        elif not self._is_reading and self._is_worth_a_page:
            self._is_reading = True
            self._world.store.read_entries(
                self._key, after=self.position, limit=self._limit, then=self._read
            )

    def _read(self, page: LogPage | None, error: StoreError | None) -> None:
        """A page has come. If a replay was asked for meanwhile, it comes before that is over, for
        the store answers in order."""
        self._is_reading = False
        if self._state is not _State.BEHIND or not self._outlet.is_open:
            return
        if page is None or error is not None:
            self._outlet.close(*TRY_AGAIN_LATER)
        elif page.state.trimmed > self.position or not page.entries:
            self._outlet.close(*TRY_AGAIN_LATER)  # its `resume` shows the gap (MS-65)
        else:
            self._last = max(self._last, page.state.last)
            self._ready = page.entries
            self._go()

    def _write(self, before: int | None = None) -> bool:
        """Write what is ready; whether all of it has gone, or all before that number."""
        while burst := self._burst(before):
            self._outlet.write(*burst, upto=self.position)
        return self._next(before) is None

    def _burst(self, before: int | None) -> list[bytes]:
        """As many texts as may be sent at once."""
        texts: list[bytes] = []
        size = 0
        while (one := self._next(before)) is not None:
            text = one if isinstance(one, bytes) else self._text(one)
            size += len(text)
            if not self._outlet.has_room(len(texts) + 1, size):
                break
            texts.append(text)
            if isinstance(one, bytes):
                self._news.drop_note()
            else:
                del self._ready[0]
                self.position = one.seq
        return texts

    def _next(self, before: int | None) -> Posted | bytes | None:
        if self._ready and self._ready[0].seq == self._unwanted:
            self.position = self._ready.pop(0).seq
        note = self._news.next_note(self.position)
        if note is not None:
            return note
        if self._ready and (before is None or self._ready[0].seq < before):
            return self._ready[0]
        return None

    def _text(self, entry: Posted) -> bytes:
        return entry.rendered.text(cursor=cursor(self._world.epoch, entry.seq))

    def _write_states(self) -> None:
        for text in self._news.states():
            if not self._outlet.has_room(1, len(text)):
                break
            self._outlet.write(text)
