"""Client messages, type by type: what is read, what is refused, what is ignored (section 5)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.messaging.clientmessages import (
    CLEARED,
    Announce,
    AskHistory,
    ClientMessage,
    Composing,
    Correspondent,
    CreateRoom,
    DeleteRoom,
    InRoom,
    Invite,
    JoinRoom,
    LeaveRoom,
    ListRooms,
    ListSubscribers,
    Receipt,
    Resume,
    SendDirect,
    SendToRoom,
    Text,
    Unannounce,
    UpdateMember,
    UpdateRoom,
)
from tocsin.wire.messaging.document import Reason
from tocsin.wire.messaging.envelope import TYPES, Ignored, Refused, parse
from tocsin.wire.messaging.refusals import ErrorCode
from tocsin.wire.messaging.words import Availability, ComposingState, MessageStatus

BAD = ErrorCode.BAD_REQUEST
ROOM = {"channel-id": "r-1"}
PEER = {"subscriber-id": "b"}
LONG = "x" * 129
SENT = {"content": "hi"}

GOOD: list[tuple[dict[str, Any], ClientMessage]] = [
    ({"type": "announce"}, Announce()),
    (
        {"type": "announce", "status": "", "availability": "dnd", "attributes": {"a": [1, 2.5]}},
        Announce(status="", availability=Availability.DND, attributes=b'{"a":[1,2.5]}'),
    ),
    (
        {"type": "announce", "status": None, "availability": None, "attributes": None},
        Announce(),
    ),
    ({"type": "announce", "attributes": {"n": 2**70}}, Announce(attributes=b'{"n":%d}' % 2**70)),
    ({"type": "unannounce", "status": 3}, Unannounce()),
    ({"type": "create-channel", "name": "n" * 128}, CreateRoom(name="n" * 128)),
    (
        {"type": "create-channel", "name": "Day", "invite-token": "s3", "attributes": {}},
        CreateRoom(name="Day", invite_token="s3", attributes=b"{}"),
    ),
    ({"type": "create-channel", "name": "Day", "invite-token": None}, CreateRoom(name="Day")),
    ({"type": "list-channels"}, ListRooms()),
    ({"type": "join-channel", **ROOM}, JoinRoom(room_id="r-1")),
    (
        {"type": "join-channel", **ROOM, "invite-token": "t"},
        JoinRoom(room_id="r-1", invite_token="t"),
    ),
    ({"type": "leave-channel", **ROOM}, LeaveRoom(room_id="r-1")),
    ({"type": "update-channel", **ROOM, "name": "N"}, UpdateRoom(room_id="r-1", name="N")),
    (
        {"type": "update-channel", **ROOM, "invite-token": None, "name": None},
        UpdateRoom(room_id="r-1", invite_token=CLEARED),
    ),
    (
        {"type": "update-channel", **ROOM, "invite-token": "t", "attributes": {"é": "é"}},
        UpdateRoom(room_id="r-1", invite_token="t", attributes='{"é":"é"}'.encode()),
    ),
    ({"type": "delete-channel", **ROOM}, DeleteRoom(room_id="r-1")),
    (
        {"type": "invite", **ROOM, "subscriber-ids": ["b", "a", "b"]},
        Invite(room_id="r-1", subscriber_ids=("b", "a")),
    ),
    ({"type": "invite", **ROOM, "subscriber-ids": []}, Invite(room_id="r-1", subscriber_ids=())),
    (
        {"type": "update-subscriber", **ROOM, **PEER, "administrator": False, "removed": None},
        UpdateMember(room_id="r-1", subscriber_id="b", administrator=False),
    ),
    (
        {"type": "update-subscriber", **ROOM, **PEER, "removed": True},
        UpdateMember(room_id="r-1", subscriber_id="b", administrator=None),
    ),
    ({"type": "list-subscribers"}, ListSubscribers()),
    ({"type": "list-subscribers", **ROOM}, ListSubscribers(room_id="r-1")),
    (
        {"type": "list-subscribers", "subscriber-ids": ["é" * 128] * 100},
        ListSubscribers(subscriber_ids=("é" * 128,)),
    ),
    (
        {"type": "direct-message", **PEER, "content": ""},
        SendDirect(subscriber_id="b", text=Text("")),
    ),
    (
        {
            "type": "direct-message",
            **PEER,
            "content": "a\x00\n" + "x" * 65_533,
            "content-type": "application/json",
            "attributes": {"k": None},
            "dedupe-id": "d",
        },
        SendDirect(
            subscriber_id="b",
            text=Text("a\x00\n" + "x" * 65_533, "application/json", b'{"k":null}', "d"),
        ),
    ),
    (
        {"type": "channel-message", **ROOM, **SENT, "content-type": None, "dedupe-id": None},
        SendToRoom(room_id="r-1", text=Text("hi", "text/plain")),
    ),
    (
        {"type": "delivery", "message-id": "m", "status": "read", "through": True},
        Receipt(message_id="m", status=MessageStatus.READ, through=True),
    ),
    (
        {"type": "delivery", "message-id": "m", "status": "received", "through": False},
        Receipt(message_id="m", status=MessageStatus.RECEIVED),
    ),
    (
        {"type": "delivery", "message-id": "m", "status": "displayed", "through": None},
        Receipt(message_id="m", status=MessageStatus.DISPLAYED),
    ),
    (
        {"type": "composing", **PEER, "state": "active"},
        Composing(party=Correspondent("b"), state=ComposingState.ACTIVE),
    ),
    (
        {"type": "composing", **ROOM, "subscriber-id": None, "state": "idle"},
        Composing(party=InRoom("r-1"), state=ComposingState.IDLE),
    ),
    ({"type": "history", **PEER}, AskHistory(party=Correspondent("b"), limit=50)),
    (
        {"type": "history", **ROOM, "before": "m", "after": None, "limit": 7},
        AskHistory(party=InRoom("r-1"), before="m", limit=7),
    ),
    ({"type": "history", **ROOM, "after": "m"}, AskHistory(party=InRoom("r-1"), after="m")),
    ({"type": "resume", "cursor": ""}, Resume(cursor="")),
    ({"type": "resume", "cursor": "\x00no cursor" * 100}, Resume(cursor="\x00no cursor" * 100)),
]


@pytest.mark.parametrize(("message", "expected"), GOOD)
def test_read(message: dict[str, Any], expected: ClientMessage) -> None:
    """Each type is read in all its forms, null is absent, what is unknown is ignored (MS-15,
    MS-24), whether it comes as text or as bytes."""
    text = json.dumps({**message, "unknown": {"deep": [None]}})
    assert parse(text) == expected
    assert parse(text.encode()) == expected


@pytest.mark.parametrize(("message", "expected"), GOOD)
def test_id_comes_along(message: dict[str, Any], expected: ClientMessage) -> None:
    """Every type takes an id, and null is none (MS-18)."""
    with_id = parse(json.dumps({**message, "id": "7é"}))
    assert isinstance(with_id, type(expected))
    assert with_id.id == "7é"
    assert parse(json.dumps({**message, "id": None})) == expected


def test_every_type_is_tried() -> None:
    """The tables of this module know all the types of section 5, which are seventeen."""
    assert {message["type"] for message, _ in GOOD} == set(TYPES)
    assert {expected.type for _, expected in GOOD} == set(TYPES)
    assert len(TYPES) == 17


@pytest.mark.parametrize("id_", ["1", "true", "[]", "{}", '""', f'"{LONG}"', r'"a\nb"'])
def test_bad_ids(id_: str) -> None:
    """An id that is no short string is not repeated, whatever else is right or wrong (MS-18)."""
    for message in ('{"type":"list-channels","id":%s}', '{"type":"resume","cursor":3,"id":%s}'):
        outcome = parse(message % id_)
        assert isinstance(outcome, Refused)
        assert (outcome.id, outcome.error.code) == (None, BAD)


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        (r'{"type":"announce","id":"5","status":"\ud800"}', "5"),
        (r'{"type":"announce","id":"5","status":"\uDFFF\ud800\udbff"}', "5"),
        ('{"type":"announce","id":"5","status":"\ud800"}', "5"),
        (r'{"type":"announce","id":"5","attributes":{"a":[{"\udc00":1}]}}', "5"),
        (r'{"type":"announce","id":"5","unknown":"\\\\ud83d\ude00"}', "5"),
        (r'{"type":"announce","id":"\ud83d\ude00","status":"\ud800"}', "\U0001f600"),
        (r'{"type":"announce","id":"a\ud800"}', None),
        ('{"type":"announce","id":"\udc00"}', None),
        (r'{"type":"announce","id":5,"status":"\ud800"}', None),
    ],
)
def test_lone_surrogates(text: str, id_: str | None) -> None:
    """A lone surrogate anywhere is `bad-request`; an id that has one is not repeated (MS-22)."""
    outcome = parse(text)
    assert isinstance(outcome, Refused)
    assert (outcome.id, outcome.error.code, outcome.type) == (id_, BAD, "announce")


@pytest.mark.parametrize(
    ("rest", "id_"),
    [
        ('"id":"7","limit":1e309', "7"),
        ('"id":"7","unknown":[-1e999]', "7"),
        ('"id":"7","unknown":' + "9" * 400, "7"),
        ('"unknown":1e309', None),
        ('"id":1e309', None),
    ],
)
def test_numbers_out_of_range(rest: str, id_: str | None) -> None:
    """A number beyond a double is `bad-request`, wherever it stands, and not silence (MS-16)."""
    outcome = parse('{"type":"history","subscriber-id":"b",' + rest + "}")
    assert isinstance(outcome, Refused)
    assert (outcome.id, outcome.error.code, outcome.type) == (id_, BAD, "history")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (r'{"type":"announce","status":"\ud83d\ude00"}', "\U0001f600"),
        (r'{"type":"announce","status":"\\ud83d"}', r"\ud83d"),
        ('{"type":"announce","status":"\ufffd"}', "\ufffd"),
    ],
)
def test_no_lone_surrogates(text: str, status: str) -> None:
    """Pairs, and what only looks like an escape, are left alone."""
    assert parse(text) == Announce(status=status)


@pytest.mark.parametrize(
    "type_", ["", "ack", "welcome", "subscriber", "membership", "resumed", "Announce", "\ufffd"]
)
def test_unknown_types(type_: str) -> None:
    """Unknown types are ignored, those that only servers say included, bad id or not (MS-16)."""
    for id_ in ("1", 1):
        message = json.dumps({"type": type_, "id": id_})
        assert parse(message) == Ignored(Reason.UNKNOWN_TYPE)


@pytest.mark.parametrize("type_", ["null", "1", "[]", '{"type":"announce"}', "true"])
def test_no_type(type_: str) -> None:
    """Without a string `type` a message is ignored (MS-16)."""
    assert parse(f'{{"type":{type_},"id":1}}') == Ignored(Reason.NO_TYPE)
    assert parse("{}") == Ignored(Reason.NO_TYPE)


def test_removal_or_rights() -> None:
    """A change of rights and a removal are told apart by what was asked, not by its value."""
    for asked, administrator in (({"administrator": False}, False), ({"removed": True}, None)):
        message = parse(json.dumps({"type": "update-subscriber", **ROOM, **PEER, **asked}))
        assert isinstance(message, UpdateMember)
        assert message.administrator is administrator


def test_secrets_are_not_shown() -> None:
    """Contents and invite tokens stay out of what is printed of a message (MS-13, SE-7)."""
    for text in (
        '{"type":"direct-message","subscriber-id":"b","content":"hush"}',
        '{"type":"join-channel","channel-id":"r","invite-token":"hush"}',
        '{"type":"announce","attributes":{"hush":1}}',
    ):
        assert "hush" not in repr(parse(text))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(sorted({name for message, _ in GOOD for name in message} | {"id"}))
PLAUSIBLE = st.sampled_from(
    [value for message, _ in GOOD for name, value in message.items() if name != "type"]
)
MESSAGES = st.builds(
    lambda type_, members: {**members, "type": type_},
    st.sampled_from(TYPES) | st.text(max_size=3),
    st.dictionaries(NAMES, PLAUSIBLE | VALUES, max_size=6),
)


@given(MESSAGES | VALUES, st.booleans())
def test_any_json(value: object, ascii_only: bool) -> None:
    """Any JSON is exactly one of the three, and only messages of a known type are answered."""
    outcome = parse(json.dumps(value, ensure_ascii=ascii_only))
    if isinstance(outcome, Ignored):
        return
    assert isinstance(value, dict)
    assert outcome.type == value["type"]
    assert outcome.type in TYPES
    assert outcome.id in (None, value.get("id"))
    if not isinstance(outcome, Refused):
        assert outcome.id == value.get("id")


@given(st.binary(max_size=60) | st.text('{}[]":,\\udD8ctype announce', max_size=60))
def test_any_text(text: str | bytes) -> None:
    """Whatever arrives, nothing is raised (SE-6)."""
    assert parse(text) is not None
