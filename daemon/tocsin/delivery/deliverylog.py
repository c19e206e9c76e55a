"""The delivery log as an operator reads it, and its upkeep (delivery.md, delivery log)."""

from collections.abc import Callable

import attrs
import trio

from tocsin.delivery.settings import DeliverySettings
from tocsin.delivery.sweeping import keep_sweeping
from tocsin.ops.service import Progress
from tocsin.store.archive import Archive, LetterQuery, LogQuery, Page, Pending
from tocsin.store.records import Attempt, DeadLetter

DAY = 86_400_000
LOOK = 20_000
PRUNED = 1_000
PATIENCE = 5.0
MOST_OF_ONE = 1_000


@attrs.frozen(eq=False)
class Path:
    """One notification's way: what was attempted, newest first, what is still to come, and what
    was given up. `complete` is False when the search took too long to be finished."""

    attempts: list[Attempt]
    pending: list[Pending]
    dead: list[DeadLetter]
    complete: bool

    @property
    def is_empty(self) -> bool:
        """Nothing is known of it."""
        return not (self.attempts or self.pending or self.dead)


class DeliveryLog:
    """Reads the log in slices, so that nobody waits for an operator, and keeps it bounded.

    Full, by age or by number, its oldest lines go.
    """

    def __init__(
        self, archive: Archive, *, settings: DeliverySettings, clock: Callable[[], int]
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._clock = clock

    async def read(self, query: LogQuery, *, before: int | None, limit: int) -> Page[Attempt]:
        """Lines that match, newest first. A page may be short of `limit` though more follow: a
        search gives up after `PATIENCE` seconds and says where to go on."""
        deadline = trio.current_time() + PATIENCE
        found: list[Attempt] = []
        while True:
            page = await self._archive.read_log(
                query, before=before, limit=limit - len(found), look=LOOK
            )
            found += page.items
            before = page.next
            if before is None or len(found) >= limit or trio.current_time() >= deadline:
                return Page(found, before)

    async def path(self, notification_id: str) -> Path:
        """The whole way of one notification, at most `MOST_OF_ONE` attempts of it."""
        pending, searched = await self._pending(notification_id)
        attempts = await self.read(
            LogQuery(notification_id=notification_id), before=None, limit=MOST_OF_ONE
        )
        dead = await self._archive.dead_letters(
            LetterQuery(notification_id=notification_id),
            after=None,
            oldest_first=False,
            limit=MOST_OF_ONE,
        )
        return Path(attempts.items, pending, dead, searched and attempts.next is None)

    async def _pending(self, notification_id: str) -> tuple[list[Pending], bool]:
        """Its deliveries that are not over, and whether all were looked at."""
        deadline = trio.current_time() + PATIENCE
        found: list[Pending] = []
        after: int | None = 0
        while after is not None and trio.current_time() < deadline:
            page = await self._archive.find_pending(notification_id, after=after, look=LOOK)
            found += page.items
            after = page.next
        return found, after is None

    async def run(self, progress: Progress) -> None:
        """Prune once a second until cancelled; a failing store is tried again."""
        await keep_sweeping(self.prune, progress, every=1, on_failure="deliverylog.prune_failed")

    async def prune(self, beat: Callable[[], None] = lambda: None) -> None:
        """Forget what is too old or too much, in slices that let others in between."""
        before = self._clock() - self._settings.log_days * DAY
        keep = self._settings.log_lines
        while await self._archive.prune_attempts(before, keep=keep, limit=PRUNED) >= PRUNED:
            beat()
