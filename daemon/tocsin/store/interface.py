"""What a store must do, and the records that go in and out.

Rules every implementation keeps:
- Calls take effect in the order they are made. A read sees every write made before it.
- What is awaited without an error is durable; on `StoreError` nothing of that call is kept.
- Cancelling a caller does not undo its call; callbacks (`then`, `on_done`) are called on the
  event loop exactly once per call, cancelled or not, in the order of the calls.
- `settle`, `mark_written`, `settle_lazily`, `escalate` and `extend_channels` are lazy: losing the
  last of them to a power failure leads to a duplicate or to a delay, never to a loss.
- A store keeps records and finds work. It knows one structural rule: a delivery with a lane is
  not claimed while an earlier one of the same channel and order key is unsettled.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import attrs

from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.delivery import Delivery
from tocsin.model.errors import StoreError
from tocsin.model.notification import Notification
from tocsin.model.subscription import Subscription

CLASH = -1
EXCERPT = 2048


@attrs.frozen
class Identity:
    """What a notification is known by when it is submitted again: digests of 63 bits.

    `key` and `proof` are both made of its producer and id, `subject` of what must be the same
    in a repeat.
    """

    key: int
    proof: int
    subject: int


@attrs.frozen(eq=False)
class StoredAnswer:
    """The first answer to a submission; `content` is a digest of what was submitted."""

    content: int
    status: int
    body: bytes
    notification_id: str | None = None


@attrs.frozen(eq=False)
class Submitted:
    """A request whose answer is to be remembered. `answer` makes it from the repeats that were
    found (see `Acceptance.repeats`), or None for a refusal, which is not; it runs in the store's
    thread and must be pure."""

    key: int
    proof: int
    answer: Callable[[Mapping[int, int]], StoredAnswer | None]
    at: int


@attrs.frozen(eq=False)
class Trimmed:
    """What made way for newer deliveries: their ids (new ones among them, where too much came at
    once), how many per channel type and outcome, and the room that is left, deliveries and bytes,
    in each channel that was said to be crowded, by key."""

    ids: frozenset[int] = frozenset()
    ended: Mapping[tuple[ChannelType, str], int] = attrs.field(factory=dict)
    rooms: Mapping[int, tuple[int, int]] = attrs.field(factory=dict)


NOTHING_TRIMMED = Trimmed()


@attrs.frozen(eq=False)
class Held:
    """Legs of one notification for one device: those in `later` are not due before `not_before`,
    and end when one in `first` is receipted by then."""

    first: Sequence[Delivery]
    later: Sequence[Delivery]
    not_before: int


@attrs.define(eq=False)
class Acceptance:
    """Notifications and the deliveries made of them: stored together or not at all.

    The store numbers the deliveries (`Delivery.id`) and finds `repeats`: by position, to how many
    channels a notification of the same identity went the first time, or `CLASH` where its
    subject was another. Nothing of a repeat is stored. Everything else is the caller's.

    `replays`: by position, the dead letter a notification is delivered again for. The letter goes
    in the same transaction; where it is gone already, that is a repeat too, to no channel.

    `collapsing` are deliveries for which older ones of their channel and collapse key make way;
    in `crowded` channels what they hold is counted, and what is beyond `bounds` (deliveries,
    bytes) makes way. `trimmed` is what did. `held` are legs that wait for the receipt of another.
    """

    notifications: list[Notification] = attrs.field(factory=list)
    deliveries: list[list[Delivery]] = attrs.field(factory=list)
    identities: dict[int, Identity] = attrs.field(factory=dict)
    submitted: Submitted | None = None
    repeats: Mapping[int, int] = attrs.field(factory=dict)
    replays: dict[int, int] = attrs.field(factory=dict)
    collapsing: list[Delivery] = attrs.field(factory=list)
    crowded: dict[int, Channel] = attrs.field(factory=dict)
    bounds: tuple[int, int] = (0, 0)
    trimmed: Trimmed = NOTHING_TRIMMED
    held: list[Held] = attrs.field(factory=list)

    def add(
        self,
        notification: Notification,
        channels: Iterable[Channel],
        identity: Identity | None = None,
    ) -> None:
        """One notification and the channels it goes to; without any, only its identity is kept."""
        if identity is not None:
            self.identities[len(self.notifications)] = identity
        self.notifications.append(notification)
        self.deliveries.append([Delivery(0, notification, channel) for channel in channels])

    @property
    def is_plain(self) -> bool:
        """It only has to be inserted."""
        return not (
            self.identities
            or self.submitted
            or self.replays
            or self.collapsing
            or self.crowded
            or self.held
        )

    def fresh(self) -> Iterator[list[Delivery]]:
        """The deliveries that were stored, notification by notification."""
        gone = self.trimmed.ids
        for number, legs in enumerate(self.deliveries):
            if number not in self.repeats:
                yield [leg for leg in legs if leg.id not in gone] if gone else legs


@attrs.frozen(eq=False)
class AccountRecord:
    """All that is stored of one user: rows for the directory.

    A subscription may point to a channel of another user (CH-96); its `channel` is then a
    second object of that channel, for the directory to replace.
    """

    user: str
    channels: list[Channel]
    subscriptions: list[Subscription]


@attrs.frozen(eq=False)
class Claimed:
    """A due delivery, its attempt already counted. `channel_key` is its channel, of `owner`.

    `is_escalated`: it was held back for a receipt that did not come.
    """

    id: int
    channel_key: int
    channel_id: str
    owner: str
    notification: Notification
    attempts: int
    unanswered: int
    is_escalated: bool = False


@attrs.frozen(eq=False)
class Claim:
    """What a claim found, and when the lane's next unclaimed delivery is due."""

    deliveries: list[Claimed]
    next_due: int | None


@attrs.frozen(eq=False)
class Waiting:
    """An undelivered delivery of a socket channel; `seq` if it was ever written."""

    id: int
    seq: int | None
    notification: Notification


@attrs.frozen(eq=False)
class Position:
    """What is known of the numbering of a polled channel (see `delivery/position`).

    `written` are (delivery id, seq) of what was written and is not receipted, by seq; `last_seq`
    is the last number known to be given; `dropped` ended unwritten since the last gap. That is
    at `missed_at`; whoever holds a position before it lacks what is between there and
    `settled_seq`, and `missed` more.
    """

    written: list[tuple[int, int]]
    last_seq: int = 0
    settled_seq: int = 0
    dropped: int = 0
    missed: int = 0
    missed_at: int = 0


@attrs.frozen(eq=False)
class Resumption:
    """How a channel goes on: what the client has, up to `settle_upto`, is over, `renumbered`
    deliveries get new places, `dropped` are accounted for; the rest is the last gap."""

    settle_upto: int = 0
    renumbered: list[tuple[int, int]] = attrs.field(factory=list)
    dropped: int = 0
    settled_seq: int = 0
    missed: int = 0
    missed_at: int = 0


@attrs.frozen(eq=False)
class Takeover:
    """An abandoned channel's subscription ends, and what waits there of its service, accepted
    until `until`, goes to another channel, same ids, same order (CH-45). `ends`: the abandoned
    channel is removed if no subscription points to it then."""

    subscription: Subscription
    heir: Channel
    until: int
    ends: bool


@attrs.frozen(eq=False)
class Rescheduled:
    """A delivery to be tried again at `due_at`, with `attempts` counted so far."""

    id: int
    due_at: int
    attempts: int
    unanswered: int


@attrs.frozen(eq=False)
class DeadLetter:
    """A delivery that was given up, with why."""

    id: int
    channel_id: str
    type: ChannelType
    notification: Notification
    died_at: int
    attempts: int
    reason: str
    status: int | None


@attrs.frozen(eq=False)
class Attempt:
    """One line of the delivery log: an attempt, or the end of a delivery without one.

    `result` is `delivered`, `deferred`, `refused`, `gone` or `crashed`; of an end without an
    attempt `expired`, `overflow`, `collapsed` or `cancelled`, then `latency_ms` is None. `reason`
    is `escalated` where a delivered one was held back first. `number` counts the attempts of this
    delivery. `excerpt` is how the far side's answer begins, at most `EXCERPT`
    bytes of it.
    """

    delivery: int
    notification_id: str
    user: str
    channel_id: str
    type: ChannelType
    at: int
    number: int
    result: str
    latency_ms: int | None = None
    status: int | None = None
    reason: str | None = None
    excerpt: bytes | None = attrs.field(default=None, repr=False)


@attrs.define(eq=False)
class Settlements:
    """What became of deliveries since the last time, written in one transaction.

    `finished` are over, delivered or refused; a dead letter is over too and kept. A delivery
    that is gone already is skipped. `attempts` go to the delivery log, whatever they came to.
    `failing` says since when channels fail now, by their keys.
    """

    finished: list[int] = attrs.field(factory=list)
    rescheduled: list[Rescheduled] = attrs.field(factory=list)
    dead: list[DeadLetter] = attrs.field(factory=list)
    attempts: list[Attempt] = attrs.field(factory=list)
    failing: dict[int, int | None] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self.finished) + len(self.rescheduled) + len(self.dead) + len(self.attempts)


@attrs.frozen(eq=False)
class Settled:
    """What a `settle` did: deliveries ended per type, and when each lane it touched is next due
    (None: it has no more work)."""

    ended: dict[ChannelType, int]
    lanes: dict[str, int | None]


@attrs.frozen(eq=False)
class Lane:
    """A lane with work in the store and when the first of it is due."""

    name: str
    due_at: int


@attrs.frozen(eq=False)
class Ended:
    """What ended without an attempt: deliveries per channel type, and their lanes; the channels
    that were removed by key, and their subscriptions per service."""

    counts: dict[ChannelType, int]
    lanes: frozenset[str]
    channels: dict[int, ChannelType] = attrs.field(factory=dict)
    subscriptions: dict[str, int] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Counts:
    """What is in the store, per channel type and service."""

    channels: dict[ChannelType, int]
    subscriptions: dict[str, int]
    pending: dict[ChannelType, int]
    dead: dict[ChannelType, int]


class Store(Protocol):
    """Everything durable. See the module's rules; what operators ask is `archive.Archive`.

    `on_cancelled` is told of held deliveries that ended with a receipt: always after that was
    written, and before its caller is told.
    """

    on_cancelled: Callable[[Ended], None]

    @property
    def failing(self) -> str | None:
        """Why writing fails; None once it has worked again (see `probe`)."""

    @property
    def backlog(self) -> int:
        """Undelivered deliveries in all, those being stored included."""

    async def accept(
        self, acceptance: Acceptance, on_done: Callable[[StoreError | None], None]
    ) -> None:
        """Store notifications and deliveries; `on_done` runs before any waiting caller does."""

    async def load_accounts(self, users: Sequence[str]) -> list[AccountRecord]:
        """Channels and subscriptions of these users, empty records for unknown ones."""

    async def add_channel(
        self, channel: Channel, on_done: Callable[[StoreError | None], None]
    ) -> None:
        """Store a channel; its `key` is set at once."""

    async def change_channel(
        self, channel: Channel, on_done: Callable[[StoreError | None], None]
    ) -> None:
        """Store what a channel is now: lifetime, clock, secrets, device, echoed members, use."""

    async def remove_channel(
        self, channel: Channel, on_done: Callable[[Ended | None, StoreError | None], None]
    ) -> None:
        """Remove a channel, its subscriptions and its deliveries."""

    async def add_subscription(
        self,
        subscription: Subscription,
        body: bytes,
        on_done: Callable[[Ended | None, StoreError | None], None],
        *,
        takeovers: Sequence[Takeover] = (),
    ) -> None:
        """Store a subscription with the text that GET answers, and have its channel take over
        from abandoned ones; `on_done` gets what ended with those."""

    async def take_over(
        self,
        takeovers: Sequence[Takeover],
        on_done: Callable[[Ended | None, StoreError | None], None],
    ) -> None:
        """The same for channels that were abandoned later."""

    async def renew_subscription(
        self, subscription: Subscription, on_done: Callable[[StoreError | None], None]
    ) -> None:
        """Store when a subscription ends now."""

    async def remove_subscription(
        self, subscription: Subscription, now: int, on_done: Callable[[StoreError | None], None]
    ) -> None:
        """Remove a subscription; `now` is until when its channel was in use."""

    async def subscription_bodies(self, ids: Sequence[str]) -> list[bytes]:
        """The stored texts, in the order asked for, without those that are gone."""

    async def expired_subscriptions(self, now: int, *, limit: int) -> list[tuple[str, str]]:
        """(user, subscription id) of subscriptions whose own time is up."""

    async def unused_channels(self, before: int, *, limit: int) -> list[tuple[str, str]]:
        """(user, channel id) of channels not used since `before` and without a subscription."""

    async def find_device(self, device: Device) -> list[tuple[str, str]]:
        """(user, channel id) of the channels with this provider, app and token."""

    def extend_channels(self, channels: Sequence[Channel]) -> None:
        """Write these channels' clocks."""

    def mark_written(self, channel: Channel, written: Sequence[tuple[int, int]]) -> None:
        """Remember the places (delivery id, seq) of what a client may have seen, and the
        channel's last seq, reservation and clock."""

    def mark_left(self, channel: Channel) -> None:
        """Remember whether a channel's client has said good-bye."""

    async def place(self, channel: Channel, written: Sequence[tuple[int, int]]) -> None:
        """The same, durable on return: for what a client is told the position of."""

    def read_position(
        self,
        channel: Channel,
        *,
        then: Callable[[Position | None, StoreError | None], None],
    ) -> None:
        """What is known of a channel's numbering, now."""

    def resume(
        self,
        channel: Channel,
        resumption: Resumption,
        *,
        now: int,
        then: Callable[[int | None, StoreError | None], None],
    ) -> None:
        """Go on from a position, `channel`'s last seq and reservation included; `then` gets how
        many deliveries the client turned out to have; what was held for the receipts of these is
        cancelled. Durable when `then` is called, since a client is told its position then."""

    def fetch_waiting(
        self,
        channel: Channel,
        *,
        now: int,
        after: int,
        limit: int,
        then: Callable[[list[Waiting] | None, StoreError | None], None],
    ) -> None:
        """A socket channel's deliveries that have not expired: first those written before, by
        seq, from beyond `after`; then those never written, urgent first, then by age."""

    async def claim(self, lane: str, *, now: int, limit: int, provisional: int) -> Claim:
        """Due deliveries of a lane, urgent first, their attempts counted. Nobody else gets them
        until they are settled; `provisional` is when a claim may be taken for dead."""

    async def suspend_channel(self, channel: Channel) -> None:
        """Remember `channel.state`; its deliveries are not claimed until it is resumed."""

    async def resume_channel(
        self, channel: Channel, on_done: Callable[[StoreError | None], None], *, now: int
    ) -> None:
        """Remember that a channel is active and fails no longer; its deliveries are due again."""

    async def release_claims(self, now: int) -> None:
        """What a dead process had claimed is due now; for the start, before any claim."""

    async def settle(self, settlements: Settlements, *, now: int) -> Settled:
        """Write what became of deliveries with lanes."""

    def settle_lazily(
        self,
        ids: Sequence[int],
        then: Callable[[Mapping[ChannelType, int] | None], None],
        *,
        now: int,
        upto: Sequence[tuple[int, int]] = (),
    ) -> None:
        """End receipted deliveries of polled channels, and what was held for these receipts and
        is neither claimed nor attempted; `then` gets how many of the receipted ones there still
        were, or None when that failed. `upto` are (channel key, seq) of channels whose position
        counts."""

    def escalate(
        self,
        channels: Sequence[Channel],
        connected: Sequence[Channel],
        *,
        now: int,
        then: Callable[[Mapping[str, bool] | None, StoreError | None], None],
    ) -> None:
        """Make due what is held in `channels`, unless it waits for a leg to one that is
        `connected`; `then` gets the lanes of what is, and whether any of it is urgent."""

    async def lanes(self) -> list[Lane]:
        """All lanes with work, for the start."""

    async def expired_channels(self, now: int, *, limit: int) -> list[tuple[str, str]]:
        """(user, channel id) of channels whose stored clock has run out."""

    async def expire_deliveries(
        self, now: int, *, limit: int, keep: Collection[ChannelType]
    ) -> Ended:
        """End deliveries whose notification has expired; those of the types in `keep` that were
        attempted become dead letters."""

    async def prune_dead_letters(self, before: int, *, limit: int) -> int:
        """Forget dead letters older than `before`; how many."""

    async def find_submission(self, key: int, proof: int) -> StoredAnswer | None:
        """The remembered answer to a submission."""

    async def forget_submissions(self, before: int, *, limit: int) -> int:
        """Forget identities and submissions from before; how many."""

    async def grant_grace(self, until: int) -> None:
        """No channel ends before `until` (CH-44)."""

    async def probe(self, now: int) -> None:
        """Write something, to find out whether writing works again."""

    async def count_unsigned(self) -> int:
        """Webhooks without a secret of their own."""

    async def count_dead_letters(self) -> Mapping[ChannelType, int]:
        """Dead letters kept, per type."""

    async def barrier(self) -> None:
        """Everything asked for so far is durable."""

    async def counts(self) -> Counts:
        """What is in the store; walks it, for the start only."""

    async def oldest(self) -> Mapping[ChannelType, int]:
        """When the oldest undelivered delivery of each type was accepted."""
