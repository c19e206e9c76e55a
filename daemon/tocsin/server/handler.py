"""What stands between a session and an engine: the link, and what either side asks of it."""

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from tocsin.server.link import SocketLink


class Link(Protocol):
    """What a session has of its connection, whatever engine serves it.

    May be used from the session's own callbacks and from any task of the same thread. Nothing
    here waits, and nothing here calls the session back before it returns.
    """

    @property
    def last_received(self) -> float:
        """When anything last came from the peer (`trio.current_time()`)."""

    @property
    def blocked_since(self) -> float | None:
        """When the backlog last moved; None without one."""

    @property
    def backlog(self) -> int:
        """Bytes that wait because the peer does not read."""

    @property
    def is_reading(self) -> bool:
        """False between `stop_reading` and what ends that."""

    def stop_reading(self) -> None:
        """Let the peer wait, until `read_on` or the connection begins to close.

        What has been received already is still handed over. That the peer has gone may not be
        noticed meanwhile, so whoever stops sees to it that this ends. No-op when closing.
        """

    def read_on(self) -> None:
        """End what `stop_reading` began."""

    def offer(self, data: bytes) -> bool:
        """Send encoded frames, now or when what waits before them has left.

        False, and nothing sent or queued, if the outbox bound would be passed or the
        connection is closing.
        """

    def ping(self, payload: bytes = b"") -> bool:
        """Send a Ping; the Pong that answers it is not counted as a client's frame."""

    def note_ping(self) -> None:
        """A Ping has left as part of what was offered: its Pong is expected."""

    def close(self, code: int, reason: str = "") -> None:
        """Start the closing handshake behind what waits; no-op when already closing."""

    def abort(self, code: int = ...) -> None:
        """Drop the connection now, without waiting for anybody."""

    def fileno(self) -> int:
        """The descriptor, -1 when it is closed."""


class Handler(Protocol):
    """The session at the other side of a connection. All synchronous; must not raise."""

    def opened(self, connection: Link) -> None:
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

    def opened(self, connection: Link) -> None: ...
    def text(self, payload: bytes) -> None: ...
    def binary(self, payload: bytes) -> None: ...
    def pong(self, payload: bytes) -> None: ...
    def drained(self) -> None: ...
    def closed(self, code: int) -> None: ...


NOBODY: Handler = _Nobody()


class Host(Protocol):
    """What a link needs of its engine. `now` is `trio.current_time()` of this turn."""

    @property
    def now(self) -> float: ...

    def watch(self, link: "SocketLink", *, writable: bool) -> None:
        """Call `flush` when there is room in the kernel, or stop doing so."""

    def listen(self, link: "SocketLink") -> None:
        """Receive from its socket, or do not, as `is_reading` says from now on."""

    def expect_end(self, link: "SocketLink") -> None:
        """Call `expire` when close_timeout has passed."""

    def retire(self, link: "SocketLink") -> None:
        """Tell the session `closed` soon, and close the socket if the link is gone."""


@attrs.frozen
class ConnectionLimits:
    """Bounds of one connection; one object serves all connections of a kind."""

    max_message: int
    frames_per_second: int
    outbox_bytes: int
