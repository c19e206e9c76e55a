"""Requests over kept connections, one under way on each: as fast as answered, or when due.

One thread and one epoll. What it costs is small beside what it asks of the daemon, and `busy`
says how close it came to being the bottleneck itself.
"""

import re
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import attrs

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
RECEIVE = 1 << 18


class Outgoing(NamedTuple):
    """A finished request; `due` on `time.monotonic`, 0 for at once."""

    data: bytes
    due: float = 0.0


class Answer(NamedTuple):
    """What came for the request of this number."""

    number: int
    status: int
    body: bytes
    seconds: float


@attrs.define(eq=False)
class _Peer:
    sock: socket.socket
    number: int = -1
    started: float = 0.0
    received: bytes = b""

    def start(self, number: int, data: bytes) -> None:
        self.number, self.received = number, b""
        self.started = time.monotonic()
        self.sock.sendall(data)

    def read(self) -> Answer | None:
        """The answer, once it is whole."""
        data = self.sock.recv(RECEIVE)
        if not data:
            raise SystemExit("the daemon closed a connection")
        self.received += data
        head, mark, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not mark or len(body) < (int(length[1]) if length else 0):
            return None
        return Answer(self.number, int(head[9:12]), body, time.monotonic() - self.started)


def post(path: str, token: str, body: bytes) -> bytes:
    """A whole POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def drive(
    port: int,
    requests: Iterable[Outgoing],
    *,
    connections: int,
    answered: Callable[[Answer], None],
) -> None:
    """Send all requests, each as soon as it is due and a connection is free.

    `requests` is asked for the next one when the one before has left, so that an endless
    generator can look at the clock.
    """
    load = _Load(port, connections)
    try:
        load.run(iter(requests), answered)
    finally:
        load.close()


class _Load:
    def __init__(self, port: int, connections: int) -> None:
        self._idle = [
            _Peer(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)
        ]
        self._peers = {peer.sock.fileno(): peer for peer in self._idle}
        self._epoll = select.epoll()
        for peer in self._idle:
            peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._epoll.register(peer.sock, select.EPOLLIN)

    def run(self, requests: Iterable[Outgoing], answered: Callable[[Answer], None]) -> None:
        waiting = enumerate(requests)
        following = next(waiting, None)
        while following is not None or len(self._idle) < len(self._peers):
            while following and self._idle and following[1].due <= time.monotonic():
                self._idle.pop().start(following[0], following[1].data)
                following = next(waiting, None)
            self._wait(following[1].due if following and self._idle else None)
            for descriptor, _ in self._epoll.poll(0):
                peer = self._peers[descriptor]
                answer = peer.read()
                if answer is not None:
                    self._idle.append(peer)
                    answered(answer)

    def close(self) -> None:
        self._epoll.close()
        for peer in self._peers.values():
            peer.sock.close()

    def _wait(self, until: float | None) -> None:
        """An epoll can be selected on, and select knows microseconds."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        select.select([self._epoll], [], [], timeout)
