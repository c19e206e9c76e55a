"""Messages on their way in: to one subscriber, or to the members of a Room (messaging.md, 9).

All that has to be looked up is looked up first. Then, without a pause, a message gets its id and
goes to the store: so ids, Logs and histories have one order (MS-27).
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import attrs

from tocsin.messaging.link import Link
from tocsin.messaging.notices import Notices
from tocsin.messaging.post import Post
from tocsin.messaging.refused import Refused, bad_request, not_found, rate_limited
from tocsin.messaging.register import Register
from tocsin.messaging.settings import DAY, MessagingLimits
from tocsin.messaging.turns import Turns
from tocsin.model.conversation import Conversation, Room, Subscriber, between
from tocsin.model.errors import StoreError, unavailable
from tocsin.model.notification import Notification
from tocsin.store.mail import Letter, Mail, Posted
from tocsin.store.messages import Messages
from tocsin.store.records import Acceptance
from tocsin.wire.messaging import answers, chatnotification, views
from tocsin.wire.messaging.chatnotification import Heading
from tocsin.wire.messaging.clientmessages import (
    Correspondent,
    InRoom,
    Party,
    SendDirect,
    SendToRoom,
    Text,
)

TRY_AGAIN = 3600


@attrs.frozen(eq=False)
class Sent:
    """What came of a send. `entry` is the sender's own, with its number; None for a repeat, whose
    `message_id` is that of the first (MS-25)."""

    message_id: str
    entry: Posted | None


@attrs.frozen(eq=False)
class _Draft:
    """A message that has all but its id. `witnesses` are those of whose receipts its sender is
    told; `subscribers` and `strangers` as in `Mail`."""

    link: Link
    text: Text
    to: Party
    conversation: Conversation
    recipients: Sequence[Subscriber]
    witnesses: Sequence[Subscriber]
    subscribers: Sequence[Subscriber]
    strangers: Sequence[tuple[int, int]] = ()


class Posting:
    """Sends messages. Each is durable on return; raises `Refused`, or 503, with no effect."""

    def __init__(
        self,
        register: Register,
        store: Messages,
        notices: Notices,
        post: Post,
        *,
        message_ids: Callable[[], str],
        limits: MessagingLimits,
        keeps_unknown: bool,
        receipt_room_limit: int,
        clock: Callable[[], int],
    ) -> None:
        """`message_ids` makes them, each greater than the one before (`MessageIds`).
        `keeps_unknown`: messages to who was never seen are kept for him (MS-26). Members of Rooms
        up to `receipt_room_limit` have their receipts told (MS-58)."""
        self._register = register
        self._store = store
        self._notices = notices
        self._post = post
        self._message_ids = message_ids
        self._limits = limits
        self._keeps_unknown = keeps_unknown
        self._receipt_room_limit = receipt_room_limit
        self._clock = clock
        self._turns = Turns()

    async def send_direct(self, link: Link, message: SendDirect) -> Sent:
        """To one other subscriber."""
        return await self._or_repeat(link, message.text, self._send_direct(link, message))

    async def send_to_room(self, link: Link, message: SendToRoom) -> Sent:
        """To all other members of a Room, for a member; for anybody else there is none."""
        return await self._or_repeat(link, message.text, self._send_to_room(link, message))

    async def _or_repeat(self, link: Link, text: Text, sending: Awaitable[Sent]) -> Sent:
        """What was sent before was sent, though it might be refused now: the Room is gone
        perhaps (MS-25)."""
        try:
            return await sending
        except Refused as error:
            if text.dedupe_id is None:
                raise
            refused = error
        first = await self._store.find_repeat(link.subscriber.key, text.dedupe_id)
        if first is None:
            raise refused
        return Sent(first, None)

    async def _send_direct(self, link: Link, message: SendDirect) -> Sent:
        sender = link.subscriber
        if message.subscriber_id == sender.id:
            raise bad_request("a message to oneself")
        try:
            recipient = await self._register.subscriber(sender.domain, message.subscriber_id)
            strangers = await self._introduced(sender, recipient)
            await self._notices.prepare([recipient])
        except StoreError as error:
            raise unavailable("store", retry_after=1) from error
        draft = _Draft(
            link,
            message.text,
            Correspondent(recipient.id),
            between(sender, recipient),
            [recipient],
            witnesses=[recipient],
            subscribers=[sender, recipient],
            strangers=strangers,
        )
        return await self._send(draft)

    async def _send_to_room(self, link: Link, message: SendToRoom) -> Sent:
        sender = link.subscriber
        try:
            room, others = await self._prepared_room(sender, message.room_id)
        except StoreError as error:
            raise unavailable("store", retry_after=1) from error
        is_witnessed = len(room.members) <= self._receipt_room_limit
        draft = _Draft(
            link,
            message.text,
            InRoom(room.id),
            room.conversation,
            others,
            witnesses=others if is_witnessed else (),
            subscribers=[one for one in others if not one.is_stored],
        )
        return await self._send(draft)

    async def _prepared_room(
        self, sender: Subscriber, room_id: str
    ) -> tuple[Room, list[Subscriber]]:
        """A Room and its other members, as they are now, with their accounts at hand."""
        while True:
            room = await self._register.room(sender.domain, room_id)
            if room is None or sender.key not in room.members:
                raise not_found()
            members = [member.subscriber for member in room.members.values()]
            others = [one for one in members if one is not sender]
            if self._notices.are_prepared(others):
                return room, others
            # Many may write at once where nobody is at hand yet: the first has them fetched.
            async with self._turns.of(room.key):
                if not self._notices.are_prepared(others):
                    await self._notices.prepare(others)

    async def _introduced(self, sender: Subscriber, recipient: Subscriber) -> list[tuple[int, int]]:
        """Whether this recipient may be written to (MS-26): what is to be remembered of that."""
        if not recipient.is_known:
            recipient.is_known = await self._notices.reaches(recipient)
        if recipient.is_known:
            return []
        if not self._keeps_unknown:
            raise not_found("no such subscriber")
        since = self._clock() - DAY * 1000
        known = await self._store.count_strangers(sender.key, since=since)
        if recipient.key in known:
            return []
        if len(known) >= self._limits.strangers_per_day:
            raise rate_limited(TRY_AGAIN)
        return [(sender.key, recipient.key)]

    async def _send(self, draft: _Draft) -> Sent:
        """Nothing may be awaited between the decision and this, nor here until it is posted."""
        sender, at, id_ = draft.link.subscriber, self._clock(), self._message_ids()
        sent = views.Sent(id_, sender.id, draft.to, at, draft.text)
        letter = Letter(
            id_,
            draft.conversation,
            sender,
            at,
            answers.message(sent),
            draft.text.dedupe_id,
            draft.witnesses,
        )
        own = Posted(sender.key, answers.message(sent, own=True), is_letter=True, origin=draft.link)
        entries = [Posted(one.key, letter.rendered, is_letter=True) for one in draft.recipients]
        mail = Mail(
            at,
            letter,
            [own, *entries],
            subscribers=list(draft.subscribers),
            strangers=list(draft.strangers),
        )
        make = _notification_of(sent)

        def notify(acceptance: Acceptance) -> None:
            for one, entry in zip(draft.recipients, entries, strict=True):
                entry.notification = self._notices.add(acceptance, one, make, sender=sender, at=at)

        await self._post.send(mail, notify=notify)
        return Sent(id_, own) if mail.repeat is None else Sent(mail.repeat, None)


def _notification_of(sent: views.Sent) -> Callable[[Heading], Notification]:
    """What makes the notification of a message for one recipient (MS-52)."""
    if isinstance(sent.to, InRoom):
        return partial(
            chatnotification.to_room,
            sent.text,
            message_id=sent.message_id,
            room_id=sent.to.room_id,
        )
    return partial(chatnotification.direct, sent.text, message_id=sent.message_id)
