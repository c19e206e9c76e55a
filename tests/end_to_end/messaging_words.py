"""What clients may say according to messaging.md, sections 4 and 5, read without the daemon's code:
every type with its fields, what is wrong in each, and what any text is answered with."""

import enum
import json
import random
from collections.abc import Iterator
from typing import Any, Final

import attrs

Json = dict[str, Any]


class Kind(enum.Enum):
    """What a field may hold."""

    SHORT = enum.auto()
    SUBSCRIBER = enum.auto()
    IDS = enum.auto()
    TEXT = enum.auto()
    STATUS = enum.auto()
    WORD = enum.auto()
    ATTRIBUTES = enum.auto()
    FLAG = enum.auto()
    LIMIT = enum.auto()


NO_STRING: Final = (1, 1.5, True, [], {}, ["x"])
NOT_SHORT: Final = (*NO_STRING, "", "x" * 129, "a\nb", "a\x7f")
WRONG: Final[dict[Kind, tuple[object, ...]]] = {
    Kind.SHORT: NOT_SHORT,
    Kind.SUBSCRIBER: (*NOT_SHORT, "a\u2028b", "a\u200bb"),
    Kind.IDS: ("ann", 1, {}, True, [1], [None], [""], ["a\nb"], ["a\ud800"], ["ann", ["bob"]]),
    Kind.TEXT: NO_STRING,
    Kind.STATUS: (*NO_STRING, "x" * 257, "a\x00b"),
    Kind.WORD: (*NO_STRING, "", "no-such-word", "READ", "stored", "offline"),
    Kind.ATTRIBUTES: ("{}", 1, True, [], [{}], {"a": "\ud800"}, {"\udc00": 1}),
    Kind.FLAG: ("true", 1, 0, [], {}),
    Kind.LIMIT: ("5", 1.5, True, [], {}),
}


@attrs.frozen
class Field:
    """A field with something that is right for it. Not `needed`: the message is as good without."""

    name: str
    kind: Kind
    right: object
    needed: bool = True


ROOM: Final = Field("channel-id", Kind.SHORT, "r-none")
WHO: Final = Field("subscriber-id", Kind.SUBSCRIBER, "nobody")
ATTRIBUTES: Final = Field("attributes", Kind.ATTRIBUTES, {"a": [1]}, needed=False)
TOKEN: Final = Field("invite-token", Kind.SHORT, "s3", needed=False)
TEXT: Final = (
    Field("content", Kind.TEXT, ""),
    Field("content-type", Kind.SHORT, "text/plain", needed=False),
    Field("dedupe-id", Kind.SHORT, "d", needed=False),
    ATTRIBUTES,
)
TYPES: Final[dict[str, tuple[Field, ...]]] = {
    "announce": (
        Field("status", Kind.STATUS, "", needed=False),
        Field("availability", Kind.WORD, "invisible", needed=False),
        ATTRIBUTES,
    ),
    "unannounce": (),
    "create-channel": (Field("name", Kind.SHORT, "R"), TOKEN, ATTRIBUTES),
    "list-channels": (),
    "join-channel": (ROOM, TOKEN),
    "leave-channel": (ROOM,),
    "update-channel": (ROOM, Field("name", Kind.SHORT, "S", needed=False), TOKEN, ATTRIBUTES),
    "delete-channel": (ROOM,),
    "invite": (ROOM, Field("subscriber-ids", Kind.IDS, ["ann"])),
    "update-subscriber": (ROOM, WHO, Field("administrator", Kind.FLAG, right=True)),
    "list-subscribers": (Field("subscriber-ids", Kind.IDS, ["ann"], needed=False),),
    "direct-message": (WHO, *TEXT),
    "channel-message": (ROOM, *TEXT),
    "delivery": (
        Field("message-id", Kind.SHORT, "none"),
        Field("status", Kind.WORD, "read"),
        Field("through", Kind.FLAG, right=True, needed=False),
    ),
    "composing": (WHO, Field("state", Kind.WORD, "active")),
    "history": (
        WHO,
        Field("before", Kind.SHORT, "none", needed=False),
        Field("limit", Kind.LIMIT, 5, needed=False),
    ),
    "resume": (Field("cursor", Kind.TEXT, "none"),),
}
ROOM_ALONE: Final = {"type": "update-channel", "channel-id": "r-none"}
BOTH: Final = {"channel-id": "r-none", "subscriber-id": "nobody"}
ODD: Final[tuple[Json, ...]] = (
    ROOM_ALONE,
    {**ROOM_ALONE, "name": None, "attributes": None},
    {"type": "update-subscriber", **BOTH},
    {"type": "update-subscriber", **BOTH, "removed": False},
    {"type": "update-subscriber", **BOTH, "removed": 1},
    {"type": "update-subscriber", **BOTH, "removed": True, "administrator": True},
    {"type": "list-subscribers", "channel-id": "r-none", "subscriber-ids": ["ann"]},
    {"type": "composing", **BOTH, "state": "idle"},
    {"type": "composing", "state": "idle"},
    {"type": "history", **BOTH},
    {"type": "history"},
    {"type": "history", "subscriber-id": "nobody", "before": "a", "after": "b"},
)
"""Neither or both where there is to be one (MS-23), nothing where there is to be something."""


def right(type_: str) -> Json:
    """A message of this type with everything in it that may be there."""
    return {"type": type_, **{field.name: field.right for field in TYPES[type_]}}


def spoilt() -> Iterator[Json]:
    """Every type with every field of it missing, null or wrong, one at a time."""
    for type_, fields in TYPES.items():
        message = right(type_)
        for field in fields:
            if field.needed:
                yield {name: value for name, value in message.items() if name != field.name}
                yield {**message, field.name: None}
            for value in WRONG[field.kind]:
                yield {**message, field.name: value}
            if field.kind in {Kind.SHORT, Kind.SUBSCRIBER, Kind.TEXT, Kind.STATUS}:
                yield {**message, field.name: "a\ud800"}
    yield from ODD


IGNORED: Final[tuple[tuple[str, str], ...]] = (
    ("not-json", ""),
    ("not-json", " "),
    ("not-json", "hello"),
    ("not-json", '{"type":"list-channels"'),
    ("not-json", '{"type":"list-channels",}'),
    ("not-json", "{'type':'list-channels'}"),
    ("not-json", '{"type":"list-channels"} {}'),
    ("not-json", '{"type":"list-channels","a":01}'),
    ("not-json", '{"type":"list-channels","a":"\t"}'),
    ("not-json", '{"type":"list-channels","a":"\\ud8"}'),
    ("not-json", '\ufeff{"type":"list-channels"}'),
    ("repeated-name", '{"type":"list-channels","type":"list-channels"}'),
    ("repeated-name", '{"type":"list-channels","\\u0074ype":"list-channels"}'),
    ("repeated-name", '{"type":"list-channels","a":[{"b":1,"b":1}]}'),
    ("not-a-number", '{"type":"list-channels","a":NaN}'),
    ("not-a-number", '{"type":"list-channels","a":-Infinity}'),
    ("not-a-number", '{"type":"list-channels","a":Infinity}'),
    ("too-deep", '{"type":"list-channels","a":%s}' % ("[" * 32 + "]" * 32)),
    ("too-deep", '{"type":"list-channels","a":%s}' % ("[" * 100_000 + "]" * 100_000)),
    ("not-an-object", "[]"),
    ("not-an-object", "null"),
    ("not-an-object", '"list-channels"'),
    ("not-an-object", "1e3"),
    ("no-type", "{}"),
    ("no-type", '{"id":"1"}'),
    ("no-type", '{"type":null,"id":"1"}'),
    ("no-type", '{"type":["list-channels"],"id":"1"}'),
    ("no-type", '{"type":1,"id":"1"}'),
    ("unknown-type", '{"type":"","id":"1"}'),
    ("unknown-type", '{"type":"List-Channels","id":"1"}'),
    ("unknown-type", '{"type":"list-channels\\u0000","id":"1"}'),
    ("unknown-type", '{"type":"list\\ud800","id":"1"}'),
    *(
        ("unknown-type", json.dumps({"type": type_, "id": "1"}))
        for type_ in (
            "welcome",
            "ack",
            "invitation",
            "channels",
            "subscribers",
            "membership",
            "subscriber",
            "resumed",
        )
    ),
)
"""Texts that are answered with nothing, with the reason they are counted by (MS-16)."""


# -- what any text is answered with ------------------------------------------------------------

SILENCE: Final = object()


def acknowledgement(text: str) -> object:
    """SILENCE (MS-16), or the `id` of the one `ack` there is for it, which may be None (MS-18)."""
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return SILENCE
    if not isinstance(document, dict) or _depth(document) > 32:
        return SILENCE
    type_, id_ = document.get("type"), document.get("id")
    if not isinstance(type_, str) or type_ not in TYPES:
        return SILENCE
    is_good = isinstance(id_, str) and 1 <= len(id_) <= 128 and not any(map(_is_bad, id_))
    return id_ if is_good else None


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("twice")
    return members


def _refuse(word: str) -> object:
    raise ValueError(word)


def _depth(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(_depth, inside), default=0)


def _is_bad(character: str) -> bool:
    return character < " " or "\x7f" <= character < "\xa0" or "\ud800" <= character <= "\udfff"


# -- junk --------------------------------------------------------------------------------------

NAMES: Final = sorted({field.name for fields in TYPES.values() for field in fields} | {"id", "to"})
ATOMS: Final = (
    None,
    True,
    0,
    -1,
    2**63,
    10**30,
    1.5,
    -1e300,
    "",
    "ann",
    "x" * 200,
    "\u00e9\U0001f600",
    "\ud800",
    "a\ud83d",
    "\\ud800",
    "\x00",
    "active",
    "read",
    "available",
    "r-none",
)

IDS: Final[tuple[object, ...]] = ("1", "\u00e9", "y" * 128, "z" * 129, "", 7, None, "a\ud800", [])


def junk(rng: random.Random, *, ascii_only: bool) -> str:
    """A message of which nothing or almost nothing is right, or its text with some of it lost."""
    message: Json = {name: _value(rng, 3) for name in rng.sample(NAMES, rng.randint(0, 4))}
    type_: object = rng.choice([*TYPES, *TYPES, "welcome", "", 1, None, []])
    if isinstance(type_, str) and type_ in TYPES:
        message = {**right(type_), **message} if rng.random() < 0.6 else message
    message["type"] = type_
    if rng.random() < 0.7:
        message["id"] = rng.choice(
            ["1", "\u00e9", "y" * 128, "z" * 129, "", 7, None, "a\ud800", []]
        )
    text = json.dumps(message, ensure_ascii=ascii_only or rng.random() < 0.5)
    return _damaged(rng, text) if rng.random() < 0.4 else text


def _value(rng: random.Random, depth: int) -> object:
    draw = rng.random() if depth else 0
    if draw < 0.6:
        return rng.choice(ATOMS)
    if draw < 0.8:
        return [_value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    if draw < 0.97:
        return {rng.choice(["a", "b", "id", "type"]): _value(rng, depth - 1) for _ in range(3)}
    nested: object = 0
    for _ in range(rng.randint(25, 40)):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    return nested


def _damaged(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice(["", '"', "{", "}", "[", "]", ",", ":", "\\", "0", "e", " ", "NaN"])
        text = text[:at] + piece + text[at + rng.randint(0, 2) :]
    return text
