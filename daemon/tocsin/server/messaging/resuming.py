"""A client says what it has, and is sent what follows (messaging.md, MS-61 to MS-65)."""

from typing import Final

import attrs
import trio

from tocsin.model.errors import StoreError
from tocsin.server.messaging.feed import PAGE, Feed
from tocsin.server.messaging.outlet import Outlet
from tocsin.server.messaging.world import World
from tocsin.store.mail import LogPage, Posted
from tocsin.store.messages import Messages
from tocsin.wire.messaging import answers
from tocsin.wire.messaging.clientmessages import Resume
from tocsin.wire.messaging.cursor import OLDEST, cursor, seq_of
from tocsin.wire.sockjs.frames import TRY_AGAIN_LATER

COMPLETE: Final = {True: "true", False: "false"}


@attrs.define(eq=False)
class Replay:
    """One `resume`, while that message is in hand; `key` is the subscriber's.

    Its end is where the Log ends when the first page is read; what is posted later comes from the
    feed. What does not fit is read again, in smaller pages: nothing is held while a client reads.
    """

    world: World
    outlet: Outlet
    feed: Feed
    key: int
    asked: Resume
    _position: int = 0
    _count: int = 0
    _limit: int = PAGE
    _fetched: int = 0

    async def run(self) -> int | None:
        """Replay, then `resumed`. The number up to which the client has everything by its own
        word; None if that is none of this Log, and it goes on as one that did not resume.

        Raises StoreError. What was sent was sent then, and the feed goes on behind it.
        """
        asked = self.asked.cursor
        claimed = 0 if asked == OLDEST else seq_of(asked, self.world.epoch)
        if claimed is not None and await self._replay(claimed):
            return claimed
        self.feed.begin()
        self._say(self.feed.position, is_complete=False)
        return None

    async def _replay(self, claimed: int) -> bool:
        """Whether the Log has ever been that long."""
        self.feed.stand_by()
        self._position = self.feed.position
        try:
            page = await self._page(claimed)
            state = page.state
            if claimed > state.last:
                return False
            self._position = max(claimed, state.trimmed)
            await self._send(page.entries, state.last)
        finally:
            self.feed.go_on(self._position)
        is_complete = claimed >= state.trimmed or self.asked.cursor == OLDEST
        self._say(state.last, is_complete=is_complete)
        return True

    async def _send(self, rest: list[Posted], end: int) -> None:
        """Everything up to there, as there is room for it, while there is a client."""
        while self._position < end and self.outlet.is_open:
            if not self.outlet.has_room():
                if rest:
                    self._limit, rest = max(1, self._fetched - len(rest)), []
                await self.outlet.room()
            elif rest:
                self._write(rest, end)
            else:
                rest = await self._next_page()

    async def _next_page(self) -> list[Posted]:
        page = await self._page(self._position)
        if page.state.trimmed > self._position or not page.entries:
            self.outlet.close(*TRY_AGAIN_LATER)  # its next `resume` shows the gap (MS-65)
        return page.entries

    async def _page(self, after: int) -> LogPage:
        page = await read_page(self.world.store, self.key, after=after, limit=self._limit)
        self._fetched = len(page.entries)
        self._limit = min(PAGE, 2 * self._limit)
        return page

    def _write(self, rest: list[Posted], end: int) -> None:
        """One entry, and as many more as fit."""
        texts: list[bytes] = []
        size = 0
        for entry in rest:
            text = entry.rendered.text(
                reply_to=self.asked.id, cursor=cursor(self.world.epoch, entry.seq)
            )
            size += len(text)
            if entry.seq > end or (texts and not self.outlet.has_room(len(texts) + 1, size)):
                break
            texts.append(text)
            self._position = entry.seq
        del rest[: len(texts)]
        self._count += len(texts)
        self.outlet.write(*texts, upto=self._position)

    def _say(self, position: int, *, is_complete: bool) -> None:
        text = answers.resumed(
            cursor=cursor(self.world.epoch, position),
            count=self._count,
            complete=is_complete,
            reply_to=self.asked.id,
        )
        self.outlet.write(text, upto=position)
        self.world.metrics.messaging_resumes[COMPLETE[is_complete]].inc()


async def read_page(store: Messages, key: int, *, after: int, limit: int) -> LogPage:
    """A page of a Log; raises StoreError. Cancelled, nobody gets it."""
    answered = trio.Event()
    found: list[LogPage | StoreError | None] = []

    def then(page: LogPage | None, error: StoreError | None) -> None:
        found.append(error or page)
        answered.set()

    store.read_entries(key, after=after, limit=limit, then=then)
    await answered.wait()
    [answer] = found
    if not isinstance(answer, LogPage):
        raise answer or StoreError("no page")
    return answer
