"""What a store must do for messaging (messaging.md, 9 and 10); the rules of `interface` hold.

A message is written by `Store.accept`, as the `mail` of an `Acceptance`, together with the
notifications that tell of it. Whatever is added to a Log is handed to `on_posted` when it is
durable: in the order of the Log, before whoever asked is told, and exactly once.

Numbers of a Log are given in the transaction: they rise by one and are never given twice. Receipts
of clients (`prove`) are lazy: losing the last of them leads to a repeat.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from tocsin.model.conversation import Room, Subscriber
from tocsin.model.errors import StoreError
from tocsin.store.mail import (
    FoundMessage,
    HistoryPage,
    HistoryQuery,
    LogPage,
    LogState,
    Mark,
    Posted,
    Proof,
)

Load = Callable[[int, str, str, bool], Subscriber]
"""(key, domain, id, whether he is known) -> the one object of that Subscriber."""


class Messages(Protocol):
    """Subscribers, Rooms, Logs and histories."""

    on_posted: Callable[[Sequence[Posted]], None]
    on_trimmed: Callable[[int], None]
    most_entries: int
    """Entries one Log keeps; `on_trimmed` is told how many went because there were more."""

    def next_subscriber_key(self) -> int:
        """A key that was never given before."""

    def next_room_key(self) -> int:
        """The same for a Room."""

    @property
    def greatest_message_id(self) -> str | None:
        """The greatest there was at the start (MS-27)."""

    @property
    def log_epoch(self) -> str:
        """What makes the numbers of Logs those of this store, and no other's (MS-60)."""

    async def find_subscribers(
        self, domain: str, ids: Sequence[str]
    ) -> dict[str, tuple[int, bool]]:
        """(key, whether known) of those of them that are stored, by id."""

    async def load_room(self, domain: str, room_id: str, load: Load) -> Room | None:
        """A Room with its members and open invitations. `load` is called on the event loop."""

    async def reload_room(self, room: Room, load: Load) -> None:
        """Make a Room what it is in the store, in place; `is_over` if it is not there."""

    async def rooms_of(self, subscriber_key: int) -> list[str]:
        """The ids of the Rooms somebody is a member of, in order of joining."""

    async def open_log(
        self,
        subscriber: Subscriber,
        then: Callable[[LogState | None, StoreError | None], None],
    ) -> None:
        """Have a subscriber stored, and known; how far his Log goes. What is posted later comes to
        `on_posted` after `then`. Durable on return."""

    def read_entries(
        self,
        subscriber_key: int,
        *,
        after: int,
        limit: int,
        then: Callable[[LogPage | None, StoreError | None], None],
    ) -> None:
        """Entries beyond `after`, less than `limit` of them if they are large but one at least;
        `on_posted` has been told of all when `then` is called. An unknown subscriber's Log is
        empty."""

    async def log_page(self, subscriber_key: int, *, after: int, limit: int) -> LogPage:
        """The same for somebody who waits for it: a look."""

    def prove(
        self,
        proofs: Sequence[Proof],
        *,
        now: int,
        then: Callable[[StoreError | None], None] = ...,
    ) -> None:
        """Raise what has been proven, tell senders of it (MS-53, MS-54), and cancel waiting legs
        (MS-55; `Store.on_cancelled`). Lazy."""

    async def mark(self, mark: Mark) -> bool:
        """Raise statuses as a client says, tell the senders and the reader's other devices
        (MS-53, MS-57, MS-59), and cancel what waits for a reader (MS-55). False: there is no such
        message to him. Durable on return."""

    async def history(self, query: HistoryQuery) -> HistoryPage:
        """A page of a conversation, short where messages are large: a look."""

    async def correspondents(
        self, subscriber_key: int, others: Sequence[int], *, since: int
    ) -> set[int]:
        """Those of the others with whom messages have gone both ways since then (MS-42)."""

    async def count_strangers(self, sender_key: int, *, since: int) -> set[int]:
        """Recipients nobody knew whom somebody has written to since then (MS-26)."""

    async def find_repeat(self, sender_key: int, dedupe_id: str) -> str | None:
        """The id of the message that somebody has sent with this `dedupe-id` (MS-25)."""

    async def find_message(self, domain: str, message_id: str) -> FoundMessage | None:
        """What the operator may know of a message."""

    async def trim_logs(self, before: int, *, limit: int) -> int:
        """Drop the oldest entries of Logs from before; how many went, at most `limit`."""

    async def prune_messages(self, before: int, *, limit: int) -> int:
        """Drop messages from before, with what became of them; how many went."""

    async def forget_dedupes(self, before: int, *, limit: int) -> int:
        """Forget `dedupe-id`s and strangers from before; how many went."""

    async def lapse_invitations(self, now: int, *, limit: int) -> list[tuple[int, int]]:
        """Drop invitations that are over; (room, subscriber) keys of them."""
