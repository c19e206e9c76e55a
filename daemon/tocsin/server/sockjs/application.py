"""What a SockJS service and its application are to each other.

The same on every transport: sessions over HTTP, framed and raw WebSockets. All of it is
synchronous and of one thread.

An application takes messages one at a time. One that cannot be done with a message at once says
`pause`, starts a task, and says `resume` when the task is over; what comes meanwhile waits in the
connection's inbox, which is bounded. So there is a task only while a message is in hand.

Order of the calls for one connection: `opened`, then any of the others, then `closed`, the last.
None of them comes from inside `send` or `close`; `resume` may call `received` and `closed`.
"""

from typing import Protocol


class Connection(Protocol):
    """One client, as the application sees it."""

    @property
    def principal(self) -> object:
        """What the service's `authorise` hook made of the request that opened the connection."""

    @property
    def transport(self) -> str:
        """What it was opened with, a word of a closed set: `xhr-polling`, `websocket`..."""

    @property
    def is_open(self) -> bool:
        """Messages go both ways; never again once it was False."""

    @property
    def sent(self) -> int:
        """How many messages have been sent so far, those that wait included."""

    @property
    def waiting(self) -> int:
        """How many of them wait for the client to read or to ask."""

    @property
    def waiting_bytes(self) -> int:
        """What those amount to; an application that keeps less than the bound looks here."""

    def send(self, *messages: str | bytes) -> bool:
        """Send messages, in one frame if nothing but framing is between them; bytes are UTF-8.

        Inside a call from the service they leave when it returns, else at once. False if the
        connection is not open, or no longer: a message that does not fit into the outbox closes
        it with 1013 (SJ-28), behind everything that did fit.
        """

    def mark(self, number: int) -> None:
        """Have the Pings of a WebSocket carry this from here on, for its client to see; without
        it they carry how many messages were sent."""

    def close(self, code: int = ..., reason: str = ...) -> None:
        """Close behind what was sent (SJ-26); no-op if it is not open. What the client sent and
        the application has not taken is dropped. ValueError: a code no server says (SJ-35)."""

    def pause(self) -> None:
        """Let messages wait from here on."""

    def resume(self) -> None:
        """Hand over what waits, from inside this call, and go on."""


class Application(Protocol):
    """Who answers the clients of a service. Must not raise."""

    def opened(self, connection: Connection) -> None:
        """A client is here, and may be sent messages and closed."""

    def received(self, connection: Connection, message: str) -> None:
        """A message of the client. It may come after the client has left: what it had sent by
        then is handed over to the end, unless the connection was closed from this side."""

    def proven(self, connection: Connection, count: int) -> None:
        """The client has the first `count` messages of those that were sent (SJ-29)."""

    def drained(self, connection: Connection) -> None:
        """Nothing waits any more: there is room for more messages, or the client has left while
        some waited, and `closed` follows what it had sent."""

    def closed(self, connection: Connection, code: int) -> None:
        """Once and last: by whom it was closed says the code, 1006 if it just ended."""
