"""tocsin.store.statements.messaging: what runs for every message finds its rows by an index."""

from collections.abc import Callable

import apsw
import pytest
from tests.fakes.deliveries import T0
from tests.fakes.mail import load
from tests.store.test_plans import plans

from tocsin.model.conversation import Invitation, Member, Room, between
from tocsin.store.mail import (
    DropInvitation,
    DropMember,
    DropRoom,
    HistoryQuery,
    Letter,
    Mail,
    Mark,
    Posted,
    Proof,
    PutInvitation,
    PutMember,
    PutRoom,
)
from tocsin.store.statements import escalate, finish_polled, messaging
from tocsin.wire.messaging.rendered import rendered
from tocsin.wire.messaging.words import MessageStatus

TABLES = (
    *("subscriber", "log", "entry", "e", "message", "m", "addressee", "a", "correspondence"),
    *("away", "back", "dedupe", "d", "stranger", "room", "member", "invitation", "t", "s", "c"),
    *("channel", "delivery", "notification"),
)
"""And what they are called in statements."""
ANN, BOB = load(1, "acme", "ann", True), load(2, "acme", "bob", True)
ROOM = Room(1, "r-1", "acme", "Day", T0)
TEXT = rendered("direct-message", {"content": "hi"})


def post(db: apsw.Connection) -> None:
    """A message that trims, changes a Room, and has everything else a mail can have."""
    message = Letter("0194", between(ANN, BOB), ANN, T0, TEXT, "k", [BOB])
    mail = Mail(
        T0,
        message,
        [Posted(one.key, TEXT, is_letter=True) for one in (ANN, BOB, BOB)],
        [ANN, BOB],
        [(1, 2)],
        [
            PutRoom(ROOM),
            PutMember(ROOM, Member(ANN, True, T0)),
            PutInvitation(ROOM, 2, Invitation(1, T0)),
            DropInvitation(ROOM, 1),
            DropMember(ROOM, 2),
        ],
        most_invitations=0,
    )
    rows = messaging.mail_rows(mail, message_key=1, notifications={}, most_entries=1)
    messaging.post(db, [rows], messaging.find_repeats(db, [rows]))


def drop(db: apsw.Connection) -> None:
    """The end of a Room."""
    mail = Mail(T0, changes=[DropRoom(ROOM)])
    rows = messaging.mail_rows(mail, message_key=1, notifications={}, most_entries=1)
    messaging.post(db, [rows], [None])


def said(through: bool) -> Mark:
    """The recipient has read it."""
    return Mark(BOB, "0194", MessageStatus.READ, through, T0)


def prune(db: apsw.Connection) -> None:
    """Everything is too old."""
    messaging.trim_logs(db, T0 + 9, 9)
    assert messaging.prune_messages(db, T0 + 9, 9) == 1


PROOF = Proof(2, BOB.user, 0, 9, "phone")


@pytest.mark.parametrize(
    "work",
    [
        lambda _db: None,
        drop,
        lambda db: messaging.prove(db, [PROOF], now=T0, most=9),
        lambda db: messaging.mark(db, said(through=False), most=9),
        lambda db: messaging.mark(db, said(through=True), most=9),
        lambda db: finish_polled(db, [1 << 16], T0, most_entries=9),
        lambda db: escalate(db, [1], [], T0, messages=True),
        lambda db: messaging.read_page(db, 2, after=0, limit=9),
        lambda db: messaging.open_log(db, (2, "acme", "bob", True)),
        lambda db: messaging.history(db, HistoryQuery(between(ANN, BOB), ANN, None, None, 9)),
        lambda db: messaging.correspondents(db, 1, [2], 0),
        lambda db: messaging.count_strangers(db, 1, 0),
        lambda db: messaging.find_message(db, "acme", "0194"),
        lambda db: messaging.find_subscribers(db, "acme", ["ann"]),
        lambda db: messaging.read_room(db, "acme", "r-1"),
        lambda db: messaging.rooms_of(db, 1),
        lambda db: messaging.lapse_invitations(db, T0, 9),
        lambda db: messaging.trim_logs(db, T0 + 9, 9),
        prune,
        lambda db: messaging.forget_dedupes(db, T0 + 9, 9),
        messaging.next_subscriber_key,
        messaging.next_room_key,
        messaging.next_message_key,
        messaging.greatest_message_id,
    ],
)
def test_no_table_is_walked(work: Callable[[apsw.Connection], object]) -> None:
    """Its cost does not grow with what else is stored: the writer serves everybody (MS-68)."""

    def after_a_message(db: apsw.Connection) -> None:
        post(db)
        work(db)

    found = plans(after_a_message)
    assert found
    names = tuple(f"SCAN {name} " for name in TABLES)
    assert not [plan for plan in found if f"{plan} ".startswith(names)]
