"""Messages that wait for a client to ask or to read (SJ-28)."""

from collections.abc import Sequence
from typing import Protocol


class OutboxLimits(Protocol):
    """How much may wait before a connection is closed."""

    @property
    def outbox_messages(self) -> int: ...
    @property
    def outbox_bytes(self) -> int: ...


class Outbox:
    """Encoded messages of one connection, in order; whoever puts one in asks `has_room` first."""

    __slots__ = ("_messages", "size")

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self.size = 0

    def __len__(self) -> int:
        return len(self._messages)

    def has_room(self, size: int, limits: OutboxLimits) -> bool:
        """Whether one more of this size fits; a first one always does."""
        return not self._messages or (
            len(self._messages) < limits.outbox_messages and self.size + size <= limits.outbox_bytes
        )

    def put(self, message: bytes) -> None:
        """Append a message."""
        self._messages.append(message)
        self.size += len(message)

    def take(self) -> Sequence[bytes]:
        """Everything, for one frame."""
        messages, self._messages = self._messages, []
        self.size = 0
        return messages
