"""Messages between a client and the application that takes them one at a time (SJ-19)."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol


class InboxLimits(Protocol):
    """How much may wait before no more is taken."""

    @property
    def inbox_messages(self) -> int: ...
    @property
    def inbox_bytes(self) -> int: ...


class Inbox:
    """The queue of one connection; there is one only while something waits.

    What one body or frame holds is taken whole: a queue with any room takes it, so that the bound
    is the limits and one body more. Who finds it full waits (`when_room`), or reads no more and
    puts in what it has read already (`intake`).
    """

    __slots__ = ("_bytes", "_deliver", "_is_delivering", "_is_paused", "_limits", "_rest", "_wake")

    def __init__(self, limits: InboxLimits, deliver: Callable[[str], None]) -> None:
        """`deliver` gets one message after the other, and may pause."""
        self._limits = limits
        self._deliver = deliver
        self._rest: deque[str] | None = None
        self._bytes = 0
        self._is_paused = False
        self._is_delivering = False
        self._wake: list[Callable[[], None]] | None = None

    def __len__(self) -> int:
        return len(self._rest) if self._rest is not None else 0

    @property
    def is_full(self) -> bool:
        """Nothing more is to be brought."""
        limits = self._limits
        return len(self) >= limits.inbox_messages or self._bytes >= limits.inbox_bytes

    @property
    def is_half_empty(self) -> bool:
        """There is so much room again that it is worth to go on."""
        limits = self._limits
        return len(self) <= limits.inbox_messages // 2 and self._bytes <= limits.inbox_bytes // 2

    def put(self, messages: Sequence[str]) -> None:
        """Take what one body or frame holds, and deliver as far as possible."""
        if self._rest is None:
            self._rest = deque()
        self._rest.extend(messages)
        self._bytes += sum(map(_size, messages))
        self._run()

    def pause(self) -> None:
        """Deliver nothing until `resume`."""
        self._is_paused = True

    def resume(self) -> None:
        """Deliver what waits."""
        self._is_paused = False
        self._run()

    def drop(self) -> None:
        """Forget what waits; whoever waits for room is called and has to see for himself."""
        self._rest = None
        self._bytes = 0
        self.wake()

    def when_room(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called once, when there is room or all is over; returns what withdraws it.

        It must not put anything in before it returns.
        """
        if self._wake is None:
            self._wake = []
        self._wake.append(call)

        def withdraw() -> None:
            if self._wake is not None and call in self._wake:
                self._wake.remove(call)

        return withdraw

    def _run(self) -> None:
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            while self._rest and not self._is_paused:
                message = self._rest.popleft()
                self._bytes -= _size(message)
                self._deliver(message)
        finally:
            self._is_delivering = False
        if not self._rest:
            self._rest = None
        if not self.is_full:
            self.wake()

    def wake(self) -> None:
        """Call whoever waits for room."""
        calls, self._wake = self._wake, None
        for call in calls or ():
            call()


def _size(message: str) -> int:
    """Bytes of a message as its client may have written it."""
    return len(message) if message.isascii() else len(message.encode("utf-8", "surrogatepass"))
