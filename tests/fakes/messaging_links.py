"""Connections of subscribers that remember what they were told, and people and Rooms to be in."""

from collections.abc import Sequence
from typing import Any

import attrs
import orjson

from tocsin.model.conversation import Member, Room, Subscriber
from tocsin.store.mail import Posted


def person(key: int, *, user: str | None = None) -> Subscriber:
    """A Subscriber with a live connection, in no Room."""
    name = f"s{key}"
    return Subscriber(key, "acme", name, user or f"{name}@acme", is_known=True, rooms={})


def room_of(key: int, members: Sequence[Subscriber]) -> Room:
    """A Room of these, as it is when they are all live."""
    room = Room(key, f"r-{key}", "acme", f"Room {key}", 0)
    for one in members:
        enter(room, one)
    return room


def enter(room: Room, one: Subscriber) -> None:
    """Somebody live joins."""
    room.members[one.key] = Member(one, administrator=False, joined_at=0)
    if one.rooms is not None:
        one.rooms[room.key] = room


def depart(room: Room, one: Subscriber) -> None:
    """Somebody leaves, or is removed."""
    del room.members[one.key]
    if one.rooms is not None:
        one.rooms.pop(room.key, None)


@attrs.define(eq=False)
class MemoryLink:
    """A `Link` that takes everything at once. `told_of` is the last state by who it is about."""

    subscriber: Subscriber
    correlator: str | None = None
    transport: str = "websocket"
    since: int = 0
    position: int = 0
    told_of: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    changes: list[dict[str, Any]] = attrs.field(factory=list)
    hints: list[dict[str, Any]] = attrs.field(factory=list)
    entries: list[Posted] = attrs.field(factory=list)
    notices: list[dict[str, Any]] = attrs.field(factory=list)
    ended: list[tuple[int, str]] = attrs.field(factory=list)

    def posted(self, entry: Posted) -> None:
        """Keep it."""
        self.entries.append(entry)

    def told(self, about: int, text: bytes) -> None:
        """Keep it; it must be about whom it says."""
        message = orjson.loads(text)
        self.changes.append(message)
        self.told_of[about] = message["subscriber"]

    def notify(self, text: bytes) -> None:
        """Keep it."""
        self.notices.append(orjson.loads(text))

    def hinted(self, text: bytes) -> None:
        """Keep it."""
        self.hints.append(orjson.loads(text))

    def end(self, code: int, reason: str) -> None:
        """Keep it."""
        self.ended.append((code, reason))

    def take(self) -> list[dict[str, Any]]:
        """What it was told of presence since this was last asked."""
        changes, self.changes = self.changes, []
        return changes
