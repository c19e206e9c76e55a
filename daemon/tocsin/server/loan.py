"""An answer that takes its connection along, and brings it back for the next request.

A response that lasts (a held poll, a stream of events) needs no HTTP task while nothing happens.
So whoever writes it gets the socket, on loan: when the answer has ended as it should, the
connection goes back to the HTTP server, with what the client has sent meanwhile.
"""

import socket
from collections.abc import Callable

import attrs

from tocsin.server.limits import Lease
from tocsin.wire.response import Headers

Resume = Callable[[socket.socket, bytes], None]


class Loan:
    """One connection out of HTTP. Call `give_back` or `end`, once."""

    __slots__ = ("_lease", "_resume", "chunked")

    def __init__(self, *, chunked: bool, lease: Lease | None, resume: Resume | None) -> None:
        """`resume` None: the answer ends with its connection."""
        self.chunked = chunked
        self._lease = lease
        self._resume = resume
        if lease is not None:
            lease.lend()

    @property
    def returns(self) -> bool:
        """Whether further requests may come on the connection."""
        return self._resume is not None

    def give_back(self, sock: socket.socket, received: bytes) -> None:
        """The answer is complete; `received` is what has come behind its request."""
        if self._resume is None:
            raise ValueError("this connection ends with its answer")
        if self._lease is not None:
            self._lease.take_back()
        self._resume(sock, received)

    def end(self) -> None:
        """The socket has been closed: its place in the limits is free."""
        if self._lease is not None:
            self._lease.finish()


@attrs.define
class Streamed:
    """An answer of unknown length.

    The server writes the status, `headers` and what frames the body, detaches the raw
    non-blocking socket and calls `adopt(sock, received, loan)` with the bytes that followed the
    request: `adopt` owns all three, also when it raises. It is not called when the head could not
    be written. `headers` says how the answer may be cached.
    """

    headers: Headers
    adopt: Callable[[socket.socket, bytes, Loan], None]
    status: int = 200
