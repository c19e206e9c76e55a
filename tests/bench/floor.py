"""The least a server can do: no checks, no store, no state; a process of its own.

It takes a GET for a WebSocket handshake, a POST for a notification to the user whose number is
in it, answers at once and sends the body on as one frame: to the socket of that number, or for
users `wide..` to all. What the daemon needs is judged beside what this needs for the same, with
the same clients.
"""

import contextlib
import re
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.daemon import Daemon

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
USER = re.compile(rb'"user":"([a-z]+)(\d+)"')
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"
RECEIVE = 1 << 16
ACCEPTS = 64


@contextlib.contextmanager
def running() -> Iterator[Daemon]:
    """Start it; it passes for a daemon whose tokens nobody looks at."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.floor"], stdout=subprocess.PIPE
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout is not None else b""
            yield Daemon(process, int(line), "x" * 32)
        finally:
            process.kill()


class Floor:
    """Its connections, and among them the WebSockets in the order they came."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._peers: dict[int, socket.socket] = {}
        self._sockets: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Until killed."""
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == self._listener.fileno():
                    self._accept()
                else:
                    self._receive(self._peers[descriptor])

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(ACCEPTS):
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._peers[sock.fileno()] = sock
                self._epoll.register(sock, select.EPOLLIN)

    def _receive(self, sock: socket.socket) -> None:
        """One request; loopback brings one of this size in one piece."""
        data = sock.recv(RECEIVE)
        if data.startswith(b"POST"):
            self._publish(data.partition(b"\r\n\r\n")[2])
            sock.sendall(ACCEPTED)
        elif data.startswith(b"GET"):
            self._sockets.append(sock)
            sock.sendall(SWITCHING)
        elif not data:
            del self._peers[sock.fileno()]
            self._epoll.unregister(sock)
            sock.close()

    def _publish(self, body: bytes) -> None:
        match = USER.search(body)
        if match is None:
            raise SystemExit("not a notification")
        frame = b"\x81\x7e" + len(body).to_bytes(2) + body
        if match[1] == b"wide":
            for sock in self._sockets:
                sock.send(frame)
        else:
            self._sockets[int(match[2])].send(frame)


def main() -> None:
    """Say the port and serve."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    floor = Floor()
    print(floor.port, flush=True)
    floor.serve()


if __name__ == "__main__":
    main()
