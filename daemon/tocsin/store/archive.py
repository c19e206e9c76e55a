"""What an operator looks back on: the delivery log, dead letters, and what still waits.

The rules of `interface` hold; what reads a page is a look. Every call looks at a bounded number of
rows, however few of them match: what it could not look at, it says where to go on from.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import attrs

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.notification import Notification
from tocsin.store.records import Attempt, DeadLetter

T = TypeVar("T")
Place = tuple[int, int]
Holding = tuple[int, int]


@attrs.frozen
class Page(Generic[T]):
    """Some of what was asked for, and where the next page begins; None: this was the last."""

    items: list[T]
    next: int | None


@attrs.frozen
class LogQuery:
    """Which lines of the delivery log: all that are given must match, at least one is.
    `notification_ids`: any of them."""

    channel_id: str | None = None
    user: str | None = None
    notification_id: str | None = None
    notification_ids: Sequence[str] | None = None


@attrs.frozen
class LetterQuery:
    """Which dead letters: all that are given must match. `since` and `until` are when they died,
    both included."""

    channel_id: str | None = None
    user: str | None = None
    notification_id: str | None = None
    since: int | None = None
    until: int | None = None
    ids: Sequence[int] | None = None


@attrs.frozen(eq=False)
class Pending:
    """A delivery that is not over. `due_at` is None while it waits for its client, for an earlier
    one of its order key, or in a suspended channel; `held`: a queue has it in hand."""

    id: int
    channel_id: str
    type: ChannelType
    lane: str | None
    due_at: int | None
    attempts: int
    held: bool
    seq: int | None
    notification: Notification


class Archive(Protocol):
    """Looking back, and clearing up."""

    async def read_log(
        self, query: LogQuery, *, before: int | None, limit: int, look: int
    ) -> Page[Attempt]:
        """The log, newest first, from `before` on (a page's `next`), at most `look` lines of it."""

    async def find_pending(self, notification_id: str, *, after: int, look: int) -> Page[Pending]:
        """Deliveries of this notification that are not over, among the `look` notifications from
        beyond `after` on (0, then a page's `next`)."""

    async def prune_attempts(self, before: int, *, keep: int, limit: int) -> int:
        """Forget log lines from before, and of the rest all but the newest `keep`; how many went,
        at most `limit`."""

    async def dead_letters(
        self, query: LetterQuery, *, after: Place | None, oldest_first: bool, limit: int
    ) -> list[DeadLetter]:
        """Dead letters by when they died, then by id, from beyond the place (died at, id)."""

    async def purge_dead_letters(
        self, query: LetterQuery, *, limit: int
    ) -> Mapping[ChannelType, int]:
        """Forget the oldest of these dead letters, at most `limit`; how many went, by type."""

    async def owners(self, channel_ids: Sequence[str]) -> Mapping[str, str]:
        """Whose these channels are, without those that are gone."""

    async def holdings(self, channel_keys: Sequence[int]) -> Mapping[int, Holding]:
        """How many deliveries, and bytes of them, wait for each of these channels."""

    async def all_channels(
        self, kind: ChannelType | None, *, before: int | None, limit: int, look: int
    ) -> Page[Channel]:
        """Channels of everybody, the youngest first, as the store has them."""

    async def lane_backlogs(self, lanes: Sequence[str], *, most: int) -> Mapping[str, int]:
        """Deliveries of these lanes that could be claimed once due, counted up to `most`; those
        behind an earlier one of their order key are not."""
