"""Many WebSocket clients in one process, told what to do through a pipe.

It reads a JSON line {"port": .., "paths": [..]}, opens one socket for each path, answers every
Ping, and counts what arrives. Then it obeys lines: `report` (what came since the last report),
`await N SECONDS` (the same once N have come), `check ROUNDS` (a connCheck on every socket, as
soon as all have answered the one before). Each is answered by one JSON line.
"""

import base64
import json
import os
import re
import resource
import select
import socket
import struct
import time

from tests.bench.percentiles import percentile

TEXT, CLOSE, PING = 0x81, 0x88, 0x89
STAMP = re.compile(rb'"t":(\d+)')
CONN_ACK = b'{"connAck":{}}'
UNMASKED = b"\0\0\0\0"
CONN_CHECK = b"\x81" + bytes([0x80 | 16]) + UNMASKED + b'{"connCheck":{}}'
HANDSHAKES = 256
RECEIVE = 1 << 18
NANOSECONDS = 1e9


class Crowd:
    """All clients and what they have received."""

    def __init__(self, port: int, paths: list[str]) -> None:
        self._port = port
        self._paths = paths
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._rest: dict[int, bytes] = {}
        self._acknowledged = 0
        self._last_of: dict[int, int] = {}
        self._received = 0
        self._begin()

    def connect(self) -> float:
        """Open all sockets, so many handshakes under way at once; the seconds it took."""
        started = time.monotonic()
        begun = 0
        opening: set[int] = set()
        while begun < len(self._paths) or opening:
            while begun < len(self._paths) and len(opening) < HANDSHAKES:
                opening.add(self._dial(self._paths[begun]))
                begun += 1
            for descriptor, _ in self._epoll.poll():
                if descriptor in opening and self._finish(descriptor):
                    opening.discard(descriptor)
        return time.monotonic() - started

    def serve(self) -> None:
        """Receive and obey until the pipe ends."""
        commands = os.fdopen(os.dup(0), "rb", buffering=0)
        self._epoll.register(commands, select.EPOLLIN)
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor != commands.fileno():
                    self._receive(descriptor)
                elif not self._obey(commands.readline().decode().split()):
                    return

    def _dial(self, path: str) -> int:
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._sockets[sock.fileno()] = sock
        self._rest[sock.fileno()] = b""
        self._epoll.register(sock, select.EPOLLIN)
        return sock.fileno()

    def _finish(self, descriptor: int) -> bool:
        data = self._rest[descriptor] + self._sockets[descriptor].recv(RECEIVE)
        head, mark, rest = data.partition(b"\r\n\r\n")
        if mark and not head.startswith(b"HTTP/1.1 101"):
            raise SystemExit(f"refused: {data.decode(errors='replace')}")
        self._rest[descriptor] = rest if mark else data
        return bool(mark)

    def _receive(self, descriptor: int) -> None:
        try:
            data = self._sockets[descriptor].recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:  # read already, while a command was obeyed
            return
        if not data:
            raise SystemExit("the daemon closed a socket")
        data = self._rest[descriptor] + data
        at = 0
        while len(data) - at >= 2:
            first, length, start = data[at], data[at + 1], at + 2
            if length == 126:
                start += 2
                length = int.from_bytes(data[at + 2 : start])
            elif length == 127:
                start += 8
                length = int.from_bytes(data[at + 2 : start])
            if len(data) < start + length:
                break
            self._frame(descriptor, first, data[start : start + length])
            at = start + length
        self._rest[descriptor] = data[at:]

    def _frame(self, descriptor: int, first: int, payload: bytes) -> None:
        if first == PING:
            pong = bytes((0x8A, 0x80 | len(payload))) + UNMASKED + payload
            self._sockets[descriptor].sendall(pong)
        elif first == CLOSE:
            raise SystemExit(f"closed with {struct.unpack('!H', payload[:2])}")
        elif payload == CONN_ACK:
            self._acknowledged += 1
        else:
            self._received += 1
            stamp = STAMP.search(payload)
            if stamp is not None:
                self._last_of[int(stamp[1])] = time.monotonic_ns()

    def _obey(self, words: list[str]) -> bool:
        match words:
            case ["report"]:
                self._report()
            case ["await", number, seconds]:
                self._await(int(number), float(seconds))
            case ["check", rounds]:
                self._check(int(rounds))
            case _:
                return False
        return True

    def _await(self, number: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._received < number and time.monotonic() < deadline:
            self._turn()
        self._report()

    def _check(self, rounds: int) -> None:
        self._acknowledged = 0
        for number in range(1, rounds + 1):
            for sock in self._sockets.values():
                sock.sendall(CONN_CHECK)
            while self._acknowledged < number * len(self._sockets):
                self._turn()
        self._report()

    def _turn(self) -> None:
        for descriptor, _ in self._epoll.poll(0.1):
            if descriptor in self._sockets:
                self._receive(descriptor)

    def _begin(self) -> None:
        self._received = 0
        self._last_of = {}
        self._started, self._worked = time.monotonic(), time.process_time()

    def _report(self) -> None:
        """`p50_ms`, `p99_ms`: from a notification's due time until the last client had it."""
        taken = sorted((last - due) / NANOSECONDS for due, last in self._last_of.items())
        elapsed = time.monotonic() - self._started
        _say(
            {
                "received": self._received,
                "p50_ms": percentile(taken, 0.5) * 1000,
                "p99_ms": percentile(taken, 0.99) * 1000,
                "seconds": elapsed,
                "busy": (time.process_time() - self._worked) / elapsed,
            }
        )
        self._begin()


def _say(answer: dict[str, float]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Read the task, connect, say so, and serve."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    task = b""
    while not task.endswith(b"\n"):  # unbuffered: the commands that follow are for epoll
        task += os.read(0, RECEIVE)
    crowd = Crowd(**json.loads(task))
    _say({"seconds": crowd.connect()})
    crowd.serve()


if __name__ == "__main__":
    main()
