"""Server messages: the examples of sections 4, 6 and 10, and what each kind may hold."""

from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.messaging import answers
from tocsin.wire.messaging.clientmessages import Correspondent, InRoom, Text
from tocsin.wire.messaging.parts import MOST_BYTES
from tocsin.wire.messaging.refusals import ErrorCode, MessageError
from tocsin.wire.messaging.views import (
    InvitationView,
    MembershipView,
    Progress,
    Sent,
    SubscriberView,
)
from tocsin.wire.messaging.words import (
    Availability,
    ComposingState,
    MembershipChange,
    MessageStatus,
    SubscriberChange,
)
from tocsin.wire.rfc3339 import epoch_ms

ME = "12125550199"
OTHER = "12125550100"
AT = 1_767_607_200_120
SENT = Sent("0194…a1", OTHER, Correspondent(ME), AT, Text("hi"))
OWN = attrs.evolve(SENT, text=Text("é", "text/x", b'{"k":1}', dedupe_id="k7"))
IN_ROOM = attrs.evolve(SENT, to=InRoom("r-1"))
DAY = MembershipView("r-7c1f…", "Day shift", administrator=True)
FORBIDDEN = MessageError(ErrorCode.FORBIDDEN, "administrators only")

GOLDEN: list[tuple[bytes, str]] = [
    (
        answers.ack("9", FORBIDDEN),
        (
            '{"type":"ack","id":"9","reply-to":"9","status":false,'
            '"error":{"code":"forbidden","text":"administrators only"}}'
        ),
    ),
    (
        answers.welcome(ME, cursor="k3:8840", retention=604_800),
        '{"type":"welcome","subscriber-id":"12125550199","cursor":"k3:8840","retention":604800}',
    ),
    (
        answers.invitation(
            InvitationView("r-7c1f…", "Day shift", ME, administrator=True, invite_token="s3")
        ).text(reply_to="1", cursor="k3:8841"),
        (
            '{"type":"invitation","reply-to":"1","channel-id":"r-7c1f…","name":"Day shift",'
            '"from":"12125550199","administrator":true,"attributes":{},"invite-token":"s3",'
            '"cursor":"k3:8841"}'
        ),
    ),
    (answers.ack("1"), '{"type":"ack","id":"1","reply-to":"1","status":true}'),
    (
        answers.subscriber(
            SubscriberChange.JOINED, SubscriberView(OTHER), room_id="r-7c1f…"
        ).text(),
        (
            '{"type":"subscriber","change":"joined","channel-id":"r-7c1f…","subscriber":'
            '{"id":"12125550100","status":"","availability":"invisible","administrator":false,'
            '"attributes":{}}}'
        ),
    ),
    (
        answers.message(SENT).text(reply_to="1", cursor="k3:8842"),
        (
            '{"type":"direct-message","reply-to":"1","cursor":"k3:8842","message-id":"0194…a1",'
            '"from":"12125550100","subscriber-id":"12125550199","sent-at":"2026-01-05T10:00:00.120Z",'
            '"content":"hi","content-type":"text/plain"}'
        ),
    ),
    (
        answers.resumed(cursor="k3:8842", count=1, complete=True, reply_to="1"),
        '{"type":"resumed","reply-to":"1","cursor":"k3:8842","count":1,"complete":true}',
    ),
    (
        answers.delivery(Progress("0194…b4", MessageStatus.STORED)).text(
            reply_to="3", cursor="k3:8844"
        ),
        (
            '{"type":"delivery","reply-to":"3","message-id":"0194…b4","status":"stored",'
            '"cursor":"k3:8844"}'
        ),
    ),
    (
        answers.delivery(Progress("0194…b4", MessageStatus.RECEIVED, OTHER)).text(cursor="k3:8845"),
        (
            '{"type":"delivery","message-id":"0194…b4","status":"received",'
            '"subscriber-id":"12125550100","cursor":"k3:8845"}'
        ),
    ),
]


def read(text: bytes) -> Any:
    return orjson.loads(text)


@pytest.mark.parametrize(("made", "shown"), GOLDEN)
def test_examples(made: bytes, shown: str) -> None:
    """Every server message that the specification shows, as compact JSON (MS-15)."""
    assert read(made) == read(shown.encode())
    assert len(made) == len(shown.encode())


def test_acks() -> None:
    """Without an id an ack has neither `id` nor `reply-to`; how long to wait stands in the error
    (MS-17, MS-18)."""
    assert read(answers.ack(None)) == {"type": "ack", "status": True}
    error = MessageError(ErrorCode.RATE_LIMITED, "slowly", retry_after=2)
    assert read(answers.ack(None, error)) == {
        "type": "ack",
        "status": False,
        "error": {"code": "rate-limited", "text": "slowly", "retry-after": 2},
    }


def test_own_messages() -> None:
    """The sender's other devices get his `dedupe-id`, nobody else does; attributes as they were
    given (MS-47, section 6)."""
    own = {
        "type": "direct-message",
        "message-id": "0194…a1",
        "from": OTHER,
        "subscriber-id": ME,
        "sent-at": "2026-01-05T10:00:00.120Z",
        "content": "é",
        "content-type": "text/x",
        "attributes": {"k": 1},
        "dedupe-id": "k7",
    }
    assert read(answers.message(OWN, own=True).text()) == own
    del own["dedupe-id"]
    assert read(answers.message(OWN).text()) == own


def test_room_messages() -> None:
    """The same, with `channel-id` for `subscriber-id`."""
    made = read(answers.message(IN_ROOM).text())
    assert made["type"] == "channel-message"
    assert made["channel-id"] == "r-1"
    assert "subscriber-id" not in made


def test_progress() -> None:
    """In Rooms a status names Room and recipient; `through` stands there only if it is true
    (MS-53, MS-57)."""
    progress = Progress("m", MessageStatus.READ, "b", "r-1", through=True)
    assert read(answers.delivery(progress).text()) == {
        "type": "delivery",
        "message-id": "m",
        "status": "read",
        "subscriber-id": "b",
        "channel-id": "r-1",
        "through": True,
    }


def test_invitation_of_others() -> None:
    """Who is not an administrator gets no token; attributes are always there (section 6)."""
    view = InvitationView("r-1", "n", "a", administrator=False, attributes=b'{"k":[]}')
    assert read(answers.invitation(view).text(cursor="k:1")) == {
        "type": "invitation",
        "cursor": "k:1",
        "channel-id": "r-1",
        "name": "n",
        "from": "a",
        "administrator": False,
        "attributes": {"k": []},
    }


@pytest.mark.parametrize("change", list(MembershipChange))
def test_membership(change: MembershipChange) -> None:
    """What happened to a Channel Membership, which has attributes when the Room has (section 6)."""
    members = {"channel-id": "r-7c1f…", "name": "Day shift", "administrator": True}
    expected = {"type": "membership", "change": change.value, "channel": members}
    assert read(answers.membership(change, DAY).text()) == expected
    with_attributes = answers.membership(change, attrs.evolve(DAY, attributes=b'{"k":1}'))
    assert read(with_attributes.text())["channel"] == {**members, "attributes": {"k": 1}}


def test_presence() -> None:
    """A change of presence names no Room and has no cursor; somebody who is invisible shows
    nothing (MS-40, MS-41, MS-43)."""
    view = SubscriberView("b", "out", Availability.BUSY, attributes=b'{"k":1}')
    assert read(answers.subscriber(SubscriberChange.AVAILABILITY, view).text()) == {
        "type": "subscriber",
        "change": "availability",
        "subscriber": {
            "id": "b",
            "status": "out",
            "availability": "busy",
            "administrator": False,
            "attributes": {"k": 1},
        },
    }
    hidden = read(answers.subscriber(SubscriberChange.AVAILABILITY, SubscriberView("b")).text())
    assert hidden["subscriber"] == {
        "id": "b",
        "status": "",
        "availability": "invisible",
        "administrator": False,
        "attributes": {},
    }


def test_composing() -> None:
    """Who is writing, where, and no cursor (MS-44)."""
    assert read(answers.composing("a", ComposingState.ACTIVE)) == {
        "type": "composing",
        "from": "a",
        "state": "active",
    }
    in_room = read(answers.composing("a", ComposingState.IDLE, "r-1"))
    assert (in_room["channel-id"], in_room["state"]) == ("r-1", "idle")


def test_long_lists() -> None:
    """Lists come in parts with the same `reply-to`; all but the last say there is more (MS-30)."""
    views = [attrs.evolve(DAY, room_id=f"r-{n}") for n in range(201)]
    made = [read(part) for part in answers.channels(views, reply_to="4")]
    assert [(one["type"], one["reply-to"], one["more"]) for one in made] == [
        ("channels", "4", True),
        ("channels", "4", True),
        ("channels", "4", False),
    ]
    listed = [entry["channel-id"] for one in made for entry in one["channels"]]
    assert listed == [view.room_id for view in views]


def test_empty_lists() -> None:
    """A list of nothing is one message all the same (MS-17, MS-30)."""
    [made] = answers.subscribers([], room_id="r-1", reply_to=None)
    assert read(made) == {
        "type": "subscribers",
        "channel-id": "r-1",
        "subscribers": [],
        "more": False,
    }
    [made] = answers.channels([], reply_to=None)
    assert read(made) == {"type": "channels", "channels": [], "more": False}


def test_largest_parts() -> None:
    """With everything as large as section 12 allows, no part is over 512 KiB (MS-30)."""
    wide = "\U0001f600"
    attributes = orjson.dumps({"a": "x" * 4088})
    views = [
        SubscriberView(wide * 128, wide * 256, Availability.DND, attributes=attributes)
        for _ in range(250)
    ]
    made = list(answers.subscribers(views, room_id=wide * 128, reply_to=wide * 128))
    assert all(len(part) <= MOST_BYTES for part in made)
    assert sum(len(read(part)["subscribers"]) for part in made) == 250


@pytest.mark.parametrize(
    ("party", "name"), [(InRoom("r-1"), "channel-id"), (Correspondent("r-1"), "subscriber-id")]
)
def test_history(party: InRoom | Correspondent, name: str) -> None:
    """A history names its conversation; in it messages have no type and no cursor, one's own a
    status (MS-28, section 6)."""
    entries = [
        answers.message(SENT).bare(),
        answers.message(OWN, own=True, status=MessageStatus.DISPLAYED).bare(),
    ]
    made = read(answers.history(party, entries, more=True, reply_to="2"))
    first, second = made.pop("messages")
    assert made == {"type": "history", "reply-to": "2", name: "r-1", "more": True}
    assert first.keys() == {
        "message-id",
        "from",
        "subscriber-id",
        "sent-at",
        "content",
        "content-type",
    }
    assert (second["status"], second["dedupe-id"]) == ("displayed", "k7")


@given(st.integers(-(10**13), 10**14))
def test_timestamps(at: int) -> None:
    """RFC 3339 in UTC with exactly three digits of milliseconds, for any instant (MS-15)."""
    text = answers.timestamp(at)
    assert epoch_ms(text) == at
    assert len(text) == len("2026-01-05T10:00:00.120Z")
    assert text.endswith("Z")
