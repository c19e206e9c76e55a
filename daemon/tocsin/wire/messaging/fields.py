"""Fields of a client message or query, checked one by one (messaging.md, MS-15, MS-22, MS-23)."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from tocsin.wire.integers import dumps
from tocsin.wire.messaging.clientmessages import Correspondent, InRoom, Party
from tocsin.wire.messaging.ids import is_subscriber_id
from tocsin.wire.messaging.limits import MessageLimits
from tocsin.wire.messaging.refusals import ErrorCode, MessageError
from tocsin.wire.notification import CONTROLS

PRINTABLE: Final = "a string of 1 to 128 printable characters"
_T = TypeVar("_T")


class FieldError(Exception):
    """A field is not as it should be; `error` is what the client is told."""

    def __init__(self, error: MessageError) -> None:
        super().__init__(error.text)
        self.error = error


def bad(text: str) -> FieldError:
    """A field that is missing, of the wrong type or at odds with another."""
    return FieldError(MessageError(ErrorCode.BAD_REQUEST, text))


def too_large(name: str, most: str) -> FieldError:
    """A field beyond its size."""
    return FieldError(MessageError(ErrorCode.TOO_LARGE, f"{name}: at most {most}"))


class Fields:
    """The members of an object, held to the limits of section 12.

    Each reader returns what the field of that name holds, or raises `FieldError`. `null` counts
    as absent.
    """

    __slots__ = ("_limits", "_members")

    def __init__(self, members: Mapping[str, Any], limits: MessageLimits) -> None:
        self._members = members
        self._limits = limits

    def has(self, name: str) -> bool:
        """Whether the field says something."""
        return self._members.get(name) is not None

    def is_null(self, name: str) -> bool:
        """Whether it is there and says `null`."""
        return name in self._members and self._members[name] is None

    def optional(self, read: Callable[[str], _T], name: str) -> _T | None:
        """What a reader makes of a field that may be absent."""
        return read(name) if self.has(name) else None

    def short(self, name: str) -> str:
        """An id, a name or another short text, without controls."""
        value = self._members.get(name)
        most = self._limits.short_characters
        if not isinstance(value, str) or not 1 <= len(value) <= most or CONTROLS.search(value):
            raise bad(f"{name}: a string of 1 to {most} characters, no controls")
        return value

    def subscriber(self, name: str) -> str:
        """The id of a subscriber."""
        value = self._members.get(name)
        if not isinstance(value, str) or not is_subscriber_id(value):
            raise bad(f"{name}: {PRINTABLE}")
        return value

    def subscribers(self, name: str) -> tuple[str, ...]:
        """Ids of subscribers, each once, in their order."""
        value = self._members.get(name)
        if not isinstance(value, list):
            raise bad(f"{name}: a list of strings")
        if len(value) > self._limits.list_ids:
            raise too_large(name, f"{self._limits.list_ids} ids")
        if not all(isinstance(one, str) and is_subscriber_id(one) for one in value):
            raise bad(f"{name}: in it {PRINTABLE}")
        return tuple(dict.fromkeys(value))

    def status_text(self, name: str) -> str:
        """What somebody says of himself, maybe nothing."""
        value = self.string(name)
        most = self._limits.status_characters
        if len(value) > most or CONTROLS.search(value):
            raise bad(f"{name}: at most {most} characters, no controls")
        return value

    def string(self, name: str) -> str:
        """Any string."""
        value = self._members.get(name)
        if not isinstance(value, str):
            raise bad(f"{name}: a string")
        return value

    def content(self, name: str) -> str:
        """What is sent, maybe nothing (MS-24)."""
        value = self.string(name)
        most = self._limits.content_bytes
        if len(value) > most or len(value.encode()) > most:
            raise too_large(name, f"{most} bytes")
        return value

    def attributes(self, name: str) -> bytes:
        """An object, as compact JSON."""
        value = self._members.get(name)
        if not isinstance(value, dict):
            raise bad(f"{name}: an object")
        text = dumps(value)
        if len(text) > self._limits.attributes_bytes:
            raise too_large(name, f"{self._limits.attributes_bytes} bytes")
        return text

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self._members.get(name)
        if not isinstance(value, bool):
            raise bad(f"{name}: true or false")
        return value

    def page(self, name: str, default: int) -> int:
        """How many entries are wanted; a number out of range becomes the nearest in it."""
        value = self._members.get(name)
        if value is None:
            value = default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise bad(f"{name}: an integer")
        return min(max(value, 1), self._limits.page)

    def word(self, name: str, meanings: Mapping[str, _T]) -> _T:
        """What a word of a closed set means."""
        value = self._members.get(name)
        if not isinstance(value, str) or value not in meanings:
            raise bad(f"{name}: one of {', '.join(meanings)}")
        return meanings[value]

    def party(self) -> Party:
        """The conversation that is named by the other one in it or by its Room."""
        if self.exactly_one("subscriber-id", "channel-id") == "channel-id":
            return InRoom(self.short("channel-id"))
        return Correspondent(self.subscriber("subscriber-id"))

    def at_most_one(self, *names: str) -> None:
        """Of fields that exclude one another (MS-23)."""
        if sum(map(self.has, names)) > 1:
            raise bad(f"at most one of {', '.join(names)}")

    def exactly_one(self, *names: str) -> str:
        """Which one of them is there."""
        given = [name for name in names if self.has(name)]
        if len(given) != 1:
            raise bad(f"exactly one of {', '.join(names)}")
        return given[0]
