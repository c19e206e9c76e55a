"""What goes into a store and comes out of it; see `interface` for the rules."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import attrs

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.delivery import Delivery
from tocsin.model.notification import Notification
from tocsin.model.subscription import Subscription
from tocsin.store.mail import Mail

CLASH = -1
REMEMBERED = ("identity", "submission", "push", "removed")
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
class PushIdentity:
    """What a gateway push is known by when it is sent again: two digests of 63 bits (PU-18)."""

    key: int
    proof: int


@attrs.frozen
class FirstPush:
    """What is known of the push that another one repeats: `result` is `delivered` or `gone`, None
    while it is pending (PU-19). A push that came to anything else has no repeats."""

    delivery_id: int
    result: str | None


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
    once), each with the word for it, `collapsed` or `overflow`; how many per channel type and
    outcome; the room that is left, deliveries and bytes, in each channel that was said to be
    crowded, by key; and the gateway pushes among them.

    Of requests that share a commit one alone gets `ended` and `pushes`."""

    ids: Mapping[int, str] = attrs.field(factory=dict)
    ended: Mapping[tuple[ChannelType, str], int] = attrs.field(factory=dict)
    rooms: Mapping[int, tuple[int, int]] = attrs.field(factory=dict)
    pushes: Mapping[int, Notification] = attrs.field(factory=dict)


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
    bytes) makes way. `withdrawing` are older deliveries, by id, that make way whatever their
    channel (PU-13). `trimmed` is what did. `aside` are claimed ones that may make way like those
    nobody has claimed: their queue begins no attempt until this is stored, or is not. The same
    holds for what is being claimed: `claiming` has the marks of these claims, by lane. `held` are
    legs that wait for the receipt of another.

    `opening` are channels that are stored along where they are not there yet; of one that is, its
    `used_at` is. Its key is given at once, if it has none: so the same object may be in several
    acceptances at a time, and in every one until the first was stored. `opened` are the keys of
    those that were not there.

    `pushes`: by position, what a gateway push is known by; it has one delivery. `firsts`: by
    position, the pushes they repeat; nothing is stored of those either.

    `premises`: by id of a subscription, whether it is there. Its caller has relied on that while
    the store could still refuse it: where it has, it refuses this, too.

    `mail` is what messaging writes along, and what it tells of by these notifications: where it is
    a repeat, nothing of them is stored.
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
    aside: list["Claimed"] = attrs.field(factory=list)
    claiming: dict[str, int] = attrs.field(factory=dict)
    held: list[Held] = attrs.field(factory=list)
    withdrawing: list[int] = attrs.field(factory=list)
    opening: list[Channel] = attrs.field(factory=list)
    opened: Collection[int] = ()
    pushes: dict[int, PushIdentity] = attrs.field(factory=dict)
    firsts: Mapping[int, FirstPush] = attrs.field(factory=dict)
    premises: dict[str, bool] = attrs.field(factory=dict)
    mail: Mail | None = None

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
            or self.withdrawing
            or self.opening
            or self.pushes
            or self.premises
            or self.mail
        )

    def fresh(self) -> Iterator[list[Delivery]]:
        """The deliveries that were stored, notification by notification."""
        gone = self.trimmed.ids
        for number, legs in enumerate(self.deliveries):
            if not self._is_repeat(number):
                yield [leg for leg in legs if leg.id not in gone] if gone else legs

    def repeated(self) -> Iterator[list[Delivery]]:
        """Those that were not, because they are repeats."""
        for number, legs in enumerate(self.deliveries):
            if self._is_repeat(number):
                yield legs

    def _is_repeat(self, number: int) -> bool:
        if self.mail is not None and self.mail.repeat is not None:
            return True
        return number in self.repeats or number in self.firsts


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
    """What a claim found, and when the lane's next unclaimed delivery is due, and the next urgent
    one."""

    deliveries: list[Claimed]
    next_due: int | None
    next_urgent: int | None = None


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
    attempt `expired`, `overflow`, `collapsed` or `cancelled`, or, with its channel, `refused`,
    `expired` or `gone`; then `latency_ms` is None. Of a
    client that comes to us the receipt is logged, with the time since the notification was
    accepted. `reason` of a delivered one tells its part in an escalation: `escalated` where it was
    held back first, `direct` where it was not; of a cancelled one `receipted`. `number` counts the
    attempts of this delivery. `excerpt` is how the far side's answer begins, at most `EXCERPT`
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
    `failing` says since when channels fail now, `held` until when they want to be left alone, by
    their keys. `pushes` are the results, `delivered` or `gone`, that are answered to repeats of
    gateway pushes, by delivery id.
    """

    finished: list[int] = attrs.field(factory=list)
    rescheduled: list[Rescheduled] = attrs.field(factory=list)
    dead: list[DeadLetter] = attrs.field(factory=list)
    attempts: list[Attempt] = attrs.field(factory=list)
    failing: dict[int, int | None] = attrs.field(factory=dict)
    held: dict[int, int] = attrs.field(factory=dict)
    pushes: list[tuple[int, str]] = attrs.field(factory=list)

    def __len__(self) -> int:
        return len(self.finished) + len(self.rescheduled) + len(self.dead) + len(self.attempts)


@attrs.frozen(eq=False)
class Settled:
    """What a `settle` did: deliveries ended per type, and when each lane it touched is next due
    (None: it has no more work); in `urgent` those that have something urgent, and when."""

    ended: dict[ChannelType, int]
    lanes: dict[str, int | None]
    urgent: dict[str, int] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Lane:
    """A lane with work in the store and when the first of it is due, and the first urgent."""

    name: str
    due_at: int
    urgent_at: int | None = None


@attrs.frozen
class LogEnd:
    """What the delivery log says of deliveries that end together, without an attempt."""

    at: int
    result: str
    reason: str | None = None


@attrs.frozen
class Buried:
    """A delivery that has become a dead letter."""

    type: ChannelType
    notification_id: str
    channel_id: str
    attempts: int


@attrs.frozen(eq=False)
class Ended:
    """What ended without an attempt: deliveries per channel type, and their lanes; the channels
    that were removed by key, and their subscriptions per service; the gateway pushes among the
    deliveries, by id; those that have become dead letters."""

    counts: dict[ChannelType, int]
    lanes: frozenset[str]
    channels: dict[int, ChannelType] = attrs.field(factory=dict)
    subscriptions: dict[str, int] = attrs.field(factory=dict)
    pushes: Mapping[int, Notification] = attrs.field(factory=dict)
    buried: Sequence[Buried] = ()


@attrs.frozen
class Removal:
    """Why a device token's channels go (PU-48). Until `tombstone` the token counts as gone.
    `is_guarded`: the reason may turn out to be our mistake (PU-49). Times are epoch
    milliseconds."""

    at: int
    tombstone: int
    is_guarded: bool = False


@attrs.frozen(eq=False)
class RemovedDevice:
    """A channel that went with its token, as it may be restored; its subscriptions carry the text
    that GET answers. `key` is the record's own."""

    key: int
    at: int
    channel: Channel
    subscriptions: list[tuple[Subscription, bytes]]


@attrs.frozen(eq=False)
class Counts:
    """What is in the store, per channel type and service; what is remembered, per table."""

    channels: dict[ChannelType, int]
    subscriptions: dict[str, int]
    pending: dict[ChannelType, int]
    dead: dict[ChannelType, int]
    remembered: dict[str, int] = attrs.field(factory=dict)
