"""People who write to each other straight through a store."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import orjson
from tests.fakes.deliveries import T0, notification
from tests.fakes.stores import Reports

from tocsin.model.channel import Channel
from tocsin.model.conversation import Invitation, Member, Room, Subscriber, between
from tocsin.store.mail import (
    HistoryPage,
    HistoryQuery,
    Letter,
    LogPage,
    LogState,
    Mail,
    Mark,
    Posted,
    Proof,
    PutInvitation,
    PutMember,
    PutRoom,
    RoomChange,
)
from tocsin.store.records import Acceptance, Held
from tocsin.store.sqlite import SqliteStore
from tocsin.wire.messaging import answers
from tocsin.wire.messaging.clientmessages import Correspondent, InRoom, Text
from tocsin.wire.messaging.ids import MessageIds
from tocsin.wire.messaging.rendered import Rendered
from tocsin.wire.messaging.views import Sent
from tocsin.wire.messaging.words import MessageStatus

DOMAIN = "acme"
Notified = Mapping[Subscriber, Sequence[Channel]]


def load(key: int, domain: str, id_: str, is_known: bool) -> Subscriber:
    """A Subscriber as the store tells of him."""
    return Subscriber(key, domain, id_, f"{id_}@{domain}", is_known, is_stored=True)


def text(posted: Posted | Rendered) -> dict[str, Any]:
    """What a client reads."""
    rendered = posted.rendered if isinstance(posted, Posted) else posted
    found: dict[str, Any] = orjson.loads(rendered.text())
    return found


def brief(posted: Posted | Rendered) -> str:
    """A message by its content, a receipt by who has done what."""
    found = text(posted)
    if found["type"] != "delivery":
        return str(found.get("content", found["type"]))
    through = " through" if found.get("through") else ""
    return f"{found['subscriber-id']} {found['status']}{through}"


@attrs.define(eq=False)
class Postbox:
    """A store, and everything it told of: `told` are entries, `errors` what became of each mail."""

    store: SqliteStore
    told: list[Posted] = attrs.field(factory=list)
    trimmed: list[int] = attrs.field(factory=list)
    reports: Reports = attrs.field(factory=Reports)
    now: int = T0
    ids: MessageIds = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.ids = MessageIds(lambda: self.now, after=self.store.greatest_message_id)
        self.store.on_posted = self.told.extend
        self.store.on_trimmed = self.trimmed.append

    # -- people and Rooms ------------------------------------------------------------------

    def person(self, id_: str, *, domain: str = DOMAIN) -> Subscriber:
        """Somebody who is not stored yet."""
        key = self.store.next_subscriber_key()
        return Subscriber(key, domain, id_, f"{id_}@{domain}", is_known=True)

    async def room(self, *members: Subscriber, id_: str = "r-1") -> Room:
        """A Room of these, the first of them its administrator."""
        room = Room(self.store.next_room_key(), id_, DOMAIN, "Day shift", self.now)
        for one in members:
            room.members[one.key] = Member(one, one is members[0], self.now)
        joined = [PutMember(room, member) for member in room.members.values()]
        await self.change(PutRoom(room), *joined, subscribers=members)
        return room

    async def change(self, *changes: RoomChange, subscribers: Sequence[Subscriber] = ()) -> Mail:
        """Change Rooms."""
        mail = Mail(self.now, changes=list(changes), subscribers=list(subscribers))
        await self.post(mail)
        return mail

    async def invite(self, room: Room, who: Subscriber, until: int, *, most: int = 100) -> Mail:
        """Open an invitation."""
        invitation = Invitation(next(iter(room.members)), until)
        mail = Mail(
            self.now,
            changes=[PutInvitation(room, who.key, invitation)],
            subscribers=[who],
            most_invitations=most,
        )
        await self.post(mail)
        return mail

    # -- messages --------------------------------------------------------------------------

    async def post(self, mail: Mail, acceptance: Acceptance | None = None) -> None:
        """Store a mail."""
        acceptance = Acceptance() if acceptance is None else acceptance
        acceptance.mail = mail
        await self.store.accept(acceptance, self.reports)

    def mail(
        self,
        sender: Subscriber,
        to: Subscriber | Room,
        content: str = "hi",
        *,
        dedupe_id: str | None = None,
        receipts: bool = True,
        origin: object = None,
    ) -> Mail:
        """A message to somebody or to the others of a Room."""
        if isinstance(to, Room):
            others = [m.subscriber for m in to.members.values() if m.subscriber is not sender]
            conversation, party = to.conversation, InRoom(to.id)
        else:
            others, conversation, party = [to], between(sender, to), Correspondent(to.id)
        words = Text(content, "text/plain", None, dedupe_id)
        sent = Sent(self.ids(), sender.id, party, self.now, words)
        letter = Letter(
            sent.message_id,
            conversation,
            sender,
            self.now,
            answers.message(sent),
            dedupe_id,
            others if receipts else (),
        )
        own = Posted(sender.key, answers.message(sent, own=True), is_letter=True, origin=origin)
        entries = [Posted(one.key, letter.rendered, is_letter=True) for one in others]
        return Mail(self.now, letter, [own, *entries], [sender, *others])

    async def send(
        self,
        sender: Subscriber,
        to: Subscriber | Room,
        content: str = "hi",
        *,
        notified: Notified | None = None,
        held: Sequence[Channel] = (),
        **how: Any,
    ) -> str:
        """Store a message, and for each one `notified` a notification to his channels; those
        `held` wait for the messaging connections of their devices. Its id."""
        mail = self.mail(sender, to, content, **how)
        acceptance = Acceptance()
        for position, (who, channels) in enumerate((notified or {}).items()):
            one = notification(user=who.user, service="chat", accepted_at=self.now)
            acceptance.add(one, channels)
            [entry] = [one for one in mail.entries if one.subscriber_key == who.key]
            entry.notification = position
            later = [leg for leg in acceptance.deliveries[-1] if leg.channel in held]
            if later:
                acceptance.held.append(Held([], later, self.now + 10_000))
        await self.post(mail, acceptance)
        assert mail.letter is not None
        return mail.repeat or mail.letter.id

    # -- reading ---------------------------------------------------------------------------

    async def page(self, who: Subscriber, *, after: int = 0, limit: int = 100) -> LogPage:
        """A part of a Log."""
        reports = Reports()
        self.store.read_entries(who.key, after=after, limit=limit, then=reports.both)
        await self.store.barrier()
        assert reports.errors == [None]
        [page] = reports.results
        assert isinstance(page, LogPage)
        looked = await self.store.log_page(who.key, after=after, limit=limit)
        assert looked.state == page.state
        assert list(map(brief, looked.entries)) == list(map(brief, page.entries))
        return page

    async def log(self, who: Subscriber, *, after: int = 0) -> list[str]:
        """A whole Log in brief; its numbers have no gap."""
        page = await self.page(who, after=after, limit=10_000)
        numbers = [one.seq for one in page.entries]
        first = max(after, page.state.trimmed) + 1
        assert numbers == list(range(first, page.state.last + 1))
        return [brief(one) for one in page.entries]

    async def open(self, who: Subscriber) -> LogState:
        """How far his Log goes; he is stored."""
        reports = Reports()
        await self.store.open_log(who, reports.both)
        [state] = reports.results
        assert isinstance(state, LogState)
        return state

    async def history(
        self, reader: Subscriber, to: Subscriber | Room, **bounds: Any
    ) -> HistoryPage:
        """A page of a conversation."""
        conversation = to.conversation if isinstance(to, Room) else between(reader, to)
        wanted = {"after": None, "before": None, "limit": 50} | bounds
        return await self.store.history(HistoryQuery(conversation, reader, **wanted))

    # -- receipts --------------------------------------------------------------------------

    async def prove(
        self, who: Subscriber, upto: int, *, after: int = 0, now: int = T0, **device: Any
    ) -> None:
        """A client of his has his Log up to there."""
        reports = Reports()
        proof = Proof(who.key, who.user, after, upto, **device)
        self.store.prove([proof], now=now, then=reports)
        await self.store.barrier()
        assert reports.errors == [None]

    async def mark(
        self,
        who: Subscriber,
        message_id: str,
        status: MessageStatus = MessageStatus.READ,
        *,
        through: bool = False,
        origin: object = None,
    ) -> bool:
        """He says what became of a message."""
        return await self.store.mark(Mark(who, message_id, status, through, self.now, origin))

    def heard(self, who: Subscriber) -> list[str]:
        """What he was told since the last time, in brief."""
        mine = [one for one in self.told if one.subscriber_key == who.key]
        self.told[:] = [one for one in self.told if one.subscriber_key != who.key]
        return [brief(one) for one in mine]
