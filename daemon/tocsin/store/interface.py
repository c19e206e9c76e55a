"""What a store must do, and the records that go in and out.

Rules every implementation keeps:
- Calls take effect in the order they are made. A read sees every write made before it.
- A *look* is a call that only reads and is in no hurry. It sees every write made before it, takes
  effect when it is its turn among looks, and not at all if its caller is cancelled before that.
- What is awaited without an error is durable; on `StoreError` nothing of that call is kept.
- Cancelling the caller of anything else does not undo its call; callbacks (`then`, `on_done`) are
  called on the event loop exactly once per call, cancelled or not, in the order of the calls.
- `settle`, `mark_written`, `settle_lazily`, `escalate` and `extend_channels` are lazy: losing the
  last of them to a power failure leads to a duplicate or to a delay, never to a loss.
- A store keeps records and finds work. It knows one structural rule: a delivery with a lane is
  not claimed while an earlier one of the same channel and order key is unsettled.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.errors import StoreError
from tocsin.model.notification import Notification
from tocsin.model.subscription import Subscription
from tocsin.store.records import (
    Acceptance,
    AccountRecord,
    Claim,
    Counts,
    Ended,
    Lane,
    LogEnd,
    Position,
    Removal,
    RemovedDevice,
    Resumption,
    Settled,
    Settlements,
    StoredAnswer,
    Takeover,
    Waiting,
)


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

    @property
    def dead(self) -> Mapping[ChannelType, int]:
        """How many dead letters of each type are stored."""

    @property
    def remembered(self) -> Mapping[str, int]:
        """How much is remembered of what was, per table (`records.REMEMBERED`)."""

    async def accept(
        self, acceptance: Acceptance, on_done: Callable[[StoreError | None], None]
    ) -> None:
        """Store notifications and deliveries; `on_done` runs before any waiting caller does."""

    async def find_calls(self, order_keys: Sequence[str]) -> list[tuple[int, Notification]]:
        """Undelivered incoming calls that came through the push gateway with these order keys, by
        the ids of their deliveries: what `Acceptance.withdrawing` may name (PU-13)."""

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
        self,
        channel: Channel,
        on_done: Callable[[Ended | None, StoreError | None], None],
        *,
        end: LogEnd | None = None,
    ) -> None:
        """Remove a channel, its subscriptions and its deliveries, which the log tells as `end`."""

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

    async def unused_channels(
        self, kind: ChannelType, before: int, *, limit: int
    ) -> list[tuple[str, str]]:
        """(user, channel id) of channels not used since `before` and without a subscription."""

    async def find_device(self, device: Device) -> list[tuple[str, str]]:
        """(user, channel id) of the channels with this provider, app and token."""

    async def remove_devices(
        self,
        channels: Sequence[Channel],
        removal: Removal,
        on_done: Callable[[Ended | None, StoreError | None], None],
    ) -> None:
        """Remove channels of one device token, all or none, with their subscriptions and
        deliveries; pushes among these are remembered as `gone`. What they were is kept, and so is
        that the token is gone, until a channel is stored for it again."""

    async def removed_devices(
        self, app: str, since: int, *, guarded_only: bool, after: int, limit: int
    ) -> list[RemovedDevice]:
        """What was removed of an app since then, by record key, from beyond `after` on."""

    async def restore_devices(
        self, removed: Sequence[RemovedDevice], on_done: Callable[[StoreError | None], None]
    ) -> None:
        """Store these channels and subscriptions again, and drop their records; each channel gets
        a new `key` at once. Their tokens count as gone no longer."""

    async def tombstones(self, now: int, *, limit: int) -> list[tuple[Device, int]]:
        """Device tokens that count as gone now, the latest first, and until when."""

    async def forget_removed(self, before: int, *, keep: int, limit: int) -> int:
        """Drop records of removed channels from before, and the oldest beyond `keep`; how many
        went, at most `limit`."""

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

    async def claim(
        self, lane: str, *, now: int, limit: int, provisional: int, urgent: int = 0
    ) -> Claim:
        """Due deliveries of a lane, urgent first, their attempts counted: `limit` of any priority,
        and `urgent` more of the urgent ones. Nobody else gets them until they are settled;
        `provisional` is when a claim may be taken for dead, and marks what it took."""

    async def suspend_channel(self, channel: Channel) -> None:
        """Remember `channel.state`; its deliveries are not claimed until it is resumed."""

    async def resume_channel(
        self, channel: Channel, on_done: Callable[[StoreError | None], None], *, now: int
    ) -> None:
        """Remember that a channel is active, fails no longer and may be called at once; its
        deliveries are due again."""

    async def release_claims(self, kind: ChannelType, now: int) -> None:
        """What was claimed of this type of channel, by a dead process perhaps, is due now; before
        any claim."""

    async def hasten(self, lane: str, now: int) -> None:
        """What waits in a lane for its next attempt is due now; held deliveries stay held."""

    async def settle(
        self,
        settlements: Settlements,
        on_done: Callable[[Settled | None, StoreError | None], None] | None = None,
        *,
        now: int,
    ) -> Settled:
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
        messages: bool | None = None,
    ) -> None:
        """Make due what is held in `channels`, unless it waits for a leg to one that is
        `connected`; `then` gets the lanes of what is, and whether any of it is urgent.
        `messages`: only what tells of an entry of a Log, or only what does not (MS-50)."""

    async def lanes(self) -> list[Lane]:
        """All lanes with work, for the start."""

    async def expired_channels(self, now: int, *, limit: int) -> list[tuple[str, str]]:
        """(user, channel id) of channels whose stored clock has run out."""

    async def expire_deliveries(
        self, now: int, *, limit: int, keep: Collection[ChannelType], spare: Collection[int] = ()
    ) -> Ended:
        """End deliveries whose notification has expired; those of the types in `keep` that were
        attempted become dead letters, but for the ids in `spare`."""

    async def prune_dead_letters(self, before: int, *, limit: int) -> int:
        """Forget dead letters older than `before`; how many."""

    async def find_submission(self, key: int, proof: int) -> StoredAnswer | None:
        """The remembered answer to a submission."""

    async def forget_submission(self, key: int, proof: int) -> None:
        """Drop the answer to a submission, if there is one. Durable on return."""

    async def forget_submissions(self, before: int, *, keep: int, limit: int) -> int:
        """Forget identities, submissions and pushes from before, and of each the oldest beyond
        `keep`, at most `limit` of each; how many."""

    async def recall(self, kind: str) -> dict[str, bytes]:
        """Everything of one kind that was to be remembered, by name."""

    async def remember(self, kind: str, values: Mapping[str, bytes | None]) -> None:
        """Keep small values by kind and name; None forgets one. Durable on return."""

    async def grant_grace(self, until: int) -> None:
        """No channel ends before `until` (CH-44)."""

    async def probe(self, now: int) -> None:
        """Write something, to find out whether writing works again."""

    async def count_unsigned(self) -> int:
        """Webhooks without a secret of their own."""

    async def barrier(self) -> None:
        """Everything asked for so far is durable."""

    async def counts(self) -> Counts:
        """What is in the store; walks it, for the start only."""

    async def oldest(self) -> Mapping[ChannelType, int]:
        """When the oldest undelivered delivery of each type was accepted."""
