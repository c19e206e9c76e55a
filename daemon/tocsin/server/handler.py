"""What a connection stands between: its session on one side, the reactor on the other."""

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from tocsin.server.connection import Connection


class Handler(Protocol):
    """The session at the other side of a connection. All synchronous; must not raise."""

    def opened(self, connection: "Connection") -> None:
        """The connection may be used; comes before everything else."""

    def text(self, payload: bytes) -> None:
        """A whole text message, valid UTF-8."""

    def binary(self, payload: bytes) -> None:
        """A whole binary message."""

    def pong(self, payload: bytes) -> None:
        """A Pong, asked for or not."""

    def drained(self) -> None:
        """The outbox went from backlog to empty: there is room again."""

    def closed(self, code: int) -> None:
        """Exactly once and last, however it ended; 1006 if there was no Close frame."""


class _Nobody:
    """Takes the place of a session that has been told `closed`."""

    def opened(self, connection: "Connection") -> None: ...
    def text(self, payload: bytes) -> None: ...
    def binary(self, payload: bytes) -> None: ...
    def pong(self, payload: bytes) -> None: ...
    def drained(self) -> None: ...
    def closed(self, code: int) -> None: ...


NOBODY: Handler = _Nobody()


class Host(Protocol):
    """What a connection needs of the reactor. `now` is `trio.current_time()` of this turn."""

    now: float

    def watch(self, connection: "Connection", *, writable: bool) -> None:
        """Call `flush` when there is room in the kernel, or stop doing so."""

    def expect_end(self, connection: "Connection") -> None:
        """Call `expire` when close_timeout has passed."""

    def retire(self, connection: "Connection") -> None:
        """Tell the session `closed` soon, and close the socket if the connection is gone."""


@attrs.frozen
class ConnectionLimits:
    """Bounds of one connection; one object serves all connections of a kind."""

    max_message: int
    frames_per_second: int
    outbox_bytes: int
