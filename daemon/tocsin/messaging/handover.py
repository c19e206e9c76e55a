"""From the commit to connections: Log entries are given to whoever is there (MS-46, MS-48).

Called from the store's wake-up, in the order of commits. Each subscriber's entries stay in the
order of his Log. A large fan-out is cut into slices; what is left over is given by a task that
gives way to others in between. What somebody has done himself does not wait, nor what stands
before it in his Log: his reply has its number and is written next.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import orjson
import structlog

from tocsin.messaging.link import Link
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.ops.slices import Slices
from tocsin.store.mail import Posted
from tocsin.wire.messaging.words import MessageStatus
from tocsin.wire.sockjs.frames import INTERNAL_ERROR

SLICE = 300
MOST_WAITING = 100_000

log = structlog.get_logger()


class Handover:
    """Gives entries to the live connections of their subscribers."""

    def __init__(
        self,
        links_of: Callable[[int], Sequence[Link]],
        *,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        """`links_of` finds them by the Subscriber's key (`Live.of`): what it returns stays as it is
        when they come and go. `now` is in seconds, for measuring. The store's `on_posted` is to be
        `posted`."""
        self._links_of = links_of
        self._metrics = metrics
        self._now = now
        self._later: dict[int, list[tuple[Posted, float]]] = {}
        self._waiting = 0
        self._slices = Slices(self._later, self._give_slice, of="large fan-outs")

    @property
    def waiting(self) -> int:
        """How many entries wait for a slice."""
        return self._waiting

    def posted(self, entries: Sequence[Posted]) -> None:
        """Give on what has just become durable, but not what a connection has read from the store
        meanwhile; never raises."""
        at = self._now()
        self._count(entries)
        live = [one for one in entries if self._links_of(one.subscriber_key)]
        is_large = sum(len(self._links_of(one.subscriber_key)) for one in live) > SLICE
        for entry in live:
            key = entry.subscriber_key
            if entry.origin is not None:
                self._give_waiting(key)
                self._give(entry, at)
            elif is_large or key in self._later:
                self._put_off(entry, at)
            else:
                self._give(entry, at)
        while self._waiting > MOST_WAITING:
            self._give_slice()

    async def run(self, progress: Progress) -> None:
        """Give what was too much at once, a slice at a time."""
        await self._slices.run(progress)

    def _put_off(self, entry: Posted, at: float) -> None:
        self._later.setdefault(entry.subscriber_key, []).append((entry, at))
        self._waiting += 1
        self._slices.arrived()

    def _give_slice(self) -> None:
        """Who has waited longest first, and everything that waits for him."""
        given = 0
        while self._later and given < SLICE:
            given += self._give_waiting(next(iter(self._later)))

    def _give_waiting(self, key: int) -> int:
        """What waits for one subscriber; how many times something was given."""
        waiting = self._later.pop(key, None)
        if waiting is None:
            return 0
        self._waiting -= len(waiting)
        # Who left meanwhile counts as well: looking for him is work, too.
        return sum(max(1, self._give(entry, at)) for entry, at in waiting)

    def _give(self, entry: Posted, at: float) -> int:
        links = self._links_of(entry.subscriber_key)
        for link in links:
            if link.position < entry.seq:
                self._fenced(link, entry)
                if link.position >= entry.seq:
                    self._metrics.messaging_handover.observe(self._now() - at)
        return len(links)

    def _fenced(self, link: Link, entry: Posted) -> None:
        """One connection must not cost the others their entries: a crash ends that one."""
        try:
            link.posted(entry)
        except Exception:
            log.exception("messaging.connection_crashed", transport=link.transport)
            link.end(*INTERNAL_ERROR)

    def _count(self, entries: Sequence[Posted]) -> None:
        for kind, count in Counter(entry.rendered.type for entry in entries).items():
            self._metrics.messaging_entries[kind].inc(count)
        for entry in entries:
            word = _told_status(entry)
            if word is not None:
                self._metrics.messaging_statuses[word].inc()


def _told_status(entry: Posted) -> str | None:
    """The status a sender is told by an entry. His own message tells him that it is stored; what a
    reader's other devices are told has an origin, too (MS-59)."""
    if entry.is_letter:
        return None if entry.origin is None else MessageStatus.STORED.word
    if entry.rendered.type == "delivery" and entry.origin is None:
        return str(orjson.loads(entry.rendered.bare())["status"])
    return None
